"""Claims on sweeps made by hand: numbers against loops, verdicts, what a file of claims may say."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from scbench.config.files import ROOT
from scbench.errors import ScbenchError
from scbench.findings.architectures import architectures_table
from scbench.findings.claims import STATISTICS, Bounds, Claim, read_claims
from scbench.findings.measure import Finding, findings
from scbench.findings.page import findings_table, write_findings
from scbench.record import Diagnostics, KvBytes, Record
from scbench.results.bootstrap import Interval
from scbench.results.scores import score_sweep
from scbench.results.summary import Summary, read_summary
from sweep_builder import answers, cell, write_sweep

SESSIONS = [f"s{place}" for place in range(40)]
CLAIM = Claim(
    name="falls",
    says="it falls",
    source="§4",
    statistic="difference",
    rows={"method": ("snapkv",), "mode": ("multi_turn",)},
    seen=Bounds(below=-10),
    opposite=Bounds(above=0),
    beside={"method": "dense", "budget": ""},
)


def guesses(seed: int, *chances: float) -> list[list[bool]]:
    generator = random.Random(seed)
    return [[generator.random() < chance for chance in chances] for _ in SESSIONS]


def made(root: Path, cells, right) -> Summary:
    records = [
        answers(name, session, turns)
        for name, sessions in right.items()
        for session, turns in zip(SESSIONS, sessions, strict=True)
    ]
    manifest = write_sweep(root, cells, records, sessions=SESSIONS)
    score_sweep(manifest)
    return read_summary(manifest)


def one(summary: Summary, claim: Claim) -> Finding:
    (found,) = findings(summary, [claim])
    return found


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    cells = {
        "d": cell(),
        "m": cell("snapkv", budget=0.25),
        "n": cell("snapkv", budget=0.125),
        "dr": cell(mode="multi_request"),
        "mr": cell("snapkv", mode="multi_request", budget=0.25),
    }
    right = {
        "d": guesses(1, 0.9, 0.9, 0.9),
        "m": guesses(2, 0.8, 0.2, 0.2),
        "n": guesses(3, 0.6, 0.1, 0.1),
        "dr": guesses(4, 0.9, 0.9, 0.9),
        "mr": guesses(5, 0.5, 0.5, 0.5),
    }
    made_ = made(tmp_path, cells, right)
    object.__setattr__(made_, "right", right)
    return made_


def mean(values) -> float:
    return 100 * statistics.fmean(values)


def test_each_statistic_is_that_of_a_loop(summary: Summary) -> None:
    right = summary.right
    pairs = {name: list(zip(right[name], right["d"], strict=True)) for name in "mn"}
    both = [statistics.fmean(m - d for m, d in zip(ms, ds, strict=True)) for name in "mn" for ms, ds in pairs[name]]
    found = one(summary, CLAIM)
    assert found.measured.estimate == pytest.approx(mean(both))
    assert (found.cells, found.contexts, found.verdict) == (2, 40, "seen")
    quarter = replace(CLAIM, rows={**CLAIM.rows, "budget": ("25%",)})
    first = one(summary, replace(quarter, statistic="first"))
    assert first.measured.estimate == pytest.approx(mean(ms[0] - ds[0] for ms, ds in pairs["m"]))
    later = one(summary, replace(quarter, statistic="later"))
    assert later.measured.estimate == pytest.approx(
        mean((ms[1] - ds[1] + ms[2] - ds[2]) / 2 - (ms[0] - ds[0]) for ms, ds in pairs["m"])
    )
    level = one(summary, replace(quarter, statistic="level", beside=None))
    assert level.measured.estimate == pytest.approx(mean(statistics.fmean(ms) for ms in right["m"]))
    than = one(summary, replace(quarter, than={"mode": "multi_request"}))
    here = mean(statistics.fmean(m) - statistics.fmean(d) for m, d in pairs["m"])
    there = mean(statistics.fmean(m) - statistics.fmean(d) for m, d in zip(right["mr"], right["dr"], strict=True))
    assert than.measured.estimate == pytest.approx(here - there)
    assert than.measured.low < than.measured.estimate < than.measured.high


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((-40, -11), "seen"),
        ((-40, -9), "not seen"),
        ((-5, 5), "not seen"),
        ((1, 5), "opposite"),
        ((float("nan"), float("nan")), "n/a"),
    ],
)
def test_a_verdict_needs_the_whole_interval(interval: tuple[float, float], verdict: str) -> None:
    assert Finding(CLAIM, Interval(-10, *interval), 1, 12).verdict == verdict


def test_memory_is_held_against_the_peers(tmp_path: Path) -> None:
    def of(name: str, stored: float) -> list[list[Record]]:
        return [answers(name, session, [True, False], stored=round(stored * 2**20)) for session in SESSIONS]

    cells = {"t": cell(), "h": cell(model="hybrid")}
    manifest = write_sweep(tmp_path, cells, [*of("t", 8), *of("h", 2)], SESSIONS)
    score_sweep(manifest)
    saves = replace(
        CLAIM,
        statistic="memory",
        rows={"model": ("hybrid",), "method": ("dense",)},
        beside={"model": cells["t"].model.name},
        seen=Bounds(below=-50),
    )
    found = one(read_summary(manifest), saves)
    assert found.measured.estimate == pytest.approx(100 * (2 / 8 - 1))
    assert found.verdict == "seen"


def test_architectures_stand_beside_each_other_by_turn(tmp_path: Path) -> None:
    def of(name: str, state: int, per_token: int, right: list[bool]) -> list[Record]:
        made_ = answers(name, "s0", right, prompt_tokens=100)
        total = 100 * per_token + state
        held = KvBytes(dense=total, nominal=total, stored=total, touched=total, state=state)
        return [replace(record, kv_bytes=held) for record in made_]

    cells = {"t": cell(), "h": cell(model="hybrid"), "s": cell("snapkv", budget=0.25), "r": cell(mode="multi_request")}
    right = {"t": [True, True], "h": [True, False], "s": [False, False], "r": [True, True]}
    records = [of(name, 4096 * (name == "h"), 20 if name == "h" else 80, right[name]) for name in cells]
    manifest = write_sweep(tmp_path, cells, records, ["s0"])
    score_sweep(manifest)
    rows = architectures_table(read_summary(manifest)).rows
    model, title = cells["t"].model.name, rows[0][1]
    assert rows == (
        (model, title, 1, 100.0, 80.0, 0.0, 8000 / 2**20),
        (model, title, 2, 100.0, 80.0, 0.0, 8000 / 2**20),
        ("hybrid", title, 1, 100.0, 20.0, 4096.0, 6096 / 2**20),
        ("hybrid", title, 2, 0.0, 20.0, 4096.0, 6096 / 2**20),
    )


def test_a_claim_whose_cells_are_not_all_there_is_not_run(summary: Summary) -> None:
    assert one(summary, replace(CLAIM, rows={"method": ("quest",)})).verdict == "not run"
    assert one(summary, replace(CLAIM, beside={"method": "kivi", "budget": ""})).verdict == "not run"


def test_cells_that_no_claim_can_tell_apart_are_refused(tmp_path: Path) -> None:
    cells = {"a": cell(), "b": cell(task_options={"length": 1024})}
    two = made(tmp_path, cells, {name: guesses(1, 0.5) for name in cells})
    with pytest.raises(ScbenchError, match="cells a and b differ in nothing"):
        findings(two, [CLAIM])


def test_what_the_cache_held_of_dense_attention_falls_by_step_and_by_turn(tmp_path: Path) -> None:
    def seen(turn: int) -> Diagnostics:
        shares = tuple(0.9 - 0.1 * turn - 0.05 * step for step in range(8))
        mass = ((shares, tuple(share - 0.02 for share in shares)),)
        return Diagnostics(4, (0,), tuple(range(8)), mass, mass, None)

    records = [
        [replace(record, diagnostics=seen(record.turn)) for record in answers("m", session, [True, False, False])]
        for session in SESSIONS
    ]
    records += [answers("d", session, [True, True, True]) for session in SESSIONS]
    manifest = write_sweep(tmp_path, {"m": cell("snapkv", budget=0.25), "d": cell()}, records, SESSIONS)
    score_sweep(manifest)
    summary = read_summary(manifest)
    falls = replace(CLAIM, beside=None, seen=Bounds(below=0))
    step = one(summary, replace(falls, statistic="recall_by_step"))
    assert step.measured.estimate == pytest.approx(-30)  # the last two of eight steps are six later than the first two
    turn = one(summary, replace(falls, statistic="recall_by_turn"))
    assert turn.measured.estimate == pytest.approx(-15)  # later turns hold 10 and 20 points less than turn 1
    assert step.verdict == turn.verdict == "seen"
    assert (
        one(summary, replace(CLAIM, statistic="recall_by_step", rows={"method": ("dense",)}, beside=None)).verdict
        == "n/a"
    )


def test_the_page_has_a_row_per_claim_and_says_which_sweep(summary: Summary, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "findings.yaml").write_text(
        "claims:\n"
        "  falls:\n"
        "    says: SnapKV | falls\n"
        "    source: §4\n"
        "    statistic: later\n"
        "    rows: {method: snapkv, budget: 25%, mode: multi_turn}\n"
        "    beside: {method: dense, budget: null}\n"
        "    seen: {below: 0}\n"
        "    opposite: {above: 0}\n"
    )
    page = tmp_path / "docs" / "findings.md"
    page.parent.mkdir()
    table = write_findings(summary.sweep.folder / "manifest.json", conf, page)
    (row,) = table.rows
    assert row[0] == "SnapKV | falls" and row[-1] == "seen"
    text = page.read_text()
    assert "scbench sweep" in text and "1 seen" in text and r"SnapKV \| falls" in text
    assert "method snapkv; budget 25%; mode multi_turn; beside method dense, budget none" in text
    assert read_claims(conf / "findings.yaml")[0].rows["kind"] == ("gen",)  # no floor unless asked for


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("claims: 3", "one mapping"),
        ("claims: {a: {says: x}}", "lacks 'source'"),
        ("claims: {a: {sais: x}}", "did you mean 'says'"),
        (
            "claims: {a: {says: x, source: y, statistic: latter, rows: {}, seen: {}, opposite: {}}}",
            "did you mean 'later'",
        ),
        ("claims: {a: {says: x, source: y, statistic: later, rows: {metod: z}, seen: {}, opposite: {}}}", "'method'"),
        ("claims: {a: {says: x, source: y, statistic: later, rows: {}, seen: {}, opposite: {}}}", "'above', 'below'"),
        ("claims: {a: {says: x, source: y, statistic: later, rows: {}, seen: {below: b}, opposite: {}}}", "could not"),
        (
            "claims: {a: {says: x, source: y, statistic: memory, rows: {}, seen: {above: 0}, opposite: {below: 0}}}",
            "needs 'beside'",
        ),
        ("claims: [", "cannot be read"),
    ],
)
def test_what_is_no_claim_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "findings.yaml").write_text(text)
    with pytest.raises(ScbenchError, match=says) as error:
        read_claims(tmp_path / "findings.yaml")
    assert "\n" not in str(error.value)


def test_the_claims_that_come_along_can_be_both_seen_and_refuted() -> None:
    claims = read_claims(ROOT / "conf" / "findings.yaml")
    assert len(claims) >= 15 and {claim.statistic for claim in claims} <= set(STATISTICS)
    for claim in claims:
        assert not (claim.seen.hold(0, 0) and claim.opposite.hold(0, 0)), claim.name
        assert claim.seen.below <= claim.opposite.above or claim.opposite.below <= claim.seen.above, claim.name
    assert not findings_table([]).rows
