"""The worker's side of the protocol: JSON lines over standard input and output.

A worker is a script in this folder: it imports this module as its neighbour, its engine's libraries, and nothing of
scbench, since it runs in an interpreter of its own. It calls `serve` with a function that starts its engine.

    job → worker  {"start": {"model": {…}, "options": {…}}}
    worker → job  {"ready": {"provenance": {…}, "block": 128}}       or {"failed": "one line", "kind": "error"}
    job → worker  {"ask": {…}}                                       scbench.engines.protocol.Ask
    worker → job  {"progress": [done, total]}                        any number of times
    worker → job  {"replies": [{…}, …]}                              or {"failed": "one line", "kind": "oom"}
    job → worker  {"stop": true}                                     the worker ends in its own time

The end of standard input ends the worker at once, whatever it does, with every process that it has started.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Protocol

Report = Callable[[int, int], None]
NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


class Engine(Protocol):
    """What `serve` drives. `about` is what it says of itself: `provenance` (texts by name), and `block`."""

    about: dict[str, Any]

    def answer(self, ask: dict[str, Any], report: Report) -> list[dict[str, Any]]:
        """One reply per prompt of the ask."""


def serve(start: Callable[[dict[str, Any]], Engine]) -> None:
    """Start the engine as the first line says, then answer one ask per line until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        engine = start(json.loads(lines.get())["start"])
        send({"ready": engine.about})
    except Exception as error:
        send(_failed(error))
        return
    while "ask" in (message := json.loads(lines.get())):
        try:
            send({"replies": engine.answer(message["ask"], lambda done, total: send({"progress": [done, total]}))})
        except Exception as error:
            send(_failed(error))


def _read(lines: queue.SimpleQueue[str]) -> None:
    """Pass on what comes; at the end kill the group of this worker, which its parent has put into one of its own."""
    for line in sys.stdin:
        lines.put(line)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _failed(error: Exception) -> dict[str, str]:
    traceback.print_exception(error)
    text = " ".join(str(error).split()) or "no message"
    memory = isinstance(error, MemoryError) or any(words in text.lower() for words in NO_MEMORY)
    return {"failed": f"{type(error).__name__}: {text}"[:500], "kind": "oom" if memory else "error"}
