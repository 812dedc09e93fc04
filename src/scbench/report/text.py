"""Model output as visible text, as tables show it too."""

from scbench.results.text import LONGEST, visible

__all__ = ["LONGEST", "visible"]
