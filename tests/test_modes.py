from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scbench.errors import ScbenchError
from scbench.modes import Mode, build_layout, extend, fit_middle, multi_request, multi_turn, with_query
from scbench.prompts.dialogue import Dialogue

MULTI_TURN, MULTI_REQUEST = Mode("multi_turn"), Mode("multi_request")


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    """Dialogues whose tokens are all different, so that equal sequences are equal places."""
    turns = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 6), min_size=3 * turns, max_size=3 * turns))
    context = draw(st.integers(1, 40))
    ends = [0, *accumulate([context, *lengths])]
    pieces = [tuple(range(start, stop)) for start, stop in pairwise(ends)]
    cuts = sorted(draw(st.sets(st.integers(0, context), max_size=4)))
    return Dialogue(
        context=pieces[0],
        opening=tuple(pieces[1::3]),
        followup=tuple(pieces[2::3]),
        gold=tuple(pieces[3::3]),
        stop=frozenset({-1}),
        protected=tuple(zip(cuts[::2], cuts[1::2], strict=False)),
    )


def limits(dialogue: Dialogue) -> tuple[int, ...]:
    return tuple(3 + turn for turn in range(len(dialogue.opening)))


def multi_turn_prompts(dialogue: Dialogue) -> list[tuple[int, ...]]:
    """By the definition of `Dialogue`."""
    prompts = [dialogue.context + dialogue.opening[0]]
    for gold, followup in zip(dialogue.gold, dialogue.followup[1:], strict=False):
        prompts.append(prompts[-1] + gold + followup)
    return prompts


@given(dialogues())
def test_both_modes_make_exactly_the_prompts(dialogue: Dialogue) -> None:
    turns = build_layout(MULTI_TURN, dialogue, limits(dialogue))
    requests = build_layout(MULTI_REQUEST, dialogue, limits(dialogue))
    assert [turns.trunk[: b.leaves] + b.suffix for b in turns.branches] == multi_turn_prompts(dialogue)
    assert [requests.trunk[: b.leaves] + b.suffix for b in requests.branches] == [
        dialogue.context + question for question in dialogue.opening
    ]
    for layout in (turns, requests):
        assert [branch.turn for branch in layout.branches] == list(range(len(dialogue.opening)))
        assert tuple(branch.max_new_tokens for branch in layout.branches) == limits(dialogue)


@pytest.mark.parametrize("mode", [MULTI_TURN, MULTI_REQUEST])
@given(dialogue=dialogues())
def test_points_are_ascending_and_complete(mode: Mode, dialogue: Dialogue) -> None:
    layout = build_layout(mode, dialogue, limits(dialogue))
    assert list(layout.points) == sorted({layout.context, layout.base, *(b.leaves for b in layout.branches)})
    assert layout.points[-1] == len(layout.trunk)
    assert layout.mode == mode.kind
    assert layout.trunk[: layout.context] == dialogue.context
    assert layout.protected == dialogue.protected


@given(dialogues())
def test_the_base_is_the_context_and_in_multi_turn_the_first_question(dialogue: Dialogue) -> None:
    turns, requests = (make(dialogue, limits(dialogue)) for make in (multi_turn, multi_request))
    assert turns.trunk[: turns.base] == dialogue.context + dialogue.opening[0]
    assert requests.trunk == requests.trunk[: requests.base] == dialogue.context


@given(dialogues())
def test_generated_history_starts_with_one_turn_and_grows_by_what_was_answered(dialogue: Dialogue) -> None:
    layout = build_layout(MULTI_TURN, dialogue, limits(dialogue), history="generated")
    assert layout.trunk == dialogue.context + dialogue.opening[0]
    assert len(layout.branches) == 1
    for turn in range(1, len(dialogue.opening)):
        before, answer = layout, (-2,) * turn
        layout = extend(before, answer, dialogue.followup[turn], limits(dialogue)[turn])
        assert layout.trunk == before.trunk + answer + dialogue.followup[turn]
        assert layout.branches[:-1] == before.branches
    replay = build_layout(MULTI_TURN, dialogue, limits(dialogue), history="generated")
    for turn in range(1, len(dialogue.opening)):
        replay = extend(replay, dialogue.gold[turn - 1], dialogue.followup[turn], limits(dialogue)[turn])
    assert replay == multi_turn(dialogue, limits(dialogue))


