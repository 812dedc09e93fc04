"""The presses of kvpress 0.5.5 with their options and defaults; a test compares them with kvpress itself.

What each of them does is said in kvpress and in its paper. Those that take a budget are set to it: their
`compression_ratio`, `target_size` or `target_compression_ratio`, or the `compression_ratio` of the press inside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from scbench.methods.kvpress.base import DECODING, MASKED, ZEROED, Press


@dataclass(frozen=True)
class KnormPress(Press):
    """Keys with the smallest norm stay (arXiv 2406.11430)."""

    compression_ratio: float = 0.0


@dataclass(frozen=True)
class KeyDiffPress(Press):
    """Keys that are least like the others stay (arXiv 2504.15364)."""

    compression_ratio: float = 0.0


@dataclass(frozen=True)
class RandomPress(Press):
    """Random tokens stay, others in every layer and head."""

    compression_ratio: float = 0.0
    seed: int | None = None


@dataclass(frozen=True)
class StreamingLLMPress(Press):
    """The first `n_sink` tokens and the latest stay (arXiv 2309.17453)."""

    compression_ratio: float = 0.0
    n_sink: int = 4


@dataclass(frozen=True)
class SnapKVPress(Press):
    """What the last queries look at stays (arXiv 2404.14469)."""

    compression_ratio: float = 0.0
    window_size: int = 64
    kernel_size: int = 5


@dataclass(frozen=True)
class PyramidKVPress(SnapKVPress):
    """SnapKV with fewer tokens from layer to layer (arXiv 2406.02069)."""

    beta: int = 20


@dataclass(frozen=True)
class TOVAPress(Press):
    """What the last query looks at, over all heads, stays (arXiv 2401.06104)."""

    compression_ratio: float = 0.0


@dataclass(frozen=True)
class ObservedAttentionPress(Press):
    """What all queries look at on average stays (H2O, arXiv 2306.14048); reads whole attention matrices."""

    compression_ratio: float = 0.0


@dataclass(frozen=True)
class ExpectedAttentionPress(Press):
    """What future queries would look at, were they distributed as those so far, stays (arXiv 2510.00636)."""

    compression_ratio: float = 0.0
    n_future_positions: int = 512
    n_sink: int = 4
    use_covariance: bool = True
    use_vnorm: bool = True
    epsilon: float = 0.0


@dataclass(frozen=True)
class ExpectedAttentionStatsPress(ExpectedAttentionPress):
    """Expected attention with query statistics that were made before, of a hub or in `stats_folder`."""

    needs: ClassVar[str] = "statistics of the model's queries (a hub, or `stats_folder`)"

    sample_seq_len: int = 1000
    num_samples: int = 100
    dataset_name: str = "kmfoda/booksum"
    stats_folder: str | None = None


@dataclass(frozen=True)
class LagKVPress(Press):
    """Tokens that differ from the block of tokens after theirs stay (arXiv 2504.04704)."""

    compression_ratio: float = 0.0
    n_sink: int = 4
    lag_size: int = 128
    cross_scoring: bool = False


@dataclass(frozen=True)
class CURPress(Press):
    """Tokens with large leverage in keys and values stay (CurDKV, arXiv 2509.15038)."""

    compression_ratio: float = 0.0
    num_sinks: int = 4
    leverage_type: str = "kv_product"
    use_random_leverage: bool = False
    use_local_approximation: bool = True
    local_window_size: int = 16


@dataclass(frozen=True)
class LeverageScorePress(Press):
    """Tokens whose keys have large leverage, by a random sketch, stay (arXiv 2507.08143)."""

    compression_ratio: float = 0.0
    sketch_dimension: int = 48


@dataclass(frozen=True)
class NonCausalAttnPress(Press):
    """What any query of the same block looks at, later ones too, stays (arXiv 2507.08143)."""

    compression_ratio: float = 0.0
    chunk_size: int = 256


@dataclass(frozen=True)
class CompactorPress(Press):
    """Leverage and non-causal attention together (arXiv 2507.08143)."""

    compression_ratio: float = 0.0
    sink_size_start: int = 8
    sink_size_end: int = 4
    chunk_size: int = 256
    sketch_dimension: int = 48
    blending: float | None = None


@dataclass(frozen=True)
class CapPress(Press):
    """Values with large leverage where queries look stay (arXiv 2604.25975)."""

    compression_ratio: float = 0.0
    tau: float = 5.0
    n_future_positions: int = 512
    n_sink: int = 4
    epsilon: float = 1e-6


@dataclass(frozen=True)
class QFilterPress(Press):
    """Keys along a direction per head that was learnt before stay (arXiv 2503.02812)."""

    needs: ClassVar[str] = "filters of the model (a hub)"

    compression_ratio: float = 0.0


@dataclass(frozen=True)
class KVzapPress(Press):
    """A small model predicts the scores of KVzip (arXiv 2601.07891)."""

    needs: ClassVar[str] = "a scorer for the model (a hub)"

    compression_ratio: float = 0.0
    model_type: str = "mlp"


@dataclass(frozen=True)
class FinchPress(Press):
    """What the question looks at stays, moved together (FINCH); the question must be in the cache."""

    compression_ratio: float = 0.0
    chunk_length: int | None = None
    normalize_scores: bool = True
    rerotate_keys: bool = True


@dataclass(frozen=True)
class SimLayerKVPress(Press):
    """Layers that look at the first and latest tokens only keep no others (arXiv 2410.13846)."""

    uses_budget: ClassVar[bool] = False

    lazy_threshold: float = 1.0
    n_last: int = 1
    n_recent: int = 1024
    n_initial: int = 4


@dataclass(frozen=True)
class KVComposePress(Press):
    """Each head keeps tokens of its own, as many as its layer deserves (arXiv 2509.05165)."""

    structured: bool = True
    compression_ratio: float = 0.0
    agg_task: str = "max"
    agg_group: str = "mean"
    agg_head: str = "mean"
    add_v_norm: bool = False
    add_mean_across_heads: bool = True
    keep_token_lower_bound: int = 0


@dataclass(frozen=True)
class ThinKPress(Press):
    """Channels of keys that queries use least become zero (arXiv 2407.21018)."""

    uses_budget: ClassVar[bool] = False
    mark: ClassVar[str] = ZEROED

    key_channel_compression_ratio: float = 0.0
    window_size: int = 32


@dataclass(frozen=True)
class KVzipPress(Press):
    """What a model looks at that repeats the context stays (arXiv 2505.23416)."""

    mark: ClassVar[str] = MASKED

    compression_ratio: float = 0.0
    layerwise: bool = False
    n_sink: int = 4
    kvzip_plus_normalization: bool = False
    chunk_size: int = 2048


@dataclass(frozen=True)
class RestoreKVPress(KVzipPress):
    """KVzip, and learnt tokens that stand for what is gone (arXiv 2608.01247)."""

    needs: ClassVar[str] = "an adapter for the model (a hub)"


@dataclass(frozen=True)
class KVgradPress(Press):
    """KVzip with gradients for scores."""

    mark: ClassVar[str] = MASKED

    compression_ratio: float = 0.0
    layerwise: bool = False
    n_sink: int = 4
    chunk_size: int = 512


@dataclass(frozen=True)
class FastKVzipPress(Press):
    """Gates that were learnt from the scores of KVzip (arXiv 2601.17668)."""

    needs: ClassVar[str] = "gates for the model (a hub)"
    mark: ClassVar[str] = MASKED

    compression_ratio: float = 0.0
    layerwise: bool = False
    n_sink: int = 4
    window_size: int = 4096
    window_ratio: float = 0.02


@dataclass(frozen=True)
class DuoAttentionPress(Press):
    """Heads that were found to need no more keep the first and latest tokens only (arXiv 2410.10819)."""

    needs: ClassVar[str] = "patterns of the model (the web), or with `on_the_fly_scoring` a data set (a hub)"
    uses_budget: ClassVar[bool] = False
    mark: ClassVar[str] = MASKED

    head_compression_ratio: float = 0.0
    on_the_fly_scoring: bool = False


@dataclass(frozen=True)
class AdaKVPress(Press):
    """The scores of another press, compared over all heads of a layer (arXiv 2407.11550)."""

    mark: ClassVar[str] = MASKED
    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    alpha_safeguard: float = 0.2


@dataclass(frozen=True)
class CriticalKVPress(Press):
    """The scores of another press, times the norm of what a value adds to the output (arXiv 2502.03805)."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    epsilon: float = 1e-4
    first_stage_ratio: float = 0.5


