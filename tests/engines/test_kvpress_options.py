"""Presses of kvpress as methods: what is refused before anything starts, and what an ask says. Needs no kvpress."""

from pathlib import Path

import pytest

from scbench.cli import main
from scbench.config.compose import compose
from scbench.engine.job import Job
from scbench.engines.asking import Asked, ask_session
from scbench.engines.protocol import About, Reply
from scbench.errors import ScbenchError
from scbench.grid.cells import canonical
from scbench.methods.budget import Budget
from scbench.methods.compose import compose as compose_methods
from scbench.methods.kvpress.presses import PRESSES
from scbench.modes import Branch, Layout
from scbench.results.labels import labels

CONF = Path(__file__).parents[2] / "conf"
KVPRESS = ("engine=kvpress", "task=retr_kv")


def cells(*overrides):
    return compose([*KVPRESS, *overrides], CONF).cells


def test_every_press_is_a_method_by_its_own_name():
    plain = [name for name, press in PRESSES.items() if not press.inner and name != "FinchPress"]
    assert len(PRESSES) == 44 and len(plain) == 26
    found = cells(f"method={','.join(plain)}", "mode=multi_turn,multi_request")
    assert [cell.method_name for cell in found[::2]] == plain
    (snapkv,) = cells("method=SnapKVPress", "method.window_size=16")
    assert snapkv.methods[0].options == {"compression_ratio": 0.0, "window_size": 16, "kernel_size": 5}
    wrapped = [name for name, press in PRESSES.items() if press.inner and len(press.inner) == 1]
    given = [f"method.{name}.{PRESSES[name].inner[0]}=KnormPress" for name in wrapped]
    assert len(cells(f"method={','.join(wrapped)}", *given)) == len(wrapped) == 16


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["method=SnapKVPres"], "there is no method 'SnapKVPres'; did you mean 'SnapKVPress'?"),
        (["method=SnapKVPress", "method.window_sise=3"], "did you mean 'window_size'?"),
        (["method=SnapKVPress", "engine=own"], "method=SnapKVPress runs with engine=kvpress"),
        (["method=snapkv"], "engine=kvpress does not run method=snapkv"),
        (["method=AdaKVPress"], "method=AdaKVPress: it needs another press: method.press=SnapKVPress"),
        (["method=AdaKVPress", "method.press=SnapKVPres"], "press: there is no press 'SnapKVPres'; did you mean"),
        (["method=AdaKVPress", "method.press={SnapKVPress: {window: 3}}"], "press: SnapKVPress has no option 'window'"),
        (["method=AdaKVPress", "method.press=3"], "press=3: expected the name of a press"),
        (["method=ChunkPress", "method.press={CriticalKVPress: {}}"], "it needs another press: method.press="),
        (["method=PrefillDecodingPress", "method.prefilling_press=KnormPress"], "method.decoding_press=SnapKVPress"),
        (["method=SnapKVPress", "query=aware", "mode=multi_request"], "a question that is not there"),
        (["method=FinchPress", "mode=multi_request"], "it chooses by the question; query=each"),
        (["method=FinchPress", "query=free"], "it chooses by the question; query=aware or each"),
        (["method=SnapKVPress", "compress=each"], "kvpress compresses the base alone; compress=once"),
        (["method=SnapKVPress", "budget=0.5", "method.compression_ratio=0.3"], "which is given too"),
        (["method=BlockPress", "budget=9", "method.press={KnormPress: {compression_ratio: 0.3}}"], "given too"),
        (["method=KVzipPress", "budget=25%stored"], "it stores and touches all of the base (masked)"),
        (["method=DecodingPress", "method.base_press=KnormPress", "budget=1MiB"], "(dropped while decoding)"),
        (["method=SnapKVPress+minference"], "engine=kvpress runs one method at a time"),
        (["method=dense", "engine.chunk=0"], "engine.chunk=0: expected at least 1 token"),
        (["method=dense", "engine.device=tpu"], "engine.device=tpu: expected one of auto, cpu, cuda"),
    ],
)
def test_refused_when_it_is_planned(overrides, said):
    given = {item.split("=")[0] for item in overrides}
    with pytest.raises(ScbenchError) as error:
        compose([*(item for item in KVPRESS if item.split("=")[0] not in given), *overrides], CONF)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=FinchPress"],
        ["method=FinchPress", "query=each", "mode=multi_request"],
        ["method=SnapKVPress", "query=each", "mode=multi_request"],
        ["method=SnapKVPress", "compress=each", "mode=multi_request"],  # nothing comes after the base there
        ["method=SnapKVPress", "budget=25%stored"],
        ["method=KVzipPress", "budget=0.25"],
        ["method=DMSPress", "method.press=KnormPress", "method.threshold=-1.5"],
        ["method=ComposedPress", "method.presses=[{SnapKVPress: {compression_ratio: 0.3}}, ThinKPress]"],
        ["method=dense"],
    ],
)
def test_not_refused(overrides):
    assert len(cells(*overrides)) == 1


