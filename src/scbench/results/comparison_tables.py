"""The tables of comparisons: with dense, of turns, modes and histories, of ability groups and budgets, of models."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import isnan, nan
from statistics import fmean

from scbench.methods.budget import Budget
from scbench.results import marking
from scbench.results.bootstrap import MISSING
from scbench.results.comparison import CONTRASTS, NOTE, Comparison
from scbench.results.statistics import WEIGHTS
from scbench.results.summary import Answered, Summary
from scbench.results.table import Column, Table, Value

SHOWN = {"overall": "overall", "group": "group", "task": "task", "turn": "overall", "task_turn": "task"}
DIFFERENCE = (
    *(Column("strict", 1), Column("from", 1), Column("to", 1), Column("peer", 1)),
    *(Column("difference", 1), Column("low", 1), Column("high", 1), Column("p", 4)),
    *(Column("contexts"), Column("turns"), Column("noise", 1), Column("flags")),
)


def differences_tables(summary: Summary) -> list[Table]:
    """Per mode: every row beside dense, overall, by ability group and by task; then the same by turn."""
    made = []
    for mode in summary.modes:
        found = [one for one in summary.comparisons if one.contrast == "dense" and one.mode == mode]
        whole = [one for one in found if one.turn is None]
        turns = [one for one in found if one.turn is not None]
        made += [
            _differences(f"differences_{mode}", f"Strict scores beside dense, {mode}", whole),
            _differences(f"turn_differences_{mode}", f"Strict scores beside dense by turn, {mode}", turns),
        ]
    return [table for table in made if table.rows]


def contrasts_tables(summary: Summary) -> list[Table]:
    """Later turns against turn 1, multi-turn against multi-request, gold against generated history."""
    titles = {
        "first_turn": "Later turns against turn 1",
        "mode": "Multi-turn against multi-request",
        "history": "Gold against generated history",
    }
    made = []
    for name, title in titles.items():
        found = [one for one in summary.comparisons if one.contrast == name]
        whole = [one for one in found if one.turn is None]
        turns = [one for one in found if one.turn is not None]
        made += [
            _differences(name, f"{title}: {CONTRASTS[name]}", whole),
            _differences(f"turn_{name}", f"{title}, by turn: {CONTRASTS[name]}", turns),
        ]
    return [table for table in made if table.rows]


def groups_table(summary: Summary, mode: str) -> Table:
    """Method × ability group of one mode: strict scores with their intervals."""
    found = [
        one
        for one in summary.comparisons
        if one.contrast == "mean" and one.mode == mode and one.scope in ("overall", "group")
    ]
    parts = list(dict.fromkeys(one.part for one in found if one.part))
    names = ("kind", "model", "method", "setting")
    columns = (*map(Column, names), *map(Column, (*parts, "mean")))
    rows: dict[tuple[str, ...], dict[str, Comparison]] = {}
    for one in found:
        rows.setdefault((one.kind or "published", one.model, one.row, one.setting), {})[one.part] = one
    made: list[tuple[Value, ...]] = [
        (*key, *(_with_interval(cells.get(part)) for part in (*parts, ""))) for key, cells in rows.items()
    ]
    contests = _contests(summary, mode)
    marks = marking.marked(
        [_of_kind(contests.get(key[1:]), key[0]) for key in rows],
        {
            len(names) + place: [cells[part].mean if part in cells else MISSING for cells in rows.values()]
            for place, part in enumerate((*parts, ""))
        },
    )
    note = f"Strict scores in %, with 95 % intervals where there are contexts enough. {marking.NOTE} {WEIGHTS}"
    return Table(f"groups_{mode}", f"Scores by ability, {mode}", note, columns, tuple(made), marks)


def budgets_table(summary: Summary, mode: str) -> Table:
    """Method × nominal budget of one mode: the mean strict score over tasks."""
    found = [one for one in summary.comparisons if (one.contrast, one.scope, one.mode) == ("mean", "overall", mode)]
    asked = {label.budget: summary.sweep.cells[cell].budget for cell, label in summary.labels.items()}
    orders = {text: Budget(budget).order for text, budget in asked.items() if budget is not None}
    budgets = sorted({one.budget for one in found}, key=lambda budget: orders.get(budget, ("", 0.0)))
    columns = (
        *map(Column, ("kind", "model", "method", "setting")),
        *(Column(budget or "no budget", 1) for budget in budgets),
    )
    rows: dict[tuple[str, str, str, str], dict[str, Comparison]] = {}
    for one in found:
        key = (one.kind or "published", one.model, one.method, one.setting)
        rows.setdefault(key, {})[one.budget] = one
    means = [[cells[budget].mean if budget in cells else MISSING for budget in budgets] for cells in rows.values()]
    made: list[tuple[Value, ...]] = [
        (*key, *(mean.estimate for mean in its)) for key, its in zip(rows, means, strict=True)
    ]
    contests = _contests(summary, mode)
    marks: dict[tuple[int, int], str] = {}
    for place, budget in enumerate(budgets):
        competing = [
            _of_kind(contests.get((one.model, one.row, one.setting)), key[0])
            for key, cells in rows.items()
            for one in [cells.get(budget, next(iter(cells.values())))]
        ]
        marks |= marking.marked(competing, {4 + place: [its[place] for its in means]})
    note = (
        "Strict scores in %, mean over tasks, at nominal budgets: equal labels, not equal bytes. "
        f"{marking.NOTE} {WEIGHTS}"
    )
    return Table(f"budgets_{mode}", f"Scores by budget, {mode}", note, columns, tuple(made), marks)


def models_table(summary: Summary, mode: str) -> Table | None:
    """Models side by side, on the sessions that all of them answered: the same content, the same turns."""
    models = list(dict.fromkeys(label.model for label in summary.labels.values()))
    if len(models) < 2:
        return None
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for fingerprint, label in summary.labels.items():
        if label.mode == mode:
            cells.setdefault((label.title, label.row, label.setting), {})[label.model] = fingerprint
    rows: list[tuple[Value, ...]] = []
    contests: list[Hashable] = []
    for key, by_model in cells.items():
        answered = {model: summary.sessions_answered(cell) for model, cell in by_model.items()}
        turns = _common_turns(list(answered.values())) if len(answered) > 1 else {}
        means = (
            fmean(fmean(answered[model][session][turn] for turn in its) for session, its in turns.items())
            if model in answered and turns
            else nan
            for model in models
        )
        rows.append((*key, len(turns), sum(map(len, turns.values())), *means))
        label = summary.labels[next(iter(by_model.values()))]
        competes = all(summary.competes(cell) for cell in by_model.values())
        contests.append((label.title, label.setting, label.budget) if competes else None)
    columns = (
        *map(Column, ("task", "method", "setting", "sessions", "turns")),
        *(Column(model, 1) for model in models),
    )
    note = (
        "Strict scores in %, mean over the sessions that are identical for all models that ran the cell: the same "
        "context, questions and gold answers, to the letter, on the turns that count for all of them. Contexts "
        "that were generated to another tokenizer's length are not identical. Bold: the best method of a task, "
        "setting and budget."
    )
    means_at = {
        place: [MISSING._replace(estimate=float(row[place])) for row in rows] for place in range(5, len(columns))
    }
    marks = marking.marked(contests, means_at)
    return Table(f"models_{mode}", f"Models on identical sessions, {mode}", note, columns, tuple(rows), marks)


def _common_turns(answered: Sequence[Mapping[Answered, Mapping[int, float]]]) -> dict[Answered, list[int]]:
    """The sessions that all answered, and the turns of each that count for all."""
    sessions = sorted(set.intersection(*map(set, answered)))
    turns = {one: sorted(set.intersection(*(set(its[one]) for its in answered))) for one in sessions}
    return {one: its for one, its in turns.items() if its}


def _contests(summary: Summary, mode: str) -> dict[tuple[str, ...], tuple[str, ...] | None]:
    """By model, row and setting: which rows a row competes with."""
    return {row: summary.contest(next(iter(cells.values()))) for row, cells in summary.rows(mode).items()}


def _of_kind(contest: tuple[str, ...] | None, kind: str) -> Hashable:
    return contest and (*contest, kind)


def _differences(name: str, title: str, found: Sequence[Comparison]) -> Table:
    by_turn = any(one.turn is not None for one in found)  # then all are
    names = ("scope", "of", *(("turn",) if by_turn else ()), "mode", "model", "method", "setting")
    rows = [(*_names(one), *_numbers(one)) for one in found]
    return Table(name, title, f"{NOTE} {WEIGHTS}", (*map(Column, names), *DIFFERENCE), tuple(rows))


def _names(one: Comparison) -> Iterator[Value]:
    of = one.part if one.scope in ("task", "task_turn") else f"{one.part} ({one.kind or 'published'})".strip()
    yield from (SHOWN[one.scope], of)
    if one.turn is not None:
        yield one.turn + 1
    yield from (one.mode, one.model, one.row, one.setting)


def _numbers(one: Comparison) -> tuple[Value, ...]:
    mean, difference = one.mean, one.difference
    return (
        *(mean.estimate, mean.low, mean.high, one.peer),
        *(difference.estimate, difference.low, difference.high, one.adjusted),
        *(one.contexts, one.turns or nan, one.noise, ", ".join(one.flags)),
    )


def _with_interval(one: Comparison | None) -> str:
    if one is None or isnan(one.mean.estimate):
        return "n/a"
    mean = one.mean
    return f"{mean.estimate:.1f}" + ("" if isnan(mean.low) else f" [{mean.low:.1f}, {mean.high:.1f}]")
