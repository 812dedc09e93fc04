"""What a tokenizer's chat template puts around contents, found by rendering it around marked contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import TemplateError

from scbench.errors import ScbenchError
from scbench.prompts.templates import SEPARATOR
from scbench.tasks.fit import Encoder

QUESTIONS = ("(first question)", "(second question)", "(third question)")
ANSWERS = ("(first answer)", "(second answer)")

# Llama 3.1 prints today's date where none is given, and Qwen 3 thinks aloud unless told not to: prompts must
# not change overnight, and answers are a few tokens long. Templates that know neither ignore both.
OPTIONS: Mapping[str, Any] = {"date_string": "26 Jul 2024", "enable_thinking": False}


class ChatTokenizer(Encoder, Protocol):
    """The part of a Hugging Face tokenizer that dialogues need."""

    @property
    def chat_template(self) -> Any:
        """The Jinja template, or None for a tokenizer that has none."""

    @property
    def bos_token_id(self) -> int | None:
        """The begin-of-text token."""

    @property
    def eos_token_id(self) -> int | None:
        """The end-of-text token."""

    def get_added_vocab(self) -> dict[str, int]:
        """The special and added tokens by text."""

    def apply_chat_template(self, conversation: list[dict[str, str]], /, **options: Any) -> Any:
        """The rendered conversation."""


@dataclass(frozen=True)
class Chat:
    """The texts between contents: `opening` Q1 `answering` A1 `next_question` Q2 `answering` …

    `begin`          ids of begin-of-text where the tokenizer, not the template, puts it
    `opening`        what the template puts before the first question: default system text, user header
    `answering`      end of the user turn, assistant header: what the template adds for generation
    `lead`           what precedes an answer in its own turn (a blank, a line break), as the model writes it
    `next_question`  end of the assistant turn, user header
    `stop`           ids that end an answer
    """

    begin: tuple[int, ...]
    opening: str
    answering: str
    lead: str
    next_question: str
    stop: frozenset[int]


def find_chat(tokenizer: ChatTokenizer) -> Chat:
    """The tokenizer's chat; raises `ScbenchError` for a template without constant pieces between the contents.

    No system message is given, so templates without a system role work, and default system texts stay. A
    history that shows less before an answer than generation does (Qwen 3's empty thought) is written with what
    generation adds, as only so a later prompt extends an earlier one. Without a chat template, questions
    follow each other as paragraphs, and an answer follows its question on the same line.
    """
    if tokenizer.chat_template is None:
        return Chat(_begin(tokenizer), "", "", " ", SEPARATOR, _stop(tokenizer, ""))
    opening, answering = _pieces(tokenizer, QUESTIONS[:1], ())
    again, *inner, last = _pieces(tokenizer, QUESTIONS, ANSWERS)
    before_answer, next_question = inner[:2]
    if [again, last, *inner[2:]] != [opening, answering, *inner[:2]]:
        raise _rejected("its turns are not all framed alike")
    if before_answer.startswith(answering):
        lead = before_answer.removeprefix(answering)
    elif answering.startswith(before_answer):
        lead = ""
    else:
        raise _rejected("an earlier answer has another header than one to be generated")
    return Chat((), opening, answering, lead, next_question, _stop(tokenizer, next_question))


def _pieces(tokenizer: ChatTokenizer, questions: Sequence[str], answers: Sequence[str]) -> list[str]:
    """The rendered texts before, between and after questions and answers in turn."""
    contents = [content for pair in zip(questions, [*answers, ""], strict=True) for content in pair][:-1]
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]
    try:
        rest = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **OPTIONS))
    except TemplateError as error:
        raise _rejected(f"it fails on user and assistant messages in turn ({error})") from error
    pieces = []
    for content in contents:
        piece, found, rest = rest.partition(content)
        if not found or content in rest:
            raise _rejected("it does not show every message once and in order")
        pieces.append(piece)
    return [*pieces, rest]


def _begin(tokenizer: ChatTokenizer) -> tuple[int, ...]:
    first = tuple(tokenizer.encode("", add_special_tokens=True)[:1])
    return first if first == (tokenizer.bos_token_id,) else ()


def _stop(tokenizer: ChatTokenizer, next_question: str) -> frozenset[int]:
    """End of text, and the special token that the template ends an answer with (GLM-4: the next user header)."""
    first = tokenizer.encode(next_question.lstrip(), add_special_tokens=False)[:1]
    ends = {*first}.intersection(tokenizer.get_added_vocab().values())
    return frozenset(ends if tokenizer.eos_token_id is None else ends | {tokenizer.eos_token_id})


def _rejected(reason: str) -> ScbenchError:
    return ScbenchError(f"the tokenizer's chat template cannot carry a dialogue: {reason}; give the model another one")
