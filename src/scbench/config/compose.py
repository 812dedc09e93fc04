"""From overrides to cells: parse them, compose every axis choice once, and take the product.

An override on the command line replaces an experiment's for the same key. `axis.option=v` applies to every choice of
the axis, `axis.<choice>.<option>=v` to that choice alone, where it wins over the former. `preset=paper|code` replaces
a method file's values by those under its `presets:`; overrides win over it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from scbench.config.cell import Cell, Choice, Entry, RunConfig, SharedConfig, typed, typed_choice
from scbench.config.experiment import sweeps
from scbench.config.files import AXES
from scbench.config.grammar import Assignment, parse
from scbench.config.presets import OWN, checked, with_preset, without_presets
from scbench.config.tree import ConfTree, open_tree
from scbench.errors import ScbenchError
from scbench.methods.compose import compose as compose_methods
from scbench.nearest import hint, nearest

# settings that do not belong to a cell
WHOLE_SWEEP = ("results", *(f"run.{option.name}" for option in fields(RunConfig)))
SHARED = ("budget", "history", "query", "compress", "fit", "max_turns", "prompt_style", *WHOLE_SWEEP)


@dataclass(frozen=True)
class Composition:
    """The cells in the order of the axes, how to run them all, and the number of calls to Hydra."""

    cells: tuple[Cell, ...]
    run: RunConfig
    composes: int


@dataclass(frozen=True)
class CommandLine:
    """Overrides as given, parsed: the experiment's name, and one assignment per key."""

    experiment: str | None
    assignments: Mapping[str, Assignment]


def compose(overrides: Sequence[str], conf: Path) -> Composition:
    """Compose `overrides` over the configuration folder `conf`; raises `ScbenchError`, one line, on any mistake."""
    with open_tree(conf) as tree:
        line = read(overrides, tree)
        found = sweeps(tree, line.experiment, line.assignments)
        for assignment in (item for layer in (*found, line.assignments) for item in layer.values()):
            _check_key(assignment)
        selected = {
            axis: {n for sweep in found for n in _selected(tree, axis, (sweep, line.assignments))} for axis in AXES
        }
        cells = [cell for sweep in found for cell in _swept(tree, sweep, line, selected)]
        _, run = _settings(tree, {**found[0], **line.assignments})
        return Composition(tuple(cells), run, tree.composes)


def _swept(
    tree: ConfTree, sweep: Mapping[str, Assignment], line: CommandLine, selected: Mapping[str, Collection[str]]
) -> Iterator[Cell]:
    """The cells of one sweep of an experiment, under the command line's overrides; `selected` in any of its sweeps."""
    layers = (sweep, line.assignments)
    presets = _presets(tree, layers)
    axes = [_axis(tree, axis, layers, presets if axis == "method" else (OWN,), selected[axis]) for axis in AXES]
    shared, _ = _settings(tree, {**sweep, **line.assignments})
    return _cells(axes, shared)


def read(overrides: Sequence[str], tree: ConfTree) -> CommandLine:
    """Parse the overrides; a key that is given twice is an error."""
    assignments: dict[str, Assignment] = {}
    for assignment in (parse(text, tree.loader) for text in overrides):
        if assignment.key in assignments:
            raise ScbenchError(f"{assignment.origin}: '{assignment.key}' is given twice")
        assignments[assignment.key] = assignment
    chosen = assignments.pop("experiment", None)
    if chosen is None:
        return CommandLine(None, assignments)
    name = _single(chosen)
    if name is not None and not isinstance(name, str):
        raise ScbenchError(f"{chosen.origin}: an experiment is chosen by its name")
    return CommandLine(name, assignments)


def results_folder(tree: ConfTree, line: CommandLine) -> Path:
    """The folder that all results go to."""
    given = {**sweeps(tree, line.experiment, line.assignments)[0], **line.assignments}
    return Path(str(_single(given["results"]) if "results" in given else tree.root[1]["results"]))


def _single(assignment: Assignment) -> Any:
    if len(assignment.values) > 1:
        raise ScbenchError(f"{assignment.origin}: '{assignment.key}' takes one value, it cannot be swept")
    return assignment.values[0]


