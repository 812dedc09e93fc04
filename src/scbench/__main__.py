"""`python -m scbench`."""

import sys

from scbench.cli import main

sys.exit(main())
