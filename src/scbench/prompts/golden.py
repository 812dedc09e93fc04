"""Replay of recorded prompts of the original: strings, token ids, truncation, generation limits and errors."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import Any, Protocol

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scbench.errors import ScbenchError
from scbench.prompts import reference_tokens as tokens
from scbench.prompts.reference import Message, OriginalError, Renderer, Variant, reference_prompts
from scbench.tasks.fit import Encoder
from scbench.tasks.session import Session, Turn

_log = logging.getLogger(__name__)

TASKS: Mapping[str, str] = {
    "scbench_kv": "retr_kv",
    "scbench_prefix_suffix": "retr_prefix_suffix",
    "scbench_vt": "retr_multihop",
    "scbench_repoqa": "code_repoqa",
    "scbench_qa_eng": "en_qa",
    "scbench_qa_chn": "zh_qa",
    "scbench_choice_eng": "en_multichoice",
    "scbench_mf": "math_find",
    "scbench_many_shot": "icl_manyshot",
    "scbench_summary": "en_sum",
    "scbench_summary_with_needles": "mix_sum_niah",
    "scbench_repoqa_and_kv": "mix_repoqa_kv",
}
SUBTASKS: Mapping[str, str] = {
    "scbench_summary": "en_sum",
    "scbench_passkey": "passkey",
    "scbench_repoqa": "code_repoqa",
    "scbench_kv": "retr_kv",
}
MODES: Mapping[str, tuple[bool, str]] = {  # (requests, history)
    "multi_turn": (False, "gold"),
    "multi_turn_no_golden": (False, "generated"),
    "multi_request": (True, "gold"),
}


class Tokenizer(Encoder, Protocol):
    """A tokenizer that also decodes."""

    def decode(self, token_ids: Sequence[int], /, *, clean_up_tokenization_spaces: bool) -> str:
        """The text of token ids, special tokens included."""


@dataclass(frozen=True)
class Check:
    """One recorded value and whether it came out the same; `id` names dataset, run, row and field."""

    variant: str
    id: str
    matches: bool


def replay(data: Mapping[str, Any], tokenizer: Tokenizer | None = None) -> Iterator[tuple[str, int, int]]:
    """Per variant (chat template, mode, normal or truncated): its name, the number of values compared, mismatches."""
    cases: Counter[str] = Counter()
    mismatches: Counter[str] = Counter()
    for check in checks(data, tokenizer):
        cases[check.variant] += 1
        mismatches[check.variant] += not check.matches
    return ((variant, count, mismatches[variant]) for variant, count in cases.items())


def mismatch_ids(data: Mapping[str, Any], tokenizer: Tokenizer | None = None) -> list[str]:
    """The ids of the values that came out differently."""
    return [check.id for check in checks(data, tokenizer) if not check.matches]


def checks(data: Mapping[str, Any], tokenizer: Tokenizer | None = None) -> Iterator[Check]:
    """Every recorded value of a file of prompts against ours.

    Token ids are compared if the tokenizer (SmolLM2's, by default) is the one that the file was recorded with, by the
    file's own probes; else a warning says that they are not. Raises `ScbenchError` for a file of another form.
    """
    try:
        usable = _usable(data, tokenizer)
        yield from _default_budgets(data.get("default_budgets", ()))
        for dataset in data["datasets"]:
            for run in dataset["runs"]:
                yield from _Run(data, dataset, run, usable).checks()
    except (KeyError, TypeError, AttributeError) as error:
        raise ScbenchError(f"not a file of recorded prompts: {type(error).__name__} {error}") from error


def _usable(data: Mapping[str, Any], tokenizer: Tokenizer | None) -> Tokenizer | None:
    """The tokenizer, as it is or with begin-of-text in front, if it reads the file's probes as the file does."""
    try:
        tokenizer = tokenizer or _smollm2()
    except (ScbenchError, ImportError) as error:
        _log.warning("token ids are not compared, prompt strings only: there is no SmolLM2 tokenizer (%s)", error)
        return None
    for candidate in (tokenizer, _BeginFirst(tokenizer, data["tokenizer"]["bos_token_id"])):
        if all(_reads(candidate, probe) for probe in data["tokenizer"]["probes"]):
            return candidate
    _log.warning("token ids are not compared, prompt strings only: the tokenizer does not read the file's probes alike")
    return None


def _reads(tokenizer: Tokenizer, probe: Mapping[str, Any]) -> bool:
    with_special, without = (
        tokens.encode_first(tokenizer, probe["text"]),
        tokens.encode_later(tokenizer, probe["text"]),
    )
    return (list(with_special), list(without)) == (probe["ids"], probe["ids_without_special"])


@dataclass(frozen=True)
class _BeginFirst:
    """A tokenizer made to put begin-of-text before a text: releases of transformers disagree on SmolLM2's GGUF file."""

    tokenizer: Tokenizer
    begin: int

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [self.begin, *ids] if add_special_tokens else ids

    def decode(self, token_ids: Sequence[int], /, *, clean_up_tokenization_spaces: bool) -> str:
        return self.tokenizer.decode(token_ids, clean_up_tokenization_spaces=clean_up_tokenization_spaces)


def _smollm2() -> Tokenizer:
    from scbench.models.model import ModelConfig, load_tokenizer

    return load_tokenizer(ModelConfig("embedded:smollm2_135m"))  # type: ignore[no-any-return]


def _default_budgets(entries: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    for entry in entries:
        requests, _ = MODES[entry["mode"]]
        budget = tokens.first_budget(TASKS[entry["task"]], 131_072, entry["turns"], requests=requests)
        name = f"default_budgets/{entry['task']}/{entry['mode']}/{entry['turns']} turns"
        yield Check("default budgets", name, budget == entry["budget"])


@dataclass(frozen=True)
class _Run:
    """One configuration over the rows of one dataset."""

    data: Mapping[str, Any]
    dataset: Mapping[str, Any]
    run: Mapping[str, Any]
    tokenizer: Tokenizer | None

    def checks(self) -> Iterator[Check]:
        """The run's own numbers, each row's values, and how the run ended."""
        recorded: Sequence[Mapping[str, Any]] = self.run.get("outputs") or ()
        turns = [list(row["multi_turns"]) for row in self.dataset["rows"]]
        most = self.run.get("max_turns", 5)
        if 0 < most < len(turns[0]):
            turns = [row[:most] for row in turns]
        raised, finished = "", 0
        try:
            budget = tokens.first_budget(self._task, self.run["max_seq_length"], len(turns[0]), requests=self._requests)
            yield from self._fields("", {"turns_for_budget": len(turns[0]), "budget": budget}, self.run)
            for row, asked in zip(self.dataset["rows"], turns, strict=True):
                found = self._output(row, asked, budget)
                if finished < len(recorded):
                    yield from self._fields(f"row {finished}, ", found, recorded[finished])
                finished += 1
        except OriginalError as error:
            raised = error.raised
        if self.tokenizer is None and raised == "" and self.run.get("error"):
            return  # it may have been raised over token ids
        yield self._check("error", raised, self.run.get("error") or "")
        yield self._check("rows finished", finished, self._finished(len(recorded)))

    @property
    def _task(self) -> str:
        return TASKS[self.dataset["task"]]

    @property
    def _requests(self) -> bool:
        return MODES[self.run["mode"]][0]

    def _finished(self, recorded: int) -> int:
        """The number of rows that the original finished; files hold it as a number, or the rows themselves."""
        before = self.run.get("outputs_before_error", recorded)
        return before if isinstance(before, int) else len(before)

    def _output(self, row: Mapping[str, Any], turns: Sequence[Mapping[str, Any]], budget: int) -> dict[str, Any]:
        """A row's values, in the words of the file."""
        session = _session(self._task, row, turns)
        prompts = reference_prompts(session, Variant(self._requests, MODES[self.run["mode"]][1], self._chat()))
        subtasks = [turn.subtask for turn in session.turns]
        limits = tokens.answer_limits(self._task, self.run["max_seq_length"], subtasks)
        found = {"prompts": list(prompts), "max_new_tokens": list(limits)}
        return found if self.tokenizer is None else found | _ids(prompts, budget, self.tokenizer)

    def _chat(self) -> Renderer | None:
        if self.run["chat_template"] is None:
            return None
        special = {name: self.data["tokenizer"].get(name, "") for name in ("bos_token", "eos_token")}
        return jinja_chat(self.data["chat_templates"][self.run["chat_template"]], special)

    def _fields(self, where: str, found: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[Check]:
        """Every value that both have; of prompts, each."""
        for field in [field for field in found if field in recorded]:
            if field == "prompts":
                for place, (ours, theirs) in enumerate(zip_longest(found[field], recorded[field])):
                    yield self._check(f"{where}{field}[{place}]", ours, theirs)
            else:
                yield self._check(f"{where}{field}", found[field], recorded[field])

    def _check(self, what: str, ours: object, theirs: object) -> Check:
        template = self.run["chat_template"] or "no template"
        kind = ", truncated" if self.run.get("kind") else ""
        limits = f"max_turns={self.run.get('max_turns')} max_seq_length={self.run['max_seq_length']}"
        name = f"{self.dataset['name']} {self.dataset['task']}, {template}, {self.run['mode']}, {limits}, {what}"
        return Check(f"{self.run['mode']}, {template}{kind}", name, ours == theirs)


def _session(task: str, row: Mapping[str, Any], turns: Sequence[Mapping[str, Any]]) -> Session:
    """A row as the original reads it, unchecked; raises `OriginalError` for a field that it misses."""
    context = row.get("context", row.get("input"))
    try:
        asked = tuple(_turn(task, turn) for turn in turns)
    except KeyError as error:
        raise OriginalError("KeyError", f"a turn has no {error}") from error
    if context is None:
        raise OriginalError("KeyError", "the row has no context")
    return Session(str(row.get("id", "")), task, "golden", str(context), asked, (), len(str(context)), 0)


def _turn(task: str, raw: Mapping[str, Any]) -> Turn:
    answer = raw["answer"]
    return Turn(
        question=str(raw["input"]),
        answer=tuple(answer) if isinstance(answer, list) else answer,
        options=tuple(raw["options"]) if task == "en_multichoice" else (),
        subtask=SUBTASKS.get(raw["task"], raw["task"]) if task in tokens.MIXES else None,
    )


def _ids(prompts: Sequence[str], budget: int, tokenizer: Tokenizer) -> dict[str, Any]:
    """The values of a row that are about token ids, in the words of the file."""
    whole = tokens.encode_first(tokenizer, prompts[0])
    first = tokens.truncate(whole, budget)
    later = [tokens.encode_later(tokenizer, prompt) for prompt in prompts[1:]]
    found = {
        "prompt0_tokens_before": len(whole),
        "prompt0_tokens_after": len(first),
        "truncated": len(first) < len(whole),
        "prompt0_ids_head": list(first[:4]),
        "prompt0_ids_sha256_16": _hash(first),
        "followup_tokens": [len(ids) for ids in later],
        "followup_ids_sha256_16": [_hash(ids) for ids in later],
    }
    if len(first) < len(whole):
        cut = len(first) // 2
        around = [list(first[max(0, cut - 6) : cut]), list(first[cut : cut + 6])]
        found |= {
            "ids_around_cut": around,
            "truncated_text": _tidy(tokenizer.decode(list(first), clean_up_tokenization_spaces=False)),
        }
    return found


def _tidy(text: str) -> str:
    """Decoded text as the recorder's release of transformers showed it, without blanks before punctuation."""
    for sign in (".", "?", "!", ","):
        text = text.replace(f" {sign}", sign)
    text = text.replace(" ' ", "'")
    for ending in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {ending}", ending)
    return text


def _hash(ids: Sequence[int]) -> str:
    return sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


def jinja_chat(template: str, special: Mapping[str, str]) -> Renderer:
    """A chat template rendered as tokenizers do it, given the texts of the special tokens by name."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    compiled = environment.from_string(template)

    def render(messages: Sequence[Message], *, generation: bool) -> str:
        try:
            return compiled.render(messages=list(messages), add_generation_prompt=generation, **special)
        except TemplateError as error:
            raise OriginalError(type(error).__name__, f"the chat template fails ({error})") from error

    return render


def _raise(message: str) -> None:
    raise TemplateError(message)
