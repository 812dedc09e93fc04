"""The pages of `docs/methods`, one per file of `conf/method` that names a class, and their index."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from scbench.config.cell import load_class
from scbench.config.files import find, names
from scbench.methods.base import PROMPT, STAGES, Method

BUDGET = 512  # tokens, to show what a method makes of them
UNBOUNDED = 2**40  # what lossless settings have where there is no largest number
COUNTED = {  # what the budget counts, by the stage where it is spent
    "generation": "keys that a token of the base reads",
    "compression": "tokens kept per layer",
    "retrieval": "tokens computed again",
    "loading": "tokens read per new token and layer",
}
BAR = r"\|"  # in a cell of a table
MADE = "Made by `python -m scbench.pages methods` from the method's docstrings and its file in `conf/method`."


@dataclass(frozen=True)
class Documented:
    """A method as its file in `conf/method` configures it.

    `notes` are the comments behind its options, `presets` other values of some of them, by the preset's name.
    """

    name: str
    method: Method
    notes: Mapping[str, str]
    presets: Mapping[str, Mapping[str, Any]]

    @property
    def cls(self) -> type[Method]:
        """Its class."""
        return type(self.method)

    @property
    def text(self) -> str:
        """The docstring of its class."""
        return inspect.cleandoc(self.cls.__doc__ or "")

    @property
    def title(self) -> str:
        """The first words of its module."""
        return self._headline[0]

    @property
    def summary(self) -> str:
        """The other words of its module's first line."""
        return self._headline[1]

    @property
    def options(self) -> dict[str, Any]:
        """The values of its options."""
        return _options(self.method)

    @property
    def stages(self) -> str:
        """Where it acts, in words."""
        return " and ".join(self.cls.stages) or "none"

    @property
    def parents(self) -> list[type[Method]]:
        """The methods that it derives from, the nearest first."""
        return [one for one in self.cls.__mro__[1:] if issubclass(one, Method) and one is not Method]

    @property
    def source(self) -> str:
        """The paper that its docstring names first, and where in it; empty without one."""
        found = re.search(r"arXiv (\d{4}\.\d{4,5})(?:, ([^)]*))?", self.text)
        if found is None:
            return ""
        place = f", {' '.join(found[2].split())}" if found[2] else ""
        return f"[arXiv {found[1]}](https://arxiv.org/abs/{found[1]}){place}"

    @property
    def counted(self) -> str:
        """What the shared budget counts here."""
        if self.cls.uses_bytes:
            return "bits, where it is in bytes; otherwise nothing"
        if not self.cls.uses_budget:
            return "nothing: one cell stands for all budgets"
        if self.cls.rewrites:
            return "tokens of the context that stay"
        return " and ".join(COUNTED[stage] for stage in self.cls.stages)

    @cached_property
    def _headline(self) -> tuple[str, str]:
        line = inspect.cleandoc(sys.modules[self.cls.__module__].__doc__ or "").partition("\n")[0].rstrip(".")
        title, colon, rest = line.partition(": ")
        return (title, rest) if colon else (self.name, line)


def documented(conf: Path) -> list[Documented]:
    """All methods of a configuration folder, in the order of the stages where they act first."""
    found = []
    for name in names(conf, "method"):
        file = find(conf, f"method/{name}.yaml")
        node: Any = OmegaConf.to_container(OmegaConf.load(file))
        if "_target_" not in node:
            continue
        presets = node.pop("presets", {})
        method = load_class(node.pop("_target_"))(**node)
        found.append(Documented(name, method, dict(_notes(file.read_text(encoding="utf-8"))), presets))
    return sorted(found, key=lambda one: [STAGES.index(stage) for stage in one.cls.stages])


def index(methods: list[Documented]) -> str:
    """The table of all methods."""
    rows = (
        _row(
            one.stages, f"[`{one.name}`]({one.name}.md)", f"{one.title}: {one.summary}", one.source or "–", one.counted
        )
        for one in methods
    )
    return "\n".join(
        (
            "# Methods",
            "",
            "What each one does, its options and their defaults, what a budget is to it, when it loses nothing.",
            "Methods of different stages compose: `method=minference+snapkv`. Where they differ from the original",
            "benchmark and from their authors' code, and why: [differences](../differences.md).",
            "",
            "| Stage | Method | What it does | Source | `budget` counts |",
            "|---|---|---|---|---|",
            *rows,
            "",
            MADE,
            "",
        )
    )


def page(one: Documented, methods: list[Documented]) -> str:
    """A method's page; `methods` are those that have one too."""
    source = f" Source: {one.source}." if one.source else ""
    return "\n".join(
        (
            f"# {one.title}",
            "",
            f"`method={one.name}`: {one.summary}. Stage: {one.stages}.{source}",
            "",
            "```",
            *_commands(one),
            "```",
            "",
            one.text,
            "",
            *_inherited(one, methods),
            *_option_table(one),
            *_preset_table(one),
            "## In the engine",
            "",
            "| What | Here |",
            "|---|---|",
            *(_row(what, here) for what, here in _facts(one)),
            "",
            MADE,
            "",
        )
    )


