from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chat_templates import CHATML, GEMMA, LLAMA_3, LLAMA_3_1, QWEN_3, STYLES, Style
from scbench.errors import ScbenchError
from scbench.modes import multi_request, multi_turn
from scbench.prompts.chat import find_chat
from scbench.prompts.dialogue import Dialogue, build_dialogue
from scbench.tasks.en_qa import EnQA
from scbench.tasks.math_find import MathFind
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.session import Session, Turn
from toy_tokenizers import byte_level, sentence_piece

INSTRUCTION = "Read the book and answer the question. Be very concise in your answer.\n\n"
CONTEXT = "A fox hid the key in the old mill.\n\nAt 7:40 it went home, and 12 dogs saw it."
QUESTIONS = ("Where was the key? ", "When did the fox go home?", "Who saw it?")
ANSWERS = ("old mill", "7:40", ("dogs", "cats"))
ASKED = tuple(f"Question: {question.strip()}\nAnswer:" for question in QUESTIONS)
GOLD = ("old mill", "7:40", "dogs, cats")


def session(context: str = CONTEXT) -> Session:
    turns = tuple(Turn(question, answer) for question, answer in zip(QUESTIONS, ANSWERS, strict=True))
    return Session("s0-0000", "en_qa", "generated", context, turns, ("d",), len(context), 1)


