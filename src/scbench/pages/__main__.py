"""Write the pages anew, in the repository's root: `python -m scbench.pages`, or a part of them: `… methods`."""

from __future__ import annotations

import sys
from pathlib import Path

from scbench.errors import ScbenchError
from scbench.nearest import hint
from scbench.pages import costs, methods, tasks

PARTS = {"costs": costs.write, "methods": methods.write, "tasks": tasks.write}


def main(names: list[str]) -> None:
    """Write the named parts, all of them without a name."""
    for name in names:
        if name not in PARTS:
            raise ScbenchError(f"there are no pages of '{name}'; {hint(name, PARTS)}")
    for name in names or PARTS:
        PARTS[name](Path())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ScbenchError as error:
        sys.exit(f"scbench: {error}")