def test_history_does_not_matter_to_requests() -> None:
    dialogue = Dialogue((1, 2), ((3,), (4,)), ((5,), (6,)), ((7,), (8,)), frozenset())
    generated = build_layout(MULTI_REQUEST, dialogue, (1, 1), history="generated")
    assert generated == build_layout(MULTI_REQUEST, dialogue, (1, 1))


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ScbenchError, match=r"mode\.kind=scdq"):
        Mode("scdq")


def longest(dialogue: Dialogue, history: str) -> int:
    """The longest prompt with its answer; a generated history is as long as its answers may be."""
    ends = [
        len(branch.suffix) + branch.leaves + branch.max_new_tokens
        for branch in multi_request(dialogue, limits(dialogue)).branches
    ]
    layout = build_layout(MULTI_TURN, dialogue, limits(dialogue), history="generated")
    for turn in range(1, len(dialogue.opening)):
        answer = dialogue.gold[turn - 1] if history == "gold" else (-2,) * limits(dialogue)[turn - 1]
        layout = extend(layout, answer, dialogue.followup[turn], limits(dialogue)[turn])
    return max(ends + [branch.leaves + branch.max_new_tokens for branch in layout.branches])


@given(dialogues(), st.integers(0, 60), st.sampled_from(["gold", "generated"]))
def test_fitting_drops_the_middle_of_what_is_not_protected(dialogue: Dialogue, less: int, history: str) -> None:
    window = longest(dialogue, history) - less
    protected = [token for start, stop in dialogue.protected for token in dialogue.context[start:stop]]
    free = [token for token in dialogue.context if token not in protected]
    if less > len(free):
        with pytest.raises(ScbenchError, match=f"window has {window};"):
            fit_middle(dialogue, window, limits(dialogue), history)
        return
    fitted, dropped = fit_middle(dialogue, window, limits(dialogue), history)
    assert dropped == less
    assert longest(fitted, history) == window
    kept = [token for token in free if token in fitted.context]
    head, tail = (len(free) - less + 1) // 2, (len(free) - less) // 2
    assert kept == free[:head] + free[len(free) - tail :]
    assert list(fitted.context) == sorted(protected + kept)
    assert [token for start, stop in fitted.protected for token in fitted.context[start:stop]] == protected


def test_a_dialogue_that_fits_is_untouched() -> None:
    dialogue = Dialogue((1, 2, 3), ((4,),), ((5,),), ((6,),), frozenset(), ((0, 1),))
    assert fit_middle(dialogue, 6, (2,)) == (dialogue, 0)
    fitted, dropped = fit_middle(dialogue, 5, (2,))
    assert (fitted.context, dropped) == ((1, 2), 1)


@given(dialogues())
def test_the_first_question_is_in_the_base_or_observed_or_unseen(dialogue: Dialogue) -> None:
    turns, requests = (make(dialogue, limits(dialogue)) for make in (multi_turn, multi_request))
    assert with_query(turns, "aware") == turns
    free = with_query(turns, "free")
    assert (free.base, free.trunk, free.observed) == (len(dialogue.context), turns.trunk, ())
    assert with_query(requests, "free") == requests
    aware = with_query(requests, "aware")
    assert (aware.base, aware.trunk, aware.observed) == (len(dialogue.context), dialogue.context, dialogue.opening[0])
    assert aware.branches == requests.branches


@given(dialogues())
def test_the_first_request_is_read_whole_where_a_prefill_is_planned(dialogue: Dialogue) -> None:
    turns, requests = multi_turn(dialogue, limits(dialogue)), multi_request(dialogue, limits(dialogue))
    assert with_query(turns, "aware", plans=True) == turns
    assert with_query(requests, "free", plans=True) == requests
    whole = with_query(requests, "aware", plans=True)
    assert whole.trunk == dialogue.context + dialogue.opening[0] == turns.trunk[: turns.base]
    assert (whole.base, whole.observed) == (len(whole.trunk), ())
    assert whole.points == (len(dialogue.context), len(whole.trunk))
    for before, after in zip(requests.branches, whole.branches, strict=True):
        assert whole.trunk[: after.leaves] + after.suffix == requests.trunk[: before.leaves] + before.suffix
        assert (after.turn, after.max_new_tokens) == (before.turn, before.max_new_tokens)
    assert [branch.leaves for branch in whole.branches[1:]] == [len(dialogue.context)] * (len(whole.branches) - 1)
