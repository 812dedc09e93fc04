"""Which task a step trains, and how hard: every track goes up a level when its answers are right."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scbench.tasks.base import Task
from scbench.tasks.icl_manyshot import ICLManyShot
from scbench.tasks.math_find import MathFind
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.retr_multihop import RetrMultiHop
from scbench.tasks.retr_prefix_suffix import RetrPrefixSuffix
from scbench.training.drills import HEXADECIMAL, LETTERS, AffixGrid, Chains, Copying, PassKeys, ShortPairs

MEMORY = 0.9  # of the running mean, per batch
BATCHES = 8  # at least, on each level
MASTERED = 0.95  # share of right answers at a track's last level from which on it comes rarely,
REHEARSED = 0.2  # so much less often than before


@dataclass(frozen=True)
class Track:
    """Levels of growing difficulty.

    `weight`     how often the track comes
    `after`      the track that must be at a level before, and that level
    `stretched`  whether the positions of some batches jump (`Recipe.stretch`)
    `passed`     share of right answers that opens the next level
    `here`       share of the batches that is of the present level; the others are of those below it
    """

    name: str
    weight: float
    levels: tuple[Task, ...]
    after: tuple[str, int] | None = None
    stretched: bool = True
    passed: float = 0.8
    here: float = 0.75


def _levels(task: type[Task], *sizes: tuple[int, int], **options: Any) -> tuple[Task, ...]:
    return tuple(task(size=size, turns=turns, **options) for size, turns in sizes)


# Items and questions of each level. Many questions about one context teach more per token than the five that are asked.
PAIRS = ((2, 2), (4, 4), (8, 8), (16, 12), (32, 24), (60, 32), (90, 32), (120, 32))
BRIDGES = (0, 1, 2, 4, 6)  # words between key and answer, before all of them stand there
SHORT = ((4, 4, 2), (8, 8, 2), (16, 12, 2), (16, 12, 4), (16, 12, 8))  # the last is the length
LINKS = ((1, 6, 3), (1, 16, 8), (2, 9, 3), (2, 24, 8), (3, 32, 8))  # variables of a chain first
CHAINS = ((8, 2), (16, 3), (24, 5), (40, 8), (76, 5), (150, 5))


def _copying(alphabet: str) -> tuple[Task, ...]:
    steps = ((2, 6, 8), (4, 12, 12), (8, 16, 16), (16, 24, 24), (32, 32, 24), (64, 48, 24))
    return tuple(Copying(size=lines, turns=turns, longest=most, alphabet=alphabet) for lines, turns, most in steps)


def _short_pairs() -> tuple[Task, ...]:
    bridged = (ShortPairs(size=4, turns=4, length=2, words=words) for words in BRIDGES)
    return (*bridged, *(ShortPairs(size=size, turns=turns, length=length) for size, turns, length in SHORT))


def _chains() -> tuple[Task, ...]:
    return tuple(Chains(size=size, turns=turns, variables=variables) for variables, size, turns in LINKS)


TRACKS: Sequence[Track] = (
    Track("short", 0.2, _short_pairs()),
    Track("kv", 1.5, _levels(RetrKV, *PAIRS)),
    Track("chains", 0.4, _chains()),
    Track("multihop", 1.2, _levels(RetrMultiHop, *CHAINS)),
    Track("grid", 0.3, _levels(AffixGrid, (2, 4), (3, 8), (4, 12))),
    Track("affixes", 1.5, _levels(RetrPrefixSuffix, (8, 3), (14, 5), (20, 6), (26, 8), (42, 8))),
    Track("passkeys", 0.1, _levels(PassKeys, (8, 4), (20, 8), (70, 8), (140, 8)), ("kv", 2)),
    Track("find", 0.1, _levels(MathFind, (24, 6), (48, 6), (100, 6), (200, 6), (500, 6)), ("kv", 2)),
    Track("manyshot", 0.1, _levels(ICLManyShot, (2, 5), (5, 5), (10, 5), (20, 5)), ("kv", 2)),
)


# For models that begin with less: they copy first, then look short pairs up, then the others come, track by track.
_FIRST: Sequence[Track] = (
    Track("copying", 0.4, _copying(HEXADECIMAL), stretched=False, passed=0.7, here=1.0),
    Track("letters", 0.4, _copying(LETTERS), stretched=False, passed=0.7, here=1.0),
)
_LATER: Mapping[str, tuple[float, tuple[str, int]]] = {  # weights, and after what
    "short": (1.5, ("copying", 1)),
    "kv": (1.5, ("short", len(BRIDGES) + 3)),
    "chains": (0.5, ("letters", 1)),
    "multihop": (0.5, ("chains", 3)),
    "grid": (0.2, ("kv", 3)),
    "affixes": (0.4, ("grid", 1)),
}


def _later(track: Track) -> Track:
    weight, after = _LATER.get(track.name, (track.weight, track.after))
    return replace(track, weight=weight, after=after)


STEPWISE: Sequence[Track] = (*_FIRST, *map(_later, TRACKS))


@dataclass(frozen=True)
class Standing:
    """Where a track is: its level, the batches on it, their running share of right answers."""

    level: int = 0
    batches: int = 0
    right: float = 0.0


Standings = Mapping[str, Standing]


def start(tracks: Sequence[Track]) -> Standings:
    """Every track at its first level."""
    return {track.name: Standing() for track in tracks}


def choose(tracks: Sequence[Track], standings: Standings, source: random.Random) -> tuple[Track, int]:
    """A track that is open, and one of its levels."""
    opened = [track for track in tracks if track.after is None or _reached(standings, *track.after)]
    track = source.choices(opened, [_weight(one, standings[one.name]) for one in opened])[0]
    level = standings[track.name].level
    return track, level if level == 0 or source.random() < track.here else source.randrange(level)


def _weight(track: Track, at: Standing) -> float:
    mastered = at.level + 1 == len(track.levels) and at.batches >= BATCHES and at.right >= MASTERED
    return track.weight * REHEARSED if mastered else track.weight


def _reached(standings: Standings, name: str, level: int) -> bool:
    return standings[name].level >= level


def moved(standings: Standings, track: Track, level: int, right: float) -> Standings:
    """The standings after a batch of the track with this share of right answers."""
    old = standings[track.name]
    if level != old.level:
        return standings
    memory = min(MEMORY, old.batches / (old.batches + 1))
    mean = memory * old.right + (1 - memory) * right
    batches = old.batches + 1
    up = batches >= BATCHES and mean >= track.passed and level + 1 < len(track.levels)
    return {**standings, track.name: Standing(level + 1) if up else Standing(level, batches, mean)}


def to_json(standings: Standings) -> dict[str, Any]:
    """Standings as plain data."""
    return {name: asdict(standing) for name, standing in standings.items()}


def from_json(data: Mapping[str, Any]) -> Standings:
    """What `to_json` wrote."""
    return {name: Standing(**standing) for name, standing in data.items()}
