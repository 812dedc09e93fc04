"""Modes: how a session's prompts become one trunk of tokens with branches that leave it.

No engine code asks which mode it runs: both are described by a `Layout`.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, replace

from scbench.errors import ScbenchError
from scbench.prompts.dialogue import Dialogue

Tokens = tuple[int, ...]
Places = tuple[tuple[tuple[int, int], ...], ...]  # per text the intervals [start, stop) of a trunk where it stands


@dataclass(frozen=True)
class Branch:
    """One turn's answer: it leaves the trunk at `leaves`, reads `suffix`, then decodes.

    The branch sees trunk tokens [0, leaves). An empty suffix means that the first answer token is predicted
    by the trunk's own last token before `leaves`.
    """

    turn: int
    leaves: int
    suffix: Tokens
    max_new_tokens: int


@dataclass(frozen=True)
class Layout:
    """A session as tokens: `trunk[:base]` is the base, `points` cut the trunk, `branches` leave at points.

    `points` is ascending, holds the end of the context, `base` and every branch's `leaves`, and ends with
    `len(trunk)`. Methods act only at points; a prefill span never crosses one. `protected` are the trunk
    intervals [start, stop) of the chat template and system text, which no method may drop. `observed` are ids that a
    method's observers read behind the base before it acts, and that do not stay in the base: in multi-request mode
    the first question, if the cache is to know one. Its own branch reads them again.
    """

    mode: str
    trunk: Tokens
    context: int
    base: int
    points: tuple[int, ...]
    branches: tuple[Branch, ...]
    protected: tuple[tuple[int, int], ...] = ()
    observed: Tokens = ()


MULTI_TURN = "multi_turn"
MULTI_REQUEST = "multi_request"


@dataclass(frozen=True)
class Mode:
    """The mode axis: `kind` is `multi_turn` or `multi_request`."""

    kind: str = MULTI_TURN

    def __post_init__(self) -> None:
        if self.kind not in (MULTI_TURN, MULTI_REQUEST):
            raise ScbenchError(f"mode.kind={self.kind}: must be {MULTI_TURN} or {MULTI_REQUEST}")


def build_layout(mode: Mode, dialogue: Dialogue, max_new_tokens: Tokens, history: str = "gold") -> Layout:
    """The layout of a session; `max_new_tokens` has one limit per turn.

    With `history="generated"` a multi-turn layout ends with the first turn: `extend` adds the next one when
    its predecessor's answer is known. A multi-request layout is the same for both histories.
    """
    if mode.kind == MULTI_REQUEST:
        return multi_request(dialogue, max_new_tokens)
    return multi_turn(dialogue, max_new_tokens) if history == "gold" else first_turn(dialogue, max_new_tokens)


def with_query(layout: Layout, query: str, plans: bool = False) -> Layout:
    """The layout for a method that has seen the first question when it acts (`aware`), none (`free`), or `each` one.

    Multi-turn: the base ends behind the question, or in front of it. Multi-request: the base is the context, and all
    requests share what the method makes of it; `aware` lets it observe the first question on top, or, if all it does is
    to plan how the base is read (`plans`), read it there with the first question (`first_request`). With `each` a
    method acts on every prompt for itself (`alone`).
    """
    if query == "free":
        return replace(layout, base=layout.context)
    if query == "each":
        return layout
    first = layout.branches[0]
    if not first.suffix:
        return layout
    return first_request(layout) if plans else replace(layout, observed=first.suffix)


def first_request(layout: Layout) -> Layout:
    """A multi-request layout whose base is the first request, with its question; the others leave at the context's end.

    So an engine that caches prefixes meets them: the first request is read as a whole, and the others find their
    context in its cache.
    """
    first, *others = layout.branches
    trunk = layout.trunk + first.suffix
    branches = (replace(first, leaves=len(trunk), suffix=()), *others)
    return replace(layout, trunk=trunk, base=len(trunk), points=(layout.context, len(trunk)), branches=branches)


def multi_turn(dialogue: Dialogue, max_new_tokens: Tokens) -> Layout:
    """Gold answers are fed back, so the trunk is context+Q1 · G1+Q2 · …; branch i leaves where Qi ends."""
    layout = first_turn(dialogue, max_new_tokens)
    for turn in range(1, len(dialogue.followup)):
        layout = extend(layout, dialogue.gold[turn - 1], dialogue.followup[turn], max_new_tokens[turn])
    return layout


def multi_request(dialogue: Dialogue, max_new_tokens: Tokens) -> Layout:
    """The trunk is the context; every question is a branch with a suffix."""
    end = len(dialogue.context)
    return Layout(
        mode=MULTI_REQUEST,
        trunk=dialogue.context,
        context=end,
        base=end,
        points=(end,),
        branches=tuple(
            Branch(turn, end, question, limit)
            for turn, (question, limit) in enumerate(zip(dialogue.opening, max_new_tokens, strict=True))
        ),
        protected=dialogue.protected,
    )


def first_turn(dialogue: Dialogue, max_new_tokens: Tokens) -> Layout:
    """Multi-turn before any answer: the trunk is context+Q1, with the one branch that answers Q1."""
    trunk = dialogue.context + dialogue.opening[0]
    return Layout(
        mode=MULTI_TURN,
        trunk=trunk,
        context=len(dialogue.context),
        base=len(trunk),
        points=(len(dialogue.context), len(trunk)),
        branches=(Branch(0, len(trunk), (), max_new_tokens[0]),),
        protected=dialogue.protected,
    )


def extend(layout: Layout, answer: Tokens, followup: Tokens, max_new_tokens: int) -> Layout:
    """A multi-turn layout with one more turn: the trunk grows by `answer + followup`, where a branch leaves.

    `answer` is the previous turn's, gold or generated, without its stop token: `dialogue.followup[turn]` begins with
    the end of the assistant turn.
    """
    trunk = layout.trunk + answer + followup
    branch = Branch(len(layout.branches), len(trunk), (), max_new_tokens)
    return replace(layout, trunk=trunk, points=(*layout.points, len(trunk)), branches=(*layout.branches, branch))


def alone(layout: Layout, branch: Branch) -> Layout:
    """The layout of one branch whose whole prompt is the base: what a method acts on with `query=each`."""
    trunk = layout.trunk[: branch.leaves] + branch.suffix
    points = tuple(point for point in layout.points if point < len(trunk))
    answer = replace(branch, leaves=len(trunk), suffix=())
    return replace(layout, trunk=trunk, base=len(trunk), points=(*points, len(trunk)), branches=(answer,), observed=())


def fit_middle(dialogue: Dialogue, window: int, max_new_tokens: Tokens, history: str = "gold") -> tuple[Dialogue, int]:
    """Drop the middle of the context so that every prompt of both modes, with its answer, fits `window` tokens.

    Protected tokens stay; of the others the first and last halves that fit are kept. Returns the dialogue and
    the number of dropped tokens, 0 for an untouched dialogue. Raises `ScbenchError` where not even the
    dialogue without context text fits.
    """
    excess = excess_tokens(dialogue, window, max_new_tokens, history)
    if excess <= 0:
        return dialogue, 0
    protected = {place for start, stop in dialogue.protected for place in range(start, stop)}
    free = [place for place in range(len(dialogue.context)) if place not in protected]
    if excess > len(free):
        raise ScbenchError(
            f"the dialogue needs {excess + window - len(free)} tokens besides its context, "
            f"but the model's window has {window}; lower task.turns or task.max_new_tokens"
        )
    head = (len(free) - excess + 1) // 2
    dropped = free[head : head + excess]
    gone = frozenset(dropped)
    fitted = replace(
        dialogue,
        context=tuple(token for place, token in enumerate(dialogue.context) if place not in gone),
        protected=tuple(
            (start - bisect(dropped, start), stop - bisect(dropped, start)) for start, stop in dialogue.protected
        ),
    )
    return fitted, excess


def excess_tokens(dialogue: Dialogue, window: int, max_new_tokens: Tokens, history: str = "gold") -> int:
    """How many tokens the longest prompt of both modes, with its answer, has above `window`; 0 or less fits."""
    return longest_sequence(dialogue, max_new_tokens, history) - window


def longest_sequence(dialogue: Dialogue, max_new_tokens: Tokens, history: str) -> int:
    """Tokens of the longest prompt with its answer; a generated answer may be as long as its limit."""
    request = max(len(question) + limit for question, limit in zip(dialogue.opening, max_new_tokens, strict=True))
    fed_back = [len(gold) for gold in dialogue.gold] if history == "gold" else max_new_tokens
    prompt = len(dialogue.opening[0])
    longest = max(request, prompt + max_new_tokens[0])
    for turn in range(1, len(dialogue.followup)):
        prompt += fed_back[turn - 1] + len(dialogue.followup[turn])
        longest = max(longest, prompt + max_new_tokens[turn])
    return len(dialogue.context) + longest
