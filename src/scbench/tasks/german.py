"""German sentences with their English translations, part by part.

Adjectives of a frame are no opposites of each other, and its nouns no names for the same: so exchanging one is an
error of its own kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Pair = tuple[str, str]  # German, English

_ARTICLES = {"m": "ein", "f": "eine", "n": "ein"}
_ENDINGS = {"m": "er", "f": "e", "n": "es"}
_PRONOUNS = {"m": "der", "f": "die", "n": "das"}


@dataclass(frozen=True)
class Noun:
    """A noun with its gender: m, f or n."""

    gender: str
    german: str
    english: str

    @property
    def article(self) -> str:
        """The indefinite article."""
        return _ARTICLES[self.gender]

    @property
    def ending(self) -> str:
        """What an adjective after the article ends with."""
        return _ENDINGS[self.gender]

    @property
    def pronoun(self) -> str:
        """The relative pronoun, which is the definite article too."""
        return _PRONOUNS[self.gender]


@dataclass(frozen=True)
class Frame:
    """A sentence with gaps, and what may fill them; `names` holds the parts of a name by the noun's gender."""

    german: str
    english: str
    nouns: tuple[Noun, ...]
    adjectives: tuple[Pair, ...]
    states: tuple[Pair, ...]
    numbers: Sequence[int]
    names: Mapping[str, tuple[tuple[str, ...], ...]]


PLACES = (
    "Hamburg", "Leipzig", "Dresden", "Bremen", "Kassel", "Potsdam", "Rostock", "Erfurt", "Mainz", "Bonn", "Ulm",
    "Augsburg", "Freiburg", "Bamberg", "Trier", "Weimar", "Jena", "Worms", "Speyer", "Passau", "Kiel", "Aachen",
)  # fmt: skip
TAILS = (
    (", zur Freude der Nachbarn", ", to the delight of the neighbours"),
    (", trotz vieler Beschwerden", ", despite many complaints"),
    (", dank einer großen Spende", ", thanks to a large donation"),
    (", zum Ärger der Händler", ", to the annoyance of the traders"),
    (", auf Wunsch der Familie", ", at the request of the family"),
    (", zur Überraschung der Gäste", ", to the surprise of the guests"),
    (", wie eine Zeitung berichtet", ", as a newspaper reports"),
    (", wie in der Chronik steht", ", as the chronicle says"),
)
_SURNAMES = (
    "Albrecht", "Berger", "Conrad", "Dietrich", "Engel", "Fuchs", "Graf", "Hartmann", "Iversen", "Jansen",
    "Keller", "Lorenz", "Martens", "Neumann", "Oswald", "Pohl", "Richter", "Sommer", "Thiele", "Ulrich",
)  # fmt: skip
_MEN = ("Anton", "Bernd", "Carl", "Dieter", "Erich", "Fritz", "Georg", "Heinrich", "Johann", "Konrad", "Ludwig")
_WOMEN = ("Agnes", "Berta", "Clara", "Dora", "Elsa", "Frieda", "Greta", "Helene", "Ida", "Johanna", "Katharina")
_MEN_NAMES, _WOMEN_NAMES = (_MEN, _SURNAMES), (_WOMEN, _SURNAMES)
_VILLAGES = (
    tuple(
        start + end
        for start in ("Alten", "Birken", "Eichen", "Falken", "Linden", "Neuen", "Reichen", "Stein", "Wester", "Zieg")
        for end in ("au", "bach", "berg", "dorf", "feld", "hausen", "roda", "thal")
    ),
)

FRAMES = (
    Frame(
        "In {place} steht {noun}, {who} im Jahr {number} von {name} erbaut wurde und heute {state} ist{tail}.",
        "In {place} there is {noun}, which was built in {number} by {name} and is {state} today{tail}.",
        (
            Noun("n", "Schloss", "castle"),
            Noun("f", "Kirche", "church"),
            Noun("m", "Turm", "tower"),
            Noun("f", "Brücke", "bridge"),
            Noun("n", "Museum", "museum"),
            Noun("f", "Mühle", "mill"),
            Noun("m", "Brunnen", "fountain"),
            Noun("n", "Theater", "theatre"),
        ),
        (("rot", "red"), ("rund", "round"), ("alt", "old"), ("achteckig", "octagonal"), ("hölzern", "wooden")),
        (("geöffnet", "open"), ("beleuchtet", "lit"), ("geschützt", "protected"), ("zugänglich", "accessible")),
        range(1401, 1990),
        {"m": _MEN_NAMES, "f": _WOMEN_NAMES, "n": _WOMEN_NAMES},
    ),
    Frame(
        "{name} war {noun} aus {place}, {who} {number} Briefe schrieb und {state} war{tail}.",
        "{name} was {noun} from {place}, who wrote {number} letters and was {state}{tail}.",
        (
            Noun("m", "Maler", "painter"),
            Noun("f", "Malerin", "painter"),
            Noun("m", "Lehrer", "teacher"),
            Noun("f", "Lehrerin", "teacher"),
            Noun("m", "Richter", "judge"),
            Noun("f", "Richterin", "judge"),
            Noun("m", "Gärtner", "gardener"),
            Noun("f", "Gärtnerin", "gardener"),
        ),
        (
            ("jung", "young"),
            ("berühmt", "famous"),
            ("fleißig", "diligent"),
            ("geduldig", "patient"),
            ("stolz", "proud"),
        ),
        (("verheiratet", "married"), ("beliebt", "popular"), ("reich", "rich"), ("versichert", "insured")),
        range(13, 900),
        {"m": _MEN_NAMES, "f": _WOMEN_NAMES},
    ),
    Frame(
        "{name} ist {noun} bei {place}, {who} {number} Einwohner hat und {state} ist{tail}.",
        "{name} is {noun} near {place}, which has {number} inhabitants and is {state}{tail}.",
        (
            Noun("n", "Dorf", "village"),
            Noun("f", "Stadt", "town"),
            Noun("m", "Kurort", "health resort"),
            Noun("f", "Insel", "island"),
            Noun("m", "Vorort", "suburb"),
        ),
        (
            ("grün", "green"),
            ("klein", "small"),
            ("wohlhabend", "wealthy"),
            ("ruhig", "quiet"),
            ("bekannt", "well-known"),
        ),
        (("verschuldet", "in debt"), ("mit dem Zug erreichbar", "reachable by train"), ("umzäunt", "fenced in")),
        range(120, 9000),
        {"m": _VILLAGES, "f": _VILLAGES, "n": _VILLAGES},
    ),
)
