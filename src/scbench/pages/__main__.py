"""Write the pages anew, in the repository's root: `python -m scbench.pages`, or a part of them: `… methods`."""

from __future__ import annotations

import sys
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.nearest import hint
from scbench.pages import costs, methods, presses, tasks

PARTS = {"costs": costs.write, "methods": methods.write, "tasks": tasks.write}
ON_DEMAND = {"presses": presses.write}  # they run what they describe, in another engine's environment


def main(names: list[str]) -> None:
    """Write the named parts; without a name all those that need nothing but the code."""
    parts = {**PARTS, **ON_DEMAND}
    for name in names:
        if name not in parts:
            raise ScbenchError(f"there are no pages of '{name}'; {hint(name, parts)}")
    for name in names or PARTS:
        parts[name](Path())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ScbenchError as error:
        sys.exit(f"scbench: {error}")
