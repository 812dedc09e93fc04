"""The `ref` style: the prompts of the original benchmark as text, equal to the character, slips included.

Source: SCBench, `scbench/eval_utils.py` of microsoft/MInference at commit fb56c91. docs/prompts.md names each slip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scbench.errors import ScbenchError
from scbench.prompts.templates import SEPARATOR
from scbench.tasks.session import Answer, Session, Turn

MARKER = "[SEPSEPSEP]"
FORCED = "This paper"

Message = dict[str, str]


class OriginalError(ScbenchError):
    """Where the original stops with an exception, called `raised` there."""

    def __init__(self, raised: str, reason: str):
        super().__init__(f"prompt_style=ref: {reason}, where the original raises {raised}; use prompt_style=fixed")
        self.raised = raised


class Renderer(Protocol):
    """A chat template."""

    def __call__(self, messages: Sequence[Message], *, generation: bool) -> str:
        """The rendered messages, with the header of an answer behind them if `generation`."""


@dataclass(frozen=True)
class Variant:
    """What decides the strings besides the session: `history` is `gold` or `generated`, and counts in turns only.

    `chat` is None for prompts without a chat template.
    """

    requests: bool
    history: str
    chat: Renderer | None


@dataclass(frozen=True)
class First:
    """A session's first prompt. `header` is the text before the task's own, `shared` the text up to the context's end.

    Both are beginnings of `text`; `header` is empty where a template has changed the content, and `shared` is then
    the whole text.
    """

    text: str
    header: str
    shared: str


def reference_prompts(session: Session, variant: Variant) -> tuple[str, ...]:
    """The prompts in the order in which they are read.

    Multi-turn: one per turn, the later ones begin with the gold answer before them (`history="gold"`). Multi-request:
    the context, then one per turn. Raises `OriginalError`.
    """
    later = _queries(session, variant) if variant.requests else _followups(session, variant)
    return (first_prompt(session, variant).text, *later)


def first_prompt(session: Session, variant: Variant) -> First:
    """Multi-turn: context and first question; multi-request: the context. Raises `OriginalError`."""
    wording = _wording(session.task)
    _targets(session)
    if variant.requests:
        content = before = wording.before_requests(session) + session.context
    else:
        before = wording.before_turns(session) + session.context
        content = before + SEPARATOR + wording.first(session.turns[0])
    if variant.chat is None:
        return First(content, "", before)
    marked = content + MARKER if variant.requests else content
    text = variant.chat([_user(marked)], generation=True)
    if variant.requests:
        text = text.partition(MARKER)[0]
    header, found, _ = text.partition(before.strip())
    return First(text, header, header + before.strip()) if found else First(text, "", text)


def _queries(session: Session, variant: Variant) -> tuple[str, ...]:
    wording = _wording(session.task)
    asked = [wording.ask(turn) for turn in session.turns]
    if variant.chat is None:
        return tuple(asked)
    rendered = [variant.chat([_system(), _user(MARKER + question)], generation=True) for question in asked]
    return tuple(text.split(MARKER)[1] for text in rendered)


def _followups(session: Session, variant: Variant) -> tuple[str, ...]:
    if variant.chat is None:
        return tuple(_plain_followups(session, variant.history))
    return tuple(_chat_followups(session, variant.history, variant.chat))


def _plain_followups(session: Session, history: str) -> list[str]:
    wording = _wording(session.task)
    if history == "generated":
        return [wording.ask(turn) for turn in session.turns[1:]]
    answers = [written(turn.answer) for turn in session.turns]
    return [answer + SEPARATOR + wording.again(turn) for answer, turn in zip(answers, session.turns[1:], strict=False)]


def _chat_followups(session: Session, history: str, chat: Renderer) -> list[str]:
    """Rendered alone, without what an empty system message renders to, wherever that stands.

    A template in which that is no contiguous beginning keeps it in every follow-up.
    """
    wording = _wording(session.task)
    if len(session.turns) == 1:
        return []
    gold = history == "gold"
    junk = chat([_system()], generation=gold)
    followups = []
    for before, turn in zip(session.turns, session.turns[1:], strict=False):
        question = _user(wording.in_chat(turn, session.turns[-1]))
        messages = [_system(), _assistant(written(before.answer)), question] if gold else [question]
        text = chat(messages, generation=True)
        followups.append((text.replace(junk, "") if junk else text) + wording.forced)
    return followups


def written(answer: Answer) -> str:
    """A gold answer as Python writes the data set's value: a list with brackets and quotes."""
    return str(list(answer)) if isinstance(answer, tuple) else str(answer)


