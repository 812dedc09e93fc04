"""From what the engine saw to the records that are kept."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
import transformers

import scbench
from scbench.config.cell import Cell
from scbench.engine.failure import Failure
from scbench.engine.job import Done, Turn
from scbench.engine.revision import ENGINE_REVISION
from scbench.models.model import LoadedModel
from scbench.record import Outcome, Record, StageTime
from scbench.run.work import Work


@dataclass(frozen=True)
class Recorder:
    """Makes records: `decode` turns token ids into text, `provenance` is that of the run."""

    decode: Callable[[tuple[int, ...]], str]
    provenance: Mapping[str, str]
    save_ids: bool

    def answered(self, work: Work, done: Done) -> list[Record]:
        """One record per turn of a job, answered or failed."""
        if done.failure is not None:
            return self.failed(work, done.job.cell, done.failure)
        cell = work.cells[done.job.cell]
        return [
            self._record(work, done.job.cell, number, **self._seen(work, cell, number, turn))
            for number, turn in enumerate(done.turns)
        ]

    def failed(self, work: Work, cell: str, failure: Failure) -> list[Record]:
        """One record per turn of a session that one cell could not answer."""
        return [
            self._record(work, cell, number, outcome=failure.outcome, detail=failure.detail)
            for number in range(len(work.session.turns))
        ]

    def _seen(self, work: Work, cell: Cell, number: int, turn: Turn) -> dict[str, object]:
        rewriting = work.rewriting
        rewrite = {} if rewriting is None else {"rewrite": StageTime(rewriting.seconds, "shared")}
        return {
            "outcome": Outcome.NOOP if turn.noop else Outcome.TRUNCATED if work.cut.tokens else Outcome.OK,
            "detail": work.cut.detail(number),
            "answer_cut": work.cut.answers[number],
            "prediction": self.decode(turn.answer.tokens),
            "prompt_tokens": len(turn.prompt),
            "output_tokens": len(turn.answer.tokens),
            "stopped": turn.answer.stopped,
            "prompt_visible": _visible(cell),
            "kept": turn.kept,
            "context_kept": None if rewriting is None else rewriting.kept,
            "gold_kept": turn.gold_kept,
            "density": turn.density,
            "kv_bytes": turn.kv_bytes,
            "times": {**turn.times, **rewrite},
            "kernels": turn.kernels,
            "peak_bytes": turn.peak_bytes,
            "fidelity": turn.fidelity,
            "diagnostics": turn.diagnostics,
            "prompt_ids": turn.prompt if self.save_ids else None,
            "output_ids": turn.answer.tokens,
        }

    def _record(self, work: Work, cell: str, number: int, **seen: object) -> Record:
        session, turn = work.session, work.session.turns[number]
        return Record(
            cell=cell,
            session=session.id,
            turn=number,
            turns=len(session.turns),
            gold=turn.answer,
            subtask=turn.subtask,
            function=turn.function,
            language=session.language,
            repo=session.repo,
            options=turn.options,
            documents=session.documents,
            items=session.items,
            characters=session.characters,
            context_tokens=session.tokens,
            provenance=self.provenance,
            **seen,  # type: ignore[arg-type]
        )


def _visible(cell: Cell) -> str:
    """What a compressed cache had seen when it was compressed."""
    if not any("compression" in method.type.stages for method in cell.methods):
        return ""
    return {"free": "context", "each": "context+question"}.get(cell.query, "context+q1")


def provenance(loaded: LoadedModel) -> dict[str, str]:
    """Where the numbers of this run come from, besides what the cell's own file says."""
    return {
        **code_provenance(),
        "device": _devices(dict.fromkeys(weight.device for weight in loaded.model.parameters())),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "model_commit": loaded.commit,
    }


def _devices(devices: Iterable[torch.device]) -> str:
    """The names of GPUs and how many there are of each, or the CPU and its threads."""
    names = Counter(torch.cuda.get_device_name(device) for device in devices if device.type == "cuda")
    gpus = (name if count == 1 else f"{name} x{count}" for name, count in names.items())
    return " + ".join(gpus) or f"cpu x{torch.get_num_threads()}"


def code_provenance() -> dict[str, str]:
    """The part of it that needs no model."""
    return {
        "scbench": scbench.__version__,
        "commit": _commit(),
        "engine_revision": str(ENGINE_REVISION),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "packages": _packages(),
    }


def _commit() -> str:
    """The commit of the checkout that runs, with + if it has changes; empty for an installed package."""
    here = Path(__file__).parent
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    if head.returncode:
        return ""
    changes = subprocess.run(
        ["git", "status", "--porcelain", "--", "src"], cwd=here, capture_output=True, text=True, check=False
    )
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


def _packages() -> str:
    """A hash of every installed package and its version: the lock file as it really is."""
    found = sorted(f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions())
    return sha256("\n".join(found).encode()).hexdigest()[:12]
