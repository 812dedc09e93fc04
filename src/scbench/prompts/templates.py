"""The texts around contexts and questions, in the `fixed` style: the original's wording without its slips.

What differs from the original (SCBench, `scbench/eval_utils.py`), for example:

- a blank line parts the context from the question in both modes; multi-request had none
- Math.Find asks "What is the largest number of the list?" with every question, for that question; the original
  put the first turn's before the array (in multi-request the first turn's raw input) and, in chats, the last
  turn's before every follow-up
- En.MultiChoice ends with "The correct answer is"; the original with "The the correct answer is", or "The letter of
  the correct answer is"
- En.Sum puts no "This paper" into the assistant's mouth; the original did, on follow-ups in chats
- questions lose blanks at their ends, so that a template that trims and one that does not ask the same
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scbench.tasks.session import Answer, Turn

SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Template:
    """The text before a context (may be empty; ends with the separator), and a turn's question as text."""

    instruction: str
    ask: Callable[[Turn], str]


def template(task: str) -> Template:
    """The template of a task, by name; a task of your own, without an entry, asks its questions as they are.

    The turns of a mix are asked as they are, whatever their sub-task: their questions say all that is to be done.
    """
    return _TEMPLATES.get(task, _PLAIN)


def answer_text(answer: Answer) -> str:
    """A gold answer as a person would write it: `A, B` for several texts, `7` for 7 and for 7.0."""
    if isinstance(answer, tuple):
        return ", ".join(answer)
    if isinstance(answer, float):
        return f"{answer:.15g}"
    return str(answer)


def _plain(turn: Turn) -> str:
    return turn.question.strip()


def _english(turn: Turn) -> str:
    return f"Question: {turn.question.strip()}\nAnswer:"


def _chinese(turn: Turn) -> str:
    return f"问题：{turn.question.strip()}\n答案："


def _choice(turn: Turn) -> str:
    options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", turn.options, strict=True))
    return f"Question: {turn.question.strip()}\n{options}\n\nThe correct answer is"


def _statistic(turn: Turn) -> str:
    """What is asked stands between 'The' and 'is'; a question without it is asked as it is."""
    asked = re.search("The .+(?= is)", turn.question)
    prefix = f"What is {asked.group().lower()}?{SEPARATOR}" if asked else ""
    return prefix + turn.question.strip()


_PLAIN = Template("", _plain)
_TEMPLATES: Mapping[str, Template] = {
    "retr_kv": Template("Extract the value corresponding to the specified key in the JSON object below.\n\n", _plain),
    "code_repoqa": Template(
        "Based on the function description and code context, please retrieve and repeat the exact described "
        "function from the code context in a code block wrapped by ```:\n\n",
        _plain,
    ),
    "en_qa": Template("Read the book and answer the question. Be very concise in your answer.\n\n", _english),
    "zh_qa": Template("阅读以下书籍然后回答问题。\n\n", _chinese),
    "en_multichoice": Template("Read the book and answer the question.\n\n", _choice),
    "math_find": Template("", _statistic),
    "retr_prefix_suffix": _PLAIN,
    "retr_multihop": _PLAIN,
    "icl_manyshot": _PLAIN,
    "en_sum": _PLAIN,
    "mix_sum_niah": _PLAIN,
    "mix_repoqa_kv": _PLAIN,
}
