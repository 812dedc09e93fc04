"""`engine=openai` against a server of vLLM's own: the answers are those of our dense cache."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from vllm_venv import MARKS, PYTHON, ROOT, TIE

from scbench.grid.plan import plan
from scbench.models import embedded
from scbench.record import Outcome
from scbench.results.store import CellStore
from scbench.run.local import run_here
from scbench.run.progress import NullProgress

pytestmark = MARKS
PATIENCE = 240  # seconds until it serves
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
CELLS = [
    *("model=smollm2_135m", "method=dense", "mode=multi_turn,multi_request", "task=retr_kv,en_qa", "task.length=512"),
    *("task.limit=1", "max_turns=3", "task.max_new_tokens=16", "run.save_ids=true"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that has SmolLM2 in fp32."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(embedded.ensure("embedded:smollm2_135m")), "--served-model-name", "smollm2"]
    command += ["--dtype", "float32", "--max-model-len", "4096", "--enforce-eager", "--enable-prompt-tokens-details"]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **QUIET}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not _serves(f"http://127.0.0.1:{port}/health"):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def _serves(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_completions_of_a_server_are_those_of_our_own_engine(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    transformer = AutoModelForCausalLM.from_pretrained(embedded.ensure("embedded:smollm2_135m"), dtype=torch.float32)
    served = ["engine=openai", f"engine.url={url}", "engine.model=smollm2"]
    found = {}
    for engine, chosen in {"own": ["engine.fidelity=none"], "openai": served}.items():
        manifest = plan([*CELLS, *chosen, f"results={tmp_path / engine}"], ROOT / "conf")
        manifest.write()
        run_here(manifest, NullProgress())
        found[engine] = {
            (cell.task.name, cell.mode.name, record.turn): record
            for name, cell in manifest.cells.items()
            for record in CellStore(manifest.root, name).read()
        }
    assert found["openai"].keys() == found["own"].keys() and len(found["own"]) == 2 * 2 * 3
    for key, own in found["own"].items():
        other = found["openai"][key]
        assert other.outcome == Outcome.OK and other.prompt_ids == own.prompt_ids
        assert other.provenance["engine"] == "openai" and other.provenance["cache"] == "taken for dense"
        if (other.prediction, other.stopped) != (own.prediction, own.stopped):
            assert _gap(transformer, own.prompt_ids, own.output_ids) < TIE
    assert any(other.serving is not None and other.serving.cached for other in found["openai"].values())


def _gap(model: torch.nn.Module, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """The smallest distance between the two largest logits along an answer."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    top = logits.topk(2, dim=-1).values
    return float((top[:, 0] - top[:, 1]).min())
