"""Code.RepoQA: find the function that a description means, after "RepoQA" (arXiv 2406.06025)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from scbench.errors import ScbenchError
from scbench.tasks.base import FieldError, Group, Task, document_hash, text_field
from scbench.tasks.blocks import code_blocks, holding, removable
from scbench.tasks.fit import Encoder, Supply
from scbench.tasks.functions import Documented, Function, disguised, documented
from scbench.tasks.packages import SOURCES, far_apart, ingredients, installed, source_files
from scbench.tasks.session import Session, Turn

SHORTEST, LONGEST = 220, 1800  # characters of the longest functions in contexts of 1K tokens, and in long ones
SEPARATOR = "\n\n\n"
LANGUAGES = ("python", "java", "typescript", "rust", "cpp", "go")  # of published rows: those that are scored


@dataclass(frozen=True)
class CodeRepoQA(Task):
    """Functions of installed open-source Python packages; a question describes one by what its docstring says.

    Docstrings are taken out, and functions, arguments and variables have new names, so that it does not help to know
    the code by heart. Any function may be asked for. A session starts in another package than its neighbours and
    goes on to the next ones where its own is too small: all together have code for 1M tokens. Its documents are the
    packages, by name and version.
    """

    max_new_tokens: int = 1024

    name: ClassVar[str] = "code_repoqa"
    title: ClassVar[str] = "Code.RepoQA"
    group: ClassVar[str] = "Semantic retrieval"
    metric: ClassVar[str] = "Pass@1"
    published: ClassVar[str] = "scbench_repoqa"

    @classmethod
    def ingredients(cls) -> str:
        """The versions of the packages whose code is used."""
        return ingredients(SOURCES)

    def generate(self, index: int, tokenizer: Encoder) -> Session:
        """Functions anywhere in the context, one per turn."""
        code = Supply(functions(self, index))
        fitted = self.fitted(lambda count: SEPARATOR.join(sources(code.first(count))), tokenizer, sample=8)
        self.need(self.turns, fitted.items, "functions")
        asked = self.random(index, "questions").sample(code.first(fitted.items), self.turns)
        return of_code(self.generated(index, fitted, map(describe, asked)), code.first(fitted.items))

    def parse_source(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """The language, one of `LANGUAGES`, and the repository."""
        return code_source(row)

    def parse_turn(self, raw: Mapping[str, Any]) -> Turn:
        """A description, a function's source, and the function's name."""
        return replace(super().parse_turn(raw), function=text_field("name", raw.get("name")))

    def droppable(self, session: Session) -> Sequence[Group]:
        """Code from one line at the margin to the next, where no asked function stands, in random order."""
        parts = code_blocks(session.context)
        kept = holding(session.context, parts, [str(turn.answer) for turn in session.turns])
        return removable(parts, kept, self.name, session.documents)


def code_source(row: Mapping[str, Any]) -> tuple[str, str]:
    """The language and the repository of a published row of code; raises `FieldError` where it lacks one."""
    language = text_field("lang", row.get("lang"))
    if language not in LANGUAGES:
        raise FieldError("lang", f"is {language!r}; expected one of {', '.join(LANGUAGES)}")
    return language, text_field("repo", row.get("repo"))


def functions(task: Task, index: int) -> Iterator[Function]:
    """The code of session `index`, short functions in short contexts; raises `ScbenchError` where there is no more."""
    longest = LONGEST if task.size else min(LONGEST, max(SHORTEST, task.length // (task.turns // 2 + 2)))
    yield from disguised(_installed_functions(task, index), longest, task.random(index, "names"))
    raise ScbenchError(f"{task.title}: the installed packages have no more functions; lower task.length or task.size")


def sources(code: Sequence[Function]) -> list[str]:
    """The functions' texts."""
    return [function.source for function in code]


def describe(function: Function) -> Turn:
    """The question for a function."""
    question = f"Function description: {function.description}\n\nThe function that fits this description is:"
    return Turn(question, function.source, function=function.name)


def of_code(session: Session, code: Sequence[Function]) -> Session:
    """The session, marked as one of these functions, in a repository of its own."""
    packages = {function.package: document_hash(function.package) for function in code}
    return replace(
        session, language="python", repo=f"generated/{session.id}", documents=tuple(dict.fromkeys(packages.values()))
    )


def _installed_functions(task: Task, index: int) -> Iterator[Documented]:
    versions = list(installed(SOURCES).items())
    if not versions:
        raise ScbenchError(f"{task.title}: none of {', '.join(SOURCES)} is installed; install one, or set task.data")
    start = far_apart(index, len(versions))
    order = task.random(index, "files")
    for name, version in versions[start:] + versions[:start]:
        files = source_files(name)
        for file in order.sample(files, len(files)):
            yield from documented(file, f"{name} {version}")
