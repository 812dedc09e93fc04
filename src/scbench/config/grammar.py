"""Hydra's override and sweep grammar: `key=value`, `key=a,b`, `key=glob(*)`, `key=range(1,4)`.

The only module that touches Hydra's parser, which is not a public interface (hydra-core is pinned to 1.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from scbench.config.cell import Value
from scbench.errors import ScbenchError


@dataclass(frozen=True)
class Assignment:
    """One override, parsed: `values` has one entry, or several when the override is a sweep.

    `text` is the override as written; `origin` says in an error message where it stands.
    """

    key: str
    values: tuple[Value, ...]
    text: str
    origin: str


def parse(text: str, loader: ConfigLoader, origin: str | None = None) -> Assignment:
    """Read one override; `loader` answers which choices a `glob()` can match.

    Raises `ScbenchError` on a syntax error, on `+key`, `~key` and `key@package`, and on a sweep that cannot be
    listed (`interval()`) or that is empty.
    """
    origin = origin or f"'{text}'"
    if "=" not in text and not text.startswith("~"):
        raise ScbenchError(f"{origin} has no value: write key=value")
    try:
        override = OverridesParser.create(loader).parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScbenchError(
            f"{origin} is not key=value in Hydra's grammar ({reason}); put values with special characters in quotes, "
            "for example \"key='a b'\""
        ) from error
    if override.type is not OverrideType.CHANGE:
        raise ScbenchError(f"{origin}: keys cannot be added (+) or deleted (~), only set: write key=value")
    if override.package is not None or not override.key_or_group:
        raise ScbenchError(f"{origin} is not of the form key=value")
    override.config_loader = loader
    return Assignment(override.key_or_group, _values(override, origin), text, origin)


def _values(override: Override, origin: str) -> tuple[Value, ...]:
    if not override.is_sweep_override():
        return (override.value(),)
    if not override.is_discrete_sweep():
        raise ScbenchError(f"{origin}: an interval has no list of values; write range(start,stop,step) or a,b,c")
    values = tuple(Override._convert_value(value) for value in override.sweep_iterator())
    if not values:
        raise ScbenchError(f"{origin} matches nothing")
    return values
