"""Layers that keep a state: split equals whole, a batch equals its rows, and a snapshot stays what it was."""

import functools

import pytest
import torch
from test_exactness import generate

from oracles import tiny
from scbench.engine.adapter import Adapter
from scbench.engine.states import Snapshot, States, UnknownUseError
from scbench.errors import ScbenchError

NAMES = pytest.mark.parametrize("name", sorted(tiny.STATES))
SINGLE = {"mamba", "falcon_mamba", "jamba"}  # Mamba 1 forgets its state when several tokens come behind it
# Rounding: a unit in the last place of the embeddings moves the logits of these by 7e-6, those of others by 3e-6
TOLERANCE = {"olmo_hybrid": 5e-5, "qwen3_next": 5e-5}
IDS = torch.randint(3, tiny.VOCABULARY, (80,), generator=torch.Generator().manual_seed(2)).tolist()


class Kept:
    """The plainest attention over all keys so far: what the engine's trunk and tails do, without either."""

    def __init__(self):
        self.keys, self.values = {}, {}

    def __call__(self, layer, q, k, v, call):
        self.keys[layer] = k = torch.cat([self.keys.get(layer, k[:, :, :0]), k], dim=2)
        self.values[layer] = v = torch.cat([self.values.get(layer, v[:, :, :0]), v], dim=2)
        group, new, old = q.shape[1] // k.shape[1], q.shape[2], k.shape[2]
        scores = q @ k.repeat_interleave(group, 1).transpose(2, 3) * call.scale
        future = torch.arange(old) > torch.arange(old - new, old)[:, None]
        weights = torch.softmax(scores.masked_fill(future, float("-inf")), dim=-1)
        return (weights @ v.repeat_interleave(group, 1)).transpose(1, 2)

    def copy(self):
        other = Kept()
        other.keys, other.values = dict(self.keys), dict(self.values)
        return other


class Line:
    """One branch: its keys, its states, its length."""

    def __init__(self, adapter, kept=None, snapshot=None, length=0):
        self.adapter, self.kept, self.length = adapter, kept or Kept(), length
        self.states = States.stack([snapshot or Snapshot()])

    def read(self, ids):
        """Logits behind the ids, which come at once, or one at a time where they must."""
        if self.adapter.shape.single and self.length and len(ids) > 1:
            return [self.read([token]) for token in ids][-1]
        position = torch.arange(self.length, self.length + len(ids))[None]
        self.length += len(ids)
        return self.adapter.forward(torch.tensor([ids]), position, self.kept, self.states)[0]

    def fork(self, snapshot):
        return Line(self.adapter, self.kept.copy(), snapshot, self.length)


def close(name, logits, expected):
    torch.testing.assert_close(logits, expected, atol=TOLERANCE.get(name, 1e-5) * float(expected.abs().max()), rtol=0)


@functools.cache
def reference(name):
    return tiny.model(name, "eager")


