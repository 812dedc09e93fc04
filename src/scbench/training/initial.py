"""The weights that a training run begins with.

Looking a value up takes induction: find where the present token stood before, and say what followed. Transformers
learn that late and all at once, after most of the time that a CPU has. So a model with attention begins with it,
roughly: the first layer shows each token the ones before it (heads that look one to four tokens back, or a
convolution), and the heads of the next layer with attention match what it showed with the present token, and copy.
Training may change all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad
from transformers import AutoModelForCausalLM, PreTrainedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig

LENGTH = 2.0  # of an embedding
SHARP = 5.4  # length of the look-back heads' biases: the place looked at is about e³ times likelier than the next one
FREQUENCIES = 6  # of the rotary embedding, from the highest, by which they know places
OTHERS = 0.1  # what is left of the random weights beside those that are set
MATCH = 2.2  # so that a token's own match is about e⁵ times likelier than another token's
MATCH_TWO = 2.2  # the same for two tokens together
COPY = 0.5
SEEN = 0.18  # so that what was looked back at is as long as the token's own embedding
BACK = 3  # tokens that a convolution looks back
SEEN_MIXED = 0.11  # as SEEN, behind a mixer's norm
OPEN = 2.0  # of a mixer's gate
STEPS = (1e-3, 1e-1)  # of a state, drawn evenly in their logarithms, as Mamba's authors do: how fast states forget


def begin(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """A model with random weights of this seed, long embeddings, and induction where all layers attend.

    Embeddings are the output's rows too. With transformers' small ones no token could be sure, and what all of them
    learn together soon hides what tells them apart.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=LENGTH * config.hidden_size**-0.5)
        _last_norm(model).weight.mul_(1 / LENGTH)
        if config.model_type == "llama" and config.attention_bias:
            _begin_with_induction(model, config)
        if config.model_type == "bamba":
            _begin_with_mixed_induction(model, config)
    return model.train()


def _last_norm(model: PreTrainedModel) -> Any:
    """The norm before the output, by the names of the architectures."""
    inner = model.base_model
    return getattr(inner, {"llama": "norm", "bamba": "final_layernorm", "mamba2": "norm_f"}[model.config.model_type])


def _begin_with_induction(model: PreTrainedModel, config: PretrainedConfig) -> None:
    """What a token is stands in the first half of the dimensions, the two before it in the second: so that neither
    blurs the other, and matches are sharp.
    """
    width, size, heads = config.hidden_size, _size(config), config.num_attention_heads
    half = width // 2
    embeddings = model.get_input_embeddings().weight
    embeddings[:, half:] = 0
    embeddings.mul_(2**0.5)  # as long as before
    read, seen, copied = _bases(half)
    read, copied = (pad(basis, (0, half)).repeat(2, 1) for basis in (read, copied))  # the same for both groups of heads
    seen = pad(seen, (0, half, half, 0))
    for layer in model.model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.mul_(OTHERS)
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    _look_back(first, config)
    first.v_proj.weight.copy_(read[: config.num_key_value_heads * size])
    share = width // heads
    first.o_proj.weight.view(width, heads, size)[..., :share] = SEEN * seen.view(width, heads, share)
    _match_two(second, read, seen, config)
    _copy(second, copied, config)


