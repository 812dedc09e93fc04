"""MInference's patterns by a table, as plain loops from the paper's rules, with nothing of scbench."""

import json
from pathlib import Path

import torch

from oracles.naive_methods import Nothing


class TableMInference(Nothing):
    """`table` is the path of a file with `patterns` and, per layer and head, their numbers."""

    plans = True

    def __init__(self, table=None, last=1, first=0, near=0, block=1):
        if table is not None:
            data = json.loads(Path(table).read_text())
            self.patterns, self.heads = data["patterns"], data["heads"]
        self.last, self.first, self.near, self.block = last, first, near, block

    def plan(self, layer, cache, q_HTD, k_GTD, scale):
        group = q_HTD.shape[0] // k_GTD.shape[0]
        rules = []
        for head, number in enumerate(self.heads[layer]):
            kind, *sizes = ["vertical_and_slash", 1000, 6096] if number is None else self.patterns[number]
            rules.append(getattr(self, kind)(q_HTD[head], k_GTD[head // group], scale, *sizes))
        return lambda head, i, j: rules[head](i, j)

    def stream_llm(self, q_TD, k_TD, scale, sinks, window):
        return lambda i, j: j < sinks or i - j < window

    def vertical_and_slash(self, q_TD, k_TD, scale, vertical, slash):
        tokens = len(q_TD)
        column, distance = [0.0] * tokens, [0.0] * tokens
        for i in range(max(0, tokens - self.last), tokens):
            weights = torch.softmax(k_TD[: i + 1] @ q_TD[i] * scale, dim=0).tolist()
            for j, weight in enumerate(weights):
                column[j] += weight
                distance[i - j] += weight
        columns = best(column, max(vertical, self.first), self.first)
        offsets = best(distance, max(slash, self.near), self.near)

        def reads(i, j):
            begin = i // self.block * self.block
            return j in columns or any(begin - o <= j < begin - o + self.block for o in offsets)

        return reads

    def block_sparse(self, q_TD, k_TD, scale, blocks):
        chosen = []
        for row in range(-(-len(q_TD) // self.block)):
            query = self.mean(q_TD, row)
            scores = [float(query @ self.mean(k_TD, key)) for key in range(row + 1)]
            chosen.append(best(scores, blocks, 0))
        return lambda i, j: j // self.block in chosen[i // self.block]

    def mean(self, x_TD, number):
        """A last block that is not full counts zeros."""
        total = torch.zeros(x_TD.shape[1])
        for x_D in x_TD[number * self.block : (number + 1) * self.block]:
            total = total + x_D
        return total / self.block


def best(scores, count, forced):
    order = sorted(range(len(scores)), key=lambda n: (n >= forced, -scores[n], n))
    return set(order[:count])
