"""The circuits that the transformer begins with: looking back, finding what was asked, looking it up, copying on.

Each is a group of heads, set so that it works roughly from the first step; training may change all of it. The residual
stream has a place for each kind of thing: a token's code, by which the output names it; the first part of it again,
over which nothing is written (`SELF`); what stands one, two, three and six tokens back; and what was asked (`ASKED`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

PART = 16  # dimensions of a code that are known of other tokens, or twice as many
SELF, BACK1, BACK2, BACK3 = (slice(64 + PART * place, 64 + PART * (place + 1)) for place in range(4))
BACK6, ASKED1, ASKED2 = slice(128, 160), slice(160, 176), slice(176, 192)
CODE, BRIEF, WIDTH = slice(0, 63), slice(0, 32), 192
UNLIKE = 12  # the first dimensions of a code, which tell tokens apart; marks follow
EQUALS, START, QUOTE, RANDOM, REST = 12, 13, 14, 15, 63
MARKED = {
    EQUALS: (" = ", " = VAR ", "<|end|>"),  # what stands before a value, and before an answer
    START: ("<|assistant|>", ", "),  # what stands before the first token that has to be looked up
    QUOTE: ("', '", "'"),  # what stands between words
    REST: ("<|user|>",),  # what idle heads look at
}
RANDOM_SHARE = 0.5
LOOKED = (BACK1, 1), (BACK2, 2), (BACK3, 3), (BACK6, 6)  # what a head each of the first layer writes, and looks at
SIZE = 64  # of a head
OTHER_SCORES, OTHER_OUTPUTS = 0.1, 0.005  # what is left of the random weights beside those that are set
IDLE = 25.0  # how much more a head that has nothing to do prefers to rest
SLOW = [place for pair in range(31, 15, -1) for place in (pair, pair + 32)]  # dimensions that hardly turn
SHARP = 9.0  # of the heads that look back
FASTEST = 6  # pairs of dimensions by which these know places
RECENT = {0: 0.5, 1: 2, 2: 2.5, 3: 1.5, 4: 5.5, 6: 19.5, 7: 14.5, 8: 15, 9: 11.5, 10: 12.5, 11: 4, 12: 11}
"""By how much a place counts more, the later it is: weights of pairs of dimensions, in percent. Their cosines together
fall over the first 70 places, and rise as high again nowhere below 4,500 (a linear programme's solution)."""


def is_one(place: slice, mark: int) -> torch.Tensor:
    """The direction [WIDTH] on which it is 1 where a token with this mark stands in that place, and 0 elsewhere."""
    direction = torch.zeros(WIDTH)
    direction[place.start + mark] = 1
    return direction


def is_random(place: slice) -> torch.Tensor:
    """The direction [WIDTH] on which it is 1 where a random text stands in that place, and -1 where a word does."""
    direction = torch.zeros(WIDTH)
    direction[place.start + RANDOM] = 1 / RANDOM_SHARE
    return direction


def begin(model: PreTrainedModel, config: PretrainedConfig, ids: Mapping[str, int], random: Sequence[str]) -> None:
    """Set the heads of all five layers, and the codes of all tokens; `random` are the tokens of random texts."""
    embeddings = model.get_input_embeddings().weight
    codes = _codes(ids, random)
    embeddings.zero_()
    embeddings[:, :64] = codes
    embeddings[:, SELF] = codes[:, :PART]
    model.model.norm.weight[64:] = 0
    for layer in model.model.layers:
        for weights in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            weights.weight.mul_(OTHER_SCORES)
        for weights in (layer.self_attn.o_proj, layer.mlp.down_proj):
            weights.weight.mul_(OTHER_OUTPUTS)
    layers = [layer.self_attn for layer in model.model.layers]
    _look_back(layers[0], config)
    lengths = (5, 10, 12, 12, 12)  # squared, of the residual stream before each layer
    circuits = [
        [Circuit(layer, group, config, length**0.5) for group in (0, 1)]
        for layer, length in zip(layers, lengths, strict=True)
    ]
    _find_what_was_asked(circuits[1][0])
    _find_where_words_begin(circuits[1][1])
    _look_values_up(circuits[2][0])
    _look_variables_up(circuits[2][1])
    _look_middles_up(circuits[3][0])
    _go_on(circuits[3][1])
    _copy_by_two(circuits[4][0])
    _copy_by_three(circuits[4][1])


def _codes(ids: Mapping[str, int], random: Sequence[str]) -> torch.Tensor:
    """Codes [vocabulary, 64] of length 2, whose first 16 dimensions have length 1, and the next 16 too."""
    codes = torch.randn(len(ids), 64)
    unlike = (1 - RANDOM_SHARE**2) ** 0.5
    for part, length in ((slice(0, UNLIKE), unlike), (slice(16, 32), 1.0), (slice(32, 63), 2**0.5)):
        codes[:, part] *= length / codes[:, part].norm(dim=1, keepdim=True)
    codes[:, [*MARKED]] = 0
    codes[:, RANDOM] = -RANDOM_SHARE
    codes[[ids[token] for token in random], RANDOM] = RANDOM_SHARE
    for mark, tokens in MARKED.items():
        codes[[ids[token] for token in tokens], mark] = 1
    (rest,) = MARKED[REST]
    codes[ids[rest]] = 0
    codes[ids[rest], REST] = 8
    return codes


def _look_back(attention: Any, config: PretrainedConfig) -> None:
    """With a key bias k in all places and a query bias that is k rotated by as many places, the score is the sum over
    frequencies f of |k|² cos(f (places - looked for)), which is largest where the two agree.
    """
    frequencies = config.rope_parameters["rope_theta"] ** (-2 * torch.arange(FASTEST) / SIZE)
    keys, queries = attention.k_proj.bias.view(-1, SIZE), attention.q_proj.bias.view(-1, SIZE)
    keys[:, :FASTEST] = SHARP
    attention.v_proj.weight.view(-1, SIZE, WIDTH)[:, :32] = _rows(BRIEF, torch.eye(32))
    for head, (place, back) in enumerate(LOOKED):
        queries[head, :FASTEST] = SHARP * torch.cos(back * frequencies)
        queries[head, SIZE // 2 : SIZE // 2 + FASTEST] = -SHARP * torch.sin(back * frequencies)
        size = place.stop - place.start
        scale = (WIDTH / 5) ** 0.5
        attention.o_proj.weight[place, head * SIZE : head * SIZE + size] = torch.eye(size) / scale


def _find_what_was_asked(circuit: Circuit) -> None:
    """The last two tokens of the random string that ended last: a key, a value, a suffix."""
    circuit.prefer(60, (is_random(BACK1) - is_random(SELF)) / 2)
    circuit.recent(72)
    circuit.give((BACK1, ASKED1, 1), (BACK2, ASKED2, 1))


def _find_where_words_begin(circuit: Circuit) -> None:
    """Where a word of the dictionary ends: the token behind its prefix, and the prefix's last; over what was there."""
    circuit.where(100, is_one(SELF, QUOTE), is_one(BACK6, QUOTE))
    circuit.recent(72, is_one(SELF, QUOTE))
    circuit.rest(50)
    circuit.give((BRIEF, BACK6, 2), (BACK1, BACK3, 2))


def _look_values_up(circuit: Circuit) -> None:
    """What stands two tokens behind the key that was asked, when an answer begins."""
    circuit.match(13, ASKED1, BACK2)
    circuit.match(13, ASKED2, BACK3)
    circuit.prefer(6, is_random(SELF) - 3 * is_one(BACK1, EQUALS) - 3 * is_one(BACK1, QUOTE))
    circuit.rest(24, only=is_one(SELF, START))
    circuit.give((CODE, CODE, 2.5))


def _look_variables_up(circuit: Circuit) -> None:
    """The variable that is set to the value, or the variable, that was asked: six tokens before the end of it."""
    circuit.match(10, ASKED1, SELF)
    circuit.match(10, ASKED2, BACK1)
    circuit.prefer(13, is_one(BACK3, EQUALS))
    circuit.rest(23, only=is_one(SELF, START))
    circuit.give((BACK6, BRIEF, 4))


def _look_middles_up(circuit: Circuit) -> None:
    """The token behind the prefix in the word that has it and ends with what was asked, behind an answer's fifth."""
    circuit.match(13, ASKED1, BACK1, 10)
    circuit.match(13, ASKED2, BACK2, 10)
    circuit.match(14, SELF, BACK3, 10)
    circuit.rest(22, only=is_one(BACK6, EQUALS))
    circuit.give((BACK6, BRIEF, 2))


def _go_on(circuit: Circuit) -> None:
    """The second token of a string that begins as the answer does, rather behind the key that was asked."""
    circuit.match(14, SELF, BACK1)
    circuit.match(8, ASKED1, BACK3)
    circuit.prefer(18, (is_random(SELF) + is_random(BACK1) - is_random(BACK2)) / 3)
    circuit.rest(26, only=is_one(BACK1, START))
    circuit.give((CODE, CODE, 2.5))


def _copy_by_two(circuit: Circuit) -> None:
    circuit.match(12, SELF, BACK1)
    circuit.match(12, BACK1, BACK2)
    circuit.rest(17, only=is_random(SELF))
    circuit.give((CODE, CODE, 2.5))


def _copy_by_three(circuit: Circuit) -> None:
    circuit.match(9, SELF, BACK1, 10)
    circuit.match(9, BACK1, BACK2, 10)
    circuit.match(9, BACK2, BACK3, 10)
    circuit.rest(20, only=is_random(SELF))
    circuit.give((CODE, CODE, 2.5))


class Circuit:
    """The heads of one group of a layer's attention, whose scores are sums of what is set here.

    `norm` is the length of the residual stream that the layer reads.
    """

    def __init__(self, attention: Any, group: int, config: PretrainedConfig, norm: float):
        heads = config.num_attention_heads // config.num_key_value_heads
        self._keys = attention.k_proj.weight.view(-1, SIZE, WIDTH)[group]
        self._key_biases = attention.k_proj.bias.view(-1, SIZE)[group]
        self._values = attention.v_proj.weight.view(-1, SIZE, WIDTH)[group]
        self._queries = attention.q_proj.weight.view(-1, heads, SIZE, WIDTH)[group]
        self._query_biases = attention.q_proj.bias.view(-1, heads, SIZE)[group]
        self._outputs = attention.o_proj.weight.view(WIDTH, -1, heads, SIZE)[:, group]
        self._heads = heads
        self._scale = WIDTH**0.5 / norm  # of a length of 1 behind the norm
        self._free = list(SLOW)

    def match(self, score: float, query: slice, key: slice, size: int = UNLIKE) -> None:
        """Add the score where the same token's code stands in both places, by its first `size` dimensions."""
        length = (1 - RANDOM_SHARE**2) * size / UNLIKE * self._scale**2
        each = (score * SIZE**0.5 / length) ** 0.5 * torch.eye(size)
        places = self._take(size)
        self._queries[:, places] = _rows(query, each)
        self._keys[places] = _rows(key, each)

    def where(self, score: float, query: torch.Tensor, key: torch.Tensor) -> None:
        """Add the score where query and key have these directions [WIDTH]."""
        (place,) = self._take(1)
        each = self._each(score) / self._scale
        self._queries[:, place] = query * each
        self._keys[place] = key * each

    def prefer(self, score: float, key: torch.Tensor) -> None:
        """Add the score to keys with this direction [WIDTH]."""
        (place,) = self._take(1)
        each = self._each(score)
        self._query_biases[:, place] = each
        self._keys[place] = key * each / self._scale

    def rest(self, score: float, only: torch.Tensor | None = None) -> None:
        """Idle heads look at the <|user|> tokens: these have the score, and much more of it where the query has not
        the direction `only` [WIDTH].
        """
        (place,) = self._take(1)
        each = self._each(score)
        self._keys[place] = 0
        self._keys[place, REST] = each * WIDTH**-0.5  # nothing else is in the first token's stream
        self._queries[:, place] = 0
        self._query_biases[:, place] = each
        if only is not None:
            more = each * IDLE / score
            self._queries[:, place] = -only * more / self._scale
            self._query_biases[:, place] = each + more

    def recent(self, score: float, query: torch.Tensor | None = None) -> None:
        """Prefer later places, by this score in all; for queries with a direction [WIDTH], if it is given."""
        for place, weight in RECENT.items():
            each = self._each(score * weight / 100)
            self._key_biases[place] = each
            if query is None:
                self._query_biases[:, place] = each
            else:
                self._queries[:, place] = query * each / self._scale

    def give(self, *moved: tuple[slice, slice, float]) -> None:
        """What is found goes from one place of the residual stream to another, so many times as long."""
        first = 0
        for source, target, times in moved:
            size = min(source.stop - source.start, target.stop - target.start)
            self._values[first : first + size] = _rows(source, torch.eye(size))
            for head in range(self._heads):
                share = torch.eye(size) * times / self._scale / self._heads
                self._outputs[target.start : target.start + size, head, first : first + size] = share
            first += size

    def _each(self, score: float) -> float:
        """What query and key have to be for a score."""
        return float((score * SIZE**0.5) ** 0.5)

    def _take(self, count: int) -> list[int]:
        taken, self._free = self._free[:count], self._free[count:]
        return taken


def _rows(place: slice, matrix: torch.Tensor) -> torch.Tensor:
    """A matrix [rows, columns] that reads these dimensions of the residual stream: [rows, WIDTH]."""
    wide = torch.zeros(len(matrix), WIDTH)
    wide[:, place.start : place.start + matrix.shape[1]] = matrix
    return wide