def _begin_with_mixed_induction(model: PreTrainedModel, config: PretrainedConfig) -> None:
    read, seen, copied = _bases(config.hidden_size)
    for layer in model.model.layers:
        layer.feed_forward.down_proj.weight.mul_(OTHERS)
        if layer.block_type == "linear_attention":
            _remember(layer.mamba)
            layer.mamba.out_proj.weight.mul_(OTHERS)
    attention = next(layer.self_attn for layer in model.model.layers if layer.block_type == "full_attention")
    _mix_back(model.model.layers[0].mamba, read, seen, config.hidden_size // config.num_attention_heads)
    _match(attention, read, seen, config)
    _copy(attention, copied, config)


def _bases(width: int) -> list[torch.Tensor]:
    """Orthogonal: what is read of a token, where that which was looked back at is put (a share of it per head), and
    what is copied.
    """
    return [torch.linalg.qr(torch.randn(width, width)).Q for _ in range(3)]


def _size(config: PretrainedConfig) -> int:
    """The width of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _look_back(attention: Any, config: PretrainedConfig) -> None:
    """Head h of the first layer looks h + 1 tokens back.

    With a key bias k in all places and a query bias that is k rotated by as many places, the score is the sum over
    frequencies f of |k|² cos(f (places - looked for)), which is largest where the two agree.
    """
    heads, groups, size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    frequencies = config.rope_parameters["rope_theta"] ** (-2 * torch.arange(FREQUENCIES) / size)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.mul_(OTHERS)
    keys, queries = attention.k_proj.bias.view(groups, size), attention.q_proj.bias.view(heads, size)
    keys[:, :FREQUENCIES] = SHARP
    back = torch.arange(1, heads + 1)[:, None] * frequencies
    queries[:, :FREQUENCIES] = SHARP * torch.cos(back)
    queries[:, size // 2 : size // 2 + FREQUENCIES] = -SHARP * torch.sin(back)


def _remember(mixer: Any) -> None:
    """Steps and convolutions as Mamba's authors begin with; transformers' own forget all but the last few tokens."""
    low, high = (torch.tensor(step).log() for step in STEPS)
    steps = (low + torch.rand_like(mixer.dt_bias) * (high - low)).exp()
    mixer.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus of it gives the steps
    taps = mixer.conv1d.weight.shape[-1]
    torch.nn.init.uniform_(mixer.conv1d.weight, -(taps**-0.5), taps**-0.5)


def _mix_back(mixer: Any, read: torch.Tensor, seen: torch.Tensor, share: int) -> None:
    """The first mixer shows each token the `BACK` tokens before it, where heads would (`_begin_with_induction`).

    A channel and its negative together let a value through the activation unchanged: silu(x) - silu(-x) = x.
    """
    inner, taps = mixer.intermediate_size, mixer.conv_kernel_size
    inputs, bias = mixer.in_proj.weight, mixer.in_proj.bias  # rows: gate, channels, B, C, steps
    inputs[:inner].mul_(OTHERS)
    bias[:inner] = OPEN
    for back in range(1, BACK + 1):
        for place, sign in enumerate((1, -1)):
            first = (2 * (back - 1) + place) * share
            channels = slice(first, first + share)
            inputs[inner + first : inner + first + share] = sign * read[:share]
            mixer.conv1d.weight[channels] = 0
            mixer.conv1d.weight[channels, :, taps - 1 - back] = 1
            mixer.out_proj.weight[:, channels] = sign * SEEN_MIXED * seen[:, (back - 1) * share : back * share]


def _copy(attention: Any, copied: torch.Tensor, config: PretrainedConfig) -> None:
    """The heads give what they attend to as it is."""
    width, size = config.hidden_size, _size(config)
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    attention.v_proj.weight.copy_(copied[: groups * size])
    back = copied[: groups * size].view(groups, size, width).repeat_interleave(heads // groups, 0)
    attention.o_proj.weight.copy_(COPY * back.reshape(heads * size, width).T)


def _match_two(attention: Any, read: torch.Tensor, seen: torch.Tensor, config: PretrainedConfig) -> None:
    """The heads match the present token and the last one, together, with the two before each place.

    One token alone stands in many places of a long context. Each group of heads matches by random dimensions of its
    own; all turn slowly with the place.
    """
    size, heads, groups = _size(config), config.num_attention_heads, config.num_key_value_heads
    slow = [*range(size // 4, size // 2), *range(3 * size // 4, size)]
    queries, keys = attention.q_proj.weight, attention.k_proj.weight
    for projection in (queries, keys):
        projection.mul_(OTHERS)
    share, half = config.hidden_size // heads, len(slow) // 2
    one_back, two_back = (seen[:, head * share : (head + 1) * share].T for head in (0, 1))
    for head in range(heads):
        group = head * groups // heads
        own = slice(group * half, (group + 1) * half)
        queries[[head * size + place for place in slow]] = MATCH_TWO * torch.cat([read[own], one_back[own]])
        keys[[group * size + place for place in slow]] = MATCH_TWO * torch.cat([one_back[own], two_back[own]])


def _match(attention: Any, read: torch.Tensor, seen: torch.Tensor, config: PretrainedConfig) -> None:
    """The heads match tokens by dimensions that turn slowly with the place, or not at all.

    The first half matches the present token with the one before, the second half the last one with that two before.
    """
    size, heads = _size(config), config.num_attention_heads
    turned = int(size * config.rope_parameters.get("partial_rotary_factor", 1.0))
    slow = (
        [*range(size // 2, size)]
        if turned <= size // 2
        else [*range(size // 4, size // 2), *range(3 * size // 4, size)]
    )
    queries, keys = attention.q_proj.weight, attention.k_proj.weight
    for projection in (queries, keys):
        projection.mul_(OTHERS)
    share = config.hidden_size // heads
    one_back, two_back = (seen[:, head * share : head * share + len(slow)].T for head in (0, 1))
    present = read[: len(slow)]
    for head in range(heads):
        queries[[head * size + place for place in slow]] = MATCH * (present if head < heads // 2 else one_back)
    for group, looked in enumerate((one_back, two_back)):
        keys[[group * size + place for place in slow]] = MATCH * looked
