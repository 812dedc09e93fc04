"""What happens at points: a method acts at the end of the base, and perhaps again at the end of each later prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scbench.engine.ring import Ring
from scbench.engine.trunk import Trunk
from scbench.engine.view import View
from scbench.methods.base import Base, Layer, Method
from scbench.methods.compose import Composition
from scbench.modes import Layout
from scbench.segments.base import Segment

Resolve = Callable[[int, bool], Composition]
ONCE, EACH, ISOLATED = "once", "each", "isolated"
COMPRESS = (ONCE, EACH, ISOLATED)


def act(trunk: Trunk, method: Composition, base: Base, ring: Ring) -> None:
    """Let the method compress and load what the trunk holds, in every full-attention layer.

    `ring` are the last queries that the method may see. Raises RuntimeError if a method that had something to do left
    a layer as it was: its numbers would be reported as something that they are not.
    """
    compressor, loader = method.at("compression"), method.at("loading")
    if loader is not None and loader.focuses:  # later, and for an answer only
        loader = None
    for where in full_layers(trunk):
        if compressor is not None and compressor.acts_on(where):
            cache = trunk.cache(where.index)
            queries = ring.queries(where.index, compressor.queries)
            _replace(trunk, where, compressor, cache, compressor.compress(cache, queries, where, base))
        if loader is not None and loader.acts_on(where):
            cache = trunk.cache(where.index)
            _replace(trunk, where, loader, cache, loader.load(cache, where, base))


def act_again(trunk: Trunk, resolve: Resolve, layout: Layout, compress: str) -> bool:
    """At a later point: forms that take over new tokens do so, and a repeated compression repeats.

    `each` compresses all that is still there anew; `isolated` only the tokens since the last point. `resolve` sets the
    method's parameters for a number of tokens, with the template's among them or not. Whether something was compressed.
    """
    trunk.settle()
    if compress == ONCE:
        return False
    since = 0 if compress == EACH else trunk.latest_start()
    compressor = resolve(trunk.length - since, compress == EACH).at("compression")
    if compressor is None or not compressor.repeats:
        return False
    base = Base(trunk.length, layout.protected)
    if compressor.idle(Base(trunk.length - since)):
        return False
    for where in full_layers(trunk):
        if not compressor.acts_on(where):
            continue
        queries = trunk.ring.queries(where.index, compressor.queries)
        if compress == EACH:
            cache = trunk.cache(where.index)
            _replace(trunk, where, compressor, cache, compressor.compress(cache, queries, where, base))
        else:
            latest = trunk.latest(where.index)
            trunk.seal(where.index, compressor.compress(latest, queries, where, base))
    return True


def focus(trunk: Trunk, method: Composition, base: Base) -> View | None:
    """At the end of a prompt: what the answer reads if the method chooses it now; the trunk stays as it is.

    None if it does not choose, or has nothing to choose from.
    """
    loader = method.at("loading")
    if loader is None or not loader.focuses or loader.idle(base):
        return None
    view = trunk.view(trunk.length)
    layers = list(view.layers)
    for where in full_layers(trunk):
        if loader.acts_on(where):
            cache = trunk.cache(where.index)
            made = loader.focus(cache, trunk.ring.queries(where.index, loader.queries), where, base)
            _check(where, loader, cache, made)
            layers[where.index] = (made,)
    return replace(view, layers=tuple(layers))


def full_layers(trunk: Trunk) -> list[Layer]:
    """The layers on which methods act."""
    windows, group = trunk.shape.windows, trunk.shape.group
    return [Layer(index, len(windows), group) for index, window in enumerate(windows) if window is None]


def _replace(trunk: Trunk, where: Layer, method: Method, old: Segment, made: Segment) -> None:
    _check(where, method, old, made)
    trunk.replace(where.index, made)


def _check(where: Layer, method: Method, old: Segment, made: Segment) -> None:
    if made is old:
        raise RuntimeError(f"{type(method).__name__} should have acted on layer {where.index} and did not")
