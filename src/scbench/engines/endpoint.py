"""The client of an OpenAI-compatible endpoint."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from scbench.engines.messages import Messages
from scbench.engines.openai import CHAT, TEXT, OpenaiOptions
from scbench.engines.protocol import STOPPED, About, Ask, Prompt, Reply, Report
from scbench.errors import ScbenchError
from scbench.nearest import hint

CONNECT = 30.0  # seconds that a connection may take
AGAIN = (408, 429, 500, 502, 503, 504)
STOPS = 4  # texts that end an answer, at most
_log = logging.getLogger(__name__)


class Endpoint:
    """A connection; raises `ScbenchError` where the endpoint does not answer, refuses the key, or lacks the model."""

    def __init__(self, options: OpenaiOptions, tokenizer: Any) -> None:
        self._options = options
        self._tokenizer = tokenizer
        self._messages = Messages(tokenizer) if options.api == CHAT else None
        self._session = _session(options)
        self.about = About({"endpoint": str(options.url), "served_model": self._served(), "cache": "taken for dense"})
        _log.warning("engine=openai: whatever cache %s has, its answers are recorded as method=dense", options.url)

    def answer(self, ask: Ask, seconds: float | None, report: Report) -> Sequence[Reply]:
        """One reply per prompt; see `Client.answer`."""
        end = None if seconds is None else time.monotonic() + seconds
        waiting: queue.SimpleQueue[Prompt] = queue.SimpleQueue()
        for prompt in ask.prompts:
            waiting.put(prompt)
        done: queue.SimpleQueue[Future[Reply]] = queue.SimpleQueue()

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    done.put(_tried(self._reply, waiting.get_nowait(), ask.stop, end))

        # not a pool: its threads would keep an interrupted process alive until the endpoint answers
        for _ in range(min(self._options.concurrency, len(ask.prompts))):
            threading.Thread(target=work, daemon=True).start()
        replies: list[Reply] = []
        try:
            while len(replies) < len(ask.prompts):
                replies.append(done.get(timeout=None if end is None else max(0.0, end - time.monotonic())).result())
                report(len(replies), len(ask.prompts))
        except queue.Empty as error:
            raise TimeoutError from error
        finally:
            with suppress(queue.Empty):
                while True:
                    waiting.get_nowait()
        return replies

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _served(self) -> str:
        """The model's name, if the endpoint has it or does not list its models."""
        wanted, response = str(self._options.model), self._sent("GET", "models", None, None)
        if response.status_code == 404:
            return wanted
        try:
            known = [str(model["id"]) for model in self._read(response)["data"]]
        except (KeyError, TypeError) as error:
            raise self._error("lists no models") from error
        if wanted not in known:
            raise ScbenchError(f"engine.model={wanted}: {self._options.url} has none such; {hint(wanted, known)}")
        return wanted

    def _reply(self, prompt: Prompt, stop: Sequence[int], end: float | None) -> Reply:
        body: dict[str, Any] = {
            "model": self._options.model,
            "temperature": 0,
            self._options.limit_name: prompt.max_new_tokens,
        }
        if self._messages is not None:
            path, body["messages"] = "chat/completions", self._messages.of(prompt.tokens)
        else:
            path, body["prompt"] = "completions", list(prompt.tokens)
            if self._options.prompt == TEXT:
                body["prompt"] = self._text(prompt.tokens)
            body["stop"] = [self._text((token,)) for token in stop][:STOPS]
        found = self._read(self._sent("POST", path, body, end))
        try:
            choice = found["choices"][0]
            text, reason = choice["message"]["content"] if self._messages else choice["text"], choice["finish_reason"]
            details = (found.get("usage") or {}).get("prompt_tokens_details") or {}
            cached = details.get("cached_tokens")
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise self._error(f"sent no answer ({type(error).__name__}: {error})") from error
        if reason not in STOPPED:
            raise self._error(f"ended an answer with finish_reason={reason}")
        tokens = self._tokenizer.encode(text or "", add_special_tokens=False)
        return Reply(prompt.turn, tuple(tokens), reason, cached=None if cached is None else int(cached))

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    def _sent(self, verb: str, path: str, body: dict[str, Any] | None, end: float | None) -> requests.Response:
        left = None if end is None else max(0.001, end - time.monotonic())
        try:
            url = f"{str(self._options.url).rstrip('/')}/{path}"
            return self._session.request(verb, url, json=body, timeout=(CONNECT, left))
        except requests.ReadTimeout as error:
            raise TimeoutError from error
        except requests.RequestException as error:
            raise self._error(f"cannot be reached ({' '.join(str(error).split())[:200]})") from error

    def _read(self, response: requests.Response) -> Any:
        if response.status_code in (401, 403):
            raise self._error(
                f"refuses the key (HTTP {response.status_code}); it is read from ${self._options.key_variable}"
            )
        if not response.ok:
            raise self._error(f"answers HTTP {response.status_code}: {' '.join(response.text.split())[:200]}")
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise self._error("sent no JSON") from error

    def _error(self, what: str) -> ScbenchError:
        return ScbenchError(f"engine.url={self._options.url} {what}")


def _session(options: OpenaiOptions) -> requests.Session:
    """Connections that are tried again, with the key from the environment.

    Raises `ScbenchError`, without the key, for one that no header can have: the libraries' own errors would quote it.
    """
    session = requests.Session()
    key = os.environ.get(options.key_variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ScbenchError(f"${options.key_variable} has characters that no key has; set it anew")
    if key:
        session.headers["Authorization"] = f"Bearer {key}"
    again = Retry(
        total=options.retries,
        backoff_factor=0.5,
        status_forcelist=AGAIN,
        allowed_methods=None,  # a question can be asked twice
        respect_retry_after_header=True,
        raise_on_status=False,
        read=False,  # an answer that takes too long would take so again
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=again, pool_maxsize=options.concurrency))
    return session


def _tried(function: Callable[..., Reply], *given: Any) -> Future[Reply]:
    """What a function gives or raises."""
    future: Future[Reply] = Future()
    try:
        future.set_result(function(*given))
    except Exception as error:
        future.set_exception(error)
    return future
