"""Reference solvers: from the context's text and what is installed, without the generators' code.

They know the docstrings of the packages given to `index_code`, by the shape of the code, and the summaries of all
installed distributions, by what their descriptions say.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

Known = tuple[str, str]  # a function's own name, and its docstring on one line


def shape(function: ast.FunctionDef) -> str:
    """The syntax tree without the names of keywords and of what the function binds, itself included."""
    own = function.name
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and type(node.ctx) is not ast.Load}
    nested = {node.name for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.ExceptHandler)}
    bound = {own, *stored, *nested, *(node.arg for node in ast.walk(function) if isinstance(node, ast.arg))}
    for node in ast.walk(function):
        for field in ("arg", "name", "rest", "asname", "kind"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, "_")
        if isinstance(node, ast.Name) and node.id in bound:
            node.id = "_"
        if isinstance(node, ast.Attribute) and node.attr == own:
            node.attr = "_"
    return ast.dump(function)


@cache
def index_code(*packages: str) -> dict[str, list[Known]]:
    """What is known of every function with a docstring, by its shape."""
    index: dict[str, list[Known]] = defaultdict(list)
    for package in packages:
        spec = find_spec(package)
        assert spec and spec.submodule_search_locations
        for file in Path(next(iter(spec.submodule_search_locations))).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node)) and len(node.body) > 1:
                    name = node.name
                    node.body, node.decorator_list = node.body[1:], []
                    index[shape(node)].append((name, " ".join(said.split())))
    return index


def code_repoqa(context: str, question: str, index: dict[str, list[Known]]) -> str:
    (description,) = re.findall(
        r"\AFunction description: (.*)\n\nThe function that fits this description is:\Z", question
    )
    found = [
        ast.get_source_segment(context, node)
        for node, known in known_functions(context, index)
        if any(said.startswith(description) for _, said in known)
    ]
    (answer,) = found
    assert answer is not None
    return answer


def known_functions(context: str, index: dict[str, list[Known]]) -> list[tuple[ast.FunctionDef, list[Known]]]:
    functions = [node for node in ast.parse(context).body if isinstance(node, ast.FunctionDef)]
    copies = [node for node in ast.parse(context).body if isinstance(node, ast.FunctionDef)]
    return [(node, index[shape(copy)]) for node, copy in zip(functions, copies, strict=True)]


def retr_kv(context: str, question: str) -> str:
    (key,) = re.findall(r'^Key: "(.*)"$', question, re.MULTILINE)
    (value,) = re.findall(rf'^# "{key}": "(.*)"$', context, re.MULTILINE)
    return str(value)


def passkey(context: str, question: str) -> str:
    (owner,) = re.findall(r"^What is the pass key of the (\w+ \w+)\? The pass key is$", question)
    (key,) = re.findall(rf"^The pass key of the {owner} is (\d+)\. Remember it: \d+ is the pass key\.$", context, re.M)
    return str(key)


@cache
def descriptions() -> tuple[tuple[str, str], ...]:
    """The summary of every installed distribution, and the words of its description."""
    fields = (found.metadata.json for found in distributions())
    return tuple(
        (" ".join(str(field["summary"]).split()), words(str(field["description"])))
        for field in fields
        if {"summary", "description"} <= field.keys()
    )


def words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text))


def shown_documents(context: str) -> dict[int, Sequence[str]]:
    """The paragraphs of each numbered document, without hidden pass keys."""
    _, *parts = re.split(r"^Document (\d+)\n\n", context, flags=re.MULTILINE)
    without = [re.sub(r"^The pass key of the .* is the pass key\.$", "", part, flags=re.M) for part in parts[1::2]]
    texts = [[text for text in part.split("\n\n") if text.strip()] for part in without]
    return dict(zip(map(int, parts[::2]), texts, strict=True))


def en_sum(context: str, question: str) -> str:
    (number,) = re.findall(r"^Summarize document (\d+) in one sentence\.$", question)
    shown = shown_documents(context)[int(number)]
    summaries = {summary for summary, text in descriptions() if all(words(part) in text for part in shown)}
    (summary,) = summaries
    return summary
