"""What all presses of kvpress have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from scbench.methods.base import Method

DROPPED, MASKED, ZEROED, DECODING = "dropped", "masked", "channels zeroed", "dropped while decoding"


@dataclass(frozen=True)
class Press(Method):
    """A press of kvpress (arXiv 2510.00636), which only `engine=kvpress` runs: it has no hooks of ours.

    The options are kvpress's own, with its defaults. Class attributes: `mark`, what becomes of what it does not keep,
    as tables say it; `inner`, the options that name other presses: each by its name, as `{NAME: {option: value}}`, or
    as a list of these; `needs`, what was made for certain models and comes from elsewhere.
    """

    engine: ClassVar[str] = "kvpress"
    stages: ClassVar[tuple[str, ...]] = ("compression",)
    observes: ClassVar[bool] = True
    repeats: ClassVar[bool] = True  # as far as it can be told from outside: kvpress itself never compresses again
    uses_budget: ClassVar[bool] = True
    mark: ClassVar[str] = DROPPED
    inner: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str] = ""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every option with kvpress's default."""
        return {field.name: field.default for field in fields(cls)}
