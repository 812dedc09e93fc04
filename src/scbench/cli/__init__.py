"""The command line. Every command imports what it needs when it runs, so that `--help` and `list` are quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from scbench.cli.arguments import parse
from scbench.errors import ScbenchError

INTERRUPTED = "interrupted: finished sessions are kept, and the same command goes on with the rest"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 2 with one line for a user's mistake, 130 after Ctrl-C."""
    try:
        return _command(sys.argv[1:] if argv is None else argv)
    except ScbenchError as error:
        print(f"scbench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nscbench: {INTERRUPTED}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (say, `head`) has what it wanted; what is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _command(argv: Sequence[str]) -> int:
    try:
        arguments = parse(argv)
        code: int = arguments.function(arguments)
        return code
    except SystemExit:  # argparse has printed the help
        return 0
    finally:
        sys.stdout.flush()  # here, where a closed pipe can still be caught
