"""Method × task at equal bytes: cells whose cache is as large, or reads as much, at every turn."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from scbench.results import marking
from scbench.results.bootstrap import MISSING, Interval
from scbench.results.statistics import WEIGHTS, mean_of_tasks
from scbench.results.summary import Summary
from scbench.results.table import Column, Table, Value

LEVELS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of an untouched cache, beside those that were asked for
TOLERANCE = 0.1  # relative, at every turn
MEASURES = {"stored": "bytes stored", "touched": "bytes that a decoded token reads"}


def matched_table(summary: Summary, mode: str, measure: str) -> Table | None:
    """One row per level, model, method and setting, with what matched; None where nothing has such bytes."""
    titles, averaged = summary.titles(mode), summary.averaged(mode)
    kinds = sorted(set(titles.values()))
    rows: dict[tuple[Value, ...], dict[str, str]] = {}
    for level in levels((label.budget for label in summary.labels.values()), measure):
        for fingerprint, label in summary.labels.items():
            if label.mode == mode and summary.matches(fingerprint, measure, level, TOLERANCE):
                key = (f"{100 * level:.3g}%", label.model, label.method, label.setting)
                cells = rows.setdefault(key, {})
                cells[label.title] = summary.nearest(cells.get(label.title), fingerprint, measure, level)
    if not rows:
        return None
    means = {
        f"mean ({kind})" if kind else "mean": [t for t in titles if titles[t] == kind and t in averaged]
        for kind in kinds
    }
    names = (f"{measure} KV", "model", "method", "setting", "budgets")
    columns = (*map(Column, names), *(Column(title, 1) for title in (*titles, *means)))
    note = (
        f"Strict scores in %. Rows of one level have the same {MEASURES[measure]}, as a share of an untouched cache of "
        f"the same tokens: within {100 * TOLERANCE:.0f} % of the level at every turn. Nothing is interpolated; n/a: no "
        f"budget of the sweep matched (`budgets` says which did). Bold: the best method of a level, model and setting. "
        f"Underlined: within the 95 % interval of the best. {WEIGHTS}"
    )
    competing = [summary.competes(next(iter(cells.values()))) for cells in rows.values()]
    marks = marking.marked(
        [(key[0], key[1], key[3]) if one else None for one, key in zip(competing, rows, strict=True)],
        {
            len(names) + place: [_interval(summary, cells, its) for cells in rows.values()]
            for place, its in enumerate([*([title] for title in titles), *means.values()])
        },
    )
    made: list[tuple[Value, ...]] = [
        (*key, _budgets(summary, cells), *_scores(summary, titles, means, cells)) for key, cells in rows.items()
    ]
    title = f"Scores at equal {MEASURES[measure]}, {mode}"
    return Table(f"{measure}_{mode}", title, note, columns, tuple(made), marks)


def _interval(summary: Summary, cells: Mapping[str, str], titles: Sequence[str]) -> Interval:
    """The mean over some tasks with its interval: of a mean the cells may have different budgets."""
    there = [cells[title] for title in titles if title in cells]
    return summary.interval_over(there) if len(there) == len(titles) else MISSING


def levels(budgets: Iterable[str], measure: str) -> list[float]:
    """The shares that budgets ask for, in tokens or in bytes of this measure, and those of `LEVELS` between them."""
    found = (re.fullmatch(r"([\d.]+)%(stored|touched)?", budget) for budget in budgets)
    asked = {float(one[1]) / 100 for one in found if one is not None and one[2] in (None, measure)}
    others = (level for level in LEVELS if all(abs(level - share) > TOLERANCE * share for share in asked))
    return sorted({*asked, *others})


def _budgets(summary: Summary, cells: Mapping[str, str]) -> str:
    found = dict.fromkeys(summary.labels[cell].budget for cell in cells.values())
    return ", ".join(budget or "none" for budget in found)


def _scores(
    summary: Summary, titles: Mapping[str, str], means: Mapping[str, Sequence[str]], cells: Mapping[str, str]
) -> list[float]:
    by_title = {title: summary.mean(cells.get(title), "strict") for title in titles}
    return [
        *by_title.values(),
        *(mean_of_tasks((by_title[title] for title in its), summary.tasks(its)) for its in means.values()),
    ]
