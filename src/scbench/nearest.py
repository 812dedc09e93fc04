"""The nearest right name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(set(names)), n=1)), None)


def hint(name: str, names: Iterable[str]) -> str:
    """`did you mean 'x'?` if a known name is near, else the list of known names."""
    known = sorted(set(names))
    near = nearest(name, known)
    return f"did you mean '{near}'?" if near else f"known: {', '.join(known) or 'none'}"
