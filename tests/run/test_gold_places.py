"""Where right answers stand among tokens, against every interval of tokens read by itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scbench.prompts.dialogue import Dialogue
from scbench.run.gold_places import gold_places
from scbench.tasks.session import Session, Turn
from toy_tokenizers import byte_level, sentence_piece

TOKENIZERS = {"bytes": byte_level(["<s>", "</s>"], bos="<s>", eos="</s>", adds_bos=True), "pieces": sentence_piece()}


WORDS = {
    "bytes": ["the", "value", "of", "水位", "是", "é", "🙂", "x-1", ".", ","],
    "pieces": ["the", "A", "of", "(", "."],
}
WANTED = {
    "bytes": ["«q»", "«水é»", "«🙂 long answer, with words»"],
    "pieces": ["(q)", "[ThiS]", "<THIS [is] LONG!/>" * 3],
}


def places(tokenizer, context, *answers, protected=0, begin=""):
    ids = tuple(tokenizer.encode(begin + context, add_special_tokens=False))
    session = Session("s", "t", "generated", context, tuple(Turn("q", a) for a in answers), (), len(context), len(ids))
    dialogue = Dialogue(ids, (), (), (), frozenset(), ((0, protected),) if protected else ())
    return ids, gold_places(session, dialogue, lambda tokens: tokenizer.decode(list(tokens)))


def intervals(tokenizer, ids, wanted):
    """All intervals of tokens that hold the text, of which none shorter does."""
    holding = [
        (start, stop)
        for start in range(len(ids))
        for stop in range(start + 1, min(len(ids), start + len(wanted.encode()) + 2) + 1)
        if wanted in tokenizer.decode(list(ids[start:stop]))
    ]
    return [a for a in holding if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in holding)]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_equals_every_interval_read_by_itself(name, data):
    tokenizer = TOKENIZERS[name]
    filling = st.lists(st.sampled_from(WORDS[name]), min_size=1, max_size=20).map(" ".join)  # no text overlaps the next
    wanted = data.draw(st.sampled_from(WANTED[name]))
    texts = data.draw(st.lists(filling, min_size=1, max_size=3))
    ids, (found,) = places(tokenizer, wanted.join(texts), wanted)
    if len(texts) == 1:
        assert found == ()
    else:
        assert list(found[0]) == intervals(tokenizer, ids, wanted)
        assert len(found[0]) == len(texts) - 1


def test_a_word_or_number_is_not_found_inside_another():
    ids, (found, chinese) = places(TOKENIZERS["bytes"], "[17, 117, 17.5, 170, 17] a17 水位17米 水位", 17, "水位")
    read = [TOKENIZERS["bytes"].decode(list(ids[: start + 1])).rstrip() for start, _ in found[0]]
    assert [len(text) - text.rfind("1") for text in read] == [1] * len(found[0])
    assert len(found[0]) == 4  # 17 and 17 in the list, 17 of 17.5, and the one between Chinese signs
    assert len(chinese[0]) == 2


def test_texts_of_an_answer_are_found_apart_and_what_is_not_there_is_left_out():
    _, found = places(TOKENIZERS["bytes"], "VAR ABC = VAR XYZ, 7", ("ABC", "XYZ", "QQQ"), "A", "a summary", 7.0)
    assert [len(texts) for texts in found] == [2, 0, 0, 1]


def test_the_chat_template_is_not_looked_at():
    tokenizer = TOKENIZERS["bytes"]
    begin = "Today is the 26 of July. "
    header = len(tokenizer.encode(begin, add_special_tokens=False))
    ids, (found,) = places(tokenizer, "The numbers: 26, 27", 26, protected=header, begin=begin)
    ((place,),) = found
    assert place[0] >= header and "26" in tokenizer.decode(list(ids[place[0] : place[1]]))
    _, (nowhere,) = places(tokenizer, "The numbers: 27", 26, protected=header, begin=begin)
    assert nowhere == ()


def test_an_answer_longer_than_a_piece_and_one_across_pieces():
    tokenizer = TOKENIZERS["bytes"]
    long = " ".join(f"word{n}" for n in range(100))
    for before in range(0, 70, 7):
        ids, (found, _) = places(tokenizer, "x " * before + long + " end", long, "end")
        ((place,),) = found
        assert tokenizer.decode(list(ids[place[0] : place[1]])).strip() == long
