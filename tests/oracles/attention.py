"""Attention as the formula says it, in float64, one row at a time."""

import math

import torch


def attend(q_GND, k_GLD, v_GLD, seen, scale, softcap=None, sinks_H=None):
    """`seen(g, n)` gives the key indices that row n of KV head g sees. Returns (out, lse).

    With sinks, the rows are the query heads of the group, one after the other, each with the same number of rows.
    """
    heads, rows, _ = q_GND.shape
    out = torch.zeros(heads, rows, v_GLD.shape[-1], dtype=torch.float64)
    lse = torch.full((heads, rows), -math.inf, dtype=torch.float64)
    for g in range(heads):
        for n in range(rows):
            keys = list(seen(g, n))
            if not keys:
                continue
            scores = [scale * float(q_GND[g, n].double() @ k_GLD[g, j].double()) for j in keys]
            if softcap is not None:
                scores = [softcap * math.tanh(score / softcap) for score in scores]
            top = max(scores)
            weights = [math.exp(score - top) for score in scores]
            total = sum(weights)
            if sinks_H is not None:
                group = len(sinks_H) // heads
                total += math.exp(float(sinks_H[g * group + n * group // rows]) - top)
            lse[g, n] = top + math.log(total)
            for weight, j in zip(weights, keys, strict=True):
                out[g, n] += weight / total * v_GLD[g, j].double()
    return out, lse
