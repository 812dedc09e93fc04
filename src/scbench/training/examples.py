"""What a model is trained on: token ids, and which of them it is to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scbench.prompts.chat import ChatTokenizer
from scbench.prompts.dialogue import build_dialogue
from scbench.tasks.base import Task
from scbench.tasks.session import Session

Tokens = tuple[int, ...]
Span = tuple[int, int]


@dataclass(frozen=True)
class Example:
    """Token ids, and the spans [start, stop) of them that are answers, each with the token that ends it."""

    tokens: Tokens
    answers: tuple[Span, ...]


def example(session: Session, task: Task, tokenizer: ChatTokenizer, end: int) -> Example:
    """A session in multi-turn form with its gold answers, as the benchmark's own prompts write it.

    The first turn is what multi-request asks too: the context and one question.
    """
    dialogue = build_dialogue(session, task, tokenizer)
    tokens = list(dialogue.context)
    answers = []
    for turn, gold in enumerate(dialogue.gold):
        tokens += dialogue.followup[turn] if turn else dialogue.opening[turn]
        answers.append((len(tokens), len(tokens) + len(gold) + 1))  # the end of turn opens the next follow-up
        tokens += gold
    return Example((*tokens, end), tuple(answers))


def padded(examples: Sequence[Example], pad: int) -> list[list[int]]:
    """Rows of the same length; what is put behind an example is seen by none of its tokens."""
    longest = max(len(one.tokens) for one in examples)
    return [[*one.tokens, *[pad] * (longest - len(one.tokens))] for one in examples]
