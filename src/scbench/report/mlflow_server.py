"""MLflow's pages for this machine alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from scbench.errors import ScbenchError
from scbench.report.mlflow_links import HOST, PORT, address

PATIENCE = 300  # seconds until the pages answer: MLflow takes 10 on a quiet machine


@contextmanager
def served(tracking_uri: str, log: Path, port: int = PORT) -> Iterator[str]:
    """Serve a tracking database on the loopback interface while the block runs; gives the address of the pages.

    What the server says goes to `log`. Raises `ScbenchError` where it does not come up, or something answers there.
    """
    place = address(tracking_uri, port)
    if _answers(place):
        raise ScbenchError(f"something answers at {place} already; stop it, or choose another port (--port)")
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with log.open("wb") as said:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", tracking_uri], env=quiet, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            _wait(server, place, log)
            yield place
        finally:
            server.terminate()
            server.wait()


def _wait(server: subprocess.Popen[bytes], place: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not _answers(place):
        if server.poll() is not None or time.monotonic() > until:
            raise ScbenchError(f"MLflow's server does not come up at {place}; {log} says why")
        time.sleep(0.2)


def _answers(place: str) -> bool:
    try:
        with urlopen(f"{place}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
