"""Scoring: a prediction against a gold answer, `strict` (the headline) and `ref` (the original, quirks included).

No model, no torch, no network.
"""

from scbench.scoring.item import Answered, Scores
from scbench.scoring.rules import score, score_all

__all__ = ["Answered", "Scores", "score", "score_all"]
