"""RocketKV-MT on plain lists, with nothing of scbench: candidates at the end of every prompt, pages for every token."""

import math

import torch

from oracles.naive_methods import Nothing


class RocketKV(Nothing):
    def __init__(self, tokens=1, window=1, kernel=1):
        self.tokens, self.window, self.kernel = tokens, window, kernel

    def focus(self, cache):
        length = cache.position
        if length <= self.tokens:
            return
        saving = length / self.tokens
        kept = max(self.tokens, math.floor(length / saving ** min(0.8, 0.2 + 0.06 * math.log2(saving))))
        saving = kept / self.tokens
        page = 1
        while page**2 < saving and page + 1 <= saving:
            page += 1
        for layer, heads in cache.full():
            for g in range(len(heads)):
                for place, entry in enumerate(self.candidates(cache, layer, g, kept - kept % page)):
                    cache.focused[id(entry)] = place // page
        cache.focused["page"], cache.focused["channels"] = page, page / saving

    def candidates(self, cache, layer, g, kept):
        entries, last = cache.layers[layer][g], cache.queries[layer][-self.window :]
        group = last[0][1].shape[0] // len(cache.layers[layer])
        total = [0.0] * len(entries)
        for row, q_HD in last:
            for q_D in q_HD[g * group : (g + 1) * group]:
                scores = [float(e.k @ q_D) * cache.scale for e in entries if e.position <= row]
                powers = [math.exp(score - max(scores)) for score in scores]
                for place, power in enumerate(powers):
                    total[place] += power / sum(powers)
        older, half = len(entries) - len(last), self.kernel // 2
        pooled = [max(total[max(0, n - half) : min(n + half + 1, older)]) for n in range(older)]
        best = sorted(range(older), key=lambda n: (-pooled[n], n))[: kept - len(last)]
        return [entries[n] for n in sorted(best)] + entries[older:]

    def reads(self, layer, cache, entries, q_gD, head):
        if not cache.focused:
            return entries
        pages = {}
        for entry in entries:
            if id(entry) in cache.focused:
                pages.setdefault(cache.focused[id(entry)], []).append(entry)
        dim, size = q_gD.shape[1], q_gD.abs().sum(0).tolist()
        channels = sorted(range(dim), key=lambda d: -size[d])[: int(dim * cache.focused["channels"])]
        bounds = {number: self.bound(held, q_gD, channels) for number, held in pages.items()}
        weights = dict.fromkeys(pages, 0.0)
        for q_D in q_gD.tolist():
            share = sum(abs(q_D[d]) for d in channels) / sum(map(abs, q_D))
            scores = {
                number: sum(q_D[d] * bound[d] for d in channels) * cache.scale / math.sqrt(share)
                for number, bound in bounds.items()
            }
            powers = {number: math.exp(score - max(scores.values())) for number, score in scores.items()}
            for number, power in powers.items():
                weights[number] += power / sum(powers.values())
        count = max(1, self.tokens // 2 // cache.focused["page"])
        best = sorted(weights, key=lambda number: -weights[number])[:count]
        chosen = {id(entry) for number in best for entry in pages[number]}
        return [e for e in entries if e.position >= cache.settled or id(e) in chosen]

    def bound(self, held, q_gD, channels):
        """Per channel the largest of the page's keys, or the smallest where the group's queries sum to less than 0."""
        keys, signs = torch.stack([entry.k for entry in held]).tolist(), q_gD.sum(0).tolist()
        return {d: (max if signs[d] > 0 else min)(key[d] for key in keys) for d in channels}