def _commands(one: Documented) -> Iterator[str]:
    yield f"scbench run method={one.name} task=retr_kv{' budget=0.25' if one.cls.uses_budget else ''}"
    if one.cls.stages:
        yield f"scbench check-method {one.name}"


def _inherited(one: Documented, methods: list[Documented]) -> Iterator[str]:
    pages = {other.cls: other for other in methods}
    for parent in one.parents:
        if parent in pages:
            yield f"What is not said here is as in [{pages[parent].title}]({pages[parent].name}.md)."
            yield ""


def _option_table(one: Documented) -> Iterator[str]:
    yield "## Options"
    yield ""
    if not one.options:
        yield "None."
        yield ""
        return
    yield "| Option | Type | Default | Note |"
    yield "|---|---|---|---|"
    for field in fields(one.method):
        value, note = _value(one.options[field.name]), one.notes.get(field.name, "–")
        yield _row(f"`method.{one.name}.{field.name}`", str(field.type), value, note)
    yield ""


def _preset_table(one: Documented) -> Iterator[str]:
    presets = {name: preset for name, preset in one.presets.items() if preset}
    if not presets:
        return
    yield "## Presets"
    yield ""
    yield f"| Option | Default | {' | '.join(f'`{name}`' for name in presets)} |"
    yield f"|---|---|{'---|' * len(presets)}"
    for option in dict.fromkeys(option for preset in presets.values() for option in preset):
        values = [_value(preset[option]) if option in preset else "–" for preset in (one.options, *presets.values())]
        yield _row(f"`{option}`", *values)
    yield ""


def _facts(one: Documented) -> Iterator[tuple[str, str]]:
    cls = one.cls
    yield "Prefill", _prefill(cls)
    yield "`budget`", one.counted
    if cls.uses_budget:
        made = _changed(one.method, one.method.with_tokens(BUDGET))
        yield f"`budget={BUDGET}`", f"{_said(cls.with_tokens)} {made}".strip()
    if cls.uses_bytes:
        yield "`budget` in bytes", _said(cls.largest)
    yield "Lossless", _lossless(one)
    if cls.stages:
        yield "Has nothing to do (`noop`) where", _said(cls.idle).rstrip(".")
    yield "`query=`", _query(one)
    again = "`each` and `isolated` compress again at later prompts" if cls.repeats else "changes nothing"
    yield "`compress=`", again
    if one.method.grows:
        yield "Tokens that come later", "are taken over into its form, at the end of every prompt"
    if cls.needs_dense:
        yield "Composes", "with no method of the compression stage"


def _prefill(cls: type[Method]) -> str:
    if cls.family_key == "dense":
        return "dense, shared with all methods that leave it as it is"
    own = f"its own (`{cls.family_key}`)"
    if cls.rewrites:
        return f"{own}, dense over the text that is left"
    return f"{own}, planned over the whole prompt" if cls.horizon == PROMPT else own


def _lossless(one: Documented) -> str:
    if not one.cls.stages:
        return "always"
    return f"{_said(one.cls.lossless)} {_changed(one.method, one.method.lossless())}".strip()


def _query(one: Documented) -> str:
    if one.cls.observes:
        return f"decides which {one.method.queries} queries it looks at, in both modes"
    if "compression" in one.cls.stages:
        return "decides whether the first question is compressed too, in multi-turn mode"
    return "changes nothing"


def _said(hook: Any) -> str:
    """The first paragraph of a hook's docstring, or of that which it overrides."""
    return " ".join((inspect.getdoc(hook) or "").partition("\n\n")[0].split())


def _changed(method: Method, other: Method) -> str:
    before, after = _options(method), _options(other)
    changed = (f"`{name}` = {_value(value)}" for name, value in after.items() if before.get(name) != value)
    text = ", ".join(changed)
    return f"({text})" if text else ""


def _options(method: Method) -> dict[str, Any]:
    return {field.name: getattr(method, field.name) for field in fields(method)}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def _value(value: Any) -> str:
    if isinstance(value, int) and value >= UNBOUNDED:
        return "unbounded"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _notes(text: str) -> Iterator[tuple[str, str]]:
    """(option, comment) of the lines of a file that have both."""
    for line in text.splitlines():
        found = re.match(r"(\w+):.*?\s#\s*(.+)", line)
        if found:
            yield found[1], found[2].strip()


def write(root: Path) -> None:
    """Write all pages and the index below the repository's root."""
    folder = root / "docs" / "methods"
    folder.mkdir(parents=True, exist_ok=True)
    methods = documented(root / "conf")
    for one in methods:
        (folder / f"{one.name}.md").write_text(page(one, methods), encoding="utf-8")
    (folder / "README.md").write_text(index(methods), encoding="utf-8")
