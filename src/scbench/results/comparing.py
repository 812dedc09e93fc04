"""The comparisons of a sweep, made of its scores: every row beside dense, and beside itself in another setting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import nan

import numpy as np
import pandas as pd

from scbench.config.cell import Cell
from scbench.results.answers import Answers, Pair, cell_answers, paired, part_of, session_means
from scbench.results.bootstrap import MISSING, Floats, Interval, Part, Weights, mean_of_parts
from scbench.results.comparison import CONTRASTS, SCOPES, Comparison
from scbench.results.correction import benjamini_hochberg, holm
from scbench.results.labels import Label
from scbench.results.noise import noise_floor
from scbench.results.pairs import REFERENCES, peers, repeats
from scbench.results.statistics import shares

ALL = 100.0  # %, what a score is at most
BESIDE_DENSE = frozenset({"dense", "first_turn"})  # the contrasts whose peer is dense, which has a noise of its own
THREADS = 8  # at most
ONE, DIFFERENCE = 0, 1  # the first statistics of a part: the row's own mean, and its difference; then one per turn


@dataclass(frozen=True)
class Row:
    """The cells of one row, one mode and one kind of contexts, by the task's title."""

    label: Label
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Compared:
    """One task of a row: its statistics by context, those of dense_repeat's differences to dense (None without it);
    the peer's mean and the number of paired turns, over all turns and then at each.
    """

    part: Part
    noise: Part | None
    peers: Floats
    turns: Sequence[int]


def compare(cells: Mapping[str, Cell], labels: Mapping[str, Label], scores: pd.DataFrame) -> tuple[Comparison, ...]:
    """All comparisons of a sweep, by contrast, then in the order of its cells; p-values adjusted over families."""
    answers = cell_answers(scores)
    weights = Weights()
    repeated = repeats(cells)
    rows = _rows(labels)
    expected = [_expected(labels, row) for row in rows]
    found: list[Comparison] = []
    # Drawing, multiplying and sorting let other threads run; the weights that they share depend on names only.
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for contrast, peer_of in peers(cells, labels).items():
            noises = _noises(contrast, repeated, answers) if contrast in BESIDE_DENSE else {}
            of_row = partial(_compare_row, contrast, peer_of, answers, noises, weights)
            found += chain.from_iterable(pool.map(of_row, rows, expected))
    bounds = {
        labels[name].method
        for name, cell in cells.items()
        if any(".bounds." in method.target for method in cell.methods)
    }
    return tuple(_adjusted(found, REFERENCES | bounds))


def _compare_row(
    contrast: str,
    peer_of: Mapping[str, str],
    answers: Mapping[str, Answers],
    noises: Mapping[str, Part],
    weights: Weights,
    row: Row,
    expected: Mapping[str, Label],
) -> list[Comparison]:
    asked = {title: cell for title, cell in row.cells.items() if cell in peer_of}
    tasks = {
        title: _compared(contrast, paired(answers[cell], answers[peer_of[cell]]), noises.get(peer_of[cell]))
        for title, cell in asked.items()
        if cell in answers and peer_of[cell] in answers
    }
    return list(_of_row(contrast, row, asked.keys(), tasks, expected, weights))


def _rows(labels: Mapping[str, Label]) -> list[Row]:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    first: dict[tuple[str, ...], Label] = {}
    for fingerprint, label in labels.items():
        key = (label.model, label.row, label.setting, label.mode, label.kind)
        rows.setdefault(key, {})[label.title] = fingerprint
        first.setdefault(key, label)
    return [Row(first[key], titles) for key, titles in rows.items()]


def _expected(labels: Mapping[str, Label], row: Row) -> dict[str, Label]:
    """The titles that a mean of this row is over, each with its label: for a row that lacks one it is n/a."""
    same = (label for label in labels.values() if (label.mode, label.kind) == (row.label.mode, row.label.kind))
    return {label.title: label for label in same if label.averaged}


def _compared(contrast: str, pair: Pair, noise: Part | None) -> Compared:
    """The statistics of a task: mean, difference; then per turn the same two, but for a difference of differences."""
    difference = pair.one if contrast == "mean" else pair.one - pair.other
    columns = [session_means(pair.one)]
    if contrast == "first_turn":
        columns.append(session_means(difference[:, 1:]) - difference[:, 0])
    else:
        columns.append(session_means(difference))
        for turn in range(difference.shape[1]):
            columns += [pair.one[:, turn], difference[:, turn]]
    there = ~np.isnan(pair.other)
    return Compared(
        part=part_of(pair.contexts, np.stack(columns, axis=1)),
        noise=noise,
        peers=np.array([_mean_there(session_means(pair.other)), *map(_mean_there, pair.other.T)]),
        turns=[pair.turns, *there.sum(axis=0).tolist()],
    )


