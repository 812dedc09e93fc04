"""The pages of `docs/tasks` and the hashes of `docs/data_hashes.json`.

Both use the tokenizer of the embedded SmolLM2, so that anyone can make the same on any machine.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from scbench.config.compose import compose
from scbench.models.model import ModelConfig, load_tokenizer
from scbench.modes import multi_request, multi_turn
from scbench.prompts.chat import ChatTokenizer
from scbench.prompts.dialogue import build_dialogue
from scbench.scoring import code
from scbench.scoring.item import Answered
from scbench.scoring.rules import CODE, RULES, score_all
from scbench.tasks.base import Task
from scbench.tasks.session import Session, Turn

SIZES = {"8K": 8_192, "20K": 20_480, "60K": 61_440, "128K": 131_072}
PAGE_LENGTH = 2048  # tokens of the session that a page shows
SHOWN = 900  # characters of a context that a page shows

Decode = Callable[[list[int]], str]


def tasks(conf: Path) -> list[Task]:
    """All tasks of a configuration folder, with their defaults."""
    return [cell.task.build() for cell in compose(["task=glob(*)", "method=dense", "mode=multi_turn"], conf).cells]


def session_hash(session: Session) -> str:
    """16 hexadecimal digits of everything that a session asks and expects, wherever it lies."""
    said = {name: value for name, value in asdict(session).items() if name != "place"}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def hashes(task: Task, tokenizer: ChatTokenizer) -> dict[str, str]:
    """The hash of the first session of every canonical size."""
    return {name: session_hash(replace(task, length=length).generate(0, tokenizer)) for name, length in SIZES.items()}


def page(task: Task, tokenizer: ChatTokenizer, decode: Decode) -> str:
    """A task's page: how it is made, one shortened session, its prompts in both modes, how predictions are scored."""
    session = replace(task, length=PAGE_LENGTH).generate(0, tokenizer)
    return "\n".join(
        (
            f"# {task.title}",
            "",
            f"`task={task.name}`: {task.group}; {_origin(task)}",
            f"{task.turns} questions per session; answers have at most {_limits(task, session)} tokens.",
            "",
            inspect.cleandoc(sys.modules[type(task).__module__].__doc__ or ""),
            "",
            inspect.cleandoc(type(task).__doc__ or ""),
            "",
            "## A session",
            "",
            f"Generated: seed {task.seed}, session 0, {session.tokens} tokens of SmolLM2's tokenizer, "
            f"{session.characters} characters, {session.items} items; shortened here.",
            "",
            *_fenced(shortened(session.context)),
            "",
            "| Turn | Question | Gold answer |",
            "|---|---|---|",
            *(_row(number, turn) for number, turn in enumerate(session.turns, 1)),
            "",
            "## Its prompts",
            "",
            *_prompts(session, task, tokenizer, decode),
            "## How a prediction is scored",
            "",
            *_scoring(task, session),
            "All quirks of the original's scorers, with examples, are in [scoring](../scoring.md).",
            "",
        )
    )


def shortened(text: str) -> str:
    """The two ends of a text, and how much was left out."""
    if len(text) <= SHOWN:
        return text
    left_out = len(text) - SHOWN
    return f"{text[: SHOWN * 2 // 3]}\n[… {left_out} more characters …]\n{text[-SHOWN // 3 :]}"


def _prompts(session: Session, task: Task, tokenizer: ChatTokenizer, decode: Decode) -> Iterator[str]:
    short = replace(session, context=shortened(session.context))
    limits = task.answer_limits(short)
    dialogue = build_dialogue(short, task, tokenizer)
    turns, requests = multi_turn(dialogue, limits), multi_request(dialogue, limits)
    second = turns.trunk[: turns.branches[min(1, len(turns.branches) - 1)].leaves]
    request = requests.branches[-1]
    yield "Multi-turn, second turn (the gold answer of the first is fed back), with SmolLM2's chat template:"
    yield ""
    yield from _fenced(decode(list(second)))
    yield ""
    yield "Multi-request, last question (the context is shared; the question comes right behind it):"
    yield ""
    yield from _fenced(decode(list(requests.trunk[: request.leaves] + request.suffix)))
    yield ""


def _scoring(task: Task, session: Session) -> Iterator[str]:
    """Per part of the task: both rules in the code's own words, and three predictions of the session scored."""
    parts = {turn.subtask or task.name: number for number, turn in reversed(list(enumerate(session.turns)))}
    for part in sorted(parts):
        if len(parts) > 1:
            yield f"### Its `{part}` turns"
            yield ""
        for name, words in _rules(part):
            yield f"- `{name}`: {words}"
        yield ""
        yield "| Prediction | strict | ref |"
        yield "|---|---|---|"
        turn = session.turns[parts[part]]
        for said, prediction in (
            ("the gold answer", _text(turn)),
            ("a sentence around it", f"I think it is {_text(turn)}."),
            ("nothing", ""),
        ):
            scores = score_all([_answered(task, session, turn, prediction)])[0]
            yield f"| {said} | {scores.strict:.3g} | {scores.ref:.3g} |"
        yield ""


def _rules(part: str) -> Iterator[tuple[str, str]]:
    rules = (code.strict_all, code.ref_all) if part == CODE else (RULES[part].strict, RULES[part].ref)
    for name, rule in zip(("strict", "ref"), rules, strict=True):
        yield name, " ".join(inspect.cleandoc(rule.__doc__ or "").partition("\n\n")[0].split())


def _answered(task: Task, session: Session, turn: Turn, prediction: str) -> Answered:
    return Answered(
        task=task.name,
        prediction=prediction,
        gold=turn.answer,
        options=turn.options,
        subtask=turn.subtask,
        session=session.id,
        language=session.language,
        repo=session.repo,
        function=turn.function,
    )


def _origin(task: Task) -> str:
    if task.part_of_scbench:
        return f"the paper's metric is {task.metric}; published as `{task.published}`."
    return f"the metric is {task.metric}. Not a task of SCBench: it enters no mean over tasks."


def _limits(task: Task, session: Session) -> str:
    return " or ".join(str(limit) for limit in sorted(set(task.answer_limits(session))))


def _text(turn: Turn) -> str:
    return ", ".join(turn.answer) if isinstance(turn.answer, tuple) else str(turn.answer)


def _row(number: int, turn: Turn) -> str:
    options = "; ".join(f"{letter}. {text}" for letter, text in zip("ABCD", turn.options, strict=False))
    question = f"{turn.question} ({options})" if options else turn.question
    return f"| {number} | {_cell(question)} | {_cell(_text(turn))} |"


def _cell(text: str) -> str:
    """A text as one cell of a Markdown table: one line, long ones shortened."""
    flat = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return flat if len(flat) <= 300 else f"{flat[:200]} […] {flat[-80:]}"


def _fenced(text: str) -> list[str]:
    fence = "~" * 8
    return [f"{fence}text", text.rstrip("\n"), fence]


def write(root: Path) -> None:
    """Write all of them below the repository's root."""
    tokenizer = load_tokenizer(ModelConfig(path="embedded:smollm2_135m"))
    folder = root / "docs" / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    known = {}
    for task in tasks(root / "conf"):
        (folder / f"{task.name}.md").write_text(
            page(task, tokenizer, lambda ids: str(tokenizer.decode(ids))), encoding="utf-8"
        )
        known[task.name] = hashes(task, tokenizer)
    (root / "docs" / "data_hashes.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
