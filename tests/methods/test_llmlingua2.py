"""LLMLingua-2 against plain loops: what stays of a text, by a classifier's word and by the model's own surprise."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification

import toy_classifier
from oracles import naive_rewriting
from scbench.errors import ScbenchError
from scbench.methods.base import Base
from scbench.methods.generation import token_classifier
from scbench.methods.generation.llmlingua2 import LLMLingua2
from scbench.methods.generation.shortening import Shortening, Word
from scbench.methods.generation.surprise import surprising
from scbench.methods.generation.token_classifier import cuts, load
from toy_tokenizers import sentence_piece

WORDS = ["head", "bed", "abe", "a", "c3", "中文", ",", '",', '"', "(", "()", "?", ".", "?.", "\n", " ", " ", "   "]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map("".join).filter(str.strip)
FORCE = ("?", "\n", "d a")


@dataclass(frozen=True)
class Bytes:
    """Tokens are `width` bytes of a text, whatever characters they cut; how much one surprises is drawn from it."""

    width: int = 3
    extra: int = 0  # tokens that a text has besides
    device = torch.device("cpu")

    def encode(self, text):
        data = text.encode()
        return [int.from_bytes(b"\1" + data[n : n + self.width]) for n in range(0, len(data), self.width)] + (
            [256] * self.extra
        )

    def decode(self, ids):
        return b"".join(one.to_bytes(8).lstrip(b"\0")[1:] for one in ids).decode(errors="replace")

    def surprisal(self, ids):
        return torch.tensor([hash((place, one)) % 1009 / 100 for place, one in enumerate(ids)])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return str(toy_classifier.save_sentence_piece(tmp_path_factory.mktemp("classifier")))


@pytest.fixture(scope="session")
def oracle(folder):
    return naive_rewriting.Classifier(folder, FORCE)


@given(TEXTS, st.integers(4, 20), st.floats(0.05, 0.95), st.booleans(), st.booleans(), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_the_classifiers_best_words_stay(folder, oracle, text, window, rate, whole, drop, extra):
    reader = Bytes(extra=extra)
    within = "context" if whole else "window"
    method = LLMLingua2(path=folder, rate=rate, force=FORCE, window=window, within=within, drop_repeated=drop)
    total = len(reader.encode(text))

    def cost(part):
        return len(reader.encode(part))

    expected = naive_rewriting.shortened(oracle.windows(text, window), int(rate * total), total, cost, whole, drop)
    assert method.rewrite(text, reader) == expected
    assert method.rewrite(text, reader) == expected


@given(TEXTS, st.integers(1, 5), st.floats(0.05, 0.95), st.booleans())
@settings(deadline=None)
def test_the_most_surprising_words_stay(text, width, rate, drop):
    reader = Bytes(width)
    ids, data = reader.encode(text), text.encode()
    method = LLMLingua2("self_information", rate, force=FORCE, drop_repeated=drop)
    stops = [min(len(data), n + width) for n in range(0, len(data), width)]
    pieces = naive_rewriting.surprising(data, stops, reader.surprisal(ids).tolist(), FORCE)

    def cost(part):
        return len(reader.encode(part))

    expected = naive_rewriting.shortened(pieces, int(rate * len(ids)), len(ids), cost, True, drop)
    assert method.rewrite(text, reader) == expected


@given(TEXTS, st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_a_budget_is_kept(folder, text, tokens, extra):
    reader = Bytes(1, extra)
    for scorer in ("classifier", "self_information"):
        method = LLMLingua2(scorer, path=folder).with_tokens(tokens)
        left = method.rewrite(text, reader)
        whole = len(reader.encode(text))
        assert left
        assert left == text if tokens >= whole else len(reader.encode(left)) <= tokens or " " not in left.strip()


@pytest.mark.parametrize("scorer", ["classifier", "self_information"])
def test_the_lossless_setting_leaves_every_byte(folder, scorer):
    text = " head \t bed\r\n\n 中文? \u200b x"
    method = LLMLingua2(scorer, 0.5, 3, path=folder)
    assert method.lossless().rewrite(text, Bytes()) == text
    assert method.lossless().idle(Base(10**6)) and method.lossless().idle(Base(0))
    assert method.idle(Base(3)) and not method.idle(Base(4))
    assert not LLMLingua2(rate=0.5).idle(Base(10))


def test_forced_texts_stay_first(folder):
    text = "head bed? a c3\nbed head bed head\nabe bed"
    for scorer in ("classifier", "self_information"):
        left = LLMLingua2(scorer, path=folder, tokens=8).rewrite(text, Bytes(1))
        assert re.sub("[^\n?]", "", left) == "?\n\n"
        assert LLMLingua2(scorer, path=folder, tokens=2, force=()).rewrite(text, Bytes(1)).strip(" abcdeh3?\n") == ""
    assert "\n" not in LLMLingua2(path=folder, tokens=20, force=()).rewrite(text, Bytes(1))


def test_what_words_cost_together_is_taken_off():
    words = [Word(letter, score, 1, False) for score, letter in enumerate("abcdefghij")]

    def cost(text):
        return len(text) + 2 * (len(text) > 3)

    def left(budget):
        return Shortening(budget, 10, cost, False)(words, [range(10)])

    assert (left(3), left(5), left(6)) == ("hij", "hij", "ghij")
    assert Shortening(0, 10, cost, False)(words, [range(10)]) == "j"
    assert Shortening(1, 10, cost, False)([], []) == ""


def test_repeated_forced_texts_make_room():
    text = "a\nb\nc\nlong\n" + "d\n" * 9
    keep = {"long": 9.0}

    class Reader(Bytes):
        def surprisal(self, ids):
            return torch.tensor([keep.get(self.decode([one]), 0.0) for one in ids])

        def encode(self, text):
            return [int.from_bytes(b"\1" + part.encode()) for part in re.findall(r"\n|[^\n]+", text)]

    method = LLMLingua2("self_information", tokens=14)
    assert method.rewrite(text, Reader()) == "\n\n\nlong" + "\n" * 10
    assert LLMLingua2("self_information", tokens=13).rewrite(text, Reader()) == "\n" * 13
    shorter = LLMLingua2("self_information", tokens=14, drop_repeated=True)
    assert shorter.rewrite(text, Reader()) == "a\nbclong\n" + "d" * 8


@pytest.mark.parametrize("pieces", [509, 510, 511, 1020, 1021])
def test_windows_are_filled_to_their_last_place(folder, pieces, monkeypatch):
    widths = []
    model = load(LLMLingua2(path=folder).weights, ("\n", "?")).model
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **given: widths.append(given["attention_mask"]) or forward(**given))
    LLMLingua2(path=folder).rewrite("ab" * pieces, Bytes())  # one piece each, but the first, which is "▁a" and "b"
    read = [int(row.sum()) for mask in widths for row in mask]
    assert [size - 2 for size in read] == [510] * ((pieces + 1) // 510) + (
        [(pieces + 1) % 510] if (pieces + 1) % 510 else []
    )


@given(st.lists(st.booleans(), max_size=60), st.integers(2, 12))
def test_windows_end_behind_a_sentence(ends, room):
    found = list(cuts(ends, room))
    assert [n for start, stop in found for n in range(start, stop)] == list(range(len(ends)))
    for start, stop in found[:-1]:
        assert 1 <= stop - start <= room
        assert not any(ends[stop : start + room])  # none that is later would have fitted
        assert (stop - start > 1 and ends[stop - 1]) or (stop - start == room and not any(ends[start + 1 : stop]))
    assert not found or found[-1][1] - found[-1][0] <= room


def test_a_classifier_of_wordpieces_is_read_too(tmp_path):
    folder = str(toy_classifier.save_word_piece(tmp_path / "bert"))
    classifier = load(LLMLingua2(path=folder).weights, ("\n", "?"))
    tokens = classifier.tokens("headed  bed?a\nBed. headhead")
    assert [(t.text, t.begins, t.forced, t.ends) for t in tokens] == [
        ("head", True, False, False),
        ("ed", False, False, False),
        (" bed", True, False, False),
        ("?", True, True, False),
        ("a", True, False, False),
        ("\n", True, True, True),
        ("Bed", True, False, False),
        (".", True, False, True),
        (" head", True, False, False),
        ("head", False, False, False),
    ]


def test_what_the_vocabulary_cannot_spell_stays_as_written(folder):
    tokens = load(LLMLingua2(path=folder).weights, ("\n",)).tokens("ab Ωé ß,\u3000(a")
    assert "".join(token.text for token in tokens) == "ab Ωé ß, (a"


def test_pieces_are_whole_words_where_a_tokenizer_drops_blanks():
    tokenizer = sentence_piece()

    class Reader(Bytes):
        def encode(self, text):
            return tokenizer.encode(text, add_special_tokens=False)

        def decode(self, ids):
            return tokenizer.decode(list(ids))

    pieces = surprising("Read the book", (), Reader())
    assert "".join(piece.text for piece in pieces).strip() == "Read the book"
    assert [piece.text for piece in pieces if piece.begins and not piece.text.strip()]


def test_the_classifier_is_loaded_once_and_leaves_the_device(folder, monkeypatch):
    loaded, moved = [], []
    from_pretrained = AutoModelForTokenClassification.from_pretrained

    def counting(*given, **options):
        loaded.append(given)
        model = from_pretrained(*given, **options)
        to = model.to
        monkeypatch.setattr(model, "to", lambda device: moved.append(str(device)) or to(device))
        return model

    monkeypatch.setattr(AutoModelForTokenClassification, "from_pretrained", counting)
    token_classifier.load.cache_clear()
    method = LLMLingua2(path=folder)
    method.ready()
    for _ in range(3):
        method.rewrite("head bed abe a c3 bed", Bytes())
    assert len(loaded) == 1
    assert moved == ["cpu"] * 6
    token_classifier.load.cache_clear()


def test_vectors_of_forced_texts_are_the_checkpoints_own_where_it_has_some(folder, tmp_path):
    model = AutoModelForTokenClassification.from_pretrained(folder)
    known = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(known + 3, mean_resizing=False)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(folder) / name).read_bytes())
    found = load(LLMLingua2(path=str(tmp_path)).weights, ("?", "\n"))
    assert found.marks == {"\n": known + 1}  # the second forced text has the second token
    assert torch.equal(found.model.get_input_embeddings().weight, model.get_input_embeddings().weight)
    mean = load(LLMLingua2(path=folder).weights, ("?", "\n")).model.get_input_embeddings().weight
    assert torch.allclose(mean[known + 1], mean[:known].mean(0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "cannot be loaded"),
        (lambda path: toy_classifier.save_sentence_piece(path, labels=3), "is no token classifier with two labels"),
    ],
)
def test_a_missing_classifier_is_named_in_a_line(tmp_path, make, words):
    make(tmp_path / "classifier")
    method = LLMLingua2(path=str(tmp_path / "classifier"))
    with pytest.raises(ScbenchError) as caught:
        method.ready()
    assert str(caught.value).startswith(f"method.path={tmp_path / 'classifier'}: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)
    LLMLingua2("self_information", path=str(tmp_path / "classifier")).ready()


@pytest.mark.parametrize(
    "options",
    [
        {"scorer": "guess"},
        {"rate": 0.0},
        {"rate": 1.1},
        {"tokens": 0},
        {"window": 3},
        {"within": "page"},
        {"force": ("",)},
    ],
)
def test_values_out_of_their_domain_are_refused(options):
    with pytest.raises(ScbenchError, match="llmlingua2: "):
        LLMLingua2(**options)