def whole(name, ids):
    """transformers' own forward, without any cache."""
    with torch.inference_mode():
        return reference(name)(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


@pytest.fixture
def adapter(name):
    return Adapter(tiny.model(name, "eager"))


@NAMES
@pytest.mark.parametrize("split", [[40], [9, 1, 1, 29], [1, 1, 38], [2, 3, 13, 22], [39, 1]])
def test_split_equals_whole(adapter, name, split):
    line, at = Line(adapter), 0
    for length in split:
        logits, at = line.read(IDS[at : at + length]), at + length
    close(name, logits, whole(name, IDS[:40]))


@NAMES
def test_a_batch_equals_its_rows(adapter, name):
    """Branches read suffixes of different lengths alone, then decode together, and one leaves."""
    trunk = Line(adapter)
    trunk.read(IDS[:30])
    at_30 = trunk.states.snapshot()
    trunk.read(IDS[30:37])
    at_37 = trunk.states.snapshot()
    keys_37 = trunk.kept.copy()
    suffixes = [IDS[40:49], IDS[50:51], IDS[60:64]]
    branches = [Line(adapter, keys_37.copy(), at_37, 37) for _ in suffixes]
    for branch, suffix in zip(branches, suffixes, strict=True):
        branch.read(suffix)
    batch = States.stack([branch.states.snapshot() for branch in branches])
    assert batch.rows == 3
    read, alive = [[*IDS[:37], *suffix] for suffix in suffixes], [0, 1, 2]
    for step in range(6):
        if step == 3:
            alive = [0, 2]
            batch.keep(alive)
        new = [3 + 7 * row + step for row in alive]

        def attend(layer, q, k, v, call):
            rows = [branches[row].kept for row in alive]  # noqa: B023 (called before the next step)
            each = [kept(layer, *(t[[n]] for t in (q, k, v)), call) for n, kept in enumerate(rows)]
            return torch.cat(each)

        position = torch.tensor([[len(read[row])] for row in alive])
        logits = adapter.forward(torch.tensor(new)[:, None], position, attend, batch)
        for row, token in zip(alive, new, strict=True):
            read[row].append(token)
        for place, row in enumerate(alive):
            close(name, logits[place], whole(name, read[row]))
    assert batch.rows == 2
    assert at_30.bytes == at_37.bytes == batch.snapshot(1).bytes


@NAMES
def test_a_snapshot_stays_what_it_was(adapter, name):
    trunk = Line(adapter)
    trunk.read(IDS[:20])
    point = trunk.states.snapshot()
    before = {key: tensor.clone() for key, tensor in point.tensors.items()}
    branches = [trunk.fork(point) for _ in range(2)]
    trunk.read(IDS[20:23])
    first = branches[0].read(IDS[30:35]), branches[0].read(IDS[35:36])
    assert all(torch.equal(tensor, before[key]) for key, tensor in point.tensors.items())
    second = branches[1].read(IDS[30:35]), branches[1].read(IDS[35:36])
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@NAMES
def test_states_hold_no_keys_and_do_not_grow(adapter, name):
    sizes = set()
    for length in (1, 3, 40, 80):
        line = Line(adapter)
        line.read(IDS[:length])
        sizes.add(line.states.snapshot().bytes)
        assert line.states.layers == set(adapter.shape.states)
        assert set(line.kept.keys) == set(range(adapter.shape.layers))
    assert len(sizes) == 1


@NAMES
def test_greedy_answers_equal_generate(adapter, name):
    expected = generate(reference(name), IDS[:30], {2}, 12)
    line = Line(adapter)
    logits = line.read(IDS[:30])
    answer = []
    while len(answer) < 12:
        token = int(logits.argmax())
        if token == 2:
            break
        answer.append(token)
        logits = line.read([token])
    assert answer == expected


@pytest.mark.parametrize(
    ("name", "attending", "states", "windows"),
    [
        ("bamba", (1,), (0, 2), (None,)),
        ("falcon_h1", (0, 1, 2), (0, 1, 2), (None, None, None)),
        ("mamba2", (), (0, 1, 2), ()),
        ("nemotron_h", (1,), (0, 3), (None,)),
        ("qwen3_next", (3,), (0, 1, 2), (None,)),
    ],
)
def test_the_probe_tells_layers_apart(adapter, name, attending, states, windows):
    assert (adapter.shape.attending, adapter.shape.states, adapter.shape.windows) == (attending, states, windows)
    assert adapter.shape.layers == len(windows)


@NAMES
def test_who_forgets_is_found_out(adapter, name):
    assert adapter.shape.single == (name in SINGLE)
    line = Line(adapter)
    line.read(IDS[:5])
    if name in SINGLE:
        with pytest.raises(ValueError, match="forgets its states unless tokens come one at a time"):
            adapter.forward(torch.tensor([IDS[5:7]]), torch.tensor([[5, 6]]), line.kept, line.states)


@pytest.mark.parametrize("name", ["bamba"])
def test_states_that_do_not_fit_are_refused(adapter, name):
    ids = torch.tensor([[5]])
    with pytest.raises(ScbenchError, match="cannot run on engine=own: some of its layers keep states, and none were"):
        adapter.forward(ids, ids, Kept())
    line = Line(adapter)
    line.read(IDS[:5])
    with pytest.raises(ValueError, match="states of 1 branches for 2 rows"):
        adapter.forward(ids.repeat(2, 1), ids.repeat(2, 1), Kept(), line.states)
    with pytest.raises(ValueError, match="before the first token and after it"):
        States.stack([line.states.snapshot(), Snapshot()])


def test_several_rows_may_begin_together():
    adapter = Adapter(tiny.model("mamba2", "eager"))
    states = States.stack([Snapshot(), Snapshot()])
    ids = torch.tensor([IDS[:9], IDS[9:18]])
    logits = adapter.forward(ids, torch.arange(9).repeat(2, 1), Kept(), states)
    close("mamba2", logits[0], whole("mamba2", IDS[:9]))
    close("mamba2", logits[1], whole("mamba2", IDS[9:18]))


def test_models_without_states_take_no_notice_of_them():
    adapter = Adapter(tiny.model("llama", "eager"))
    states, ids = States(), torch.tensor([IDS[:5]])
    adapter.forward(ids, torch.arange(5)[None], Kept(), states)
    assert adapter.shape.states == () and states.rows is None


def test_an_unknown_question_is_an_error():
    with pytest.raises(UnknownUseError, match="crop"):
        States().crop(-1)
