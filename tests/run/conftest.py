"""A model of the tests' own, as a user would have it."""

import pytest

from tiny_folder import write_tiny


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny random Llama with a tokenizer, as a local folder of safetensors."""
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny")
