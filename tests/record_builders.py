"""Records made by hand, for the tests of results and report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scbench.record import Outcome, Record

CELL = "00112233445566aa"


def record(session: str, turn: int, turns: int, **values: Any) -> Record:
    fields = {"cell": CELL, "outcome": Outcome.OK, "prediction": f"answer {turn} of {session}"} | values
    return Record(session=session, turn=turn, turns=turns, **fields)


def session(name: str, turns: int, **values: Any) -> list[Record]:
    return [record(name, turn, turns, **values) for turn in range(turns)]


def flat(sessions: Sequence[Sequence[Record]]) -> list[Record]:
    return [record for records in sessions for record in records]
