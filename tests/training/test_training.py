"""Training: what is predicted, that it learns, that an interruption leaves no trace, that no seed is evaluated on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from scbench.errors import ScbenchError
from scbench.tasks.base import Task
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.retr_multihop import RetrMultiHop
from scbench.tasks.retr_prefix_suffix import RetrPrefixSuffix
from scbench.tasks.sessions import make_sessions
from scbench.training import curriculum, initial, loop
from scbench.training.architectures import ARCHITECTURES
from scbench.training.curriculum import Standing, Track
from scbench.training.drills import AffixGrid, Chains, Copying, ShortPairs
from scbench.training.examples import Example, example, padded
from scbench.training.recipe import Recipe
from scbench.training.seeds import stream, training_seed

EASY = (Track("kv", 1.0, (RetrKV(size=2, turns=1), RetrKV(size=3, turns=2))),)
SHORT = Recipe(steps=6, tokens=300, warmup=2, stretch=0.5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The same sums in the same order, whatever else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_only_answers_and_their_ends_are_predicted(words: PreTrainedTokenizerFast) -> None:
    task = RetrKV(size=5, turns=3, seed=-1)
    session = task.generate(0, words)
    one = example(session, task, words, words.eos_token_id)
    said = [words.decode(one.tokens[start:stop]) for start, stop in one.answers]
    assert said == [f"{turn.answer}<|end|>" for turn in session.turns]
    text = words.decode(one.tokens)
    assert text.startswith("<|user|>Extract the value corresponding to the specified key in the JSON object below.\n\n")
    assert text.count("<|user|>") == text.count("<|assistant|>") == 3


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_few_steps_lower_the_loss(name: str, words: PreTrainedTokenizerFast) -> None:
    task = Copying(size=2, turns=4, longest=8, alphabet="0123456789", seed=-1)
    run = loop.begin(name, replace(SHORT, steps=100), words, [Track("copying", 1.0, (task,))])
    tokens = [example(task.generate(index, words), task, words, words.eos_token_id) for index in range(4)]
    rows = torch.tensor(padded(tokens, words.pad_token_id))
    places = torch.arange(rows.shape[1]).repeat(len(rows), 1)

    def loss() -> float:
        with torch.no_grad():
            return loop.measure(run.model, rows, places, tokens)[0].item()

    before = loss()
    for _ in range(40):
        loop.advance(run)
    assert before < torch.log(torch.tensor(float(len(words)))).item() + 1.5
    assert loss() < before - 0.5


def test_the_embeddings_of_pairs_stay_and_those_of_words_learn(words: PreTrainedTokenizerFast) -> None:
    run = loop.begin("tiny-llama", replace(SHORT, steps=100), words, EASY)
    embeddings = run.model.get_input_embeddings().weight
    before = embeddings.detach().clone()
    for _ in range(3):
        loop.advance(run)
    moved = (embeddings.detach() != before).any(-1)
    pairs = words.convert_tokens_to_ids(["a7", "-0f", "Qz", "42", "W", "6"])
    others = words.convert_tokens_to_ids([" value", "<|end|>", '": "'])
    assert not moved[pairs].any() and moved[others].all()


def test_an_interrupted_run_ends_as_one_that_was_not(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    straight = loop.begin("tiny-llama", SHORT, words, EASY)
    loop.train(straight, whole, tell=lambda line: None)
    first = loop.begin("tiny-llama", SHORT, words, EASY)
    for _ in range(3):
        loop.advance(first)
    loop.save(first, parts)
    (parts / loop.LOG).write_text(json.dumps({"step": 5}) + "\n")  # written after the checkpoint, so to be done again
    loop.advance(first)
    second = loop.resume(loop.begin("tiny-llama", SHORT, words, EASY), parts)
    assert second.step == 3
    loop.train(second, parts, tell=lambda line: None)
    assert second.standings == straight.standings
    for (name, one), other in zip(straight.model.state_dict().items(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    logged = [json.loads(line)["step"] for line in (parts / loop.LOG).read_text().splitlines()]
    assert logged == [6]


def test_a_checkpoint_of_another_recipe_is_refused(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    loop.save(loop.begin("tiny-llama", SHORT, words, EASY), tmp_path)
    with pytest.raises(ScbenchError, match="belongs to another model or recipe"):
        loop.resume(loop.begin("tiny-llama", replace(SHORT, seed=1), words, EASY), tmp_path)


def test_right_answers_are_those_that_greedy_decoding_gives(words: PreTrainedTokenizerFast) -> None:
    model = loop.begin("tiny-llama", SHORT, words, EASY).model.eval()
    prompts = torch.tensor([words.encode("The sky is blue"), words.encode("The sun is yellow")])
    with torch.no_grad():
        said = model.generate(prompts, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    start, stop = prompts.shape[1], said.shape[1]
    said[1, stop - 2] += 1  # not what it would say, nor is then what follows
    answers = [Example(tuple(row.tolist()), ((start, stop - 1),)) for row in said]
    with torch.no_grad():
        loss, token, exact = loop.measure(model, said, torch.arange(stop).repeat(2, 1), answers)
        logits = model(said).logits[:, start - 1 : stop - 2]
    naive = torch.nn.functional.cross_entropy(logits.flatten(0, 1), said[:, start : stop - 1].flatten())
    assert loss.item() == pytest.approx(naive.item(), rel=1e-5)
    assert (token, exact) == (pytest.approx(9 / 10), 0.5)


def test_positions_jump_within_the_window(words: PreTrainedTokenizerFast) -> None:
    found = loop._positions(torch.Size([50, 100]), 1.0, stream("choice", 0, 0))
    assert (found[:, 0] >= 0).all() and (found.diff() >= 1).all() and found.max() < 8192
    assert (found.diff() > 1).any()
    assert torch.equal(loop._positions(torch.Size([2, 4]), 0.0, stream("choice", 0, 0)), torch.arange(4).repeat(2, 1))


@given(number=st.integers(0, 10**6))
def test_training_seeds_are_below_zero_and_different(number: int) -> None:
    assert training_seed(number) < 0
    assert training_seed(number) != training_seed(number + 1)


@given(seed=st.integers(0, 10**9), index=st.integers(0, 10**6), purpose=st.sampled_from(["pairs", "questions"]))
def test_no_stream_of_training_is_one_of_evaluation(seed: int, index: int, purpose: str) -> None:
    """A stream is named by its text; those of training have a minus sign, or a first part that no task has."""
    trained = RetrKV(seed=training_seed(seed)).random(index, purpose)
    evaluated = RetrKV(seed=seed).random(index, purpose)
    assert trained.getstate() != evaluated.getstate()
    assert stream("retr_kv", seed, index).getstate() not in (trained.getstate(), evaluated.getstate())


def test_an_evaluation_refuses_a_training_seed(words: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ScbenchError, match=r"task.seed=-1: seeds below 0 are for training; give 0 or more"):
        list(make_sessions(RetrKV(seed=training_seed(0), size=4, turns=1), words))


def test_a_track_goes_up_when_its_answers_are_right_and_opens_others() -> None:
    tracks = (Track("first", 1.0, (RetrKV(), RetrKV())), Track("second", 1.0, (RetrKV(),), ("first", 1)))
    standings = curriculum.start(tracks)
    assert _open(tracks, standings) == {("first", 0)}
    for _ in range(30):
        standings = curriculum.moved(standings, tracks[0], 0, 0.7)
    assert standings["first"] == Standing(0, 30, pytest.approx(0.7))
    for _ in range(10):
        standings = curriculum.moved(standings, tracks[0], standings["first"].level, 1.0)
    assert standings["first"].level == 1
    assert _open(tracks, standings) == {("first", 0), ("first", 1), ("second", 0)}
    assert curriculum.moved(standings, tracks[0], 0, 0.0) == standings, "an easier batch does not count"
    for _ in range(30):
        standings = curriculum.moved(standings, tracks[0], 1, 1.0)
    assert standings["first"].level == 1, "there is no harder one"
    assert curriculum.from_json(json.loads(json.dumps(curriculum.to_json(standings)))) == standings


def test_the_first_batches_of_a_level_weigh_alike() -> None:
    track = Track("only", 1.0, (RetrKV(),))
    standings = curriculum.start((track,))
    for right in (1.0, 0.0, 0.5, 0.1):
        standings = curriculum.moved(standings, track, 0, right)
    assert standings["only"].right == pytest.approx(0.4)


def _open(tracks: Sequence[Track], standings: curriculum.Standings) -> set[tuple[str, int]]:
    drawn = [curriculum.choose(tracks, standings, stream("choice", 0, step)) for step in range(60)]
    return {(track.name, level) for track, level in drawn}


@pytest.mark.parametrize("index", range(4))
def test_drills_ask_for_what_their_context_holds(index: int, words: PreTrainedTokenizerFast) -> None:
    copying = Copying(size=6, turns=4, seed=-1).generate(index, words)
    for turn in copying.turns:
        assert f"{turn.question}{turn.answer}" in copying.context.split("\n")
    grid = AffixGrid(size=3, turns=5, seed=-1).generate(index, words)
    listed = grid.context.count("', '") + 1
    assert (listed, len({turn.question for turn in grid.turns})) == (9, 5)
    for turn in grid.turns:
        assert f"'{turn.answer}'" in grid.context
    chains = Chains(size=16, turns=8, variables=1, seed=-1).generate(index, words)
    for turn in chains.turns:
        (name,) = turn.answer
        assert f"VAR {name} = {turn.question.split()[-5]} ." in chains.context
    short = ShortPairs(size=9, turns=4, length=2, seed=-1).generate(index, words)
    pairs = json.loads(short.context.removeprefix("JSON data:\n"))
    assert len(pairs) == 9 and all(len(text) == 4 for pair in pairs.items() for text in pair)
    assert len({turn.question for turn in short.turns}) == 4
    for turn in short.turns:
        assert pairs[turn.question.split('"')[1]] == turn.answer


def test_the_first_heads_begin_by_looking_back(words: PreTrainedTokenizerFast) -> None:
    config = ARCHITECTURES["tiny-llama"](vocab_size=len(words))
    model = initial.begin(config, 0, words).eval()
    model.set_attn_implementation("eager")
    ids = torch.randint(4, len(words), (1, 60), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weights = model(ids, output_attentions=True).attentions[0][0]
    for back, rows in zip((1, 2, 3, 6), weights, strict=True):
        looked = rows[10:].argmax(-1) - torch.arange(10, 60)
        assert (looked == -back).all()
        assert rows[10:].max(-1).values.mean() > 0.5


def began_right(task: Task, place: int, words: PreTrainedTokenizerFast, sessions: int = 3) -> float:
    """How many of the answers' tokens at this place a transformer gives before its first step."""
    model = initial.begin(ARCHITECTURES["tiny-llama"](vocab_size=len(words)), 0, words).eval()
    right = []
    for index in range(sessions):
        one = example(task.generate(index, words), task, words, words.eos_token_id)
        with torch.no_grad():
            said = model(torch.tensor([one.tokens])).logits[0].argmax(-1)
        right += [said[start + place - 1].item() == one.tokens[start + place] for start, _ in one.answers]
    return sum(right) / len(right)


