"""What each method does to plain lists, written from the papers' rules, with nothing of scbench."""

import math

import torch


class Nothing:
    plans = False

    def act(self, cache, queries, since=0):
        pass

    def settle(self, cache):
        pass

    def focus(self, cache):
        pass

    def reads(self, layer, cache, entries, q_gD, head):
        return entries


class Both(Nothing):
    """One method's plan, another's acts."""

    plans = True

    def __init__(self, planner=None, actor=None):
        self.planner, self.actor = planner, actor or Nothing()

    def plan(self, *args):
        return self.planner.plan(*args)

    def act(self, *args, **kwargs):
        self.actor.act(*args, **kwargs)

    def settle(self, cache):
        self.actor.settle(cache)

    def focus(self, cache):
        self.actor.focus(cache)

    def reads(self, *args):
        return self.actor.reads(*args)


class Streaming(Nothing):
    def __init__(self, sinks=0, window=1):
        self.sinks, self.window = sinks, window

    def act(self, cache, queries, since=0):
        for _, heads in cache.full():
            for entries in heads:
                entries[:] = [
                    e
                    for e in entries
                    if e.position < max(since, self.sinks) or e.position >= cache.position - self.window
                ]


class SnapKV(Nothing):
    def __init__(self, tokens=1, window=1, kernel=1, group="mean", protected=()):
        self.tokens, self.window, self.kernel, self.group, self.protected = tokens, window, kernel, group, protected

    def act(self, cache, queries, since=0):
        for layer, heads in cache.full():
            for g, entries in enumerate(heads):
                old = [e for e in entries if e.position < since]
                new = [e for e in entries if e.position >= since]
                entries[:] = old + self.keep(cache, queries[layer], g, len(heads), new)

    def keep(self, cache, queries, g, kv_heads, entries):
        last = queries[-self.window :]
        group = last[0][1].shape[0] // kv_heads
        sums = []
        for h in range(group):
            total = [0.0] * len(entries)
            for row, q_HD in last:
                scores = [
                    float(e.k @ q_HD[g * group + h]) * cache.scale if e.position <= row else -math.inf for e in entries
                ]
                top = max(scores)
                weights = [math.exp(s - top) for s in scores]
                for n, w in enumerate(weights):
                    total[n] += w / sum(weights)
            total = [
                w if e.position < cache.position - self.window else 0.0 for w, e in zip(total, entries, strict=True)
            ]
            half = self.kernel // 2
            smooth = [sum(total[max(0, n - half) : n + half + 1]) / self.kernel for n in range(len(total))]
            sums.append(smooth)
        always = [e.position in self.protected or e.position >= cache.position - self.window for e in entries]
        if self.group == "each":
            chosen = [self.top(s, always) for s in sums]
            for n, e in enumerate(entries):
                e.readers = frozenset(h for h in range(group) if n in chosen[h])
            return [e for e in entries if e.readers]
        join = max if self.group == "max" else lambda values: sum(values) / len(values)
        chosen = self.top([join([s[n] for s in sums]) for n in range(len(entries))], always)
        return [e for n, e in enumerate(entries) if n in chosen]

    def top(self, scores, always):
        order = sorted(range(len(scores)), key=lambda n: (not always[n], -scores[n], n))
        return set(order[: max(self.tokens, sum(always))])


