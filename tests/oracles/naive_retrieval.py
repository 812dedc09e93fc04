"""What RetrievalAttention reads with an exact index, over plain lists, with nothing of scbench."""

from oracles.naive_methods import Nothing


class Retrieval(Nothing):
    """The first `sinks`, the last `window` before the last point, the `k` best between, and all that is newer."""

    def __init__(self, k=1, sinks=0, window=0, group="each"):
        self.k, self.sinks, self.window, self.group = k, sinks, window, group

    def reads(self, layer, cache, entries, q_gD, head):
        scores = {}
        for entry in entries:
            if self.sinks <= entry.position < cache.settled - self.window:
                products = [float(q_D @ entry.k) for q_D in q_gD]
                scores[entry.position] = products[head] if self.group == "each" else sum(products) / len(products)
        found = sorted(scores, key=scores.get, reverse=True)[: self.k]
        return [entry for entry in entries if entry.position not in scores or entry.position in found]
