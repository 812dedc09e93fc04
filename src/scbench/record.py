"""A record: what happened on one turn of one session in one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any


class Outcome(StrEnum):
    """How a turn ended. Everything but `ok` stays out of method means, and is counted."""

    OK = "ok"
    NOOP = "noop"  # the method had nothing to do (its budget covers the base)
    TRUNCATED = "truncated"  # the context was cut to fit the model's window
    OOM = "oom"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True)
class StageTime:
    """Seconds spent in a stage.

    `scope` says whose work it was: `shared` by all cells of the family, `batch` of `width` branches answered
    together (all of them, where they took several batches), or the cell's `own`.
    """

    seconds: float
    scope: str
    width: int = 1


@dataclass(frozen=True)
class KvBytes:
    """Bytes of key-value cache at the start of this turn's answer, over all layers.

    `dense` is what an untouched cache holds of the same tokens, and of those that a method left out of the text;
    `nominal` is a cache of the same tokens times the method's nominal ratio (a label only); `stored` is what is
    resident, metadata and indexes included; `touched` is what one decoded token reads. `state` is what layers without
    a cache hold, whatever the context's length; it is part of each of the others.
    """

    dense: int
    nominal: int
    stored: int
    touched: int
    state: int = 0


@dataclass(frozen=True)
class Fidelity:
    """How the cache of a turn predicts the gold answer's first `tokens` tokens, given the ones before each.

    `log_likelihood` is their sum in nats; `kl_to_dense` the mean over them of KL(dense ‖ this cache), in nats, None
    where no dense prediction was there.
    """

    tokens: int
    log_likelihood: float
    kl_to_dense: float | None = None


@dataclass(frozen=True)
class Serving:
    """How an engine that is not our own served a turn; None for what it does not tell.

    `wait` are seconds from asking until the first token (TTFT), those for prompts that were asked together included;
    `rate` tokens per second after the first one, while the others were decoded too. `cached` are the prompt's tokens
    that its prefix cache had, `cacheable` those in whole blocks that an earlier prompt of the session had begun with.
    `form` says what a method has made of the tokens that it does not keep (`dropped`, `masked`, `zeroed`).
    """

    wait: float | None
    rate: float | None
    cached: int | None
    cacheable: int | None
    form: str | None = None


PerHead = tuple[tuple[tuple[float, ...], ...], ...]  # by layer, KV head and step


@dataclass(frozen=True)
class Diagnostics:
    """Where dense attention looks at a turn, by full-attention layer (`layers`), KV head and step.

    A step is the number of answer tokens before the one that is predicted. `mass` is the share of dense attention on
    what the cache holds or would read; the others the share of the `top` most attended positions of the base that
    were so when the method acted, and at the end of the turn before (None at the first).
    """

    top: int
    layers: tuple[int, ...]
    steps: tuple[int, ...]
    mass: PerHead
    since_compression: PerHead
    since_turn_before: PerHead | None

    def by_step(self, measure: str) -> list[tuple[int, float]]:
        """A measure at each step, as a mean over layers and KV heads; empty where there is none."""
        values: PerHead | None = getattr(self, measure)
        heads = [head for layer in values or () for head in layer]
        return list(zip(self.steps, (fmean(column) for column in zip(*heads, strict=True)), strict=False))


@dataclass(frozen=True)
class Record:
    """One line of `results/cells/<fingerprint>/<shard>.jsonl`.

    `session` and `turn` are the key; `turns` is the session's number of turns, so that a reader can tell a
    finished session. `prompt_visible` names the prompt that the cache had seen when it was compressed
    (`context`, `context+q1`, or empty). `answer_cut` says that the gold answer stood in what was cut to fit the
    window, out of reach of every method. `items` (where a context has any), `characters` and `context_tokens` are the
    context's length (None in records of earlier versions). `kept` is the number of tokens
    kept per layer when the answer starts, `density` per layer the share of the causal entries that a sparse prefill
    computed (empty for a dense one). `context_kept` is the share of the context's tokens that a method which rewrites
    text has left, None where none did. `gold_kept` is the share of the gold answer's tokens in the context that the
    turn's cache holds, or lets the answer read: the mean over full-attention layers and KV heads, at the answer's place
    with the largest one (and over the texts of an answer that has several). It is None where the context does not have
    the answer's text, where a method rewrote the text, and in records of earlier versions. `peak_bytes` are the highest
    memory use during `prefill` and `decode`: allocated on a GPU, resident in the process on a CPU, weights included.
    The ids of prompts are present only with `run.save_ids=true`, `serving` only from an engine that is not our own.
    """

    cell: str
    session: str
    turn: int
    turns: int
    outcome: Outcome
    prediction: str = ""
    gold: str | int | float | tuple[str, ...] = ""
    detail: str = ""  # what went wrong, or was cut, in one line
    answer_cut: bool = False
    subtask: str | None = None
    function: str | None = None
    language: str | None = None
    repo: str | None = None
    options: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    items: int | None = None
    characters: int | None = None
    context_tokens: int | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    stopped: str = ""  # `stop` (a stop token) or `length`
    prompt_visible: str = ""
    kept: tuple[int, ...] = ()
    context_kept: float | None = None
    gold_kept: float | None = None
    density: tuple[float, ...] = ()
    kv_bytes: KvBytes | None = None
    times: Mapping[str, StageTime] = field(default_factory=dict)
    kernels: tuple[str, ...] = ()
    peak_bytes: Mapping[str, int] = field(default_factory=dict)
    fidelity: Fidelity | None = None
    diagnostics: Diagnostics | None = None
    serving: Serving | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    prompt_ids: tuple[int, ...] | None = None
    output_ids: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for one JSON line; absent token ids, diagnostics and serving are left out."""
        data = asdict(self)
        for key in ("prompt_ids", "output_ids", "diagnostics", "serving"):
            if data[key] is None:
                del data[key]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of `to_dict`; raises `TypeError` or `ValueError` on data of another shape."""
        values = dict(data)
        values["outcome"] = Outcome(values["outcome"])
        if values.get("kv_bytes") is not None:
            values["kv_bytes"] = KvBytes(**values["kv_bytes"])
        if values.get("diagnostics") is not None:
            values["diagnostics"] = Diagnostics(**{key: _tuples(part) for key, part in values["diagnostics"].items()})
        if values.get("fidelity") is not None:
            values["fidelity"] = Fidelity(**values["fidelity"])
        if values.get("serving") is not None:
            values["serving"] = Serving(**values["serving"])
        values["times"] = {name: StageTime(**value) for name, value in values.get("times", {}).items()}
        for key in ("options", "documents", "kept", "density", "kernels", "prompt_ids", "output_ids"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        if isinstance(values.get("gold"), list):
            values["gold"] = tuple(values["gold"])
        return cls(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
