"""`scbench check-method`: the conformance kit over one method."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scbench.errors import ScbenchError


def run(arguments: argparse.Namespace) -> int:
    """Try every property and print a line for each; exit code 1 if one fails."""
    from transformers.utils import logging

    from scbench.conformance.checks import Kit

    logging.set_verbosity_error()  # the hybrid's slow path is meant here
    method = _of_file(arguments.method, arguments.options) if arguments.method.endswith(".py") else _named(arguments)
    print(f"{method}")
    failed = total = 0
    for result in Kit(method).run():
        total += 1
        failed += bool(result.failure)
        print(f"  {'FAILED' if result.failure else 'ok':6}  {result.name}", flush=True)
        if result.failure:
            print(f"          {result.failure}")
    print(f"checks {total}, failed {failed}")
    return 1 if failed else 0


def _named(arguments: argparse.Namespace) -> Any:
    from scbench.config.compose import compose
    from scbench.config.files import find_conf
    from scbench.config.presets import TINY

    cells = compose([f"method={arguments.method}", f"preset={TINY}", *arguments.options], find_conf()).cells
    if len(cells) > 1 or len(cells[0].methods) > 1:
        raise ScbenchError("check-method takes one method with one value for each of its options")
    return cells[0].methods[0].build()


def _of_file(name: str, overrides: Sequence[str]) -> Any:
    """The method that a Python file defines; `method.option=value` sets its options."""
    from scbench.methods.base import Method

    path = Path(name)
    if not path.is_file():
        raise ScbenchError(f"{name}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ScbenchError(f"{name}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ScbenchError(f"{name}: cannot be imported: {type(error).__name__}: {error}") from error
    own = [
        found
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, Method) and found.__module__ == path.stem
    ]
    if len(own) != 1:
        raise ScbenchError(f"{name}: defines {len(own)} methods, expected one subclass of scbench.methods.base.Method")
    options = _options(overrides, own[0], name)
    try:
        return own[0](**options)
    except ScbenchError:
        raise
    except Exception as error:
        raise ScbenchError(f"{name}: {own[0].__name__} cannot be made: {type(error).__name__}: {error}") from error


def _options(overrides: Sequence[str], cls: type[Any], origin: str) -> Mapping[str, Any]:
    from scbench.config.cell import Entry, typed

    entries = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.startswith("method."):
            raise ScbenchError(f"'{override}': write method.option=value")
        entries.append(Entry(key.removeprefix("method."), value, f"'{override}'"))
    return typed(cls, entries, f"method of {origin}")
