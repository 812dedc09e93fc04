"""`scbench golden` and `scbench score PATH`: scores on the terminal."""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError

SHOWN = 5  # mismatches that are shown of each scorer
WORKERS = 8  # processes at most that score a sweep: each holds some cells' records


@dataclass
class Tally:
    """How many cases were replayed under one name, how many disagree, and what the first of those look like."""

    cases: int = 0
    mismatches: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, mismatch: str | None) -> None:
        """Count one more case, and keep the first few mismatches."""
        self.cases += 1
        if mismatch is not None:
            self.mismatches += 1
            self.shown += [mismatch][: SHOWN - len(self.shown)]


def golden(arguments: argparse.Namespace) -> int:
    """Replay golden files; exit code 1 if a case disagrees."""
    tallies: list[Tally] = []
    for path in arguments.files:
        for name, tally in _replay(path):
            print(f"{name}: cases {tally.cases}, mismatches {tally.mismatches}")
            for line in tally.shown:
                print(f"  {line}")
            tallies.append(tally)
    cases, mismatches = sum(tally.cases for tally in tallies), sum(tally.mismatches for tally in tallies)
    print(f"total: cases {cases}, mismatches {mismatches}")
    return 1 if mismatches else 0


def score(arguments: argparse.Namespace) -> int:
    """Score a sweep for its tables, or print the scores of what lies at a path; needs no model."""
    if (arguments.manifest is None) == (arguments.path is None):
        raise ScbenchError("score takes either PATH or --manifest FILE (`scbench score --help` explains)")
    if arguments.manifest is not None:
        from scbench.results.scores import score_sweep

        score_sweep(arguments.manifest, workers=min(WORKERS, os.cpu_count() or 1))
        return 0
    from scbench.results.rescore import rescore, turn_means

    for scored in rescore(arguments.path, arguments.length):
        print(scored.title)
        print(f"{'':10} {'turns':>6} {'strict':>8} {'ref':>8}")
        for mean in turn_means(scored.turns):
            print(f"{mean.name:10} {mean.count:6} {_percent(mean.strict):>8} {_percent(mean.ref):>8}")
        if scored.summary:
            print(scored.summary)
    return 0


def _percent(share: float) -> str:
    return "n/a" if share != share else f"{100 * share:.3f}"


def _replay(path: Path) -> Iterator[tuple[str, Tally]]:
    data = _read(path)
    replayers = dict.fromkeys(replayer for key, replayer in _REPLAYERS.items() if key in data)
    if not replayers:
        raise ScbenchError(f"{path} has none of the sections {', '.join(_REPLAYERS)}; give a golden file")
    try:
        tallies = [tally for replayer in replayers for tally in replayer(data)]
    except ScbenchError as error:
        raise ScbenchError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScbenchError(f"{path}: a case has not the shape of its section ({error!r}); repair it") from error
    if not sum(tally.cases for _, tally in tallies):
        raise ScbenchError(f"{path} has no cases; give a golden file")
    yield from tallies


def _read(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScbenchError(f"{path} cannot be read ({error}); give a golden file") from error
    if not isinstance(data, dict):
        raise ScbenchError(f"{path} holds no object; give a golden file")
    return data


def _scores(data: Mapping[str, Any]) -> Iterator[tuple[str, Tally]]:
    from scbench.scoring.golden import replay

    tallies: dict[str, Tally] = defaultdict(Tally)
    for case in replay(data):
        difference = None if case.agrees else f"{case.id}: expected {dict(case.expected)}, got {dict(case.got)}"
        tallies[case.name].add(difference)
    yield from tallies.items()


def _prompts(data: Mapping[str, Any]) -> Iterator[tuple[str, Tally]]:
    from scbench.prompts.golden import checks  # type: ignore[import-not-found, unused-ignore]

    tallies: dict[str, Tally] = defaultdict(Tally)
    for check in checks(data):
        tallies[check.variant].add(None if check.matches else f"{check.id}: differs")
    yield from tallies.items()


_REPLAYERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, Tally]]]] = {
    "datasets": _prompts,
    "scorers": _scores,
    "repoqa_unit": _scores,
    "repoqa_similarity": _scores,
    "aggregation": _scores,
}
