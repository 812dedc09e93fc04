"""A session's dialogue as token ids, in pieces that only ever extend each other."""

from __future__ import annotations

from dataclasses import dataclass

from scbench.prompts.chat import ChatTokenizer, find_chat
from scbench.prompts.templates import SEPARATOR, answer_text, template
from scbench.tasks.base import Task
from scbench.tasks.fit import Encoder
from scbench.tasks.session import Session

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Dialogue:
    """Token pieces of one session; concatenating them gives every prompt of both modes.

    multi-turn, gold history: context + opening[0] · gold[0] + followup[1] · gold[1] + followup[2] …
    multi-request: context, then context + opening[i] for each turn i.

    `context`     begin-of-text, system text, user header, instruction and context text
    `opening[i]`  separator, question i, end of the user turn, assistant header: asked right after the context
    `followup[i]` end of the assistant turn, user header, question i, end of turn, assistant header
    `gold[i]`     the gold answer as the assistant would have written it, without its end of turn
    `stop`        token ids that end an answer
    `protected`   intervals [start, stop) of `context` that belong to template and system text
    """

    context: Tokens
    opening: tuple[Tokens, ...]
    followup: tuple[Tokens, ...]
    gold: tuple[Tokens, ...]
    stop: frozenset[int]
    protected: tuple[tuple[int, int], ...] = ()


def build_dialogue(session: Session, task: Task, tokenizer: ChatTokenizer) -> Dialogue:
    """A session's dialogue in the `fixed` style; raises `ScbenchError` where the chat template has no pieces.

    Template, instruction and context text are tokenised together, as a tokenizer would read them; every later
    piece is tokenised apart and put behind. So both modes share all tokens up to the end of the context text,
    and each prompt extends the one before. The price is that no token spans the end of the context: a
    tokenizer that has a token for `}` and a blank line uses two there. Contents do not pass through the chat
    template, which therefore cannot trim them. Begin-of-text is put where the template puts it; without a
    template, where the tokenizer does.
    """
    style = template(task.name)
    chat = find_chat(tokenizer)
    header = chat.begin + _encode(tokenizer, chat.opening)
    context = chat.begin + _encode(tokenizer, chat.opening + style.instruction + session.context)
    questions = [style.ask(turn) + chat.answering for turn in session.turns]
    golds = [chat.lead + answer_text(turn.answer) for turn in session.turns]
    return Dialogue(
        context=context,
        opening=tuple(_continue(tokenizer, SEPARATOR + question) for question in questions),
        followup=tuple(_continue(tokenizer, chat.next_question + question) for question in questions),
        gold=tuple(_continue(tokenizer, gold) for gold in golds),
        stop=chat.stop,
        protected=((0, shared),) if (shared := _common(header, context)) else (),
    )


def _encode(tokenizer: Encoder, text: str) -> Tokens:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _continue(tokenizer: Encoder, text: str) -> Tokens:
    """Token ids of `text` behind other text.

    SentencePiece tokenizers put a blank before whatever they are given. Behind a line break they put it there,
    and the rest is `text` alone. Where the line break grows together with `text`, the tokenizer is one that
    puts no blank.
    """
    anchor = _encode(tokenizer, "\n")
    anchored = _encode(tokenizer, "\n" + text)
    return anchored[len(anchor) :] if anchored[: len(anchor)] == anchor else _encode(tokenizer, text)


def _common(one: Tokens, other: Tokens) -> int:
    """The number of tokens that both begin with."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
