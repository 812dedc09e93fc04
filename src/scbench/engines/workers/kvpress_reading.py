"""A model that reads tokens over a cache which a press has changed, exactly as the press left it.

What kvpress and transformers lack for a dialogue is mended here, by two hooks on every attention module that do nothing
where there is nothing to mend:

- layers may hold different numbers of tokens; transformers makes one mask, of the first layer's length;
- keys that a press has masked head by head (`module.masked_key_indices`) are hidden by that mask. kvpress overwrites
  them with a "fake" key whose weight vanishes, found by a search that fails for most questions of several tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from kvpress import BasePress
from kvpress_presses import added, marked, needs_weights, renumbers, stays_active
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

DENSE = "dense"
Hidden = tuple[Tensor, ...] | None  # (batch, KV head, token) of masked keys


@dataclass(frozen=True)
class State:
    """What has been read: `ids` in all, the cache, the masked keys per layer, the position of the next token.

    `logits` are those after the last token. `form` says what became of the base's keys and values that are not kept as
    they were. `press` is one that stays active, in its state so far, and `acted` whether it has. Nothing in it is ever
    written to.
    """

    ids: tuple[int, ...]
    cache: DynamicCache
    hidden: tuple[Hidden, ...]
    position: int
    logits: Tensor
    form: str = DENSE
    press: BasePress | None = None
    acted: bool = False

    @property
    def kept(self) -> tuple[int, ...]:
        """Tokens per layer that can be read, as the mean over KV heads."""
        lengths = [(layer.keys.shape[1], layer.keys.shape[2]) for layer in self.cache.layers]
        return tuple(
            round(tokens - (0 if hidden is None else hidden[0].numel()) / heads)
            for (heads, tokens), hidden in zip(lengths, self.hidden, strict=True)
        )

    @property
    def stored(self) -> int:
        """Bytes of keys and values, and of what says which of them are masked."""
        tensors = [part for layer in self.cache.layers for part in (layer.keys, layer.values)]
        return _bytes([*tensors, *(part for hidden in self.hidden if hidden is not None for part in hidden)])

    @property
    def touched(self) -> int:
        """Bytes of keys and values that one more token reads: masked ones too."""
        return _bytes([part for layer in self.cache.layers for part in (layer.keys, layer.values)])


def form_of(cache: DynamicCache, hidden: Sequence[Hidden], tokens: int) -> str:
    """What a press has made of a base of so many tokens: `dropped`, `masked`, `zeroed` (channels of keys), or several.

    Raises `RuntimeError` where the cache holds more than the base, which no press should leave.
    """
    lengths = [layer.keys.shape[2] for layer in cache.layers]
    if max(lengths) > tokens:
        raise RuntimeError(f"the press has left {max(lengths)} tokens in the cache of a base of {tokens}")
    signs = {
        "dropped": min(lengths) < tokens,
        "masked": any(keys is not None for keys in hidden),
        "zeroed": any(bool((layer.keys == 0).all(dim=2).any()) for layer in cache.layers),
    }
    return "+".join(name for name, there in signs.items() if there) or DENSE


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(part.numel() * part.element_size() for part in tensors)


class Reader:
    """A model on its device with those hooks. One process reads one thing at a time: modules hold what is masked."""

    def __init__(self, model: PreTrainedModel, chunk: int) -> None:
        self.model = model
        self._chunk = chunk
        self._modules = [layer.self_attn for layer in model.model.layers]
        self._put_back: dict[int, Hidden] = {}
        for module in self._modules:
            module.register_forward_pre_hook(self._before, with_kwargs=True)
            module.register_forward_hook(self._after, prepend=True)

    def base(self, ids: Sequence[int], question: int, press: BasePress | None) -> State:
        """Read the base in one pass, as presses need it, and let the press act at its end.

        `question` is where the context ends in it.
        """
        cache, length = DynamicCache(), len(ids)
        given = list(ids) if press is None else marked(press, list(ids), question, self.model.config.vocab_size)
        moved = press is not None and renumbers(press)
        self._hide([None] * len(self._modules))
        with self._attending(press is not None and needs_weights(press)), _active(press, self.model):
            logits = self._pass(given, cache, None)
        hidden = self._hidden()
        return State(
            ids=tuple(ids),
            cache=cache,
            hidden=hidden,
            position=cache.get_seq_length() if moved else length,
            logits=logits,
            form=form_of(cache, hidden, length + added(press)),
            press=press if press is not None and stays_active(press) else None,
        )

    def read(self, state: State, ids: Sequence[int]) -> State:
        """Read more tokens over a state, of which nothing changes."""
        with self._going_on(state) as going:
            for at in range(0, len(ids), self._chunk):
                going.feed(ids[at : at + self._chunk])
            return going.state()

    def answer(self, state: State, limit: int, stop: frozenset[int]) -> tuple[list[int], str, bool]:
        """The greedy answer over a state, how it ended, and whether a press that stays active has acted by then."""
        with self._going_on(state) as going:
            tokens: list[int] = []
            while True:
                token = int(going.logits.argmax())
                if token in stop:
                    return tokens, "stop", going.acted
                tokens.append(token)
                if len(tokens) == limit:
                    return tokens, "length", going.acted
                going.feed([token])

    @contextmanager
    def _going_on(self, state: State) -> Iterator[_Going]:
        press = copy.deepcopy(state.press)
        self._hide(state.hidden)
        with _active(press, self.model):
            yield _Going(self, state, press)

    def _pass(self, ids: Sequence[int], cache: DynamicCache, position: int | None) -> Tensor:
        """One pass of the model; logits after the last token, `[V]`."""
        device = self.model.device
        where = {}
        if position is not None:
            where["position_ids"] = torch.arange(position, position + len(ids), device=device)[None]
        given = torch.tensor([list(ids)], device=device)
        found = self.model(input_ids=given, past_key_values=cache, logits_to_keep=1, **where)
        logits: Tensor = found.logits[0, -1]
        return logits

    @contextmanager
    def _attending(self, plainly: bool) -> Iterator[None]:
        """With transformers' plain attention, which returns its weights, for as long as that is needed."""
        usual = self.model.config._attn_implementation
        if plainly:
            self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            if plainly:
                self.model.set_attn_implementation(usual)

    def _hide(self, hidden: Sequence[Hidden]) -> None:
        for module, keys in zip(self._modules, hidden, strict=True):
            module.masked_key_indices = keys

    def _hidden(self) -> tuple[Hidden, ...]:
        found = (module.masked_key_indices for module in self._modules)
        return tuple(None if keys is None or not keys[0].numel() else tuple(keys) for keys in found)

    def _before(self, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        """Give the module a mask of its own where the model's is not right, and keep its masked keys from kvpress."""
        hidden, module.masked_key_indices = module.masked_key_indices, None
        self._put_back[module.layer_idx] = hidden
        cache, states, mask = kwargs.get("past_key_values"), kwargs["hidden_states"], kwargs.get("attention_mask")
        before = 0 if cache is None else cache.get_seq_length(module.layer_idx)
        if not before:
            return None
        new = states.shape[1]
        if hidden is None and (mask is None or mask.shape[-1] == before + new):
            return None
        device = states.device
        seen_TS = (
            torch.arange(before + new, device=device) <= torch.arange(before, before + new, device=device)[:, None]
        )
        allowed = seen_TS[None, None]
        if hidden is not None:
            heads = module.config.num_key_value_heads
            shown_GS = torch.ones(heads, before + new, dtype=torch.bool, device=device)
            shown_GS[hidden[1].to(device), hidden[2].to(device)] = False
            shown_HS = shown_GS.repeat_interleave(module.config.num_attention_heads // heads, dim=0)
            allowed = allowed & shown_HS[None, :, None]
        if module.config._attn_implementation == "eager":
            allowed = torch.zeros_like(allowed, dtype=states.dtype).masked_fill(~allowed, torch.finfo(states.dtype).min)
        return args, {**kwargs, "attention_mask": allowed}

    def _after(self, module: Any, args: Any, output: Any) -> None:
        """Before a press looks at the module: what is masked there is back, unless the base has just been read."""
        hidden = self._put_back.pop(module.layer_idx)
        if hidden is not None:
            module.masked_key_indices = hidden


class _Going:
    """Reading on from a state: the cache of its own, and the press that is active."""

    def __init__(self, reader: Reader, state: State, press: BasePress | None) -> None:
        self._reader = reader
        self._before = state
        self._press = press
        self._cache = forked(state.cache)
        self._ids = list(state.ids)
        self._position = state.position
        self.logits = state.logits
        self.acted = state.acted

    def feed(self, ids: Sequence[int]) -> None:
        """Read tokens."""
        lengths = [layer.keys.shape[2] + len(ids) for layer in self._cache.layers]
        masked = _count(self._reader._hidden())
        self.logits = self._reader._pass(ids, self._cache, self._position)
        self._position += len(ids)
        self._ids += ids
        if self._press is not None and not self.acted:
            now = [layer.keys.shape[2] for layer in self._cache.layers]
            self.acted = now != lengths or _count(self._reader._hidden()) != masked

    def state(self) -> State:
        """What has been read so far; reading on leaves it as it is."""
        return State(
            ids=tuple(self._ids),
            cache=forked(self._cache),
            hidden=self._reader._hidden(),
            position=self._position,
            logits=self.logits,
            form=self._before.form,
            press=copy.deepcopy(self._press),
            acted=self.acted,
        )


def forked(cache: DynamicCache) -> DynamicCache:
    """The same keys and values; a cache that grows makes new tensors, so that these stay as they are."""
    other = DynamicCache()
    for layer in cache.layers:
        copied = DynamicLayer()
        copied.lazy_initialization(layer.keys, layer.values)
        copied.keys, copied.values = layer.keys, layer.values
        other.layers.append(copied)
    return other


def _count(hidden: Sequence[Hidden]) -> int:
    return sum(keys[0].numel() for keys in hidden if keys is not None)


def _active(press: BasePress | None, model: PreTrainedModel) -> AbstractContextManager[None]:
    return nullcontext() if press is None else press(model)
