import pytest

from scbench.errors import ScbenchError
from scbench.methods.budget import Budget, Limit, most_tokens


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (1024, 1024),
        (0.25, 250),
        (1.0, 1000),
        (0.0001, 1),
        ("64MiB", 64 * 2**20 // 1000),
        ("1.5kB", 1),
        ("3B", 1),
        ("25%stored", 250),
    ],
)
def test_tokens(value, tokens):
    assert Budget(value).tokens(base=1000, token_bytes=1000) == tokens


@pytest.mark.parametrize(
    "value", [0, -3, 0.0, 1.5, True, "64", "64MB2", "64XB", "0.5B", "25%", "0%stored", "101%touched", "lots", None, [1]]
)
def test_refused(value):
    with pytest.raises(ScbenchError, match=r"budget=.*expected tokens \(1024\), a share of the base"):
        Budget(value)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("64MiB", Limit(2**26, False)),
        ("1.5kB/token", Limit(1500, True)),
        ("25%stored", Limit(200, False)),
        ("12.5 % touched", Limit(100, True)),
    ],
)
def test_bytes(value, limit):
    assert Budget(value).in_bytes
    assert Budget(value).limit(800) == limit


@pytest.mark.parametrize("fitting", range(12))
def test_most_tokens(fitting):
    assert most_tokens(lambda number: number <= fitting, 10) == (min(fitting, 10) or None)
