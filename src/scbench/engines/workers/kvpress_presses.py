"""kvpress's presses by their names: made from plain data, and what each of them needs from whoever drives it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import kvpress
from kvpress import (
    BasePress,
    DecodingPress,
    DMSPress,
    FinchPress,
    KeyRerotationPress,
    ObservedAttentionPress,
    PrefillDecodingPress,
    RestoreKVPress,
)

PRESSES: Mapping[str, type[BasePress]] = {
    name: found
    for name in kvpress.__all__
    if inspect.isclass(found := getattr(kvpress, name)) and issubclass(found, BasePress)
}


class Refused(ValueError):
    """What cannot be asked of a press."""


def build(name: str, options: Mapping[str, Any]) -> BasePress:
    """The press of that name; a press among its options is a name, or `{NAME: {option: value}}`.

    Raises `Refused` where there is none such, or where it does not take the options.
    """
    if name not in PRESSES:
        raise Refused(f"kvpress has no press '{name}'")
    values = {key: _value(value) for key, value in options.items()}
    try:
        return PRESSES[name](**values)
    except (AssertionError, TypeError, ValueError) as error:
        raise Refused(f"{name}: {error}") from error


def _value(value: Any) -> Any:
    if isinstance(value, str) and value in PRESSES:
        return build(value, {})
    if isinstance(value, Mapping) and len(value) == 1 and (name := next(iter(value))) in PRESSES:
        return build(name, value[name] or {})
    return [_value(item) for item in value] if isinstance(value, list | tuple) else value


def parts(press: BasePress) -> Iterator[BasePress]:
    """The press and those inside it."""
    yield press
    for value in vars(press).values():
        for inner in value if isinstance(value, list) else (value,):
            if isinstance(inner, BasePress):
                yield from parts(inner)


def with_tokens(press: BasePress, tokens: int, base: int) -> None:
    """Set a press so that it keeps `tokens` of `base` tokens.

    `int(base * (1 - ratio))` of them stay, so the ratio is that of half a token more: no rounding error loses one.
    """
    ratio = max(0.0, 1 - (tokens + 0.5) / base)
    option = next((known for known in ("target_size", "target_compression_ratio") if _takes(press, known)), None)
    try:
        setattr(press, option or "compression_ratio", tokens if option == "target_size" else ratio)
    except AttributeError as error:
        raise Refused(f"{type(press).__name__} has no amount that a budget could set: {error}") from error


def share_kept(press: BasePress | None) -> float:
    """The share of a base that a press keeps by the ratio that it says of itself, once it has acted."""
    try:
        return 1.0 - (getattr(press, "compression_ratio", None) or 0.0)
    except (AssertionError, ValueError):  # it has acted on no layer
        return 1.0


def _takes(press: BasePress, option: str) -> bool:
    return option in inspect.signature(type(press)).parameters


def stays_active(press: BasePress) -> bool:
    """Whether it also acts on what follows the base."""
    return isinstance(press, (DecodingPress, PrefillDecodingPress)) or (isinstance(press, DMSPress) and press.decoding)


def needs_weights(press: BasePress) -> bool:
    """Whether it looks at the attention weights themselves, which only transformers' plain attention gives."""
    return any(isinstance(part, ObservedAttentionPress) for part in parts(press))


def renumbers(press: BasePress) -> bool:
    """Whether what follows the base continues at the length of the cache that is left, not of the base.

    Raises `Refused` where a press inside another one would do so, which kvpress does not follow.
    """
    found = [part for part in parts(press) if _renumbers(part)]
    if any(part is not press for part in found):
        raise Refused(
            f"{type(found[-1]).__name__} moves keys to new positions, which works only as the outermost press"
        )
    return bool(found)


def _renumbers(press: BasePress) -> bool:
    return isinstance(press, (KeyRerotationPress, RestoreKVPress)) or (
        isinstance(press, FinchPress) and press.rerotate_keys
    )


def added(press: BasePress | None) -> int:
    """How many tokens of its own a press puts behind the base."""
    return press.num_restore_tokens if isinstance(press, RestoreKVPress) else 0


def marked(press: BasePress, ids: list[int], question: int, vocabulary: int) -> list[int]:
    """The base's ids as the press wants them: Finch is told by a token in front of it where the question begins.

    That token is one which the text does not have; the press takes its embedding out again.
    """
    finches = [part for part in parts(press) if isinstance(part, FinchPress)]
    if not finches:
        return ids
    if finches[0] is not press:
        raise Refused("FinchPress works only as the outermost press")
    if question >= len(ids):
        raise Refused("FinchPress chooses by the question, which is not in the cache here; give query=aware or each")
    known = set(ids)
    press.delimiter_token_id = next(number for number in range(vocabulary) if number not in known)
    return [*ids[:question], press.delimiter_token_id, *ids[question:]]
