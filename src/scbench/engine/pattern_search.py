"""Which of MInference's patterns suits each query head: a search over one prompt, under dense attention.

As in arXiv 2407.02490, §3.2 and Algorithm 1: every candidate is first made as large as a budget of computed entries
allows, counted as the kernels compute them (diagonals are rounded to blocks); of these equally dear candidates a head
gets the one that captures most of its attention.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scbench.engine.adapter import Call
from scbench.engine.answer import Decoder
from scbench.engine.trunk import Trunk
from scbench.errors import ScbenchError
from scbench.kernels.plans import Plan
from scbench.kernels.sparse_prefill import density
from scbench.methods.base import Prompt
from scbench.methods.generation.minference import MInference
from scbench.methods.generation.minference_lines import Estimate
from scbench.methods.generation.minference_table import BLOCKS, STREAM, VERTICAL_SLASH, Pattern

_log = logging.getLogger(__name__)
ROWS = 1024  # of the prompt in which attention is counted, in whole blocks, spread evenly
SCORES = 1 << 24  # weights held at once: 64 MiB in float32
# Kinds with the proportions of their sizes, those that the authors' search tries; of equals the first is taken
CANDIDATES = (
    (STREAM, (100, 800)),
    (VERTICAL_SLASH, (30, 800)),
    (VERTICAL_SLASH, (100, 750)),
    (VERTICAL_SLASH, (500, 700)),
    (VERTICAL_SLASH, (3500, 100)),
    (BLOCKS, (1,)),
)


@dataclass(frozen=True)
class Found:
    """A head's best pattern, and which shares it captures of the attention and reads of the entries.

    The former is the mean over rows. `rivals` is how many candidates were compared.
    """

    pattern: Pattern
    recall: float
    density: float
    rivals: int


def search(
    decoder: Decoder, ids: Sequence[int], method: MInference, budget: float, report: Callable[[int, int], None]
) -> list[tuple[Found, ...] | None]:
    """Per layer every head's best pattern over the prompt `ids`; None for a layer with a sliding window.

    `budget` is the share of the causal entries that a pattern may read, `method` how lines are looked for. Raises
    `ScbenchError` for a model whose attention no sparse kernel has, and where no candidate fits the budget.
    """
    shape = decoder.adapter.shape
    if shape.states:
        raise ScbenchError("search-minference: needs a model without recurrent states")
    layers: list[tuple[Found, ...] | None] = [None] * shape.layers

    def look(layer: int, q_HTD: Tensor, k_GTD: Tensor, call: Call) -> None:
        if call.softcap is not None or call.sinks_H is not None:
            raise ScbenchError("search-minference: no sparse kernel has soft-capped scores or attention sinks")
        if shape.windows[layer] is None:
            prompt = Prompt(q_HTD, k_GTD, 0, len(ids), call.scale)
            layers[layer] = search_layer(method.estimate(prompt), budget)
        report(layer + 1, shape.layers)

    decoder.adapter.prepare(len(ids))
    with torch.inference_mode():
        decoder.watch(Trunk.empty(shape).view(0), ids, look)
    fewest = min((head.rivals for layer in layers for head in layer or ()), default=len(CANDIDATES))
    if fewest < len(CANDIDATES):
        _log.warning(
            "search-minference: in some layers only %d of %d candidates fit the budget (the first keys and the nearest "
            "diagonals alone can read more): try a longer task.length, a larger --budget, or a smaller method.near",
            *(fewest, len(CANDIDATES)),
        )
    return layers


def search_layer(estimate: Estimate, budget: float) -> tuple[Found, ...]:
    """The best pattern of every query head of a layer."""
    prompt = estimate.prompt
    candidates = (_fitted(estimate, kind, proportions, budget) for kind, proportions in CANDIDATES)
    fitted = [patterns for patterns in candidates if patterns is not None]
    if not fitted:
        raise ScbenchError(
            f"search-minference: no pattern reads as little as {budget:g} of a prompt of {prompt.total} tokens; "
            "give a larger --budget or a longer task.length"
        )
    recall_PH = recalls([estimate.plan(patterns) for patterns in fitted], prompt, estimate.block)

    def best(head: int, recall_P: list[float]) -> Found:
        number = max(range(len(fitted)), key=recall_P.__getitem__)
        pattern = fitted[number][head]
        return Found(pattern, recall_P[number], _share(estimate, head, pattern), len(fitted))

    return tuple(best(head, recall_P) for head, recall_P in enumerate(recall_PH.T.tolist()))


def recalls(plans: Sequence[Plan], prompt: Prompt, block: int) -> Tensor:
    """`[plans, H]`: the share of each head's attention weights that a plan reads, the mean over some `ROWS` rows.

    The rows are whole blocks: where in its block a row lies decides how far its diagonals are rounded.
    """
    heads, total, _ = prompt.q_HTD.shape
    found_PH, rows = torch.zeros(len(plans), heads, device=prompt.q_HTD.device), 0
    for first, end in _sampled(total, block):
        step = max(1, SCORES // (heads * end))
        for start in range(first, end, step):
            stop = min(start + step, end)
            weight_HTL = _weights(prompt, start, stop)
            rows += stop - start
            for number, plan in enumerate(plans):
                mask_HTL = plan.mask(start, stop, total, weight_HTL.device)
                found_PH[number] += torch.where(mask_HTL, weight_HTL, 0.0).sum((1, 2))
    return found_PH / rows


def _sampled(total: int, block: int) -> list[tuple[int, int]]:
    """Blocks of rows, evenly spread; all of them if there are no more than `ROWS`."""
    blocks, wanted = -(-total // block), max(1, ROWS // block)
    chosen = range(blocks) if blocks <= wanted else [(2 * n + 1) * blocks // (2 * wanted) for n in range(wanted)]
    return [(number * block, min((number + 1) * block, total)) for number in chosen]


def _weights(prompt: Prompt, start: int, stop: int) -> Tensor:
    """Dense attention weights of rows [start, stop): `[H, stop - start, stop]`."""
    heads, kv_heads = prompt.q_HTD.shape[0], prompt.k_GLD.shape[0]
    q_GND = prompt.q_HTD[:, start:stop].reshape(kv_heads, -1, prompt.q_HTD.shape[2]).float()
    score_GNL = torch.matmul(q_GND, prompt.k_GLD[:, :stop].float().transpose(1, 2)) * prompt.scale
    key_L, row_T = torch.arange(stop, device=q_GND.device), torch.arange(start, stop, device=q_GND.device)
    score_HTL = score_GNL.reshape(heads, stop - start, stop).masked_fill_(key_L > row_T[:, None], -torch.inf)
    return torch.softmax(score_HTL, dim=-1)


def _fitted(estimate: Estimate, kind: str, proportions: tuple[int, ...], budget: float) -> tuple[Pattern, ...] | None:
    """Per head the largest pattern of a kind, in these proportions, within the budget; None if a head has none."""
    heads, total = estimate.prompt.q_HTD.shape[:2]
    least = (estimate.first, max(1, estimate.near)) if kind == VERTICAL_SLASH else (1,) * len(proportions)

    def pattern(tokens: int) -> Pattern:
        sizes = (size * tokens // sum(proportions) for size in proportions)
        return Pattern(kind, tuple(map(max, least, sizes)))

    def largest(head: int) -> int:
        return bisect_right(range(1, total + 1), budget, key=lambda tokens: _share(estimate, head, pattern(tokens)))

    found = [largest(head) for head in range(heads)]
    return tuple(map(pattern, found)) if min(found) else None


def _share(estimate: Estimate, head: int, pattern: Pattern) -> float:
    """The share of the causal entries that a head reads."""
    total = estimate.prompt.total
    return density(estimate.of_head(head, pattern), 0, total, total)
