"""What a comparison says: a row of a sweep beside its peer on the same turns, in percentage points."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan

from scbench.results.bootstrap import FEW, FEWEST, Interval

MARGIN = 2.0  # percentage points that a method may lose and still have 'no loss' (non-inferiority)
SIGNIFICANT = 0.05
CONTRASTS = {
    "mean": "the row alone: its mean, no difference",
    "dense": "the row minus dense, on the same turns",
    "first_turn": "the row minus dense at later turns, minus the same at turn 1: negative where it loses later",
    "mode": "the row in multi-turn mode minus itself in multi-request mode",
    "history": "the row with gold answers fed back minus itself with its own answers",
}
SCOPES = ("overall", "group", "task", "turn", "task_turn")
NOTE = (
    "Differences in percentage points. Intervals: 95 %, by a smoothed bootstrap over contexts (sessions that share a "
    f"document together), n/a below {FEWEST} contexts, `few` below {FEW}. p: adjusted by Holm over the overall means "
    "of all methods (not bounds), modes and budgets, else by Benjamini and Hochberg's false discovery rate. `better`, "
    f"`worse`: dense is outside the interval, and p below {SIGNIFICANT}. `no loss`: the interval ends above "
    f"-{MARGIN:g}. noise: what dense's mean in the same scope may differ by when it is run again (dense_repeat); "
    "`noise`: the interval reaches into ± this."
)


@dataclass(frozen=True)
class Comparison:
    """A row (model, method with budget, setting; one mode; one kind of contexts) beside its peer.

    `contrast` is one of `CONTRASTS`, `scope` one of `SCOPES`, `part` the group, the task's title, or empty; `turn`
    counts from 0, None for all turns. `mean` is the row's own mean strict score in % with its interval, on the turns
    that both have; `peer` the peer's mean there. `difference` is their difference in points; for `first_turn` it is the
    difference of differences. `contexts` are those of the task that has the fewest, `turns` the paired turns.
    `adjusted` is the p-value after the correction over the family. `noise`: see `NOTE`; NaN without dense_repeat.
    """

    contrast: str
    model: str
    method: str
    budget: str
    row: str
    setting: str
    mode: str
    kind: str
    scope: str
    part: str
    turn: int | None
    mean: Interval
    peer: float
    difference: Interval
    contexts: int
    turns: int
    adjusted: float = nan
    noise: float = nan

    @property
    def known(self) -> bool:
        """Whether there are enough contexts for an interval."""
        return not isnan((self.mean if self.contrast == "mean" else self.difference).low)

    @property
    def few(self) -> bool:
        """Whether the interval stands on few contexts."""
        return self.known and self.contexts < FEW

    @property
    def better(self) -> bool:
        """Better than its peer beyond the interval, and after the correction for many comparisons."""
        return self.difference.low > 0 and not self.adjusted >= SIGNIFICANT

    @property
    def worse(self) -> bool:
        """Worse than its peer beyond the interval, and after the correction for many comparisons."""
        return self.difference.high < 0 and not self.adjusted >= SIGNIFICANT

    @property
    def no_loss(self) -> bool:
        """Not worse than its peer by more than `MARGIN` points: non-inferior."""
        return self.difference.low > -MARGIN

    @property
    def within_noise(self) -> bool:
        """Not beyond what dense itself differs when it is run again in other batches: the interval reaches there."""
        return self.difference.low <= self.noise and self.difference.high >= -self.noise

    @property
    def flags(self) -> tuple[str, ...]:
        """The words that tables show: `n/a`, `few`, `better`, `worse`, `no loss`, `noise`."""
        claims = {"few": self.few, "better": self.better, "worse": self.worse}
        loss = {"no loss": self.no_loss and self.contrast == "dense", "noise": self.within_noise}
        return tuple(word for word, said in ({"n/a": not self.known} | claims | loss).items() if said)