@pytest.mark.parametrize(
    ("task", "place", "least"),
    [
        pytest.param(RetrKV(size=60, turns=5, seed=-1), 0, 0.9, id="the value of a key among sixty"),
        pytest.param(RetrKV(size=60, turns=5, seed=-1), 1, 0.9, id="its second token"),
        pytest.param(RetrKV(size=60, turns=5, seed=-1), 9, 0.9, id="what follows three tokens"),
        pytest.param(RetrMultiHop(size=76, turns=5, seed=-1), 0, 0.9, id="the variable that has a value"),
        pytest.param(RetrMultiHop(size=76, turns=5, seed=-1), 4, 0.7, id="the variable that has it"),
        pytest.param(RetrPrefixSuffix(size=14, turns=5, seed=-1), 5, 0.6, id="the middle of a word, by its suffix"),
    ],
)
def test_a_transformer_begins_by_looking_up(
    task: Task, place: int, least: float, words: PreTrainedTokenizerFast
) -> None:
    assert began_right(task, place, words) >= least


@pytest.mark.parametrize("name", ["tiny-hybrid", "tiny-hybrid-1to7"])
def test_a_hybrid_begins_by_showing_each_token_the_three_before(name: str, words: PreTrainedTokenizerFast) -> None:
    """Of two texts that differ in one token, the first layer changes the three behind it most, and what comes later
    hardly; and the heads of its one layer with attention look behind what stood before.
    """
    model = initial.begin(ARCHITECTURES[name](vocab_size=len(words)), 0, words).eval()
    model.set_attn_implementation("eager")
    segment = torch.randperm(len(words), generator=torch.Generator().manual_seed(0))[:40]
    other = segment.clone()
    other[10] = 7
    with torch.no_grad():
        one, two = (model(ids[None], output_hidden_states=True).hidden_states[1][0] for ids in (segment, other))
        attended = model(segment.repeat(1, 2), output_attentions=True).attentions
    change = (one - two).norm(dim=-1)
    assert change[:10].max() == 0 and change[11:14].min() > 3 * change[14:].max()
    (weights,) = [layer[0] for layer in attended if layer is not None]
    behind = torch.arange(41, 80) - 39
    for rows in weights:
        assert (rows[41:].argmax(-1) == behind).float().mean() > 0.1  # by chance 0.02


