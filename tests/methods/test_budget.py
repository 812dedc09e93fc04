import pytest

from scbench.errors import ScbenchError
from scbench.methods.budget import Budget


@pytest.mark.parametrize(
    ("value", "tokens"),
    [(1024, 1024), (0.25, 250), (1.0, 1000), (0.0001, 1), ("64MiB", 64 * 2**20 // 1000), ("1.5kB", 1), ("3B", 1)],
)
def test_tokens(value, tokens):
    assert Budget(value).tokens(base=1000, token_bytes=1000) == tokens


@pytest.mark.parametrize("value", [0, -3, 0.0, 1.5, True, "64", "64MB2", "lots", None, [1]])
def test_refused(value):
    with pytest.raises(ScbenchError, match=r"budget=.*expected tokens \(1024\), a share of the base"):
        Budget(value)
