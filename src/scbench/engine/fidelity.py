"""How likely a cache finds the right answer, and how far its predictions are from those of the dense cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from scbench.engine.answer import Decoder
from scbench.engine.view import Row
from scbench.modes import Tokens
from scbench.record import Fidelity

TOKENS = 128  # of a gold answer; long ones, as of summaries, are measured at their beginning


def gold_predictions(decoder: Decoder, rows: Sequence[Row], gold: Sequence[Tokens]) -> list[Tensor]:
    """Per row the logits `[T, V]` (float32) that predict its gold answer's first tokens, each after the ones before."""
    return decoder.predict(rows, [answer[:TOKENS] for answer in gold])


def fidelity(gold: Tokens, logits_TV: Tensor, dense_TV: Tensor | None) -> Fidelity:
    """Log-likelihood of the gold tokens, and the mean divergence KL(dense ‖ here) over them where dense is known."""
    ids = gold[: len(logits_TV)]
    here_TV = F.log_softmax(logits_TV, dim=-1)
    place = here_TV.new_tensor(ids).long()[:, None]
    likelihood = float(here_TV.gather(1, place).sum()) if ids else 0.0
    if dense_TV is None or not ids:
        return Fidelity(len(ids), likelihood)
    dense_TV = F.log_softmax(dense_TV, dim=-1)
    divergence = F.kl_div(here_TV, dense_TV, reduction="none", log_target=True).sum(dim=-1).mean()
    return Fidelity(len(ids), likelihood, max(0.0, float(divergence)))