def test_they_are_listed(capsys):
    assert main(["list", "presses"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PRESSES)
    assert lines[0].split()[0] == "AdaKVPress" and lines[0].endswith("(arXiv 2407.11550). [masked]")


def test_a_press_that_no_budget_sets_is_one_cell_for_all():
    found = cells("method=ThinKPress,SnapKVPress", "budget=0.25,0.5")
    assert [canonical(cell).budget for cell in found] == [None, None, 0.25, 0.5]


def test_tables_say_what_becomes_of_the_rest():
    found = cells("method=SnapKVPress,AdaKVPress,ThinKPress,dense", "method.AdaKVPress.press=SnapKVPress", "budget=0.5")
    named = labels({str(number): cell for number, cell in enumerate(found)})
    assert [label.row for label in named.values()] == [
        "SnapKVPress (dropped) (50%)",
        "AdaKVPress (masked) (50%)",
        "ThinKPress (channels zeroed) (50%)",
        "dense (50%)",
    ]


class Recording:
    """A client that says of every prompt how long it is."""

    about = About({}, token_bytes=10)

    def __init__(self):
        self.asks = []

    def answer(self, ask, seconds, report):
        self.asks.append(ask)
        return [
            Reply(
                one.turn, (7,), "length", kept=(len(one.tokens), 3), form="masked", idle=True, seconds={"decode": 2.0}
            )
            for one in ask.prompts
        ]

    def close(self):
        pass


def asked(budget, *, each=False):
    branches = (Branch(0, 6, (1, 2), 1), Branch(1, 6, (3, 4, 5), 1))
    layout = Layout("multi_request", tuple(range(10, 16)), 6, 6, (6,), branches)
    job = Job("cell", layout, compose_methods([]), None if budget is None else Budget(budget), each_query=each)
    client = Recording()
    (done,) = ask_session(client, [job], {"cell": {"name": "x"}}, Asked("s", frozenset(), None, lambda *_: None))
    assert done.failure is None
    return client.asks, done.turns


def test_an_ask_says_what_the_budget_allows():
    for budget, tokens in ((None, None), (0.5, 3), (2, 2), ("25B", 2), ("50%stored", 3)):
        (ask,), _ = asked(budget)
        assert (ask.base, ask.tokens) == (6, tokens)


def test_with_query_each_every_prompt_is_a_base_of_its_own():
    asks, turns = asked(0.5, each=True)
    assert [(ask.base, ask.tokens, ask.context) for ask in asks] == [(8, 4, 6), (9, 4, 6)]
    assert [ask.prompts[0].tokens for ask in asks] == [(*range(10, 16), 1, 2), (*range(10, 16), 3, 4, 5)]
    assert [turn.prompt for turn in turns] == [ask.prompts[0].tokens for ask in asks]


def test_a_turn_says_what_the_reply_said():
    _, (turn, other) = asked(0.5)
    assert (turn.kept, other.kept) == ((6, 1), (6, 0))  # without the turn's own question
    assert turn.noop and turn.serving.form == "masked"
    assert (turn.times["decode"].seconds, turn.times["decode"].scope) == (2.0, "own")
