"""A dialogue's tokens as the messages of a chat: the way back from what a chat template has made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from scbench.errors import ScbenchError
from scbench.modes import Tokens
from scbench.prompts.chat import ChatTokenizer, find_chat

Message = dict[str, str]


class DecodingTokenizer(ChatTokenizer, Protocol):
    """A tokenizer that reads token ids too."""

    def decode(self, token_ids: Sequence[int], /, **options: Any) -> str:
        """Their text."""


class Messages:
    """Reads prompts of the `fixed` style, which end where an answer begins. A template's own system text is left out.

    Raises `ScbenchError` for a tokenizer without a chat template.
    """

    def __init__(self, tokenizer: DecodingTokenizer) -> None:
        if tokenizer.chat_template is None:
            raise ScbenchError("engine.api=chat needs a model with a chat template; use engine.api=completions")
        self._tokenizer = tokenizer
        self._chat = find_chat(tokenizer)

    def of(self, prompt: Tokens) -> list[Message]:
        """The messages of a prompt, the last one the user's; raises `ScbenchError` where it is none of a dialogue."""
        chat = self._chat
        text = str(self._tokenizer.decode(list(prompt[len(chat.begin) :]), clean_up_tokenization_spaces=False))
        if not text.startswith(chat.opening) or not text.endswith(chat.answering):
            raise ScbenchError("the prompt is not framed by the model's chat template; use engine.api=completions")
        first, *rest = text.removeprefix(chat.opening).removesuffix(chat.answering).split(chat.answering)
        messages = [_message("user", first)]
        for turn in rest:
            answer, found, question = turn.partition(chat.next_question)
            if not found:
                raise ScbenchError("a text in the prompt looks like the chat template; use engine.api=completions")
            messages += [_message("assistant", answer.removeprefix(chat.lead)), _message("user", question)]
        return messages


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
