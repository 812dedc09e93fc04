"""The dense cache's predictions of the gold answers, computed once per prompt and shared by all cells of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from scbench.engine.answer import Deadline
from scbench.engine.answering import Setting
from scbench.engine.cell_run import CellRun, start
from scbench.engine.config import GOLD, KL
from scbench.engine.job import Job
from scbench.engine.source import Source
from scbench.methods.compose import compose
from scbench.methods.generation.dense import Dense
from scbench.modes import Layout, Tokens


class DenseReference:
    """Predictions by prompt, held in the host's memory.

    A cell whose prefill is dense costs its extension and the gold tokens once more. Where the prefill is another, a
    dense one is made only with `fidelity=kl`; where the passes are cut in another way, always.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._known: dict[Tokens, Tensor] = {}
        self._source: Source | None = None
        self._last: CellRun | None = None

    def keep(self, layout: Layout, predictions: Sequence[Tensor]) -> None:
        """These are the dense cache's."""
        self._known.update(zip(_prompts(layout), (logits_TV.cpu() for logits_TV in predictions), strict=True))

    def of(self, job: Job, layout: Layout, source: Source, deadline: Deadline) -> Sequence[Tensor | None]:
        """Per branch the dense cache's predictions, on the model's device; None where they are not to be had."""
        prompts = _prompts(layout)
        if any(prompt not in self._known for prompt in prompts):
            wanted = self._setting.config.fidelity
            if wanted == GOLD or (source.planned and wanted != KL):
                return [None] * len(prompts)
            self._compute(job, layout, source, deadline)
        device = self._setting.decoder.adapter.shape.device
        return [self._known[prompt].to(device) for prompt in prompts]

    def _compute(self, job: Job, layout: Layout, source: Source, deadline: Deadline) -> None:
        run = self.run(job, layout, source, deadline)
        self.keep(layout, run.predictions(layout.branches, run.rows(layout.branches)))

    def run(self, job: Job, layout: Layout, source: Source, deadline: Deadline) -> CellRun:
        """The dense cache over the same layout, extended to its end."""
        if self._last is None or self._last.layout != layout:
            dense = replace(job, method=compose((Dense(),)), budget=None, layout=layout, feedback=())
            own = self._dense(layout) if source.planned or job.method.passes is not None else source
            self._last = None  # what breaks off half way is not to be found here
            run = start(self._setting, own, dense, layout, deadline, self)
            run.extend()
            self._last = run
        return self._last

    def _dense(self, layout: Layout) -> Source:
        if self._source is None:
            self._source = Source(self._setting.decoder, None, 0, len(layout.trunk))
        return self._source


def _prompts(layout: Layout) -> list[Tokens]:
    return [layout.trunk[: branch.leaves] + branch.suffix for branch in layout.branches]
