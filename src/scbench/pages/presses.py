"""The table of kvpress's presses in `docs/kvpress.md`: what each of them does on a small cell, found by running it.

`HF_HUB_OFFLINE=1 python -m scbench.pages presses` writes it anew; it needs `make kvpress` and takes a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scbench import evaluate
from scbench.config.compose import compose
from scbench.errors import ScbenchError
from scbench.methods.kvpress.presses import PRESSES
from scbench.record import Outcome, Record
from scbench.results.store import CellStore

MODES = ("multi_turn", "multi_request")
SMALL = ("task=retr_kv", "task.length=512", "task.limit=1", "task.turns=2", "task.max_new_tokens=8")
SETTING = ("engine=kvpress", "model=tiny_llama", "budget=0.5", *SMALL)
BEGIN, END = "<!-- presses -->\n", "<!-- end of presses -->\n"
_SNAPKV, _SOON = "press=SnapKVPress", "compression_interval=4"
EXAMPLES: Mapping[str, tuple[str, ...]] = {  # options without which a press would do nothing here, or nothing at all
    **{
        name: (_SNAPKV,)
        for name, press in PRESSES.items()
        if press.inner == ("press",) and name not in ("BlockPress", "DMSPress", "PerLayerCompressionPress")
    },
    "BlockPress": ("press=KeyDiffPress",),
    "CAMPress": ("base_press=KnormPress", _SOON),
    "CompressionRatioDecodingPress": ("base_press=KnormPress", _SOON),
    "ComposedPress": ("presses=[{SnapKVPress: {compression_ratio: 0.3}}, {KnormPress: {compression_ratio: 0.3}}]",),
    "DMSPress": ("press=KnormPress", "threshold=-8.0"),
    "DecodingPress": ("base_press=KnormPress", _SOON),
    "DuoAttentionPress": ("head_compression_ratio=0.5",),
    "PerLayerCompressionPress": ("press=KnormPress", "compression_ratios=[0.2, 0.3, 0.4, 0.5, 0.6]"),
    "PrefillDecodingPress": (
        "prefilling_press={SnapKVPress: {compression_ratio: 0.5}}",
        "decoding_press={DecodingPress: {base_press: KnormPress, compression_interval: 4, target_size: 100}}",
    ),
    "SimLayerKVPress": ("lazy_threshold=0.1", "n_recent=128"),
    "ThinKPress": ("key_channel_compression_ratio=0.5",),
}


def found(results: Path, python: str) -> dict[tuple[str, str], str]:
    """What every press does, by its name and the mode: run by that interpreter, recorded in that folder."""
    engine = (*SETTING, f"engine.python={python}", f"results={results}")
    said = {(name, mode): f"refused: {why}" for mode in MODES for name, why in _refused((*engine, f"mode={mode}"))}
    runnable: dict[tuple[str, ...], list[str]] = {}
    for name in PRESSES:
        runnable.setdefault(tuple(mode for mode in MODES if (name, mode) not in said), []).append(name)
    for modes, names in runnable.items():
        if modes:
            said.update(_ran((*engine, f"mode={','.join(modes)}", *_told(names)), results))
    return said


def table(said: Mapping[tuple[str, str], str]) -> str:
    """One row per press."""
    return "\n".join(
        (
            "| press | what it does | options here | " + " | ".join(MODES) + " |",
            "|---|---|---|---|---|",
            *(f"| {' | '.join(_cells(name, said))} |" for name in sorted(PRESSES)),
            "",
        )
    )


def write(root: Path) -> None:
    """Write the table into `docs/kvpress.md`."""
    page = root / "docs" / "kvpress.md"
    with tempfile.TemporaryDirectory() as results:
        made = table(found(Path(results), ".venv-kvpress/bin/python"))
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + made + END + rest.partition(END)[2], encoding="utf-8")


def _told(names: Sequence[str]) -> Iterator[str]:
    yield f"method={','.join(names)}"
    for name in names:
        for option in EXAMPLES.get(name, ()):
            yield f"method.{name}.{option}"


def _refused(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The presses that are refused when a sweep with these overrides is planned, and why."""
    names = list(PRESSES)
    while names:
        try:
            compose((*overrides, *_told(names)), Path("conf"))
            return
        except ScbenchError as error:
            refused, _, why = str(error).removeprefix("method=").partition(": ")
            names.remove(refused)
            yield refused, why


def _ran(overrides: Sequence[str], results: Path) -> Iterator[tuple[tuple[str, str], str]]:
    scores = evaluate(*overrides)
    for (method, mode), rows in scores.groupby(["method", "mode"], sort=False):
        records = CellStore(results, str(rows.cell.iloc[0])).read()
        name = str(method).split()[0]
        yield (name, str(mode)), _outcome(records, PRESSES[name].needs)


def _outcome(records: Sequence[Record], needs: str) -> str:
    """What the first turn of a cell tells; how a press fails that `needs` something depends on the machine."""
    first = records[0]
    if first.outcome in (Outcome.OK, Outcome.NOOP) and first.kv_bytes is not None and first.serving is not None:
        return f"{first.serving.form}, stores {first.kv_bytes.stored / first.kv_bytes.dense:.0%}"
    return f"{first.outcome.value}: {'what it needs is not here' if needs else first.detail}"


def _cells(name: str, said: Mapping[tuple[str, str], str]) -> Iterator[str]:
    press = PRESSES[name]
    yield f"`{name}`"
    yield (press.__doc__ or "").splitlines()[0] + (f" **Needs** {press.needs}." if press.needs else "")
    yield ", ".join(f"`{option}`" for option in EXAMPLES.get(name, ()))
    for mode in MODES:
        yield said[name, mode]
