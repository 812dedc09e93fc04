"""The price of the paper's experiment in `docs/cluster.md`, from the estimate's own formula."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scbench.config.cell import Cell
from scbench.config.compose import compose
from scbench.grid.cells import canonical, family_id
from scbench.grid.demand import Demand
from scbench.grid.devices import GPUS
from scbench.grid.estimate import Work, estimate
from scbench.grid.forecast import demand
from scbench.models.files import local_config
from scbench.results.files import write_text_atomic

PAGE = Path("docs/cluster.md")
BEGIN, END = "<!-- made by `python -m scbench.pages costs` -->", "<!-- end of what is made -->"
EXPERIMENT = "paper_llama3_1_8b"
FIXED = "prompt_style=fixed"  # with which both modes share a prefill
GPU, COUNT = GPUS["h100"], 8
SHOWN = "retr_kv"  # the task whose arithmetic is written out


@dataclass(frozen=True)
class Price:
    """Seconds of one GPU for a task's cells: each for itself and turn after turn, and by family (`families` of them).

    `work` are the sizes of one cell; `prefill`, `turn` (one question answered alone) and `answers` (all of a session as
    one batch) are seconds per session.
    """

    task: str
    work: Work
    cells: int
    prefill: float
    turn: float
    answers: float
    families: tuple[float, ...]

    @property
    def one_by_one(self) -> float:
        """As the original runs: a prefill for every cell and session, then one turn after the other."""
        return self.work.sessions * self.cells * (self.prefill + self.work.turns * self.turn)

    @property
    def by_family(self) -> float:
        """As scbench runs."""
        return sum(self.families)


def prices(cells: Iterable[Cell]) -> list[Price]:
    """One per task, in the order of the cells."""
    by_task: dict[str, list[Cell]] = {}
    for cell in map(canonical, cells):
        by_task.setdefault(cell.task.name, []).append(cell)
    return [_price(task, its) for task, its in by_task.items()]


def _price(task: str, cells: Sequence[Cell]) -> Price:
    families: dict[str, list[Cell]] = {}
    for cell in cells:
        families.setdefault(family_id(cell), []).append(cell)
    one = _demand(cells[:1])

    def seconds(number: int, turns: int) -> float:
        work = replace(one.work, cells=number, sessions=1, turns=turns)
        return estimate(one.shape, work, GPU).seconds

    prefill = seconds(0, 1)
    return Price(
        task,
        one.work,
        len(cells),
        prefill,
        seconds(1, 1) - prefill,
        seconds(1, one.work.turns) - prefill,
        tuple(_demand(its).estimate(GPU).seconds for its in families.values()),
    )


def _demand(cells: Sequence[Cell]) -> Demand:
    found = demand(cells, local_config(cells[0].model.build()))
    if found is None:
        raise ValueError(f"{cells[0].task.name}: the sizes of its model or data are not known")
    return found


def makespan(seconds: Iterable[float], devices: int) -> float:
    """How long so many devices take together, each with one job at a time, the longest ones first."""
    busy = [0.0] * devices
    for one in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += one
    return max(busy)


def block(conf: Path) -> str:
    """What stands between `BEGIN` and `END`."""
    cells = compose([f"experiment={EXPERIMENT}"], conf).cells
    methods = [cell for cell in cells if cell.method_name != "dense"]
    fixed = [cell for cell in compose([f"experiment={EXPERIMENT}", FIXED], conf).cells if cell.method_name != "dense"]
    found, shared = prices(methods), prices(fixed)
    rows = [_row(one, other) for one, other in zip(found, shared, strict=True)]
    totals = [sum(one.one_by_one for one in found), *(sum(one.by_family for one in its) for its in (found, shared))]
    whole = prices(cells)
    return "\n".join(
        [
            BEGIN,
            "",
            *_arithmetic(next(one for one in found if one.task == SHOWN)),
            "",
            "| task | S | T | B | N | prefill s | a turn alone s | answers as a batch s | one by one h | families h "
            "| families, `prompt_style=fixed` h |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            f"| **GPU hours** | | | | | | | | {' | '.join(f'**{_hours(total)}**' for total in totals)} |",
            f"| on {COUNT} GPUs, longest family first | | | | | | | | {_hours(totals[0] / COUNT)} "
            f"| {_hours(makespan(_families(found), COUNT))} | {_hours(makespan(_families(shared), COUNT))} |",
            "",
            f"{sum(one.cells for one in found)} cells in {len(_families(found))} families, with "
            f"`prompt_style=fixed` in {len(_families(shared))}. With `dense` beside the eleven methods, which is what "
            f"`experiment={EXPERIMENT}` runs: {sum(one.cells for one in whole)} cells, "
            f"{_hours(sum(one.one_by_one for one in whole))} GPU hours one by one, "
            f"{_hours(sum(one.by_family for one in whole))} as families, of which the longest takes "
            f"{_hours(max(_families(whole)))} hours, "
            f"and {_hours(makespan(_families(whole), COUNT))} hours on {COUNT} GPUs.",
            "",
            END,
        ]
    )


def _arithmetic(one: Price) -> list[str]:
    work, families = one.work, len(one.families)
    alone = f"{one.prefill:.1f} + {work.turns} · {one.turn:.2f}"
    together = f"{families} · {one.prefill:.1f} + {one.cells} · {one.answers:.2f}"
    sizes = f"S = {work.sessions} sessions, T = {work.context:,}, B = {work.turns}, N = {work.new_tokens}"
    return [
        f"For {one.task} ({sizes}), {one.cells} cells in {families} families:",
        "",
        "```",
        "one by one   S · cells · (prefill + B · turn)",
        f"             {work.sessions} · {one.cells} · ({alone}) s = {_hours(one.one_by_one)} h",
        "as families  S · (families · prefill + cells · answers)",
        f"             {work.sessions} · ({together}) s = {_hours(one.by_family)} h",
        "```",
    ]


def _row(one: Price, fixed: Price) -> str:
    work = one.work
    sizes = f"{work.sessions} | {work.context:,} | {work.turns} | {work.new_tokens}"
    seconds = f"{one.prefill:.1f} | {one.turn:.2f} | {one.answers:.2f}"
    hours = " | ".join(map(_hours, (one.one_by_one, one.by_family, fixed.by_family)))
    return f"| {one.task} | {sizes} | {seconds} | {hours} |"


def _families(found: Sequence[Price]) -> list[float]:
    return [seconds for one in found for seconds in one.families]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f}"


def write(root: Path) -> None:
    """Put the block anew into the page."""
    page = root / PAGE
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text_atomic(page, before + block(root / "conf") + after)
