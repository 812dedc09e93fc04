"""Presets: other values for a method's options, kept under `presets:` in its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scbench.errors import ScbenchError
from scbench.nearest import hint

OWN, PAPER, CODE = "own", "paper", "code"
TINY = "tiny"  # with which a method acts on some sixty tokens: that of `scbench check-method`
PRESETS = (OWN, PAPER, CODE, TINY)


def checked(name: str, origin: str) -> str:
    """The name of a preset; raises `ScbenchError` if there is none such."""
    if name not in PRESETS:
        raise ScbenchError(f"{origin}: there is no preset '{name}'; {hint(name, PRESETS)}")
    return name


def without_presets(node: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a choice's file alone."""
    return {key: value for key, value in node.items() if key != "presets"}


def with_preset(file: str, node: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """A choice's values with those of a preset over them; a preset that the file does not name changes nothing.

    Raises `ScbenchError` where the file's presets are not options under the names of presets.
    """
    values, presets = without_presets(node), node.get("presets", {})
    if not isinstance(presets, Mapping):
        raise ScbenchError(f"{file}: presets: expected the names {', '.join(PRESETS[1:])}, each with options")
    for name, options in presets.items():
        if name not in PRESETS[1:] or not isinstance(options, Mapping):
            raise ScbenchError(
                f"{file}: presets.{name}: expected options under {', '.join(PRESETS[1:-1])} or {PRESETS[-1]}"
            )
        for option in options:
            if option not in values:
                raise ScbenchError(f"{file}: presets.{name} has no option '{option}'; {hint(str(option), values)}")
    return {**values, **presets.get(preset, {})}