def _check_key(assignment: Assignment) -> None:
    """Refuse a key that is no axis, no option of an axis and no setting."""
    head, _, rest = assignment.key.partition(".")
    if assignment.key in (*SHARED, "preset") or (head in AXES and (rest or "." not in assignment.key)):
        return
    axis = nearest(head, AXES) if rest else None
    suggestion = (
        f"did you mean '{axis}.{rest}'?" if axis else hint(assignment.key, (*AXES, *SHARED, "preset", "experiment"))
    )
    raise ScbenchError(f"{assignment.origin}: there is no '{assignment.key}'; {suggestion}")


def _presets(tree: ConfTree, layers: Sequence[Mapping[str, Assignment]]) -> tuple[str, ...]:
    """The presets that are asked for."""
    given = next((layer["preset"] for layer in reversed(layers) if "preset" in layer), None)
    values = given.values if given else (tree.root[1].get("preset", OWN),)
    return tuple(checked(str(value), given.origin if given else "conf/config.yaml") for value in values)


def _selected(tree: ConfTree, axis: str, layers: Sequence[Mapping[str, Assignment]]) -> set[str]:
    """The names of an axis, methods that are composed one by one."""
    chosen = next((layer[axis] for layer in reversed(layers) if axis in layer), None)
    names = map(str, chosen.values if chosen else (tree.root[0][axis],))
    return {part for name in names for part in (name.split("+") if axis == "method" else (name,))}


def _axis(
    tree: ConfTree,
    axis: str,
    layers: Sequence[Mapping[str, Assignment]],
    presets: Sequence[str],
    selected: Collection[str],
) -> tuple[tuple[Choice, ...], ...]:
    """Every configured choice of an axis: its names, times the presets, times the values of its swept options.

    A choice has one part, but for methods that are composed (`minference+snapkv`).
    """
    chosen = next((layer[axis] for layer in reversed(layers) if axis in layer), None)
    names = chosen.values if chosen else (tree.root[0][axis],)
    origin = chosen.origin if chosen else "conf/config.yaml"
    together = [tuple(str(name).split("+")) if axis == "method" else (str(name),) for name in names]
    raw = {name: tree.node(axis, name, origin) for parts in together for name in parts}
    found: dict[str, tuple[Choice, ...]] = {}  # presets may agree
    for preset in presets:
        nodes = {name: with_preset(f"conf/{axis}/{name}.yaml", node, preset) for name, node in raw.items()}
        passed = (tree.choices(axis), selected)  # the command line may have replaced an experiment's choices
        options = [_options(tree, axis, nodes, layer, over) for layer, over in zip(layers, passed, strict=True)]
        variants = {
            name: tuple(_variants(axis, name, node, [item for layer in options for item in layer[name]]))
            for name, node in nodes.items()
        }
        every = (chosen for parts in together for chosen in product(*(variants[name] for name in parts)))
        found.update({repr(chosen): chosen for chosen in every})
    return tuple(found.values())


def _options(
    tree: ConfTree,
    axis: str,
    nodes: Mapping[str, Mapping[str, Any]],
    layer: Mapping[str, Assignment],
    passed: Collection[str],
) -> dict[str, list[Assignment]]:
    """Per choice, the assignments to its options, the more specific ones last.

    Options of other choices are `passed` over, or refused.
    """
    general: list[Assignment] = []
    special: dict[str, list[Assignment]] = {name: [] for name in nodes}
    for key, assignment in layer.items():
        head, _, rest = key.partition(".")
        if head != axis or not rest:
            continue
        name, _, option = rest.partition(".")
        if option and name in nodes:
            special[name].append(replace(assignment, key=option))
        elif option and name in tree.choices(axis):
            if name not in passed:
                raise ScbenchError(f"{assignment.origin}: {axis} '{name}' is not selected; {axis}={','.join(nodes)}")
        elif option:
            known = {*tree.choices(axis), *(key for node in nodes.values() for key in node)}
            raise ScbenchError(f"{assignment.origin}: there is no {axis} '{name}'; {hint(name, known)}")
        else:
            general.append(_everywhere(tree, axis, rest, nodes, assignment))
    return {name: [*general, *special[name]] for name in nodes}


