"""Typed configuration: the choice of each axis, the settings shared by all, and a cell of the grid.

Everything here is frozen and holds plain values only, so that it can be written to JSON and compared.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scbench.errors import ScbenchError
from scbench.methods.budget import Budget
from scbench.nearest import hint

Value = Any  # a plain value: None, bool, int, float, str, or a list or mapping of them


@dataclass(frozen=True)
class RunConfig:
    """How to run, which changes no number.

    `save_ids` keeps token ids, `retry` repeats failed sessions. `threads` are the CPU cores of a family (None: all);
    with fewer, as many families run side by side as the cores allow. `bundle` puts all prefills of the same sessions
    into one job, which loads the model once and, with `engine.batch=family`, decodes all their answers as one batch; it
    holds all their caches. `shards` cuts a family's sessions into so many jobs, at most one per session. `tries` is how
    often a job that SLURM ends (no memory, no time) is started, before that is its sessions' outcome. `gpus`,
    `mem_mb` and `runtime` (minutes) are what a job asks for instead of its estimate (None). Raises `ScbenchError` for
    values below their least.
    """

    save_ids: bool = False
    retry: bool = False
    threads: int | None = None
    bundle: bool = False
    shards: int = 1
    tries: int = 3
    gpus: int | None = None
    mem_mb: int | None = None
    runtime: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("shards", 1), ("tries", 1), ("gpus", 0), ("mem_mb", 1), ("runtime", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                null = ", or null" if type(self).__dataclass_fields__[name].default is None else ""
                raise ScbenchError(f"run.{name}={value} must be at least {least}{null}")


@dataclass(frozen=True)
class SharedConfig:
    """The settings that belong to no axis (`conf/config.yaml`); raises `ScbenchError` outside their domains.

    `budget`: tokens (int), share of the base (float in (0, 1]), stored bytes (text such as `64MiB`), or None.
    `history`: `gold` or `generated` answers are fed back. `query`: whether a compressed cache has seen the
    question (`aware`), not (`free`), acts for every question anew on the full cache (`each`, an upper bound), or as the
    mode has it (`auto`). `compress`: at the end of the base alone (`once`), at every later prompt all that is left anew
    (`each`), or its new tokens alone (`isolated`). `fit`: what goes where a context does not fit
    the model's window: `whole` items that no turn asks for, where the task has them, or the `middle`.
    `max_turns`: `all`, or turns per session. `prompt_style`: `fixed`, or the original benchmark's prompts to the
    character (`ref`), which always lose the middle.
    """

    budget: Any = None
    history: str = "gold"
    query: str = "auto"
    compress: str = "once"
    fit: str = "whole"
    max_turns: Any = "all"
    prompt_style: str = "fixed"
    results: str = "results"

    def __post_init__(self) -> None:
        _one_of("history", self.history, ("gold", "generated"))
        _one_of("query", self.query, ("auto", "aware", "free", "each"))
        _one_of("compress", self.compress, ("once", "each", "isolated"))
        _one_of("prompt_style", self.prompt_style, ("fixed", "ref"))
        _one_of("fit", self.fit, ("whole", "middle"))
        turns = self.max_turns
        if turns != "all" and (isinstance(turns, bool) or not isinstance(turns, int) or turns < 1):
            raise ScbenchError(f"max_turns is 'all' or a number of turns of at least 1, not {turns!r}")
        if self.budget is not None:
            Budget(self.budget)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ScbenchError(f"{name} cannot be '{value}'; {hint(value, known)}")


@cache
def load_class(target: str) -> type[Any]:
    """The dataclass that `_target_` names; raises `ScbenchError` if it cannot be imported or is none."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ScbenchError(f"_target_ '{target}' cannot be imported: {error}") from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ScbenchError(f"_target_ '{target}' is not a dataclass")
    return found


@dataclass(frozen=True)
class Choice:
    """One choice of an axis: its name, the class it configures, and every option's value (plain)."""

    name: str
    target: str
    options: Mapping[str, Value]

    @property
    def type(self) -> type[Any]:
        """The dataclass that the choice configures."""
        return load_class(self.target)

    def build(self) -> Any:
        """The configured instance, lists as tuples; raises what the class raises on a value out of its domain."""
        return self.type(**{key: _frozen(value) for key, value in self.options.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "target": self.target, "options": dict(self.options)}


def _frozen(value: Value) -> Value:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Entry:
    """A value for an option, and where it was given, for error messages."""

    key: str
    value: Value
    origin: str


def typed(cls: type[Any], entries: Iterable[Entry], what: str) -> dict[str, Value]:
    """Plain values of all options of the dataclass `cls`, later entries over earlier ones, converted to its types.

    Raises `ScbenchError`, one line, on an option that `cls` (called `what`) does not have, and on a wrong type.
    """
    known = [item.name for item in dataclasses.fields(cls)]
    values = OmegaConf.structured(cls)
    origin = what
    try:
        for entry in entries:
            origin = f"{entry.origin}: {what}.{entry.key}"
            if entry.key not in known:
                raise ScbenchError(f"{entry.origin}: {what} has no option '{entry.key}'; {hint(entry.key, known)}")
            values = OmegaConf.merge(values, {entry.key: entry.value})
        plain = OmegaConf.to_container(values, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ScbenchError(f"{origin}: {str(error).splitlines()[0]}") from error
    return {str(key): value for key, value in plain.items()}  # type: ignore[union-attr]


def typed_choice(axis: str, name: str, node: Mapping[str, Any], entries: Iterable[Entry]) -> Choice:
    """Validate a composed `node` (with `_target_`) and then `entries` against its dataclass.

    Raises `ScbenchError`, one line, also when the class itself refuses a value.
    """
    origin = f"conf/{axis}/{name}.yaml"
    target = node.get("_target_")
    if not isinstance(target, str):
        raise ScbenchError(f"{origin} has no _target_ (the dataclass that it configures)")
    own = [Entry(key, value, origin) for key, value in node.items() if key != "_target_"]
    choice = Choice(name, target, typed(load_class(target), (*own, *entries), f"{axis}.{name}"))
    try:
        choice.build()
    except (ScbenchError, ValueError) as error:
        raise ScbenchError(f"{axis}={name}: {error}") from error
    return choice


@dataclass(frozen=True)
class Cell:
    """model × method × task × mode: the unit of configuration, of caching and of reporting.

    `methods` has one entry per composed method; `query` is resolved (not `auto`); `max_turns` None is all.
    """

    model: Choice
    methods: tuple[Choice, ...]
    task: Choice
    mode: Choice
    engine: Choice
    budget: int | float | str | None
    history: str
    query: str
    max_turns: int | None
    compress: str = "once"
    fit: str = "whole"
    prompt_style: str = "fixed"

    @property
    def method_name(self) -> str:
        """The method's name; composed methods are joined by `+`."""
        return "+".join(method.name for method in self.methods)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model.to_dict(),
            "methods": [method.to_dict() for method in self.methods],
            "task": self.task.to_dict(),
            "mode": self.mode.to_dict(),
            "engine": self.engine.to_dict(),
            "budget": self.budget,
            "history": self.history,
            "query": self.query,
            "compress": self.compress,
            "max_turns": self.max_turns,
            "fit": self.fit,
            "prompt_style": self.prompt_style,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cell:
        """The inverse of `to_dict`."""
        values = dict(data)
        for axis in ("model", "task", "mode", "engine"):
            values[axis] = Choice(**values[axis])
        values["methods"] = tuple(Choice(**method) for method in values["methods"])
        return cls(**values)
