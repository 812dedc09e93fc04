"""A sweep's scores, aggregated once for all its tables, figures and runs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scbench.record import Outcome
from scbench.results.answers import cell_answers, part_of, session_means
from scbench.results.bootstrap import MISSING, Interval, Part, Weights, mean_of_parts
from scbench.results.comparing import compare
from scbench.results.comparison import Comparison
from scbench.results.costs import NOTHING, Cost, cell_costs
from scbench.results.frames import FIDELITY, KEY, QUARTERS, Scored, read_scored
from scbench.results.labels import Label, labels
from scbench.results.session_hashes import Fingerprints, fingerprints
from scbench.results.statistics import cell_means, counted, shares, turn_means
from scbench.results.sweep import Sweep, read_sweep

Row = tuple[str, str, str]
Answered = tuple[str, str]  # a session and its content
Means = dict[Hashable, dict[Hashable, Any]]


@dataclass(frozen=True)
class Summary:
    """Means and counts by cell; a mean that is not there, or lacks a part, is NaN."""

    sweep: Sweep
    scored: Scored

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """The label of every cell, by fingerprint, in the sweep's order."""
        return labels(self.sweep.cells)

    @cached_property
    def modes(self) -> tuple[str, ...]:
        """The modes of the sweep, in its order."""
        return tuple(dict.fromkeys(label.mode for label in self.labels.values()))

    def rows(self, mode: str) -> dict[Row, dict[str, str]]:
        """The cells of a mode: by model, method with budget, and setting; then by the task's title."""
        rows: dict[Row, dict[str, str]] = {}
        for fingerprint, label in self.labels.items():
            if label.mode == mode:
                rows.setdefault((label.model, label.row, label.setting), {})[label.title] = fingerprint
        return rows

    def titles(self, mode: str) -> dict[str, str]:
        """The titles of a mode's tasks, each with the kind of its contexts."""
        return {label.title: label.kind for label in self.labels.values() if label.mode == mode}

    def tasks(self, titles: Sequence[str]) -> list[str]:
        """The tasks that titles are of, without the options that tell titles of one task apart."""
        return [self._task_names[title] for title in titles]

    def averaged(self, mode: str) -> frozenset[str]:
        """The titles of a mode's tasks that enter means over tasks: those of SCBench."""
        return frozenset(label.title for label in self.labels.values() if label.mode == mode and label.averaged)

    def mean(self, fingerprint: str | None, column: str) -> float:
        """A cell's mean: `strict`, `ref` and `quarter_1` … in %, `kv_stored` in MiB, `kv_share` in % of dense."""
        return _at(self._means, fingerprint, column)

    def fidelity(self, fingerprint: str, column: str) -> float:
        """A cell's mean over the turns that have it: `gold_log_likelihood` (per token, in nats), `kl_to_dense` (nats),
        `common_tokens`; `same_as_dense` and `gold_kept` in %.
        """
        return _at(self._fidelity, fingerprint, column)

    def turn(self, fingerprint: str, turn: int) -> float:
        """A cell's mean strict score at a turn (from 0), in %."""
        return self._turn_means.get((fingerprint, turn), nan)

    @cached_property
    def turns(self) -> list[int]:
        """The turns that have a mean somewhere in the sweep, from 0."""
        return sorted(self._counted["turn"].unique().tolist())

    @property
    def stages(self) -> list[str]:
        """The columns of the costs: `<stage>_<scope>_s`, and `<stage>_batch_width`."""
        return [str(name) for name in self.scored.costs.columns if name not in KEY and not name.endswith("_bytes")]

    @cached_property
    def peaks(self) -> list[str]:
        """The columns of the costs that are bytes: `<stage>_peak_bytes`, the last stage first."""
        return sorted((str(name) for name in self.scored.costs.columns if name.endswith("_bytes")), reverse=True)

    def competes(self, fingerprint: str) -> bool:
        """Whether a cell has a method: not dense, and no bound."""
        cell = self.sweep.cells[fingerprint]
        return cell.method_name != "dense" and not any(".bounds." in method.target for method in cell.methods)

    def contest(self, fingerprint: str) -> tuple[str, str, str] | None:
        """Which cells a cell competes with: methods of one model, setting and budget; None for dense and bounds."""
        label = self.labels[fingerprint]
        return (label.model, label.setting, label.budget) if self.competes(fingerprint) else None

    def cost(self, fingerprint: str, stage: str) -> float:
        """A cell's mean over turns and sessions of one of `stages` or `peaks`."""
        return _at(self._costs, fingerprint, stage)

    def shares(self, fingerprint: str, measure: str) -> list[float]:
        """The bytes `stored` or `touched` at each turn, as a share of an untouched cache; empty for a cell without."""
        return self._shares.get((fingerprint, measure), [])

    def matches(self, fingerprint: str, measure: str, level: float, tolerance: float) -> bool:
        """Whether a cell's share of bytes is that of `level` at every turn, within the relative tolerance."""
        shares = self.shares(fingerprint, measure)
        return bool(shares) and all(abs(share - level) <= tolerance * level for share in shares)

    def nearest(self, one: str | None, other: str, measure: str, level: float) -> str:
        """Of two cells, the one whose share of bytes is nearer to `level`."""

        def distance(cell: str) -> float:
            shares = self.shares(cell, measure)
            return abs(sum(shares) / len(shares) - level)

        return other if one is None or distance(other) < distance(one) else one

    def overall(self, model: str, row: str, setting: str, mode: str, kind: str) -> Interval:
        """The mean strict score of a row over the tasks of a mode and kind of contexts, in %, with its interval."""
        return self._overall.get((model, row, setting, mode, kind), MISSING)

    def interval_over(self, cells: Sequence[str]) -> Interval:
        """The mean strict score over cells of different tasks, in %, with its interval; missing where one is."""
        parts = [self._parts.get(cell) for cell in cells]
        there = [part for part in parts if part is not None]
        if not cells or len(there) < len(parts):
            return MISSING
        share = shares([self.labels[cell].task_name for cell in cells])
        return mean_of_parts(there, np.array([[0.0], [100.0]]), self._weights, share)[0]

    def interval_at(self, fingerprint: str, turn: int) -> Interval:
        """A cell's mean strict score at a turn (from 0) in %, with its interval."""
        label = self.labels[fingerprint]
        key = (label.model, label.row, label.setting, label.mode, label.kind, label.title, turn)
        return self._by_turn.get(key, MISSING)

    def overall_at(self, model: str, row: str, setting: str, mode: str, kind: str, turn: int) -> Interval:
        """As `overall`, at a turn (from 0)."""
        return self._by_turn.get((model, row, setting, mode, kind, "", turn), MISSING)

    def price(self, fingerprint: str) -> Cost:
        """What a cell costs in seconds (`scbench.results.costs`)."""
        return self._prices.get(fingerprint, NOTHING)

    def interval(self, fingerprint: str) -> Interval:
        """A cell's mean strict score in %, with its interval."""
        return self._intervals.get(fingerprint, MISSING)

    def sessions_answered(self, fingerprint: str) -> dict[Answered, dict[int, float]]:
        """A cell's strict score in % by session and its content's hash, then by turn that counts.

        Without the sessions whose content is not known.
        """
        return self._answered.get(fingerprint, {})

    def content(self, fingerprint: str) -> Fingerprints:
        """What names the content of each of a cell's sessions; nothing where its sessions file is not there."""
        return self._contents[self.sweep.files[fingerprint]]

    def count(self, fingerprint: str, outcome: Outcome) -> int:
        """How many of a cell's turns had this outcome."""
        return self._outcomes.get((fingerprint, outcome.value), 0)

    def answers_cut(self, fingerprint: str) -> int:
        """How many of a cell's turns had their gold answer cut away to fit the window."""
        return int(self._answers_cut.get(fingerprint, 0))

    def sessions(self, fingerprint: str) -> int:
        """How many of the sweep's sessions a cell has records of."""
        return self._sessions.get(fingerprint, 0)

    def contexts(self, fingerprint: str) -> int:
        """Of how many different contexts a cell has turns that count."""
        return self._context_counts.get(fingerprint, 0)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every row beside dense, and beside itself in another setting (`scbench.results.comparison`)."""
        return compare(self.sweep.cells, self.labels, self.scored.scores)

    @cached_property
    def _task_names(self) -> dict[str, str]:
        return {label.title: label.task_name for label in self.labels.values()}

    @cached_property
    def _counted(self) -> pd.DataFrame:
        turns = counted(self.scored.scores)
        return turns.assign(
            strict=100 * turns["strict"],
            ref=100 * turns["ref"],
            kv_stored=turns["kv_stored"] / 2**20,
            kv_touched_mib=turns["kv_touched"] / 2**20,
            kv_share=100 * turns["kv_stored"] / turns["kv_dense"],
            **{quarter: 100 * turns[quarter] for quarter in QUARTERS},
        )

    @cached_property
    def _means(self) -> Means:
        means = cell_means(self._counted, ("strict", "ref", "kv_stored", "kv_touched_mib", "kv_share", *QUARTERS))
        return means.to_dict("index")

    @cached_property
    def _fidelity(self) -> Means:
        turns = self._counted[["cell", *FIDELITY]]
        per_token = turns["gold_log_likelihood"] / turns["gold_tokens"]
        shares = {name: 100 * turns[name] for name in ("same_as_dense", "gold_kept")}
        return turns.assign(gold_log_likelihood=per_token, **shares).groupby("cell").mean().to_dict("index")

    @cached_property
    def _turn_means(self) -> dict[Hashable, float]:
        return turn_means(self._counted, "strict").to_dict()

    @cached_property
    def _costs(self) -> Means:
        costs = self._counted[list(KEY)].merge(self.scored.costs, on=list(KEY))
        return cell_means(costs, [*self.stages, *self.peaks]).to_dict("index")

    @cached_property
    def _shares(self) -> dict[tuple[str, str], list[float]]:
        shares = self._counted.assign(
            stored=self._counted["kv_stored"] * 2**20 / self._counted["kv_dense"],
            touched=self._counted["kv_touched"] / self._counted["kv_dense"],
        )
        means = shares.groupby(["cell", "turn"])[["stored", "touched"]].mean(skipna=False)
        found: dict[tuple[str, str], list[float]] = {}
        cells = means.index.get_level_values("cell")
        for measure in ("stored", "touched"):
            for cell, share in zip(cells, means[measure], strict=True):
                found.setdefault((str(cell), measure), []).append(float(share))
        return found

    @cached_property
    def _answered(self) -> dict[str, dict[Answered, dict[int, float]]]:
        found: dict[str, dict[Answered, dict[int, float]]] = {}
        for cell, session, turn, strict in self._counted[[*KEY, "strict"]].itertuples(index=False):
            content = self.content(cell).get(session)
            if content is not None:
                found.setdefault(cell, {}).setdefault((session, content), {})[turn] = strict
        return found

    @cached_property
    def _contents(self) -> dict[Path, Fingerprints]:
        return {path: fingerprints(path) for path in set(self.sweep.files.values())}

    @cached_property
    def _prices(self) -> dict[str, Cost]:
        batches = ((name, cell.engine.options.get("batch")) for name, cell in self.sweep.cells.items())
        mixed = frozenset(name for name, batch in batches if batch == "family")
        return cell_costs(self.scored.costs, self._counted, mixed)

    @cached_property
    def _intervals(self) -> dict[str, Interval]:
        rows = {
            (label.row, label.model, label.setting, label.mode, label.title): name
            for name, label in self.labels.items()
        }
        return {
            rows[one.row, one.model, one.setting, one.mode, one.part]: one.mean
            for one in self.comparisons
            if (one.contrast, one.scope) == ("mean", "task")
        }

    @cached_property
    def _overall(self) -> dict[tuple[str, ...], Interval]:
        return {
            (one.model, one.row, one.setting, one.mode, one.kind): one.mean
            for one in self.comparisons
            if (one.contrast, one.scope) == ("mean", "overall")
        }

    @cached_property
    def _parts(self) -> dict[str, Part]:
        answers = cell_answers(self.scored.scores).items()
        made = {cell: part_of(its.contexts, session_means(its.strict)[:, None]) for cell, its in answers}
        return {cell: part for cell, part in made.items() if part.counts.any()}

    @cached_property
    def _weights(self) -> Weights:
        return Weights()

    @cached_property
    def _by_turn(self) -> dict[tuple[str, str, str, str, str, str, int], Interval]:
        return {
            (one.model, one.row, one.setting, one.mode, one.kind, one.part, one.turn): one.mean
            for one in self.comparisons
            if one.contrast == "mean" and one.turn is not None
        }

    @cached_property
    def _outcomes(self) -> dict[Hashable, int]:
        return self.scored.scores.groupby(["cell", "outcome"]).size().to_dict()

    @cached_property
    def _answers_cut(self) -> dict[Hashable, float]:
        return self.scored.scores.groupby("cell")["answer_cut"].sum().to_dict()

    @cached_property
    def _context_counts(self) -> dict[Hashable, int]:
        return self._counted.groupby("cell")["context"].nunique().to_dict()

    @cached_property
    def _sessions(self) -> dict[Hashable, int]:
        return self.scored.scores.groupby("cell")["session"].nunique().to_dict()


def read_summary(manifest_path: Path) -> Summary:
    """The summary of a sweep that has been scored; raises `ScbenchError` if it has not."""
    sweep = read_sweep(manifest_path)
    return Summary(sweep, read_scored(sweep.folder))


def _at(means: Means, row: str | None, column: str) -> float:
    return float(means.get(row, {}).get(column, nan))
