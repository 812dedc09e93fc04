"""A session's dialogue in the `ref` style: the original's prompts, tokenised, cut and continued as it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from scbench.errors import ScbenchError
from scbench.prompts import reference_tokens as tokens
from scbench.prompts.chat import OPTIONS, ChatTokenizer
from scbench.prompts.dialogue import Dialogue
from scbench.prompts.reference import First, Message, OriginalError, Renderer, Variant, first_prompt, reference_prompts
from scbench.tasks.session import Session

Tokens = tuple[int, ...]
DATE = {"date_string": OPTIONS["date_string"]}  # the one option that is not the original's: prompts must not age


def build_reference(
    session: Session, tokenizer: ChatTokenizer, *, requests: bool, history: str, window: int, limits: Tokens
) -> tuple[Dialogue, int]:
    """The dialogue of one mode, and the number of tokens that the first prompt lost to fit its budget.

    The budget is the original's, with the model's window and the turns' own limits. Gold answers are part of the
    follow-ups, so `gold` is empty; `opening` holds the first question alone (multi-turn) or all (multi-request), and
    `followup` is empty in multi-request. In multi-turn the context ends at the last token that reads the same
    without the question behind it. Raises `OriginalError` where the original does, and `ScbenchError` where it would
    run over the window: it reserves nothing for later questions, and cuts nothing for a negative budget.
    """
    variant = Variant(requests, history, _renderer(tokenizer))
    first = first_prompt(session, variant)
    prompts = reference_prompts(session, variant)
    ids = tokens.encode_first(tokenizer, first.text)
    budget = tokens.reserve(session.task, window, limits, requests=requests)
    head, tail = tokens.kept(len(ids), budget)
    places = (*head, *tail)
    context, header = (sum(place < end for place in places) for end in _ends(tokenizer, first, ids, requests))
    short = tuple(ids[place] for place in places)
    later = tuple(tokens.encode_later(tokenizer, prompt) for prompt in prompts[1:])
    _check_window(len(short), [len(prompt) for prompt in later], limits, window, requests=requests)
    nothing: tuple[Tokens, ...] = ((),) * len(session.turns)
    eos = tokenizer.eos_token_id
    dialogue = Dialogue(
        context=short[:context],
        opening=later if requests else (short[context:], *nothing[1:]),
        followup=nothing if requests else ((), *later),
        gold=nothing,
        stop=frozenset() if eos is None else frozenset({eos}),
        protected=((0, header),) if header else (),
    )
    return dialogue, len(ids) - len(short)


def _check_window(first: int, later: Sequence[int], limits: Tokens, window: int, *, requests: bool) -> None:
    """The longest sequence of prompts and answer must fit."""
    longest = max(map(sum, zip(later, limits, strict=True))) if requests else sum(later) + limits[-1]
    if first + longest > window:
        raise ScbenchError(
            f"prompt_style=ref: prompts and answers need {first + longest} tokens; the model's window has {window}; "
            "lower task.turns or task.max_new_tokens"
        )


def _ends(tokenizer: ChatTokenizer, first: First, ids: Tokens, requests: bool) -> tuple[int, int]:
    """Where the context and where the template's header end in the first prompt's ids."""
    context = len(ids) if requests else _common(ids, tokens.encode_first(tokenizer, first.shared))
    return context, min(context, _common(ids, tokens.encode_first(tokenizer, first.header)))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _renderer(tokenizer: ChatTokenizer) -> Renderer | None:
    if tokenizer.chat_template is None:
        return None

    def render(messages: Sequence[Message], *, generation: bool) -> str:
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": generation, **DATE}
        try:
            return str(tokenizer.apply_chat_template(list(messages), **options))
        except TemplateError as error:
            raise OriginalError(type(error).__name__, f"the tokenizer's chat template fails ({error})") from error

    return render