class Kivi(Nothing):
    def __init__(self, bits=2, group=32, residual=32):
        self.bits, self.group, self.residual = bits, group, residual

    def act(self, cache, queries, since=0):
        self.settle(cache)

    def settle(self, cache):
        tokens = cache.position
        keys = tokens // self.group * self.group
        values = max(0, (tokens - self.residual) // self.group * self.group)
        for _, heads in cache.full():
            for entries in heads:
                for start in range(0, keys, self.group):
                    group = torch.stack([e.exact[0] for e in entries[start : start + self.group]])
                    rounded = torch.stack([self.round(group[:, d]) for d in range(group.shape[1])], dim=1)
                    for n, e in enumerate(entries[start : start + self.group]):
                        e.k = rounded[n]
                for e in entries[:values]:
                    parts = [self.round(part) for part in e.exact[1].split(self.group)]
                    e.v = torch.cat(parts)

    def round(self, x):
        low, high = x.min(), x.max()
        step = ((high - low) / (2**self.bits - 1)).half().float()
        low = low.half().float()
        if step == 0:
            return torch.full_like(x, float(low))
        return torch.round((x - low) / step).clamp(0, 2**self.bits - 1) * step + low


class Quest(Nothing):
    def __init__(self, tokens=1, page=1, dense_layers=0, group="mean"):
        self.pages, self.page, self.dense_layers, self.group = max(1, tokens // page), page, dense_layers, group

    def reads(self, layer, cache, entries, q_gD, head):
        if layer < self.dense_layers or cache.settled == 0:
            return entries
        pages = {}
        for e in entries:
            if e.position < cache.settled:
                pages.setdefault(e.position // self.page, []).append(e)
        bounds = {}
        for number, held in pages.items():
            keys = torch.stack([e.k for e in held])
            low, high = keys.min(0).values, keys.max(0).values
            per_head = [float(torch.maximum(q * low, q * high).sum()) for q in q_gD]
            bounds[number] = sum(per_head) / len(per_head) if self.group == "mean" else per_head[head]
        best = sorted(bounds, key=lambda number: -bounds[number])[: self.pages]
        return [e for e in entries if e.position >= cache.settled or e.position // self.page in best]


class AShape(Nothing):
    plans = True

    def __init__(self, sinks=0, window=1):
        self.sinks, self.window = sinks, window

    def plan(self, layer, cache, q_HTD, k_GTD, scale):
        return lambda head, i, j: j < self.sinks or i - j < self.window


class MInference(Nothing):
    plans = True

    def __init__(self, vertical, slash, last, first, near, block):
        self.vertical, self.slash, self.last, self.first = vertical, slash, last, first
        self.near, self.block = near, block

    def plan(self, layer, cache, q_HTD, k_GTD, scale):
        heads, tokens, _ = q_HTD.shape
        group = heads // k_GTD.shape[0]
        columns, offsets = [], []
        for h in range(heads):
            column, slash = [0.0] * tokens, [0.0] * tokens
            for i in range(max(0, tokens - self.last), tokens):
                weights = torch.softmax(k_GTD[h // group, : i + 1] @ q_HTD[h, i] * scale, dim=0).tolist()
                for j, w in enumerate(weights):
                    column[j] += w
                    slash[i - j] += w
            columns.append(_top(column, self.first, self.vertical))
            offsets.append(_top(slash, self.near, self.slash))

        def read(head, i, j):
            begin = i // self.block * self.block
            return j in columns[head] or any(begin - o <= j < begin - o + self.block for o in offsets[head])

        return read


def _top(scores, forced, count):
    order = sorted(range(len(scores)), key=lambda n: (n >= forced, -scores[n], n))
    return set(order[: max(count, forced)])


class TriShape(AShape):
    def __init__(self, sinks, window, last):
        super().__init__(sinks, window)
        self.last = last

    def plan(self, layer, cache, q_HTD, k_GTD, scale):
        narrow, total = super().plan(layer, cache, q_HTD, k_GTD, scale), q_HTD.shape[1]
        return lambda head, i, j: i >= total - self.last or narrow(head, i, j)


class Pyramid(SnapKV):
    """`layers` is how many tokens each layer keeps, worked out by hand."""

    def __init__(self, layers, window, kernel, group, protected):
        super().__init__(0, window, kernel, group, protected)
        self.layers = layers

    def act(self, cache, queries, since=0):
        for layer, heads in cache.full():
            self.tokens = self.layers[layer]
            for g, entries in enumerate(heads):
                entries[:] = self.keep(cache, queries[layer], g, len(heads), entries)


class Drawn(Nothing):
    """Keeps what a method kept elsewhere: `kept` maps (layer, tokens) to positions per KV head."""

    def __init__(self, kept):
        self.kept = kept

    def act(self, cache, queries, since=0):
        for layer, heads in cache.full():
            for entries, positions in zip(heads, self.kept(layer, cache.position, len(heads)), strict=True):
                entries[:] = [e for e in entries if e.position in positions]


class Oracle(Nothing):
    def __init__(self, tokens, group):
        self.tokens, self.group = tokens, group

    def reads(self, layer, cache, entries, q_gD, head):
        old = [e for e in entries if e.position < cache.settled]
        scores = {}
        for e in old:
            each = [float(q @ e.k) for q in q_gD]
            scores[e.position] = each[head] if self.group == "each" else sum(each) / len(each)
        best = set(sorted(scores, key=lambda place: -scores[place])[: self.tokens])
        return [e for e in entries if e.position >= cache.settled or e.position in best]
