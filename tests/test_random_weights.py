"""Small models with random weights: made once, the same everywhere, and they run."""

import pytest

from scbench.errors import ScbenchError
from scbench.models.model import ModelConfig, identity, window
from scbench.models.random_weights import MADE


@pytest.mark.parametrize("name", sorted(MADE))
def test_each_architecture_has_an_identity_of_its_own(name: str) -> None:
    found = identity(ModelConfig(f"random:{name}"))
    assert found["random"] == name
    assert found["embedded"]  # its tokenizer's


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ScbenchError, match=r"model.path=random:mamba3: no such architecture; there are: jamba, mamba2"):
        identity(ModelConfig("random:mamba3"))


@pytest.mark.slow
def test_they_are_made_once_and_run() -> None:
    import torch

    from scbench.models import random_weights
    from scbench.models.model import load

    folder = random_weights.ensure("random:jamba")
    assert random_weights.ensure("random:jamba") == folder
    loaded = load(ModelConfig("random:jamba", window=128), torch.device("cpu"))
    again = load(ModelConfig("random:jamba"), torch.device("cpu"))
    assert (loaded.window, again.window) == (128, 32768)
    ids = torch.tensor([loaded.tokenizer.encode("The sea was calm.")])
    assert torch.equal(loaded.model(ids).logits, again.model(ids).logits)
    with pytest.raises(ScbenchError, match=r"names no context window; set model.window"):
        window(ModelConfig("random:mamba2"))
