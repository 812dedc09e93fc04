"""Shards: which sessions a job takes, and what its files are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.grid.shard import WHOLE, Shard, shards


@given(st.integers(1, 20), st.integers(0, 200))
def test_every_session_is_in_one_shard_and_shards_are_alike(of: int, sessions: int) -> None:
    cut = [[place for place in range(sessions) if shard.takes(place)] for shard in shards(of)]
    assert sorted(place for part in cut for place in part) == list(range(sessions))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_a_shard_is_read_as_it_is_written() -> None:
    assert Shard.parse(str(Shard(2, 7))) == Shard(2, 7)
    assert (Shard(2, 7).file, WHOLE.file) == ("2-of-7", "0")


@pytest.mark.parametrize("text", ["", "1", "4-of-4", "a-of-4", "-1-of-4", "1-of-4-of-5"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ScbenchError, match="is no shard"):
        Shard.parse(text)
