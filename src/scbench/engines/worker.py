"""A worker: an engine in an interpreter of its own, driven by JSON lines."""

from __future__ import annotations

import importlib.metadata
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from scbench.engines.options import ExternalOptions
from scbench.engines.protocol import About, Ask, Reply, Report
from scbench.errors import ScbenchError
from scbench.models.model import ModelConfig, place

PATIENCE = 30  # seconds that a worker may take to end
WORKERS = Path(__file__).parent / "workers"
OURS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")  # of this interpreter's, not the worker's


@dataclass(frozen=True)
class WorkerOptions(ExternalOptions):
    """Options of an engine that runs as a worker; `python` is its interpreter, relative to the current folder.

    Class attributes: `script` in the folder `workers`; `packages` the distributions whose versions can change its
    numbers, of which those that are there count; `install` how it is installed; `REVISION`, raised by hand when a
    change of the script may alter numbers.
    """

    NOT_HASHED: ClassVar[tuple[str, ...]] = ("timeout", "python")
    script: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    install: ClassVar[str] = ""
    REVISION: ClassVar[int] = 1

    python: str = ""

    def identity(self) -> Mapping[str, str]:
        """The engine, the script's revision, and the packages' versions; where the interpreter is missing, that."""
        try:
            found = self.versions()
        except ScbenchError as error:
            return {"missing": str(error)}
        return {"engine": self.name, "revision": str(self.REVISION), **found}

    def ready(self) -> None:
        """Raise `ScbenchError` without the interpreter or the engine's packages in it."""
        if not self.versions():
            raise ScbenchError(f"engine.python={self.python} has none of {', '.join(self.packages)}; {self.install}")

    def versions(self) -> dict[str, str]:
        """The versions of the engine's packages, read without starting the interpreter; raises `ScbenchError`."""
        python = Path(self.python)
        if not python.is_file():
            raise ScbenchError(f"engine.python={self.python}: there is no such interpreter; {self.install}")
        folders = [str(folder) for folder in python.parent.parent.glob("lib/python3*/site-packages")]
        found = {}
        for name in self.packages:
            for distribution in importlib.metadata.distributions(name=name, path=folders):
                found[name] = distribution.version
        return found

    def start_with(self, model: ModelConfig) -> dict[str, Any]:
        """What the worker is told when it starts."""
        options = {key: value for key, value in asdict(self).items() if key not in ("python", "timeout")}
        return {"model": {**asdict(model), "path": place(model)}, "options": options}

    def connect(self, model: ModelConfig, log: Path) -> Worker:
        """Start the worker and wait until it is ready."""
        self.ready()
        return Worker(self.name, [self.python, "-E", "-s", str(WORKERS / self.script)], self.start_with(model), log)


class Worker:
    """A running worker; when it ends, by itself or at a time-out, the next ask starts it again.

    It is a process group of its own, so that Ctrl-C reaches this process alone, which then ends all of it. If this
    process is killed, the worker's standard input ends, and so does the worker.
    """

    def __init__(self, name: str, command: Sequence[str], start: Mapping[str, Any], log: Path) -> None:
        self._name = name
        self._command = list(command)
        self._start = start
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.about = self._started()

    def answer(self, ask: Ask, seconds: float | None, report: Report) -> Sequence[Reply]:
        """One reply per prompt; see `Client.answer`."""
        if self._process is None:
            self.about = self._started()
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            message = self._exchange({"ask": ask.to_dict()}, deadline, report)
            replies = [Reply.from_dict(reply) for reply in message["replies"]]
        except (KeyError, TypeError, ValueError) as error:
            self._kill()
            raise self._error(f"sent no replies ({type(error).__name__}: {error})") from error
        if sorted(reply.turn for reply in replies) != sorted(prompt.turn for prompt in ask.prompts):
            self._kill()
            raise self._error("did not reply to every prompt once")
        return replies

    def close(self) -> None:
        """Let the worker end, and end what is left of it and of all that it has started."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.write(json.dumps({"stop": True}) + "\n")
                process.stdin.flush()
                process.wait(PATIENCE)
        self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _started(self) -> About:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if key not in OURS}
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environment,
                start_new_session=True,
            )
        self._lines = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        try:
            ready = self._exchange({"start": self._start}, None, lambda *_: None)["ready"]
            return About(**ready)
        except (KeyError, TypeError) as error:
            self._kill()
            raise self._error(f"did not say that it is ready ({error})") from error
        except BaseException:
            self._kill()
            raise

    def _exchange(self, message: Mapping[str, Any], deadline: float | None, report: Report) -> dict[str, Any]:
        """Send a message and wait for what it leads to; whatever interrupts this ends the worker."""
        process = self._process
        if process is None or process.stdin is None:
            raise self._error("is not running")
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                line = self._lines.get(timeout=left)
                if line is None:
                    raise BrokenPipeError
                found: dict[str, Any] = json.loads(line)
                if "progress" not in found:
                    break
                report(*found["progress"])
        except queue.Empty as error:
            self._kill()
            raise TimeoutError from error
        except (BrokenPipeError, ConnectionResetError) as error:
            code = process.wait()
            self._kill()
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise self._error(ended) from error
        except BaseException:
            self._kill()
            raise
        if "failed" in found:
            raise (
                MemoryError(found["failed"])
                if found.get("kind") == "oom"
                else self._error(f"failed: {found['failed']}")
            )
        return found

    def _error(self, what: str) -> ScbenchError:
        return ScbenchError(f"the worker of engine={self._name} {what}; its log is {self._log}")


def _read(stream: IO[str] | None, lines: queue.SimpleQueue[str | None]) -> None:
    """Pass on what the worker sends; None when it has ended."""
    with suppress(ValueError, OSError):  # closed from the other thread
        for line in stream or ():
            lines.put(line)
    lines.put(None)