def _system() -> Message:
    return {"role": "system", "content": ""}


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}


def _targets(session: Session) -> None:
    """Math.Find looks for what is asked in every turn before it asks any."""
    if session.task == "math_find":
        for turn in session.turns:
            _target(turn)


def _target(turn: Turn) -> str:
    """Math.Find: "The largest number of the list is" → "What is the largest number of the list?"."""
    found = re.search("The .+ is", turn.question)
    if found is None:
        raise OriginalError("IndexError", "a Math.Find question does not say 'The … is'")
    return f"What is {found.group().lower()[:-3]}?"


@dataclass(frozen=True)
class _Wording:
    """The texts of a task.

    `before_turns`     before the context, multi-turn
    `before_requests`  before the context, multi-request
    `first`            the first question, behind the context
    `ask`              a question alone: requests, and later turns without a gold answer and without a chat
    `again`            a question behind a gold answer, without a chat
    `in_chat`          a later question as a user message, given that turn and the session's last
    `forced`           put behind the header of every later answer in a chat
    """

    before_turns: Callable[[Session], str]
    before_requests: Callable[[Session], str]
    first: Callable[[Turn], str]
    ask: Callable[[Turn], str]
    again: Callable[[Turn], str]
    in_chat: Callable[[Turn, Turn], str]
    forced: str = ""


def _usual(
    instruction: str,
    ask: Callable[[Turn], str],
    again: Callable[[Turn], str] | None = None,
    forced: str = "",
) -> _Wording:
    return _Wording(
        before_turns=lambda session: instruction,
        before_requests=lambda session: instruction,
        first=ask,
        ask=ask,
        again=again or ask,
        in_chat=lambda turn, last: ask(turn),
        forced=forced,
    )


def _raw(turn: Turn) -> str:
    return turn.question


def _choice(ending: str) -> Callable[[Turn], str]:
    def ask(turn: Turn) -> str:
        if len(turn.options) < 4:
            raise OriginalError("IndexError", "an En.MultiChoice question has fewer than four options")
        options = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", turn.options, strict=False))
        return f"Question: {turn.question}\n{options}\n{ending}"

    return ask


def _statistic(turn: Turn) -> str:
    return f"{_target(turn)}{SEPARATOR}{turn.question}"


_THE_THE = _choice("The the correct answer is")
_PLAIN = _usual("", _raw)
_WORDINGS: Mapping[str, _Wording] = {
    "retr_kv": _usual("Extract the value corresponding to the specified key in the JSON object below.\n\n", _raw),
    "code_repoqa": _usual(
        "Based on the function description and code context, please retrieve and repeat the exact described "
        "function from the code context in a code block wrapped by ```:\n\n",
        _raw,
    ),
    "en_qa": _usual(
        "Read the book and answer the question. Be very concise in your answer.\n\n",
        lambda turn: f"Question: {turn.question}\nAnswer:",
    ),
    "zh_qa": _usual("阅读以下书籍然后回答问题。\n\n", lambda turn: f"问题：{turn.question}\n答案："),
    "en_multichoice": _usual(
        "Read the book and answer the question.\n\n", _THE_THE, again=_choice("The letter of the correct answer is")
    ),
    "math_find": _Wording(
        before_turns=lambda session: _target(session.turns[0]) + SEPARATOR,
        before_requests=lambda session: session.turns[0].question + SEPARATOR,
        first=_raw,
        ask=_statistic,
        again=_statistic,
        in_chat=lambda turn, last: f"{_target(last)}{SEPARATOR}{turn.question}",
    ),
    "en_sum": _usual("", _raw, forced=FORCED),
    "retr_prefix_suffix": _PLAIN,
    "retr_multihop": _PLAIN,
    "icl_manyshot": _PLAIN,
    "mix_sum_niah": _PLAIN,
    "mix_repoqa_kv": _PLAIN,
}


def _wording(task: str) -> _Wording:
    if task not in _WORDINGS:
        raise ScbenchError(f"prompt_style=ref: the original has no task '{task}'; use prompt_style=fixed")
    return _WORDINGS[task]
