"""The naive sequential loop: one turn after the other, one token at a time, over plain Python lists.

It imports nothing of the engine. A cache is, per layer, a list of (position, key, value); dropping a token is
removing it from the list; attention is a softmax over what the list holds. Whatever the engine shares, batches,
folds or merges, its answers must be these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import AttentionInterface

Keep = Callable[[int], set[int]]  # length of the base -> positions that stay, in every full-attention layer


@dataclass
class ListCache:
    entries: dict[int, list] = field(default_factory=dict)
    windows: dict[int, int | None] = field(default_factory=dict)
    position: int = 0

    def drop(self, keep: set[int]) -> None:
        for layer, entries in self.entries.items():
            if self.windows[layer] is None:
                self.entries[layer] = [entry for entry in entries if entry[0] in keep]


def _attention(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling=None,
    sliding_window=None,
    softcap=None,
    s_aux=None,
    naive=None,
    **kwargs,
):
    layer = module.layer_idx
    naive.windows[layer] = sliding_window
    entries = naive.entries.setdefault(layer, [])
    entries.append((naive.position, key[0, :, 0], value[0, :, 0]))
    first = 0 if sliding_window is None else naive.position - sliding_window + 1
    seen = [entry for entry in entries if entry[0] >= first]
    keys = torch.stack([entry[1] for entry in seen])
    values = torch.stack([entry[2] for entry in seen])
    group = query.shape[1] // key.shape[1]
    heads = []
    for head in range(query.shape[1]):
        scores = keys[:, head // group] @ query[0, head, 0] * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        top = scores.max()
        weights = torch.exp(scores - top)
        total = weights.sum()
        if s_aux is not None:  # a sink is a score without a value
            total = total + torch.exp(s_aux[head] - top)
        heads.append(weights / total @ values[:, head // group])
    return torch.stack(heads)[None, None], None


AttentionInterface.register("naive", _attention)


def feed(model, cache: ListCache, tokens: Sequence[int]) -> torch.Tensor:
    """Run tokens through the model one by one; the logits after the last."""
    with torch.inference_mode():
        for token in tokens:
            logits = model(
                input_ids=torch.tensor([[token]]),
                position_ids=torch.tensor([[cache.position]]),
                use_cache=False,
                naive=cache,
            ).logits[0, -1]
            cache.position += 1
    return logits


def greedy(model, cache: ListCache, logits: torch.Tensor, limit: int, stop: frozenset[int]) -> list[int]:
    answer = []
    while len(answer) < limit:
        token = int(logits.argmax())
        if token in stop:
            break
        answer.append(token)
        if len(answer) < limit:
            logits = feed(model, cache, [token])
    return answer


def multi_turn(model, dialogue, keep: Keep | None, limit: int, history: str = "gold") -> list[list[int]]:
    """Each turn alone: its prompt is read from the start, the first prompt's cache is cut, then the rest follows."""
    answers: list[list[int]] = []
    for turn in range(len(dialogue.opening)):
        cache = ListCache()
        base = [*dialogue.context, *dialogue.opening[0]]
        logits = feed(model, cache, base)
        if keep is not None:
            cache.drop(keep(len(base)))
        for past in range(turn):
            said = dialogue.gold[past] if history == "gold" else answers[past]
            logits = feed(model, cache, [*said, *dialogue.followup[past + 1]])
        answers.append(greedy(model, cache, logits, limit, dialogue.stop))
    return answers


def multi_request(model, dialogue, keep: Keep | None, limit: int) -> list[list[int]]:
    """Each request alone: the context is read and its cache cut, then the question follows."""
    answers = []
    for question in dialogue.opening:
        cache = ListCache()
        feed(model, cache, dialogue.context)
        if keep is not None:
            cache.drop(keep(len(dialogue.context)))
        logits = feed(model, cache, question)
        answers.append(greedy(model, cache, logits, limit, dialogue.stop))
    return answers
