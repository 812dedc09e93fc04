"""A short curriculum and its tokenizer, built once."""

from collections.abc import Sequence

import pytest
from transformers import PreTrainedTokenizerFast

from scbench.training import tokenizer
from scbench.training.curriculum import STEPWISE, Track
from scbench.training.texts import texts


@pytest.fixture(scope="session")
def tracks() -> Sequence[Track]:
    return STEPWISE


@pytest.fixture(scope="session")
def words(tracks: Sequence[Track]) -> PreTrainedTokenizerFast:
    return tokenizer.build(texts(tracks))
