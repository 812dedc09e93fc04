"""Any endpoint that speaks OpenAI's protocol: whatever its cache does, it is taken for dense, and said to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from scbench.engines.options import ExternalOptions
from scbench.errors import ScbenchError
from scbench.models.model import ModelConfig, load_text
from scbench.nearest import hint

if TYPE_CHECKING:
    from scbench.config.cell import Cell
    from scbench.engines.protocol import Client

COMPLETIONS, CHAT = "completions", "chat"
TOKENS, TEXT = "tokens", "text"


@dataclass(frozen=True)
class OpenaiOptions(ExternalOptions):
    """`url` of the endpoint (it ends with `/v1`, mostly) and `model`, its name there.

    The `model` axis says whose tokenizer, chat template and window make the prompts: it has to be the same model.
    `api`: `completions`, or `chat`, to which questions and gold answers go as messages. `prompt` of completions:
    `tokens`, or their `text` where an endpoint takes no token ids. `key_variable` names the environment's variable with
    the key, if one is needed. `limit_name` is what the endpoint calls the limit of an answer's tokens. At most
    `concurrency` requests are open at once; one that is refused for now (429, 5xx, no connection) is tried again
    `retries` times, each time after twice the time, or when the endpoint says.
    Raises `ScbenchError` for values out of their domains.
    """

    name: ClassVar[str] = "openai"
    local: ClassVar[bool] = False
    REVISION: ClassVar[int] = 1
    NOT_HASHED: ClassVar[tuple[str, ...]] = ("timeout", "key_variable", "concurrency", "retries", "limit_name")

    url: str | None = None
    model: str | None = None
    api: str = COMPLETIONS
    prompt: str = TOKENS
    key_variable: str = "OPENAI_API_KEY"
    limit_name: str = "max_tokens"
    concurrency: int = 4
    retries: int = 6

    def __post_init__(self) -> None:
        for option, known in (("api", (COMPLETIONS, CHAT)), ("prompt", (TOKENS, TEXT))):
            value = getattr(self, option)
            if value not in known:
                raise ScbenchError(f"engine.{option}={value}: {hint(value, known)}")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_variable):  # not quoted: it may be a key
            raise ScbenchError("engine.key_variable: expected the name of the environment's variable that has the key")
        if self.concurrency < 1 or self.retries < 0:
            raise ScbenchError(f"engine.concurrency={self.concurrency}, engine.retries={self.retries}: >= 1 and >= 0")
        if self.url is None:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ScbenchError(f"engine.url={self.url}: expected http://HOST/v1 or https://HOST/v1")
        if parts.username or parts.password or parts.query:
            raise ScbenchError(f"engine.url: no keys in the address; the key comes from ${self.key_variable}")

    def check(self, cell: Cell) -> None:
        """Raise `ScbenchError` without address and model, for all methods but dense, and for chats in another style."""
        super().check(cell)
        for option in ("url", "model"):
            if getattr(self, option) is None:
                raise ScbenchError(f"engine=openai needs engine.{option}=…")
        if self.api == CHAT and cell.prompt_style != "fixed":
            raise ScbenchError(f"engine.api=chat has no prompt_style={cell.prompt_style}; use engine.api=completions")

    def identity(self) -> Mapping[str, str]:
        """The engine and the revision of how it is asked; what the endpoint runs is its own business."""
        return {"engine": self.name, "revision": str(self.REVISION)}

    def connect(self, model: ModelConfig, log: Path) -> Client:
        """Ask the endpoint for its models; raises `ScbenchError` where it does not answer, or has another."""
        from scbench.engines.endpoint import Endpoint

        return Endpoint(self, load_text(model).tokenizer)
