"""The `ref` style as token ids: encoding, generation limits, the first prompt's budget, and its truncation.

Source: SCBench, `scbench/run_scbench.py` of microsoft/MInference at commit fb56c91.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scbench.prompts.reference import OriginalError
from scbench.tasks.fit import Encoder

Tokens = tuple[int, ...]

REQUEST_RESERVE = 1000  # tokens that multi-request takes off the first prompt's budget
UNLIMITED = 160_000  # what a max_seq_length of -1 stands for
FALLBACK = 500  # the generation limit where the usual one is no less than max_seq_length

LIMITS: Mapping[str, int] = {
    "retr_kv": 150,
    "retr_prefix_suffix": 150,
    "retr_multihop": 30,
    "code_repoqa": 1024,
    "en_qa": 40,
    "zh_qa": 40,
    "en_multichoice": 40,
    "math_find": 5,
    "icl_manyshot": 10,
    "en_sum": 200,
}
MIXES: Mapping[str, Mapping[str, int]] = {
    "mix_sum_niah": {"en_sum": 800, "passkey": 15},
    "mix_repoqa_kv": {"code_repoqa": 1024, "retr_kv": 80},
}


def answer_limits(task: str, max_seq_length: int, subtasks: Sequence[str | None]) -> Tokens:
    """New tokens per turn; raises `OriginalError` where a mix's limits do not fit."""
    window = _window(max_seq_length)
    if task in MIXES:
        _check_mix(task, window)
        return tuple(_of_subtask(task, subtask) for subtask in subtasks)
    limit = LIMITS[task] if LIMITS[task] < window else FALLBACK
    return (limit,) * len(subtasks)


def _of_subtask(task: str, subtask: str | None) -> int:
    try:
        return MIXES[task][subtask or ""]
    except KeyError:
        raise OriginalError("KeyError", f"a turn of {task} has the unknown sub-task {subtask!r}") from None


def _check_mix(task: str, window: int) -> None:
    if max(MIXES[task].values()) > window:
        raise OriginalError("AssertionError", f"the answers of {task} do not fit {window} tokens")


def first_budget(task: str, max_seq_length: int, turns: int, *, requests: bool) -> int:
    """Tokens that the first prompt may have; below 0 it is never cut. Raises `OriginalError` as `answer_limits`."""
    if task in MIXES:
        reserved = sum(MIXES[task].values()) * turns // 2
        answer_limits(task, max_seq_length, ())
    else:
        (limit,) = answer_limits(task, max_seq_length, (None,))
        reserved = limit * turns
    return _window(max_seq_length) - reserved - REQUEST_RESERVE * requests


def reserve(task: str, window: int, limits: Tokens, *, requests: bool) -> int:
    """`first_budget` for the limits that a session's turns have here, which may be lower than the original's.

    A mix reserves one limit of each kind for every second turn, any other task its limit for every turn.
    """
    kinds = sum(sorted(set(limits))) if task in MIXES else max(limits)
    reserved = kinds * len(limits) // 2 if task in MIXES else kinds * len(limits)
    return window - reserved - REQUEST_RESERVE * requests


def _window(max_seq_length: int) -> int:
    return UNLIMITED if max_seq_length == -1 else max_seq_length


def encode_first(tokenizer: Encoder, text: str) -> Tokens:
    """With special tokens, so that a template that writes begin-of-text has it twice."""
    return tuple(tokenizer.encode(text, add_special_tokens=True))


def encode_later(tokenizer: Encoder, text: str) -> Tokens:
    """Without special tokens."""
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def kept(tokens: int, budget: int) -> tuple[range, range]:
    """The places of a prompt's tokens that stay: `budget // 2` at either end, so an odd budget loses one.

    Raises `OriginalError` for a budget of 0 or 1 that the prompt exceeds.
    """
    if budget < 0 or tokens <= budget:
        return range(tokens), range(tokens, tokens)
    half = budget // 2
    if not half:
        raise OriginalError("AssertionError", f"a budget of {budget} tokens leaves nothing of the first prompt")
    return range(half), range(tokens - half, tokens)


def truncate(ids: Tokens, budget: int) -> Tokens:
    """The first prompt without its middle, see `kept`."""
    head, tail = kept(len(ids), budget)
    return ids[head.start : head.stop] + ids[tail.start : tail.stop]
