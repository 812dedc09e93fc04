"""Progress on a terminal, in a log, and nowhere; and the findings of the doctor."""

import io
import re

import pytest

from scbench.doctor import findings
from scbench.run.progress import LogProgress, NullProgress, Progress, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    for index in range(2):
        progress.session(index, 2, f"s{index}")
        for done in (0, 50, 100):
            progress.phase("prefill", done, 100, "tokens")
        progress.phase("decode", 8, 8, "tokens")


def test_a_log_has_one_line_per_session() -> None:
    stream = io.StringIO()
    with shown(stream) as progress:
        assert isinstance(progress, LogProgress)
        work(progress)
    assert re.fullmatch(r"session 1 of 2: s0\nsession 2 of 2: s1, 0 s for the one before\n", stream.getvalue()), (
        stream.getvalue()
    )


def test_a_terminal_has_bars_for_session_and_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with shown(stream) as progress:
        work(progress)
    last = stream.getvalue().split("\x1b[1A")[-1]
    assert "session s1" in stream.getvalue()
    assert "decode" in last and "8/8" in last


def test_nobody_needs_to_listen(capsys: pytest.CaptureFixture[str]) -> None:
    work(NullProgress())
    assert capsys.readouterr() == ("", "")


def test_the_doctor_says_what_is_there_and_how_to_get_the_rest() -> None:
    lines = list(findings())
    assert all(re.match(r"ok  \S|--  \S", line) for line in lines)
    text = "\n".join(lines)
    for word in (
        "python 3",
        "torch",
        "cpu: ",
        "kernels on cpu",
        "profile default",
        "profile slurm",
        "GiB free",
        "model smollm2",
    ):
        assert word in text
    for file in re.findall(r"-r (\S+)", text):
        assert file in {"envs/core.txt", "envs/gpu.txt", "envs/vllm.txt"}


def test_the_doctor_names_the_command_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbench.doctor.CORE", ("no-such-package",))
    assert "--  no-such-package is missing: pip install -r envs/core.txt" in list(findings())