def _mean_there(values: Floats) -> float:
    """The mean of the values that are there; NaN without any."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else nan


def _noises(contrast: str, repeated: Mapping[str, str], answers: Mapping[str, Answers]) -> dict[str, Part]:
    """Per dense cell, the statistics of dense when it is run again."""
    return {
        dense: _compared(contrast, paired(answers[again], answers[dense]), None).part
        for dense, again in repeated.items()
        if dense in answers and again in answers
    }


def _empty(contrast: str, row: Row, scope: str, part: str) -> Comparison:
    """A comparison without numbers."""
    label = row.label
    return Comparison(
        contrast=contrast,
        model=label.model,
        method=label.method,
        budget=label.budget,
        row=label.row,
        setting=label.setting,
        mode=label.mode,
        kind=label.kind,
        scope=scope,
        part=part,
        turn=None,
        mean=MISSING,
        peer=nan,
        difference=MISSING,
        contexts=0,
        turns=0,
    )


def _of_row(
    contrast: str,
    row: Row,
    asked: Set[str],
    tasks: Mapping[str, Compared],
    expected: Mapping[str, Label],
    weights: Weights,
) -> Iterator[Comparison]:
    """The comparisons of a row: over all tasks, groups of them, each; and of all these by turn.

    A mean is n/a where one of its tasks is not there, and left out where the row asked for none of them.
    """
    members: dict[tuple[str, str | None, str], list[str]] = {("overall", "turn", ""): list(expected)}
    for title, label in expected.items():
        members.setdefault(("group", None, label.group), []).append(title)
    for (scope, by_turn, part), titles in members.items():
        if titles and tasks.keys() >= set(titles):
            share = shares([expected[title].task_name for title in titles])
            its = [tasks[title] for title in titles]
            yield from _of_scope(contrast, row, (scope, by_turn), part, its, share, weights)
        elif not asked.isdisjoint(titles):
            yield _empty(contrast, row, scope, part)
    for title, task in tasks.items():
        yield from _of_scope(contrast, row, ("task", "task_turn"), title, [task], [1.0], weights)


def _of_scope(
    contrast: str,
    row: Row,
    scopes: tuple[str, str | None],
    part: str,
    tasks: Sequence[Compared],
    share: Sequence[float],
    weights: Weights,
) -> Iterator[Comparison]:
    """The comparison over some tasks, each with its weight, and those by turn where `scopes` names one for them."""
    whole, by_turn = scopes
    size = min(task.part.sums.shape[1] for task in tasks) if by_turn else DIFFERENCE + 1
    intervals = mean_of_parts([task.part for task in tasks], _bounds(contrast, size), weights, share)
    contexts = np.min([task.part.sizes[:size] for task in tasks], axis=0)
    for column in range(0, size, 2):
        turn = column // 2 - 1 if column else None
        if turn is not None and contexts[column + DIFFERENCE] == 0:
            continue
        yield replace(
            _empty(contrast, row, whole if turn is None else str(by_turn), part),
            turn=turn,
            mean=_plain(intervals[column + ONE]),
            peer=nan if contrast == "mean" else _mean([_at(task.peers, column // 2) for task in tasks], share),
            difference=MISSING if contrast == "mean" else intervals[column + DIFFERENCE],
            contexts=int(contexts[column + DIFFERENCE]),
            turns=sum(task.turns[column // 2] for task in tasks),
            noise=noise_floor([task.noise for task in tasks], share, column + DIFFERENCE),
        )


def _bounds(contrast: str, size: int) -> Floats:
    """What the statistics of a session can be: means and differences take turns."""
    most = 2 * ALL if contrast == "first_turn" else ALL
    low, high = [0.0, -most], [ALL, most]
    return np.array([low * (size // 2), high * (size // 2)])


def _plain(interval: Interval) -> Interval:
    """A mean is compared with nothing, so it has no p-value."""
    return interval._replace(p=nan)


def _at(values: Floats, place: int) -> float:
    return float(values[place]) if place < len(values) else nan


def _mean(values: Sequence[float], share: Sequence[float]) -> float:
    return sum(its * value for its, value in zip(share, values, strict=True))


def _adjusted(found: Sequence[Comparison], untested: Set[str]) -> Iterator[Comparison]:
    """Holm over the overall means beside dense, Benjamini and Hochberg over each other contrast and scope.

    What is `untested` is no method that a reader chooses, and makes no other's p-value larger.
    """
    adjusted: dict[int, float] = {}
    for contrast in CONTRASTS:
        for scope in SCOPES:
            family = [
                place
                for place, one in enumerate(found)
                if (one.contrast, one.scope) == (contrast, scope) and one.method not in untested
            ]
            primary = (contrast, scope) == ("dense", "overall")
            correct: Callable[[Sequence[float]], list[float]] = holm if primary else benjamini_hochberg
            adjusted |= zip(family, correct([found[place].difference.p for place in family]), strict=True)
    return (replace(one, adjusted=adjusted.get(place, nan)) for place, one in enumerate(found))
