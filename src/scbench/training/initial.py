"""The weights that a training run begins with.

Looking a value up takes induction: find where the present token stood before, and say what followed. Transformers
learn that late and all at once, after most of the time that a CPU has. So a model with attention begins with it,
roughly; training may change all of it. The transformer begins with more (`circuits`). In a hybrid the convolution of
the first layer shows each token the three before it; heads match what it showed with the present token, and copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from scbench.training import circuits
from scbench.training.tokenizer import random_texts

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

LENGTH = 2.0  # of an embedding
OTHERS = 0.1  # what is left of the random weights beside those that are set
MATCH = 2.2  # so that a token's own match is about e⁵ times likelier than another token's
COPY = 0.5
BACK = 3  # tokens that a convolution looks back
SEEN = 0.11  # so that what was looked back at is as long as the token's own embedding
OPEN = 2.0  # of a mixer's gate
LASTING = -4.0  # logarithm of how fast a state that associates forgets, in steps
STEPS = (1e-3, 1e-1)  # of a state, drawn evenly in their logarithms, as Mamba's authors do: how fast states forget


def begin(config: PretrainedConfig, seed: int, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A model with random weights of this seed, long embeddings, and what it can do from the start.

    Embeddings are the output's rows too. With transformers' small ones no token could be sure, and what all of them
    learn together soon hides what tells them apart.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=LENGTH * config.hidden_size**-0.5)
        _last_norm(model).weight.mul_(1 / LENGTH)
        if config.model_type == "llama":
            circuits.begin(model, config, tokenizer.get_vocab(), [*random_texts()])
        if config.model_type == "bamba":
            _begin_with_mixed_induction(model, config)
        if config.model_type == "mamba2":
            _begin_with_association(model, config)
    return model.train()


def _last_norm(model: PreTrainedModel) -> Any:
    """The norm before the output, by the names of the architectures."""
    inner = model.base_model
    return getattr(inner, {"llama": "norm", "bamba": "final_layernorm", "mamba2": "norm_f"}[model.config.model_type])


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


def _begin_with_association(model: PreTrainedModel, config: PretrainedConfig) -> None:
    read, seen, copied = _bases(config.hidden_size)
    share = config.hidden_size // (BACK + 1)
    mixers = [layer.mixer for layer in model.backbone.layers]
    for mixer in mixers:
        mixer.out_proj.weight.mul_(OTHERS)
    _mix_back(mixers[0], read, seen, share)
    _associate(mixers[1], read, seen[:, :share], copied)


def _bases(width: int) -> list[torch.Tensor]:
    """Orthogonal: what is read of a token, where that which was looked back at is put (a share of it per head), and
    what is copied.
    """
    return [torch.linalg.qr(torch.randn(width, width)).Q for _ in range(3)]


def _remember(mixer: Any) -> None:
    """Steps and convolutions as Mamba's authors begin with; transformers' own forget all but the last few tokens."""
    low, high = (torch.tensor(step).log() for step in STEPS)
    steps = (low + torch.rand_like(mixer.dt_bias) * (high - low)).exp()
    mixer.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # softplus of it gives the steps
    taps = mixer.conv1d.weight.shape[-1]
    torch.nn.init.uniform_(mixer.conv1d.weight, -(taps**-0.5), taps**-0.5)


def _mix_back(mixer: Any, read: torch.Tensor, seen: torch.Tensor, share: int) -> None:
    """The first mixer shows each token the `BACK` tokens before it, where heads would (`circuits`).

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
            mixer.out_proj.weight[:, channels] = sign * SEEN * seen[:, (back - 1) * share : back * share]


def _associate(mixer: Any, read: torch.Tensor, one_back: torch.Tensor, copied: torch.Tensor) -> None:
    """The state adds up what stands behind each token, and is asked for what stands behind the present one.

    Keys, queries and values come in pairs of a channel and its negative, as in `_mix_back`.
    """
    inner, state, taps = mixer.intermediate_size, mixer.ssm_state_size, mixer.conv_kernel_size
    inputs, bias = mixer.in_proj.weight, mixer.in_proj.bias
    inputs[:inner].mul_(OTHERS)
    bias[:inner] = OPEN
    mixer.conv1d.weight.zero_()
    mixer.conv1d.weight[:, :, taps - 1] = 1
    half, keys, queries = state // 2, 2 * inner, 2 * inner + state
    for place, sign in enumerate((1, -1)):
        values = slice(place * inner // 2, (place + 1) * inner // 2)
        inputs[inner + values.start : inner + values.stop] = sign * copied
        mixer.out_proj.weight[:, values] = sign * COPY * copied.T
        inputs[keys + place * half : keys + (place + 1) * half] = sign * one_back[:, :half].T
        inputs[queries + place * half : queries + (place + 1) * half] = sign * read[:half]
    inputs[queries + state :].mul_(OTHERS)
    mixer.D.zero_()
    mixer.A_log.fill_(LASTING)


def _copy(attention: Any, copied: torch.Tensor, config: PretrainedConfig) -> None:
    """The heads give what they attend to as it is."""
    width, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    attention.v_proj.weight.copy_(copied[: groups * size])
    back = copied[: groups * size].view(groups, size, width).repeat_interleave(heads // groups, 0)
    attention.o_proj.weight.copy_(COPY * back.reshape(heads * size, width).T)


def _match(attention: Any, read: torch.Tensor, seen: torch.Tensor, config: PretrainedConfig) -> None:
    """The heads match tokens by dimensions that turn slowly with the place, or not at all.

    The first half matches the present token with the one before, the second half the last one with that two before.
    """
    heads = config.num_attention_heads
    size = config.hidden_size // heads
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
