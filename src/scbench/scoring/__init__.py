"""Scoring: a prediction against a gold answer, `strict` (the headline) and `ref` (the original, quirks included).

No model, no torch, no network.
"""

from scbench.scoring.rules import Scores, score

__all__ = ["Scores", "score"]
