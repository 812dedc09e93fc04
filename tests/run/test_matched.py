"""experiment=matched: its tables hold the methods that they should, at equal bytes."""

from pathlib import Path

import pandas as pd
import pytest

import scbench
from scbench.results.tables import tables_sweep

QUANTISED = {"kivi", "turboquant"}
KEPT = {"streaming_llm", "snapkv", "pyramidkv", "random"}
READ = {"quest", "rocketkv"}
INDEXED = {"oracle_topk", "retrieval_attention"}
WHOLE = {"dense", "a_shape", "tri_shape", "minference", "cacheblend", "epic"}


@pytest.mark.long
def test_every_method_stands_in_a_matched_table(tmp_path: Path) -> None:
    given = ["experiment=matched", "task=retr_kv", "task.limit=1", "task.length=3072", "max_turns=2"]
    found_all = scbench.evaluate(*given, f"results={tmp_path}", "run.threads=1", "run.bundle=true")
    assert set(found_all.outcome) <= {"ok", "noop"}
    (manifest,) = tmp_path.glob("*/manifest.json")
    tables_sweep(manifest)
    tables = manifest.parent / "tables"

    def found(measure: str, mode: str, level: str) -> set[str]:
        table = pd.read_csv(tables / f"{measure}_{mode}.csv")
        return set(table[table[f"{measure} KV"] == level].method)

    for mode in ("multi_turn", "multi_request"):
        rewritten = {"llmlingua2"} if mode == "multi_request" else set()  # a text is not shortened again turn by turn
        assert found("stored", mode, "25%") >= KEPT | QUANTISED | rewritten
        assert found("stored", mode, "100%") >= WHOLE | INDEXED | {"quest"}
        assert found("touched", mode, "25%") >= KEPT | QUANTISED | READ | rewritten
        assert found("touched", mode, "53%") >= KEPT | QUANTISED | READ | INDEXED
        assert found("touched", mode, "100%") >= WHOLE
