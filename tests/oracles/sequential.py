"""The naive sequential loop for methods of every stage: each turn from the start, one token at a time, in plain lists.

It imports nothing of the engine. Per layer and KV head the cache is a list of entries; dropping a token is removing its
entry, rounding is changing it. What a method does is a small object of `oracles.naive_methods`.
"""

import copy
from dataclasses import dataclass, field, replace

import torch
from transformers import AttentionInterface


@dataclass
class Entry:
    position: int
    k: torch.Tensor
    v: torch.Tensor
    readers: frozenset | None = None  # query heads of the group that may read it; None for all
    exact: tuple | None = None  # (k, v) as they came from the model


@dataclass
class Lists:
    method: object
    layers: dict[int, list[list[Entry]]] = field(default_factory=dict)
    windows: dict[int, int | None] = field(default_factory=dict)
    queries: dict[int, list[tuple[int, torch.Tensor]]] = field(default_factory=dict)
    scale: float = 1.0
    position: int = 0
    settled: int = 0  # tokens before the last point
    plans: dict | None = None  # while the base is read as a method plans it
    focused: dict = field(default_factory=dict)  # while an answer is read: what a method chose for it

    def full(self):
        """(layer number, lists per KV head) of the layers on which methods act."""
        return [(n, heads) for n, heads in self.layers.items() if self.windows[n] is None]


def _attention(module, query, key, value, attention_mask, scaling=None, sliding_window=None, sequential=None, **kwargs):
    cache, layer = sequential, module.layer_idx
    cache.windows[layer], cache.scale = sliding_window, scaling
    heads = cache.layers.setdefault(layer, [[] for _ in range(key.shape[1])])
    seen = cache.queries.setdefault(layer, [])
    first = cache.position
    for t in range(query.shape[2]):
        seen.append((first + t, query[0, :, t]))
        for g, entries in enumerate(heads):
            entries.append(Entry(first + t, key[0, g, t], value[0, g, t], exact=(key[0, g, t], value[0, g, t])))
    planned = cache.plans is not None and sliding_window is None
    plan = cache.method.plan(layer, cache, query[0], key[0], scaling) if planned else None
    group = query.shape[1] // key.shape[1]
    rows = []
    for t in range(query.shape[2]):
        here = first + t
        outs = []
        for g, entries in enumerate(heads):
            lowest = 0 if sliding_window is None else here - sliding_window + 1
            visible = [e for e in entries if lowest <= e.position <= here]
            q_gD = query[0, g * group : (g + 1) * group, t]
            shared = any(e.readers is not None for e in visible)
            reads = []
            for h in range(group):
                read = [e for e in visible if e.readers is None or h in e.readers] if shared else visible
                if plan is not None:
                    read = [e for e in read if plan(g * group + h, here, e.position)]
                if sliding_window is None and not planned:
                    read = cache.method.reads(layer, cache, read, q_gD, h)
                reads.append(read)
            if all(read is visible for read in reads):
                outs += _attend(q_gD, visible, scaling)
            else:
                outs += [_attend(q_D, read, scaling) for q_D, read in zip(q_gD, reads, strict=True)]
        rows.append(torch.stack(outs))
    return torch.stack(rows)[None], None


def _attend(q, read, scaling):
    scores = q @ torch.stack([e.k for e in read]).T * scaling
    return torch.softmax(scores, dim=-1) @ torch.stack([e.v for e in read])


AttentionInterface.register("sequential", _attention)


def feed(model, cache, tokens, whole=False):
    """The logits after the last token."""
    with torch.inference_mode():
        for part in [list(tokens)] if whole else [[token] for token in tokens]:
            places = torch.arange(cache.position, cache.position + len(part))[None]
            logits = model(
                input_ids=torch.tensor([part]), position_ids=places, use_cache=False, sequential=cache
            ).logits[0, -1]
            cache.position += len(part)
    return logits


def read_base(model, cache, tokens, whole=False):
    if not cache.method.plans:
        return feed(model, cache, tokens, whole)
    cache.plans = {}
    logits = feed(model, cache, tokens, whole=True)
    cache.plans = None
    return logits


def act(cache, queries=None):
    cache.method.act(cache, queries or cache.queries)
    cache.settled = cache.position


def again(cache, compress):
    cache.method.settle(cache)
    if compress == "each":
        cache.method.act(cache, cache.queries)
    if compress == "isolated":
        cache.method.act(cache, cache.queries, since=cache.settled)
    cache.settled = cache.position


def cut_back(cache, tokens):
    for heads in cache.layers.values():
        for entries in heads:
            entries[:] = [entry for entry in entries if entry.position < tokens]
    cache.position = tokens


def greedy(model, cache, logits, limit, stop):
    cache.method.focus(cache)
    answer = []
    while len(answer) < limit:
        token = int(logits.argmax())
        if token in stop:
            break
        answer.append(token)
        if len(answer) < limit:
            logits = feed(model, cache, [token])
    return answer


def along(model, cache, logits, tokens):
    """The logits that predict each of these tokens, given the ones before."""
    cache.method.focus(cache)
    found = [logits]
    for token in tokens[:-1]:
        found.append(feed(model, cache, [token]))
    return torch.stack(found)


def multi_turn(model, dialogue, method, limit, history="gold", query="aware", compress="once", gold=False, whole=False):
    answers = []
    for turn in range(len(dialogue.opening)):
        cache = Lists(method)
        said = dialogue.gold if history == "gold" else answers
        later = [[*said[past], *dialogue.followup[past + 1]] for past in range(turn)]
        if query == "each":
            logits = read_base(
                model, cache, [*dialogue.context, *dialogue.opening[0], *(t for s in later for t in s)], whole
            )
            act(cache)
        else:
            if query == "aware":
                logits = read_base(model, cache, [*dialogue.context, *dialogue.opening[0]], whole)
                act(cache)
            else:
                read_base(model, cache, dialogue.context, whole)
                act(cache)
                logits = feed(model, cache, dialogue.opening[0])
                again(cache, compress)
            for span in later:
                logits = feed(model, cache, span, whole)
                again(cache, compress)
        if gold:
            answers.append(along(model, cache, logits, dialogue.gold[turn]))
        else:
            answers.append(greedy(model, cache, logits, limit, dialogue.stop))
    return answers


def multi_request(model, dialogue, method, limit, query="free", gold=False, whole=False):
    answers = []
    for turn, question in enumerate(dialogue.opening):
        cache = Lists(method)
        if query == "each":
            logits = read_base(model, cache, [*dialogue.context, *question], whole)
            act(cache)
        else:
            if query == "first":  # as an engine that caches prefixes meets the requests
                logits = read_base(model, cache, [*dialogue.context, *dialogue.opening[0]], whole)
                if turn:
                    cut_back(cache, len(dialogue.context))
                    logits = feed(model, cache, question, whole)
                answers.append(greedy(model, cache, logits, limit, dialogue.stop))
                continue
            read_base(model, cache, dialogue.context, whole)
            looked = None
            if query == "aware":
                ahead = replace(copy.deepcopy(cache), method=type(method)())
                feed(model, ahead, dialogue.opening[0])
                looked = ahead.queries
            act(cache, looked)
            logits = feed(model, cache, question, whole)
            again(cache, "once")
        if gold:
            answers.append(along(model, cache, logits, dialogue.gold[turn]))
        else:
            answers.append(greedy(model, cache, logits, limit, dialogue.stop))
    return answers