def test_states_begin_with_long_memories(words: PreTrainedTokenizerFast) -> None:
    model = initial.begin(ARCHITECTURES["tiny-hybrid"](vocab_size=len(words)), 0, words)
    for layer in (layer.mamba for layer in model.model.layers if layer.block_type == "linear_attention"):
        steps = torch.nn.functional.softplus(layer.dt_bias)
        assert steps.min() > 0.0009 and steps.max() < 0.11


def test_embeddings_begin_long(words: PreTrainedTokenizerFast) -> None:
    model = initial.begin(ARCHITECTURES["tiny-mamba2"](vocab_size=len(words)), 0, words)
    lengths = model.get_input_embeddings().weight.norm(dim=-1)
    assert lengths.mean().item() == pytest.approx(2, abs=0.04)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10, fall=0.2, rate=1.0)
    assert [recipe.rate_at(step) for step in (0, 9, 50, 80, 90, 99)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])


def task_classes(tracks: Sequence[Track]) -> set[type[Task]]:
    return {type(level) for track in tracks for level in track.levels}


def test_the_curriculum_ends_beyond_four_thousand_tokens(
    tracks: Sequence[Track], words: PreTrainedTokenizerFast
) -> None:
    pairs = next(track for track in tracks if track.name == "kv").levels[-1]
    assert pairs.generate(0, words).tokens > 4000
    assert RetrKV in task_classes(tracks)
