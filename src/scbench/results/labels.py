"""Names for the cells of a sweep: short, and different for different cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scbench.config.cell import Cell, Choice

FLOORS = {"full": "", "none": "no context", "shuffled": "shuffled context"}  # by the option `context` of a task
PRESSES = "scbench.methods.kvpress.presses."  # their classes say what becomes of what they do not keep
Varying = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Label:
    """What tables call a cell.

    A choice is its name, followed by those of its options that take several values under this name in the
    sweep (`retr_kv length=4096`). `setting` is the rest of what differs between the cells of one mode
    (engine, history, query, compress, fit, max_turns, prompt_style); usually empty. `title` ends with the `kind` of
    contexts, where it is not published data as it is: `Retr.KV (gen, no context)`. Only tasks of one kind may share
    a mean, and only those with `averaged`: tasks of SCBench. `group` is the task's ability, in the paper's words.
    `task_name` is the task without its options: several cells of one row may be of one task.
    """

    model: str
    method: str
    budget: str
    task: str
    title: str
    mode: str
    setting: str
    kind: str
    averaged: bool
    group: str
    task_name: str

    @property
    def row(self) -> str:
        """The method with its budget, as a row of a table: `streaming_llm (25%)`."""
        return f"{self.method} ({self.budget})" if self.budget else self.method

    @property
    def columns(self) -> dict[str, str]:
        """The label as columns of a data frame."""
        return {
            "model": self.model,
            "method": self.method,
            "budget": self.budget,
            "task": self.task,
            "mode": self.mode,
            "setting": self.setting,
        }


def labels(cells: Mapping[str, Cell]) -> dict[str, Label]:
    """The label of every cell, by fingerprint, in the order of `cells`."""
    models = _varying(cell.model for cell in cells.values())
    methods = _varying(method for cell in cells.values() for method in cell.methods)
    tasks = _varying(cell.task for cell in cells.values())
    titled = {name: tuple(key for key in keys if key != "context") for name, keys in tasks.items()}  # says the kind
    modes = _varying(cell.mode for cell in cells.values())
    settings = _settings(cells)

    def label(fingerprint: str, cell: Cell) -> Label:
        kind = _kind(cell.task)
        title = f"{cell.task.type.title} ({kind})" if kind else cell.task.type.title
        return Label(
            model=_name(cell.model, models),
            method=" + ".join(_method(method, methods) for method in cell.methods),
            budget=budget_text(cell.budget),
            task=_name(cell.task, tasks),
            title=_name(cell.task, titled, title),
            mode=_name(cell.mode, modes),
            setting=settings[fingerprint],
            kind=kind,
            averaged=cell.task.type.part_of_scbench,
            group=cell.task.type.group,
            task_name=cell.task.name,
        )

    return {fingerprint: label(fingerprint, cell) for fingerprint, cell in cells.items()}


def budget_text(budget: int | float | str | None) -> str:
    """A budget in its own unit: `512 tokens`, `25%`, `64MiB`, or nothing."""
    match budget:
        case None:
            return ""
        case float():
            return f"{100 * budget:g}%"
        case int():
            return f"{budget} tokens"
        case str():
            return budget


def _kind(task: Choice) -> str:
    """What kind of contexts a task has: `gen`, a floor, both, or nothing."""
    generated = "gen" if task.options.get("data") is None else ""
    return ", ".join(mark for mark in (generated, FLOORS[task.options.get("context", "full")]) if mark)


def _varying(choices: Iterable[Choice]) -> Varying:
    """Per name, the options that have more than one value among the choices of this name."""
    values: dict[str, dict[str, set[str]]] = {}
    for choice in choices:
        seen = values.setdefault(choice.name, {})
        for key, value in choice.options.items():
            seen.setdefault(key, set()).add(repr(value))
    return {
        name: tuple(key for key, different in options.items() if len(different) > 1) for name, options in values.items()
    }


def _name(choice: Choice, varying: Varying, name: str | None = None) -> str:
    options = (f"{key}={choice.options[key]}" for key in varying[choice.name])
    return " ".join((name or choice.name, *options))


def _method(choice: Choice, varying: Varying) -> str:
    """A method's name, and what a press does where its name alone would promise more: `AdaKVPress (masked)`.

    A cell may name any class, and may come from anybody: none but scbench's own presses is imported for a label.
    """
    mark = choice.type.mark if choice.target.startswith(PRESSES) else ""
    return " ".join((_name(choice, varying), *(f"({one})" for one in (mark,) if one)))


def _settings(cells: Mapping[str, Cell]) -> dict[str, str]:
    """The settings of each cell that differ from those of another cell of its mode."""
    engines = _varying(cell.engine for cell in cells.values())
    parts = {
        fingerprint: {
            "engine": _name(cell.engine, engines),
            "history": cell.history,
            "query": cell.query,
            "compress": cell.compress,
            "fit": cell.fit,
            "max_turns": str(cell.max_turns or "all"),
            "prompt_style": cell.prompt_style,
        }
        for fingerprint, cell in cells.items()
    }
    seen: dict[tuple[str, str], set[str]] = {}
    for fingerprint, settings in parts.items():
        for key, value in settings.items():
            seen.setdefault((cells[fingerprint].mode.name, key), set()).add(value)
    return {
        fingerprint: ", ".join(
            f"{key}={value}" for key, value in settings.items() if len(seen[cells[fingerprint].mode.name, key]) > 1
        )
        for fingerprint, settings in parts.items()
    }
