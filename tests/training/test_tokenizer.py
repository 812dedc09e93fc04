"""The tiny models' tokenizer: nothing is lost, and what is looked up is cut alike wherever it stands."""

import random
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from scbench.prompts.chat import find_chat
from scbench.prompts.dialogue import build_dialogue
from scbench.tasks.base import Task
from scbench.tasks.en_multichoice import EnMultiChoice
from scbench.tasks.en_qa import EnQA
from scbench.tasks.gen_records import GenRecords
from scbench.tasks.icl_manyshot import ICLManyShot
from scbench.tasks.math_find import MathFind
from scbench.tasks.mix_repoqa_kv import MixRepoQAKV
from scbench.tasks.mix_sum_niah import MixSumNIAH
from scbench.tasks.retr_kv import RetrKV
from scbench.tasks.retr_multihop import RetrMultiHop
from scbench.tasks.retr_prefix_suffix import RetrPrefixSuffix
from scbench.tasks.zh_qa import ZhQA

WORDS = ("retr_kv", "retr_prefix_suffix", "retr_multihop", "math_find", "icl_manyshot")
TASKS: tuple[type[Task], ...] = (
    RetrKV,
    RetrPrefixSuffix,
    RetrMultiHop,
    MathFind,
    ICLManyShot,
    EnQA,
    EnMultiChoice,
    ZhQA,
    GenRecords,
    MixRepoQAKV,
    MixSumNIAH,
)


def encode(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    ids: list[int] = words.encode(text, add_special_tokens=False)
    return ids


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_text_comes_back(words: PreTrainedTokenizerFast, text: str) -> None:
    assert words.decode(encode(words, text)) == text


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_prompts_of_every_task_come_back(words: PreTrainedTokenizerFast, task: type[Task]) -> None:
    made = task(length=6000, turns=2, seed=3)
    session = made.generate(0, words)
    dialogue = build_dialogue(session, made, words)
    assert session.context in words.decode(dialogue.context)
    for turn, piece in zip(session.turns, dialogue.opening, strict=True):
        assert turn.question.strip() in words.decode(piece)
    known = [task.name in WORDS, len(dialogue.context) < len(session.context) / 1.6]
    assert all(known) or not known[0], "a task that is trained has its words"


@given(value=st.integers(0, 2**128 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_uuid_is_sixteen_tokens_that_do_not_depend_on_what_is_around(
    words: PreTrainedTokenizerFast, value: int
) -> None:
    uuid = str(UUID(int=value, version=4))
    alone = encode(words, uuid)
    assert len(alone) == 16
    quoted = encode(words, f'{{"{uuid}": "{uuid}", "')

    assert any(quoted[start : start + 16] == alone for start in range(4))
    assert quoted[-17:-1] == alone


@given(seed=st.integers(0, 2**32), length=st.integers(23, 122))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_long_word_begins_with_the_tokens_of_its_prefix_and_ends_with_those_of_its_suffix(
    words: PreTrainedTokenizerFast, seed: int, length: int
) -> None:
    word = "".join(random.Random(seed).choices("abcXYZ0189", k=length))
    ids = encode(words, f"['{word}', '")
    start = len(encode(words, "['"))
    prefix, suffix = encode(words, f"{word[:10]}; "), encode(words, f"{word[-10:]}. ")
    assert ids[start : start + 5] == prefix[:-2][:5]
    assert ids[-6:-1] == suffix[:-2][-5:]


def test_the_chat_has_one_token_before_a_question_and_one_that_ends_an_answer(words: PreTrainedTokenizerFast) -> None:
    chat = find_chat(words)
    assert (chat.opening, chat.answering, chat.next_question) == ("<|user|>", "<|end|><|assistant|>", "<|end|><|user|>")
    assert chat.stop == {words.eos_token_id}
    assert len(encode(words, chat.next_question + chat.answering)) == 4


def test_it_is_the_same_when_it_is_built_again_or_loaded(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    words.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == words.get_vocab()
    text = 'Key: "c665c737-4366-4e01-a77e-5748414b1797"\nÜber 北京'
    assert encode(loaded, text) == encode(words, text)
    assert loaded.chat_template == words.chat_template
