"""The price in docs/cluster.md: made from the formula, and the same as plain arithmetic from the data sheet."""

from itertools import product
from pathlib import Path

import pytest

from scbench.config.compose import compose
from scbench.grid.cells import canonical
from scbench.grid.published_sizes import SIZES
from scbench.pages.costs import BEGIN, END, EXPERIMENT, PAGE, block, makespan

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
SHARE_NOTHING = 5  # of the eleven: a_shape, tri_shape, minference, llmlingua2, cacheblend change the prefill
WINDOW = 131_072


def rows() -> dict[str, list[str]]:
    """The table's rows by their first column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:1] == "|"]
    return {line[0]: line[1:] for line in lines if len(line) > 6}


def hand(published: str, answer: int) -> dict[str, float]:
    """Seconds and hours of a task from the data sheet of the H100 and the sizes of Llama-3.1-8B."""
    sizes = SIZES[published]
    tokens, turns, sessions = min(sizes.context, WINDOW), min(sizes.turns, 5), min(sizes.sessions, 100)
    parameters = 128256 * 4096 * 2 + 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
    flops, bandwidth = 989e12 / 2, 3.35e12 / 2
    prefill = (2 * parameters * tokens + 2 * 32 * 4096 * tokens**2) / flops

    def answering(number: int) -> float:
        read = 2 * parameters + number * tokens * 2 * 32 * 8 * 128 * 2
        return 2 * parameters * number * (answer + 64) / flops + answer * read / bandwidth

    def hours(prefills: int) -> float:
        return sessions * (prefills * prefill + 22 * answering(turns)) / 3600

    alone = sessions * 22 * (prefill + turns * answering(1)) / 3600
    return {
        "prefill": prefill,
        "turn": answering(1),
        "answers": answering(turns),
        "one by one": alone,
        "families": hours(2 * (SHARE_NOTHING + 1)),
        "fixed": hours(SHARE_NOTHING + 1),
    }


def test_the_page_has_what_the_formula_gives() -> None:
    made = TEXT[TEXT.index(BEGIN) : TEXT.index(END) + len(END)]
    assert made == block(CONF)


def test_every_row_is_plain_arithmetic() -> None:
    tasks = {cell.task.name: cell.task for cell in compose([f"experiment={EXPERIMENT}"], CONF).cells}
    assert len(tasks) == 12
    totals = [0.0, 0.0, 0.0]
    for name, task in tasks.items():
        *_, prefill, turn, answers, one_by_one, families, fixed = rows()[name]
        expected = hand(task.type.published, task.options["max_new_tokens"])
        shown = dict(zip(expected, map(float, (prefill, turn, answers, one_by_one, families, fixed)), strict=True))
        assert shown == pytest.approx(expected, abs=0.051)
        totals = [total + expected[key] for total, key in zip(totals, ("one by one", "families", "fixed"), strict=True)]
    bold = [float(cell.strip("* ")) for cell in rows()["**GPU hours**"][-3:]]
    assert bold == pytest.approx(totals, abs=0.051)


def test_it_is_the_papers_experiment_for_one_model() -> None:
    def named(overrides: list[str]) -> set[str]:
        return {repr(canonical(cell)) for cell in compose(overrides, CONF).cells if cell.model.name == "llama3_1_8b"}

    own = named([f"experiment={EXPERIMENT}"])
    assert own == named(["experiment=paper"]) and len(own) == 12 * 12 * 2


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_a_makespan_is_near_the_best_that_any_order_reaches(devices: int) -> None:
    jobs = (7.0, 5.0, 4.0, 4.0, 3.0, 1.0)
    best = min(
        max(sum(job for job, at in zip(jobs, places, strict=True) if at == device) for device in range(devices))
        for places in product(range(devices), repeat=len(jobs))
    )
    assert best <= makespan(jobs, devices) <= best * (4 / 3 - 1 / (3 * devices))  # Graham's bound for this order
    assert makespan(jobs, 1) == sum(jobs)
