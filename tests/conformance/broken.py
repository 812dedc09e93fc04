"""Methods that break one rule each, for the kit to catch."""

from dataclasses import dataclass, replace

from scbench.methods.compression.snapkv import SnapKV
from scbench.methods.compression.streaming_llm import StreamingLLM
from scbench.segments.kept import KeptSegment


@dataclass(frozen=True)
class KeepsTheDenseCache(StreamingLLM):
    """Returns tokens of the dense cache by reference."""

    def compress(self, cache, queries, layer, base):
        kept = super().compress(cache, queries, layer, base)
        kept.k_GLD = cache.k_GLD[:, -kept.k_GLD.shape[1] :]
        return kept


@dataclass(frozen=True)
class LosesWhenLossless(StreamingLLM):
    """Its lossless setting is not."""

    def lossless(self):
        return StreamingLLM(2, 5)


@dataclass(frozen=True)
class KeepsTooMuch(StreamingLLM):
    """Takes twice its budget."""

    def with_tokens(self, tokens):
        return super().with_tokens(2 * tokens)


CALLS = []


@dataclass(frozen=True)
class Remembers(StreamingLLM):
    """Does something else every time."""

    def compress(self, cache, queries, layer, base):
        CALLS.append(1)
        return StreamingLLM(4, 8 + len(CALLS) % 7).compress(cache, queries, layer, base)


@dataclass(frozen=True)
class CountsItsRepeats(StreamingLLM):
    """Does something else every time that it compresses again."""

    def compress(self, cache, queries, layer, base):
        if isinstance(cache, KeptSegment) or cache.start > 0:
            CALLS.append(1)
            return StreamingLLM(4, 8 + len(CALLS) % 7).compress(cache, queries, layer, base)
        return super().compress(cache, queries, layer, base)


@dataclass(frozen=True)
class CountsQuestions(SnapKV):
    """Looks at another number of queries every time that they lie behind the base."""

    def compress(self, cache, queries, layer, base):
        if queries.stop > base.tokens:
            CALLS.append(1)
            queries = replace(queries, q_HWD=queries.q_HWD[:, -1 - len(CALLS) % 5 :])
        return super().compress(cache, queries, layer, base)
