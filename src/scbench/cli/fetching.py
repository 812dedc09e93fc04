"""`scbench fetch`: bring what a sweep reads to where there is no network."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scbench.errors import ScbenchError

if TYPE_CHECKING:
    from scbench.fetching.thing import State, Thing

GIB = 2**30


def run(arguments: argparse.Namespace) -> int:
    """Say what is here and what is not, bring the latter; exit code 1 if something cannot be had."""
    from scbench.config.compose import compose
    from scbench.config.files import find_conf
    from scbench.fetching.wanted import wanted

    things = wanted(compose(arguments.overrides, find_conf()).cells)
    with _bars(sys.stderr.isatty()):
        states = dict(_looked_up(things))
        missing = [thing for thing, state in states.items() if not state.here]
        _check_room(states)
        brought = [thing for thing in missing if not arguments.dry_run and _brought(thing)]
    failed = len(things) - len(states) + (0 if arguments.dry_run else len(missing) - len(brought))
    size = _size(sum(state.missing or 0 for state in states.values()))
    if failed:
        print(f"{failed} of {len(things)} could not be had; the same command goes on with what is missing")
    elif arguments.dry_run and missing:
        print(f"{len(missing)} of {len(things)} to fetch, {size}")
    else:
        print(f"all {len(things)} are here; where there is no network, set HF_HUB_OFFLINE=1")
    return 1 if failed else 0


def _looked_up(things: Sequence[Thing]) -> Iterator[tuple[Thing, State]]:
    for thing in things:
        try:
            state = thing.state()
        except ScbenchError as error:
            print(f"scbench: {error}", file=sys.stderr)
            continue
        print(_line(thing, state), flush=True)
        yield thing, state


def _line(thing: Thing, state: State) -> str:
    if state.here:
        return f"here      {thing.name}  {_size(state.size or 0)}"
    if state.size is None:
        return f"to fetch  {thing.name}"
    part = "" if state.missing == state.size else f" of {_size(state.size)}"
    return f"to fetch  {thing.name}  {_size(state.missing or 0)}{part}"


def _brought(thing: Thing) -> bool:
    try:
        thing.bring()
    except ScbenchError as error:
        print(f"scbench: {error}", file=sys.stderr)
        return False
    print(f"fetched   {thing.name}", flush=True)
    return True


def _check_room(states: Mapping[Thing, State]) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    needed = sum(state.missing or 0 for state in states.values())
    there = next(folder for folder in (Path(HF_HUB_CACHE), *Path(HF_HUB_CACHE).parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ScbenchError(f"{_size(needed)} to fetch, and {_size(free)} free in {HF_HUB_CACHE}; set HF_HOME elsewhere")


def _size(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB" if amount >= GIB else f"{amount / 2**20:.1f} MiB"


class _bars:
    """The hub's progress bars, where somebody sees them."""

    def __init__(self, seen: bool) -> None:
        self.seen = seen

    def __enter__(self) -> None:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        if not self.seen:
            disable_progress_bars()

    def __exit__(self, *_: object) -> None:
        from huggingface_hub.utils.tqdm import enable_progress_bars

        if not self.seen:
            enable_progress_bars()
