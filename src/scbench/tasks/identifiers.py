"""New names for functions and variables: words put together, so that they say nothing about the code."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ACTIONS = _words(
    """
    absorb adorn amend anchor baffle beckon bestow borrow braid bundle carve coax comb cradle curl dangle dapple deepen
    drift dust elevate embark endow fasten ferry flatten forage gather glaze glean hoist hover huddle juggle kindle
    launder linger loosen mellow mend mingle muffle nudge nurture paddle ponder prune quench ramble reap ripen rumble
    sail scatter shelter shimmer sift simmer soothe sprinkle stow stroll summon sweeten tame temper thaw tickle tumble
    twirl unfold unravel usher wander weave whisk whittle wield wrap yield
    """
)
THINGS = _words(
    """
    acorn almond amber anvil apron aspen badger barley basket beacon birch biscuit blossom bobbin bramble breeze bucket
    burrow candle canyon carrot cedar cherry chisel cinder clover cobalt comet copper coral cricket crystal dahlia
    daisy dune ember falcon fern fiddle flannel flint fossil fountain garnet geyser ginger glacier granite hammock
    harbor harvest hazel heron honey hornet indigo iris ivory jasmine juniper kettle lagoon lantern laurel lemon lentil
    lichen lilac linen lizard locket lotus magnet mango maple marble meadow melon mitten monsoon mosaic moss muffin
    mustard nectar nutmeg oasis olive onion opal orchard otter oyster paddock pebble pelican pepper petal pewter
    pigeon pillow pine plum pollen poppy prairie puddle pumpkin quartz quill quilt rabbit raven reef ribbon river
    saddle saffron salmon sandal sparrow spruce squash sulfur summit tangerine teapot thicket thimble thistle timber
    topaz trellis tulip tundra turnip turquoise umber valley velvet violet walnut willow yarrow zephyr
    """
)


def function_names(source: random.Random) -> Iterator[str]:
    """Endless different names of functions, such as `gather_amber_flint`."""
    given: set[str] = set()
    while True:
        name = f"{source.choice(ACTIONS)}_{source.choice(THINGS)}_{source.choice(THINGS)}"
        if name not in given:
            given.add(name)
            yield name


def variable_names(source: random.Random, avoid: Collection[str]) -> Iterator[str]:
    """Endless different names of variables, single words first, none of which is in `avoid`."""
    suffix = ""
    while True:
        yield from (word for thing in source.sample(THINGS, len(THINGS)) if (word := thing + suffix) not in avoid)
        suffix = f"_{int(suffix[1:] or 1) + 1}"