@dataclass(frozen=True)
class CriticalAdaKVPress(Press):
    """CriticalKV and AdaKV together (arXiv 2502.03805)."""

    mark: ClassVar[str] = MASKED
    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    alpha_safeguard: float = 0.2
    epsilon: float = 1e-4
    first_stage_ratio: float = 0.5


@dataclass(frozen=True)
class BlockPress(Press):
    """Another press, block after block (arXiv 2504.15364)."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    block_size: int = 128


@dataclass(frozen=True)
class ChunkPress(Press):
    """Another press, in every chunk alike (FINCH)."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    chunk_length: int = 1024


@dataclass(frozen=True)
class ChunkKVPress(Press):
    """Another press, of whose chunks whole ones stay (arXiv 2502.00299)."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    chunk_length: int = 20


@dataclass(frozen=True)
class EntropyGatedChunkKVPress(Press):
    """ChunkKV, and a few tokens of chunks in which few matter."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    chunk_length: int = 10
    low_entropy_chunk_length: int = 4


@dataclass(frozen=True)
class KeyRerotationPress(Press):
    """Another press, whose tokens move together: they get new positions."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None


@dataclass(frozen=True)
class MergingPress(Press):
    """Another press; the values that go are added to those of the keys most like theirs."""

    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    similarity_threshold: float = 0.0
    merge_fraction: float = 1.0


@dataclass(frozen=True)
class LUKVPress(Press):
    """Another press, with budgets per head that were found before (arXiv 2602.08585)."""

    needs: ClassVar[str] = "budget curves of the model (the web)"
    mark: ClassVar[str] = MASKED
    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    compression_ratio: float = 0.0
    sink: int = 4
    window: int = 1


@dataclass(frozen=True)
class PerLayerCompressionPress(Press):
    """Another press, with a ratio for each layer: `compression_ratios` has as many as the model has layers."""

    uses_budget: ClassVar[bool] = False
    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    compression_ratios: Any = None


@dataclass(frozen=True)
class ComposedPress(Press):
    """Several presses, one on what the other has left, each with its own ratio."""

    uses_budget: ClassVar[bool] = False
    inner: ClassVar[tuple[str, ...]] = ("presses",)

    presses: Any = None


@dataclass(frozen=True)
class DMSPress(Press):
    """Tokens that another press scores below `threshold` are hidden, but for the latest (arXiv 2506.05345)."""

    uses_budget: ClassVar[bool] = False
    mark: ClassVar[str] = MASKED
    inner: ClassVar[tuple[str, ...]] = ("press",)

    press: Any = None
    threshold: float | None = None
    sliding_window_size: int = 128
    decoding: bool = False


@dataclass(frozen=True)
class DecodingPress(Press):
    """Another press, every so many steps of an answer: the base stays whole until then."""

    mark: ClassVar[str] = DECODING
    inner: ClassVar[tuple[str, ...]] = ("base_press",)

    base_press: Any = None
    compression_interval: int = 512
    target_size: int = 2048
    hidden_states_buffer_size: int = 256


@dataclass(frozen=True)
class CAMPress(DecodingPress):
    """DecodingPress; values that go are merged into those of tokens behind theirs (CaM)."""

    merge_budget: int = 32


@dataclass(frozen=True)
class CompressionRatioDecodingPress(Press):
    """DecodingPress, down to a share of all tokens so far."""

    mark: ClassVar[str] = DECODING
    inner: ClassVar[tuple[str, ...]] = ("base_press",)

    base_press: Any = None
    compression_interval: int = 512
    hidden_states_buffer_size: int = 256
    target_compression_ratio: float = 0.5


@dataclass(frozen=True)
class PrefillDecodingPress(Press):
    """One press for the base, and a decoding press for the answers."""

    uses_budget: ClassVar[bool] = False
    inner: ClassVar[tuple[str, ...]] = ("prefilling_press", "decoding_press")

    prefilling_press: Any = None
    decoding_press: Any = None


PRESSES: Mapping[str, type[Press]] = {
    name: found
    for name, found in dict(globals()).items()
    if isinstance(found, type) and issubclass(found, Press) and found is not Press
}
