"""Reference solvers: they answer a question from the context's text alone, without the generators' code."""

from __future__ import annotations

import ast
import re
from datetime import datetime, timedelta


def retr_prefix_suffix(context: str, question: str) -> str:
    words = ast.literal_eval(context.removeprefix("Dictionary: "))
    prefix, suffix = re.fullmatch(
        r"Prefix: (\w{10}); Suffix: (\w{10})\. The word with both prefix and suffix from the dict is\?", question
    ).groups()  # type: ignore[union-attr]
    (word,) = [word for word in words if word.startswith(prefix) and word.endswith(suffix)]
    return str(word)


def retr_multihop(context: str, question: str) -> tuple[str, ...]:
    (asked,) = re.findall(r"assigned the value (\d{5}) in the text above\.$", question)
    values: dict[str, str] = {}
    for name, known, value in re.findall(r"VAR (\w+) = (?:VAR (\w+)|(\d+)) \.", context):
        assert name not in values
        values[name] = values[known] if known else value  # a name that is used before it is set is a KeyError
    return tuple(name for name, value in values.items() if value == asked)


def icl_manyshot(context: str, question: str) -> str:
    assert context.startswith("Question: ")
    text, _, listed = question.removeprefix("Question: ").removesuffix("\nAnswer:").partition("\nOptions:\n")
    options = dict(re.fullmatch(r"\(([A-G])\) (.+)", line).groups() for line in listed.split("\n"))  # type: ignore
    assert len(set(options.values())) == len(options) in (6, 7)
    solve = _translation if "German:" in text else _objects if "At the start" in text else _date
    answer = solve(text)
    (letter,) = [letter for letter, option in options.items() if option == answer]
    return letter


def _date(text: str) -> str:
    (told,) = re.findall(r"(\d+/\d+/\d{4}|[A-Z][a-z]+ \d+, \d{4}|\d+ [A-Z][a-z]+ \d{4})\.", text)
    form = "%m/%d/%Y" if "/" in told else "%B %d, %Y" if "," in told else "%d %B %Y"
    day = datetime.strptime(told, form)
    before, _, asked = text.partition(f"{told}. What is the date ")
    day += timedelta(days=_days(before, back=-1))
    day += timedelta(days=_days(asked.removesuffix(" in MM/DD/YYYY?"), back=1))
    return day.strftime("%m/%d/%Y")


def _days(phrase: str, back: int) -> int:
    """How far a phrase reaches from today; for a date that is told (`back=-1`), how far today is from it."""
    phrases = {
        r"[Tt]oday( is )?": 0,
        r"tomorrow|Tomorrow is ": 1,
        r"yesterday|Yesterday was ": -1,
        r"The day before yesterday was ": -2,
        r"The day after tomorrow will be ": 2,
        r"one week from today": 7,
        r"one week ago": -7,
        r"(?P<n>\d+) days from today|\w+ will leave in (?P<m>\d+) days, on ": 1,
        r"(?P<n>\d+) days ago|\w+ arrived (?P<m>\d+) days ago, on ": -1,
        r"(?P<n>\d+) weeks from today": 7,
        r"(?P<n>\d+) weeks ago": -7,
    }
    (days,) = [
        unit * int(next(filter(None, match.groupdict().values()), 1)) * back
        for pattern, unit in phrases.items()
        if (match := re.fullmatch(pattern, phrase))
    ]
    return days


def _objects(text: str) -> str:
    starts, _, steps = text.partition("At the start, ")[2].partition(". ")
    has = dict(re.findall(r"([A-Z]\w+) (?:gets the|dances with|borrows|starts as) (.+?)(?=, | and [A-Z]|$)", starts))
    assert len(has) == len(set(has.values())) == 7
    swaps = re.findall(r"([A-Z]\w+) and ([A-Z]\w+) (?:exchange|change|trade|swap) ", steps)
    assert len(swaps) == 7
    for a, b in swaps:
        has[a], has[b] = has[b], has[a]
    (person,) = re.findall(r"(?:does) (\w+) (?:have|dance with|play) at the end\?$", text)
    return has[person]


ADJECTIVES = dict(
    re.findall(
        r"(\S+):(\S+)",
        "rot:red rund:round alt:old achteckig:octagonal hölzern:wooden jung:young berühmt:famous fleißig:diligent "
        "geduldig:patient stolz:proud grün:green klein:small wohlhabend:wealthy ruhig:quiet bekannt:well-known",
    )
)
NOUNS = dict(
    re.findall(
        r"(\S+):(\S+)",
        "Schloss:castle Kirche:church Turm:tower Brücke:bridge Museum:museum Mühle:mill Brunnen:fountain "
        "Theater:theatre Maler:painter Malerin:painter Lehrer:teacher Lehrerin:teacher Richter:judge Richterin:judge "
        "Gärtner:gardener Gärtnerin:gardener Dorf:village Stadt:town Kurort:resort Insel:island Vorort:suburb",
    )
)


def _translation(text: str) -> str:
    german, english = (re.findall(f"{language}: (.*)", text)[0] for language in ("German", "English"))
    noun = re.search(r"\b(ein|eine) ([\wäöüß]+?)(er|es|e) ([A-Z][\wäöü]+)(?=,| aus| bei)", german)
    assert noun
    names = set(re.findall(r"[A-Z][\w]+", german)) - {"In", "Jahr", "Briefe", "Einwohner", "Zug", noun[4]}
    names -= set(re.findall(r"[A-Z]\w+", german.rpartition(", ")[2]))
    english_names = set(re.findall(r"[A-Z]\w+", english)) - {"In"}
    found = {
        "Numerical Values": re.findall(r"\d+", german) != re.findall(r"\d+", english),
        "Named Entities": names - {"Richter"} != english_names - {"Richter"},
        "Negation or Antonyms": (" nicht " in german) != (" not " in english),
        "Dropped Content": german.count(",") != english.count(","),
        "Modifiers or Adjectives": ADJECTIVES[noun[2]] not in english.split(),
        "Facts": not re.search(rf"\b{NOUNS[noun[4]]}\b", english),
    }
    if found["Dropped Content"]:
        assert german.count(",") == english.count(",") + 1
        found["Named Entities"] = not english_names <= set(re.findall(r"[A-Z]\w+", german))
    (kind,) = [kind for kind, is_so in found.items() if is_so]
    return kind