def _everywhere(
    tree: ConfTree, axis: str, option: str, nodes: Mapping[str, Mapping[str, Any]], assignment: Assignment
) -> Assignment:
    """The assignment of an option that every selected choice must have; a mistake names the choices that have it."""
    lacking = next((name for name, node in nodes.items() if option not in node), None)
    if lacking is None:
        return replace(assignment, key=option)
    everything = {name: without_presets(tree.node(axis, name, assignment.origin)) for name in tree.choices(axis)}
    owners = [name for name, node in everything.items() if option in node]
    where = f"{assignment.origin}: {axis} '{lacking}' has no option '{option}'"
    if not owners:
        raise ScbenchError(f"{where}; {hint(option, {key for node in everything.values() for key in node})}")
    selected = [name for name in owners if name in nodes]
    if selected:
        raise ScbenchError(f"{where}; write {' '.join(f'{axis}.{name}.{option}=…' for name in selected)}")
    raise ScbenchError(f"{where}, only {', '.join(owners)}, which is not selected ({axis}={','.join(nodes)})")


def _variants(axis: str, name: str, node: Mapping[str, Any], assignments: Sequence[Assignment]) -> Iterator[Choice]:
    last = {assignment.key: assignment for assignment in assignments}
    for values in product(*(assignment.values for assignment in last.values())):
        entries = [Entry(item.key, value, item.origin) for item, value in zip(last.values(), values, strict=True)]
        yield typed_choice(axis, name, node, entries)


def _settings(tree: ConfTree, given: Mapping[str, Assignment]) -> tuple[list[SharedConfig], RunConfig]:
    """The settings of no axis: one SharedConfig per combination of swept values, and how to run."""
    file = str(tree.folder / "config.yaml")
    base = {key: value for key, value in tree.root[1].items() if key != "preset"}
    run = [Entry(key, value, file) for key, value in base.pop("run", {}).items()]
    shared = [Entry(key, value, file) for key, value in base.items()]
    swept = []
    for assignment in (given[key] for key in SHARED if key in given):
        head, _, option = assignment.key.partition(".")
        if head == "run":
            run.append(Entry(option, _single(assignment), assignment.origin))
        else:
            swept.append(assignment)
    if "results" in given:
        _single(given["results"])
    combinations = [_combination(shared, swept, values) for values in product(*(item.values for item in swept))]
    return combinations, RunConfig(**typed(RunConfig, run, "run"))


def _combination(base: Sequence[Entry], swept: Sequence[Assignment], values: Sequence[Any]) -> SharedConfig:
    entries = [Entry(item.key, value, item.origin) for item, value in zip(swept, values, strict=True)]
    options = typed(SharedConfig, [*base, *entries], "config")
    try:
        return SharedConfig(**options)
    except ScbenchError as error:
        origins = " ".join(item.origin for item in swept) or "conf/config.yaml"
        raise ScbenchError(f"{origins}: {error}") from error


def _cells(axes: Sequence[tuple[tuple[Choice, ...], ...]], shared: Sequence[SharedConfig]) -> Iterator[Cell]:
    for (model,), methods, (task,), (mode,), (engine,) in product(*axes):
        _check_together(methods)
        for config in shared:
            _check_again(methods, config.compress)
            cell = Cell(
                model=model,
                methods=methods,
                task=task,
                mode=mode,
                engine=engine,
                budget=config.budget,
                history=config.history,
                query=_query(config.query, mode),
                compress=config.compress,
                max_turns=None if config.max_turns == "all" else config.max_turns,
                fit=config.fit,
                prompt_style=config.prompt_style,
            )
            engine.build().check(cell)
            yield cell


def _check_together(methods: Sequence[Choice]) -> None:
    try:
        compose_methods(choice.build() for choice in methods)
    except ScbenchError as error:
        raise ScbenchError(f"method={'+'.join(choice.name for choice in methods)}: {error}") from error


def _check_again(methods: Sequence[Choice], compress: str) -> None:
    for choice in methods if compress != "once" else ():
        method = choice.build()
        if method.repeats and method.per_query_head:
            raise ScbenchError(
                f"compress={compress}: {choice.name} with a choice per query head cannot compress again; "
                f"use compress=once or another method.{choice.name}.group"
            )


def _query(query: str, mode: Choice) -> str:
    """`auto` is what the mode can know: multi-turn compresses after the first question, multi-request before any."""
    if query != "auto":
        return query
    return "aware" if mode.options["kind"] == "multi_turn" else "free"
