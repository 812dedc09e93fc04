"""Small rows of the exact schema of the published data, per configuration, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

Row = dict[str, Any]

KEYS = [f"{i:08x}-0000-4000-8000-{i * i:012x}" for i in range(12)]
PAIRS = dict(zip(KEYS[:6], KEYS[6:], strict=True))
OPTIONS = ["the Mill", "the Barn", "the Inn", "the Well"]
CODE = "def double(x):\n    return 2 * x\n"


def _asked(key: str) -> Row:
    return {"input": f'Key: "{key}"\nThe value associated with the specified key is: ', "answer": PAIRS[key]}


def _row(context: Any, *turns: Row, field: str = "context", **more: Any) -> Row:
    return {field: context, "multi_turns": list(turns)} | more


SUMMARY = {"input": "Please summarise document 1.", "answer": "A mill is found."}
FUNCTION = {"input": "It doubles its argument.", "answer": CODE, "name": "double"}
NOVEL = "Ann hid the ring in the Mill. Bo left at noon."
ROWS: Mapping[str, tuple[str, Sequence[Row]]] = {
    "retr_kv": ("scbench_kv", [_row(json.dumps(PAIRS), *map(_asked, KEYS[:3]), id=5)] * 2),
    "retr_prefix_suffix": (
        "scbench_prefix_suffix",
        [
            _row(
                "Dictionary: [abcxyz, abcdef, uvwxyz]",
                {
                    "input": "Prefix: abc; Suffix: xyz. The word with both prefix and suffix from the dict is?",
                    "answer": "abcxyz",
                },
            )
        ],
    ),
    "retr_multihop": (
        "scbench_vt",
        [
            _row(
                "VAR ABCDE = 12345. The sky is blue. VAR FGHIJ = VAR ABCDE.",
                {"input": "Find all variables that are assigned the value 12345.", "answer": ["ABCDE", "FGHIJ"]},
                field="input",
                index=0,
            )
        ],
    ),
    "code_repoqa": ("scbench_repoqa", [_row(CODE * 2, FUNCTION, lang="python", repo="a/b", id=1)]),
    "en_qa": (
        "scbench_qa_eng",
        [
            _row(NOVEL, {"input": "Where is the ring?", "answer": "the Mill"}, id=1),
            _row(NOVEL, {"input": "Who left?", "answer": "Bo"}, {"input": "When?", "answer": "noon"}, id=1),
        ],
    ),
    "zh_qa": ("scbench_qa_chn", [_row("安把戒指藏在磨坊里。", {"input": "戒指在哪里？", "answer": "磨坊"}, id=1)]),
    "en_multichoice": (
        "scbench_choice_eng",
        [_row(NOVEL, {"input": "Where is the ring?", "answer": "the Mill", "options": OPTIONS}, id=1)],
    ),
    "math_find": (
        "scbench_mf",
        [
            _row(
                [101, 205, 999, 205, 333, 444],
                {"input": "The largest number of the list is: ", "answer": 999},
                {"input": "The most frequent number of the list is: ", "answer": 205},
                id=1,
            )
        ],
    ),
    "icl_manyshot": (
        "scbench_many_shot",
        [
            _row(
                "Q: What day is it?\nOptions:\n(A) today\n(B) tomorrow\nA: (A)",
                {"input": "What day is it?\nOptions:\n(A) today\n(B) tomorrow", "answer": "B"},
                task="date_understanding",
                id=1,
            )
        ],
    ),
    "en_sum": ("scbench_summary", [_row("Document 1: We find a mill. It stands there.", SUMMARY)]),
    "mix_sum_niah": (
        "scbench_summary_with_needles",
        [
            _row(
                "Document 1: We find a mill. The pass key is 51234.",
                SUMMARY | {"task": "scbench_summary"},
                {"input": "What is the pass key?", "answer": "51234", "task": "scbench_passkey"},
            )
        ],
    ),
    "mix_repoqa_kv": (
        "scbench_repoqa_and_kv",
        [
            _row(
                CODE + json.dumps(PAIRS),
                FUNCTION | {"task": "scbench_repoqa"},
                _asked(KEYS[0]) | {"task": "scbench_kv", "name": ""},
                lang="python",
                repo="a/b",
            )
        ],
    ),
}


def jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet_file(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path
