"""A sweep's strict scores as arrays: one per cell, a row per session and a column per turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scbench.record import Outcome
from scbench.results.bootstrap import Floats, Part


@dataclass(frozen=True)
class Answers:
    """Strict scores (session × turn) in %; NaN for a turn whose outcome is not `ok`.

    `sessions` are numbers that name the sessions, rising; `contexts` is the context of each.
    """

    sessions: NDArray[np.int64]
    contexts: NDArray[np.object_]
    strict: Floats


@dataclass(frozen=True)
class Pair:
    """The turns that two cells both answered: their scores, NaN for any other turn."""

    contexts: NDArray[np.object_]
    one: Floats
    other: Floats

    @property
    def turns(self) -> int:
        """How many turns both answered."""
        return int((~np.isnan(self.one)).sum())


def cell_answers(scores: pd.DataFrame) -> dict[str, Answers]:
    """The answers of every cell that has some, by fingerprint; `scores` has one block of rows per cell."""
    sessions, _ = pd.factorize(scores["session"], sort=True)
    turns = scores["turn"].to_numpy(dtype=int)
    strict = np.where(scores["outcome"] == Outcome.OK.value, 100 * scores["strict"].to_numpy(dtype=float), np.nan)
    contexts = scores["context"].to_numpy(dtype=object)
    cells, names = pd.factorize(scores["cell"])
    made = {}
    for number, name in enumerate(names):
        rows = _block(cells, number)
        known, first, place = np.unique(sessions[rows], return_index=True, return_inverse=True)
        table = np.full((len(known), int(turns[rows].max()) + 1), np.nan)
        table[place, turns[rows]] = strict[rows]
        made[str(name)] = Answers(known, contexts[rows][first], table)
    return made


def paired(one: Answers, other: Answers) -> Pair:
    """The turns that both cells answered, of the sessions that both have."""
    if np.array_equal(one.sessions, other.sessions):
        mine = theirs = np.arange(len(one.sessions))
    else:
        _, mine, theirs = np.intersect1d(one.sessions, other.sessions, assume_unique=True, return_indices=True)
    turns = min(one.strict.shape[1], other.strict.shape[1])
    a, b = one.strict[mine, :turns], other.strict[theirs, :turns]
    missing = np.isnan(a) | np.isnan(b)
    return Pair(one.contexts[mine], np.where(missing, np.nan, a), np.where(missing, np.nan, b))


def session_means(values: Floats) -> Floats:
    """The mean over the turns of each session that are there; NaN for a session without any."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, values, 0).sum(axis=1) / there.sum(axis=1))


def part_of(contexts: NDArray[np.object_], values: Floats) -> Part:
    """Values of sessions (rows) as sums and counts by context."""
    names, place = np.unique(contexts.astype(str), return_inverse=True)
    there = ~np.isnan(values)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, place, np.where(there, values, 0))
    np.add.at(counts, place, there)
    return Part(tuple(map(str, names)), sums, counts)


def _block(cells: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """The rows of a cell; cells are numbered as they come, and a cell's rows stand together."""
    start, stop = np.searchsorted(cells, (number, number + 1))
    return np.arange(start, stop)
