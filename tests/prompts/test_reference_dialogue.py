from __future__ import annotations

from typing import Any

import pytest

from chat_templates import GEMMA, LLAMA_3, STYLES
from scbench.errors import ScbenchError
from scbench.modes import MULTI_REQUEST, Mode, build_layout, multi_request, multi_turn
from scbench.prompts.dialogue import Dialogue
from scbench.prompts.reference_dialogue import build_reference
from scbench.tasks.session import Session, Turn
from toy_tokenizers import byte_level

CONTEXT = "A fox hid the key in the old mill. " * 20
TURNS = (Turn("Where? ", "old mill"), Turn("Who?", "a fox"), Turn("What?", "the key"))
SESSION = Session("s", "en_qa", "generated", CONTEXT, TURNS, ("d",), len(CONTEXT), 1)
LIMITS = (9, 9, 9)


def build(tokenizer: Any, window: int = 9000, requests: bool = False, history: str = "gold") -> tuple[Dialogue, int]:
    return build_reference(SESSION, tokenizer, requests=requests, history=history, window=window, limits=LIMITS)


def text(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False))


def test_turns_have_begin_of_text_twice_and_gold_answers_in_the_followups() -> None:
    tokenizer = LLAMA_3.tokenizer()
    dialogue, cut = build(tokenizer)
    layout = multi_turn(dialogue, LIMITS)
    assert cut == 0
    assert layout.trunk[:2] == (tokenizer.bos_token_id,) * 2
    user, assistant = (f"<|start_header_id|>{role}<|end_header_id|>\n\n" for role in ("user", "assistant"))
    expected = (
        "<|begin_of_text|><|begin_of_text|>"
        f"{user}Read the book and answer the question. Be very concise in your answer."
        f"\n\n{CONTEXT}\n\nQuestion: Where? \nAnswer:<|eot_id|>{assistant}"
        f"old mill<|eot_id|>{user}Question: Who?\nAnswer:<|eot_id|>{assistant}"
        f"a fox<|eot_id|>{user}Question: What?\nAnswer:<|eot_id|>{assistant}"
    )
    assert text(tokenizer, layout.trunk) == expected
    assert text(tokenizer, layout.trunk[: layout.context]).endswith("mill.")
    assert text(tokenizer, dialogue.context[slice(*dialogue.protected[0])]) in f"{'<|begin_of_text|>' * 2}{user}"


def test_requests_have_no_separator() -> None:
    tokenizer = LLAMA_3.tokenizer()
    dialogue, _ = build(tokenizer, requests=True)
    layout = multi_request(dialogue, LIMITS)
    assert text(tokenizer, layout.trunk).endswith(CONTEXT)
    assert text(tokenizer, layout.branches[1].suffix).startswith("Question: Who?\nAnswer:<|eot_id|>")
    assert build_layout(Mode(MULTI_REQUEST), dialogue, LIMITS, "generated") == layout


def test_generated_history_has_no_gold_text() -> None:
    tokenizer = byte_level((), eos="</s>")
    dialogue, _ = build(tokenizer, history="generated")
    assert dialogue.gold == ((), (), ())
    assert [text(tokenizer, ids) for ids in dialogue.followup] == [
        "",
        "Question: Who?\nAnswer:",
        "Question: What?\nAnswer:",
    ]


def test_the_first_prompt_loses_its_middle_to_the_budget() -> None:
    tokenizer = LLAMA_3.tokenizer()
    first = build(tokenizer, requests=True)[0].context
    budget = len(first) - 100
    half = budget // 2
    short, cut = build(tokenizer, budget + 3 * 9 + 1000, requests=True)
    assert cut == len(first) - 2 * half
    assert short.context == first[:half] + first[len(first) - half :]


def test_turns_that_outgrow_the_window_are_refused_as_nothing_is_reserved_for_later_questions() -> None:
    tokenizer = LLAMA_3.tokenizer()
    whole, _ = build(tokenizer)
    with pytest.raises(ScbenchError, match="the model's window has"):
        build(tokenizer, len(whole.context) + len(whole.opening[0]) + 3 * 9 - 100)


def test_without_a_system_role_the_original_fails() -> None:
    with pytest.raises(ScbenchError, match=r"prompt_style=ref: .*no system role.*prompt_style=fixed"):
        build(GEMMA.tokenizer())


@pytest.mark.parametrize("name", sorted(STYLES.keys() - {"gemma", "mistral", "llama-2"}))
@pytest.mark.parametrize("requests", [True, False])
def test_other_templates_carry_the_context(name: str, requests: bool) -> None:
    tokenizer = STYLES[name].tokenizer()
    dialogue, _ = build(tokenizer, requests=requests)
    assert text(tokenizer, dialogue.context).endswith(CONTEXT if requests else CONTEXT.strip())


def test_a_task_that_the_original_does_not_have() -> None:
    session = Session("s", "mine", "generated", CONTEXT, TURNS, ("d",), len(CONTEXT), 1)
    with pytest.raises(ScbenchError, match="no task 'mine'"):
        build_reference(session, LLAMA_3.tokenizer(), requests=False, history="gold", window=9000, limits=LIMITS)
