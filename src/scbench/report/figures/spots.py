"""Where the panels of a figure come from: the tasks of each mode, and their mean; and the cells that stand there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan

from scbench.results.labels import Label
from scbench.results.statistics import mean_of_tasks
from scbench.results.summary import Summary

BOUNDS = "scbench.methods.bounds."  # methods that bound others and are none to choose


@dataclass(frozen=True)
class Spot:
    """A panel's mode and the titles of its tasks: one, or several that share a mean, all of a `kind` of contexts.

    `tasks` names the task of each title.
    """

    mode: str
    name: str
    titles: tuple[str, ...]
    tasks: tuple[str, ...]
    kind: str = ""

    @property
    def title(self) -> str:
        """What stands above the panel."""
        return f"{self.name}, {self.mode}"


@dataclass(frozen=True)
class Contender:
    """A method in one setting, at one budget, in one mode; `cells` are its fingerprints by task title."""

    mode: str
    method: str
    setting: str
    budget: str
    bound: bool
    cells: Mapping[str, str]

    @property
    def row(self) -> str:
        """The method with its budget."""
        return f"{self.method} ({self.budget})" if self.budget else self.method

    @property
    def family(self) -> str:
        """The method and its setting, without the budget."""
        return " · ".join(filter(None, (self.method, self.setting)))

    @property
    def name(self) -> str:
        """The method with its budget and setting."""
        return " · ".join(filter(None, (self.row, self.setting)))

    def value(self, spot: Spot, of: Callable[[str], float]) -> float:
        """The mean over a spot's tasks of what `of` says of a cell; NaN where one is missing."""
        means = (of(self.cells[title]) if title in self.cells else nan for title in spot.titles)
        return mean_of_tasks(means, spot.tasks)


def models(summary: Summary) -> tuple[str, ...]:
    """The models of a sweep, in its order."""
    return tuple(dict.fromkeys(label.model for label in summary.labels.values()))


def spots(summary: Summary, model: str) -> list[Spot]:
    """Per mode: the means over tasks of one kind, where there are several, then every task."""
    made: list[Spot] = []
    for mode in summary.modes:
        here = [label for label in summary.labels.values() if (label.model, label.mode) == (model, mode)]
        titles = {label.title: label.task_name for label in here}
        kinds: dict[str, dict[str, str]] = {}
        for label in here:
            if label.averaged:
                kinds.setdefault(label.kind, {})[label.title] = label.task_name
        made += (
            Spot(mode, _mean_of(members, kind), tuple(members), tuple(members.values()), kind)
            for kind, members in kinds.items()
            if len(members) > 1
        )
        made += (Spot(mode, title, (title,), (task,)) for title, task in titles.items())
    return made


def contenders(summary: Summary, model: str) -> list[Contender]:
    """The rows of a model's tables, mode by mode, in the sweep's order."""
    found: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for cell, label in summary.labels.items():
        if label.model == model:
            found.setdefault(_key(label), {})[label.title] = cell
    return [
        Contender(*key, bound=_is_bound(summary, next(iter(cells.values()))), cells=cells)
        for key, cells in found.items()
    ]


def _mean_of(members: Mapping[str, str], kind: str) -> str:
    count = len(set(members.values()))
    tasks = f"{count} tasks" if count > 1 else f"{len(members)} variants of a task"
    return f"mean of {tasks}" + (f" ({kind})" if kind else "")


def _key(label: Label) -> tuple[str, str, str, str]:
    return label.mode, label.method, label.setting, label.budget


def _is_bound(summary: Summary, cell: str) -> bool:
    return any(method.target.startswith(BOUNDS) for method in summary.sweep.cells[cell].methods)