def prompts(dialogue: Dialogue) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The prompts of both modes, by turn, from the layouts."""
    limits = (9,) * len(dialogue.opening)
    turns, requests = multi_turn(dialogue, limits), multi_request(dialogue, limits)
    return (
        [turns.trunk[: branch.leaves] for branch in turns.branches],
        [requests.trunk[: branch.leaves] + branch.suffix for branch in requests.branches],
    )


def text(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))


def rendered(tokenizer: Any, *contents: str) -> str:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]
    options = {"date_string": "26 Jul 2024", "add_generation_prompt": True, "tokenize": False}
    return str(tokenizer.apply_chat_template(messages, enable_thinking=False, **options))


@pytest.fixture(params=STYLES.values(), ids=STYLES)
def style(request: pytest.FixtureRequest) -> Style:
    return request.param


def test_every_request_reads_as_the_template_renders_it(style: Style) -> None:
    tokenizer = style.tokenizer()
    _, requests = prompts(build_dialogue(session(), EnQA(), tokenizer))
    for ids, asked in zip(requests, ASKED, strict=True):
        assert text(tokenizer, ids) == rendered(tokenizer, INSTRUCTION + CONTEXT + "\n\n" + asked)


@pytest.mark.parametrize("name", sorted(STYLES.keys() - {"qwen-3"}))  # see test_empty_thoughts_stay_in_the_history
def test_every_turn_reads_as_the_template_renders_the_history(name: str) -> None:
    style = STYLES[name]
    tokenizer = style.tokenizer()
    turns, _ = prompts(build_dialogue(session(), EnQA(), tokenizer))
    first = INSTRUCTION + CONTEXT + "\n\n" + ASKED[0]
    assert text(tokenizer, turns[0]) == rendered(tokenizer, first)
    assert text(tokenizer, turns[1]) == rendered(tokenizer, first, GOLD[0], ASKED[1])
    assert text(tokenizer, turns[2]) == rendered(tokenizer, first, GOLD[0], ASKED[1], GOLD[1], ASKED[2])


def test_turns_extend_each_other_and_modes_share_the_context(style: Style) -> None:
    tokenizer = style.tokenizer()
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    turns, requests = prompts(dialogue)
    for before, after in pairwise(turns):
        assert after[: len(before)] == before
    assert all(ids[: len(dialogue.context)] == dialogue.context for ids in turns + requests)
    assert turns[0] == requests[0]


def test_gold_answers_are_what_the_model_would_write(style: Style) -> None:
    tokenizer = style.tokenizer()
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    assert [text(tokenizer, ids) for ids in dialogue.gold] == [style.lead + answer for answer in GOLD]


def test_the_end_of_a_turn_and_the_end_of_text_stop_an_answer(style: Style) -> None:
    tokenizer = style.tokenizer()
    stop = build_dialogue(session(), EnQA(), tokenizer).stop
    assert stop == set(tokenizer.convert_tokens_to_ids([style.eos, style.stop]))


def test_begin_of_text_stands_once_and_only_where_the_template_puts_it(style: Style) -> None:
    tokenizer = style.tokenizer()
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    count = style.template.count("bos_token") and 1
    if style.bos != "<|im_start|>":  # SmolLM 2 opens every turn with its begin-of-text
        assert dialogue.context.count(tokenizer.bos_token_id) == count
        assert dialogue.context[:count] == (tokenizer.bos_token_id,) * count


def test_the_template_in_front_of_the_instruction_is_protected(style: Style) -> None:
    tokenizer = style.tokenizer()
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    ((start, stop),) = dialogue.protected
    protected = text(tokenizer, dialogue.context[start:stop])
    header = rendered(tokenizer, "CONTENT").partition("CONTENT")[0]
    assert start == 0
    assert header.startswith(protected)
    assert header.removeprefix(protected).strip() == ""  # a blank may belong to the instruction's first token


def test_the_date_in_a_default_system_text_does_not_change() -> None:
    tokenizer = LLAMA_3_1.tokenizer()
    context = text(tokenizer, build_dialogue(session(), EnQA(), tokenizer).context)
    assert "Today Date: 26 Jul 2024" in context


def test_empty_thoughts_stay_in_the_history() -> None:
    tokenizer = QWEN_3.tokenizer()
    turns, _ = prompts(build_dialogue(session(), EnQA(), tokenizer))
    header = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    followup = f"old mill<|im_end|>\n<|im_start|>user\n{ASKED[1]}<|im_end|>\n{header}"
    assert text(tokenizer, turns[0]).endswith(header)
    assert text(tokenizer, turns[1]) == text(tokenizer, turns[0]) + followup


def test_contents_keep_the_blanks_that_a_template_would_trim() -> None:
    tokenizer = GEMMA.tokenizer()
    spaced = f"  {CONTEXT} \n"
    dialogue = build_dialogue(session(spaced), EnQA(), tokenizer)
    assert text(tokenizer, dialogue.context).endswith(INSTRUCTION + spaced)


@pytest.mark.parametrize("adds_bos", [True, False])
def test_without_a_chat_template_the_dialogue_is_plain_text(adds_bos: bool) -> None:
    tokenizer = byte_level(("<s>", "</s>"), eos="</s>", bos="<s>", adds_bos=adds_bos)
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    turns, requests = prompts(dialogue)
    start = "<s>" * adds_bos + INSTRUCTION + CONTEXT
    assert text(tokenizer, turns[1]) == f"{start}\n\n{ASKED[0]} old mill\n\n{ASKED[1]}"
    assert text(tokenizer, requests[1]) == f"{start}\n\n{ASKED[1]}"
    assert dialogue.stop == {tokenizer.eos_token_id}
    assert dialogue.protected == (((0, 1),) if adds_bos else ())


@pytest.mark.parametrize(
    "template",
    [
        STYLES["llama-2"].template,
        "{% for m in messages %}{{ '(' + m['role'] + ') ' + m['content'] + '\n' }}{% endfor %}{{ '(assistant) ' }}",
    ],
)
def test_pieces_get_no_blank_from_a_tokenizer_that_puts_one_before_a_text(template: str) -> None:
    tokenizer = sentence_piece(template)
    turns, _ = prompts(build_dialogue(session(), EnQA(), tokenizer))
    first = INSTRUCTION + CONTEXT + "\n\n" + ASKED[0]
    whole = rendered(tokenizer, first, GOLD[0], ASKED[1], GOLD[1], ASKED[2])
    assert turns[2] == tuple(tokenizer.encode(whole, add_special_tokens=False))


def test_tokens_that_the_tokenizer_does_not_have_are_plain_text() -> None:
    tokenizer = byte_level(CHATML.special, eos="<|endoftext|>", bos="<|im_start|>", template=LLAMA_3.template)
    dialogue = build_dialogue(session(), EnQA(), tokenizer)
    assert dialogue.stop == {tokenizer.eos_token_id}
    assert text(tokenizer, dialogue.followup[1]).startswith("<|eot_id|><|start_header_id|>user")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages[-1]['content'] }}", "every message once"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "every message once"),
        ("{{ raise_exception('no chat here') }}", "no chat here"),
        ("{% for m in messages %}{{ loop.length ~ m['role'] + m['content'] }}{% endfor %}", "framed alike"),
        (
            "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}[bot]{% endif %}",
            "another header",
        ),
    ],
)
def test_a_template_that_cannot_carry_a_dialogue_is_rejected(template: str, reason: str) -> None:
    with pytest.raises(ScbenchError, match=reason):
        find_chat(byte_level((), eos="</s>", template=template))


def test_retr_kv_and_math_find_in_full() -> None:
    tokenizer = CHATML.tokenizer()
    turns = (Turn("The largest number of the list is: ", 9.0), Turn("The second largest number is: ", 7))
    numbers = Session("a", "math_find", "generated", "[7, 9]", turns, ("d",), 6, 6)
    asked, _ = prompts(build_dialogue(numbers, MathFind(), tokenizer))
    assert text(tokenizer, asked[1]) == (
        "<|im_start|>user\n[7, 9]\n\nWhat is the largest number of the list?\n\nThe largest number of the list is:"
        "<|im_end|>\n<|im_start|>assistant\n9<|im_end|>\n<|im_start|>user\nWhat is the second largest number?\n\n"
        "The second largest number is:<|im_end|>\n<|im_start|>assistant\n"
    )
    pairs = Session("b", "retr_kv", "generated", '{"k": "v"}', (Turn('Key: "k"\nThe value is: ', "v"),), ("d",), 10, 9)
    asked, _ = prompts(build_dialogue(pairs, RetrKV(), tokenizer))
    assert text(tokenizer, asked[0]) == (
        "<|im_start|>user\nExtract the value corresponding to the specified key in the JSON object below.\n\n"
        '{"k": "v"}\n\nKey: "k"\nThe value is:<|im_end|>\n<|im_start|>assistant\n'
    )
