"""LLMLingua-2 and Selective Context in plain loops, written from their rules, with nothing of scbench."""

import string

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer


class Classifier:
    """Reads one window at a time. It knows only texts whose characters its vocabulary can spell."""

    def __init__(self, folder, force):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForTokenClassification.from_pretrained(folder).eval()
        self.force = force
        self.apart = [text for text in force if len(self.tokenizer.tokenize(text)) != 1]
        table = self.model.get_input_embeddings().weight
        self.vectors = torch.cat([table, table.mean(0, keepdim=True)])  # the last: of a text that is no piece

    def pieces(self, text):
        """(id, text, begins a word, forced, ends a window), of which the text is cut from the source by counting."""
        found, at, blank = [], 0, ""
        while at < len(text):
            mark = next((m for m in self.apart if text.startswith(m, at)), None)
            if mark:
                found.append((len(self.vectors) - 1, mark, True, True, mark == "\n"))
                at, blank = at + len(mark), ""
            elif text[at].isspace():
                at, blank = at + 1, " "
            else:
                stop = at
                while (
                    stop < len(text)
                    and not text[stop].isspace()
                    and not any(text.startswith(m, stop) for m in self.apart)
                ):
                    stop += 1
                for piece in self.tokenizer.tokenize(text[at:stop]):
                    bare = piece.replace("▁", "")
                    begins = piece.startswith("▁") or piece in string.punctuation or bare in self.force
                    number = self.tokenizer.convert_tokens_to_ids(piece)
                    found.append((number, blank + text[at : at + len(bare)], begins, bare in self.force, piece == "."))
                    at, blank = at + len(bare), ""
        return found

    def windows(self, text, size):
        left, windows = self.pieces(text), []
        while left:
            length = min(len(left), size - 2)
            if length < len(left):
                ends = [n for n in range(1, length) if left[n][4]]
                length = ends[-1] + 1 if ends else length
            window, left = left[:length], left[length:]
            ids = [self.tokenizer.cls_token_id, *(piece[0] for piece in window), self.tokenizer.sep_token_id]
            with torch.no_grad():
                logits = self.model(inputs_embeds=self.vectors[ids][None]).logits[0, 1:-1]
            scores = [float(torch.exp(b) / (torch.exp(a) + torch.exp(b))) for a, b in logits]
            windows.append([(*piece[1:4], [score]) for piece, score in zip(window, scores, strict=True)])
        return windows


def surprising(data, stops, scores, force):
    """One window: tokens are the bytes of `data` up to each of `stops`, and as many more as make whole characters."""
    pieces, begun, held = [], 0, []
    text = data.decode()
    for stop, score in zip(stops, scores, strict=True):
        held.append(score)
        try:
            part = data[begun:stop].decode()
        except UnicodeDecodeError:
            continue
        start = len(data[:begun].decode())
        forced = any(
            text.startswith(wanted, place) and place < start + len(part) and place + len(wanted) > start
            for wanted in force
            for place in range(len(text))
        )
        behind = text[start - 1].isspace() if start else False
        begins = not (part[0].isalnum() and ord(part[0]) < 0x2E80) or behind
        pieces.append((part, begins, forced, held))
        begun, held = stop, []
    return [pieces]


def words_of(pieces):
    """[text, forced, scores]."""
    words = []
    for text, begins, forced, scores in pieces:
        goes_on = words and not words[-1][1] and (not (begins or forced) or words[-1][0].strip() == "")
        if not goes_on:
            words.append(["", False, []])
        words[-1][0] += text
        words[-1][1] |= forced
        words[-1][2] += scores
    return words


def shortened(windows, budget, total, cost, whole=False, drop_repeated=False):
    """The text that stays of windows of pieces."""
    windows = [words_of(pieces) for pieces in windows]
    if whole:
        windows = [[word for window in windows for word in window]]
    order = []  # (window, place in the text, word)
    for number, window in enumerate(windows):
        order += [(number, len(order) + n, word) for n, word in enumerate(window)]
    allowed = budget
    while True:
        kept = _choice(order, allowed, total, cost, set())
        if drop_repeated:
            gone, last = set(), None
            for _, place, (text, forced, _) in sorted(kept):
                if forced and text.strip(" ") == last:
                    gone.add(place)
                last = text.strip(" ") if forced else None
            kept = _choice(order, allowed, total, cost, gone)
        text = "".join(word[0] for _, _, word in sorted(kept, key=lambda item: item[1]))
        if cost(text) <= budget or len(kept) < 2:
            return text
        allowed -= cost(text) - budget


def _worth(item):
    _, place, (_, forced, scores) = item
    return (1 if forced else 0, sum(scores) / len(scores), -place)


def _choice(order, allowed, total, cost, gone):
    kept = []
    for number in {window for window, _, _ in order}:
        left = [item for item in order if item[0] == number and item[1] not in gone]
        room = allowed * sum(cost(word[0]) for window, _, word in order if window == number) / total
        while left:
            best = max(left, key=_worth)
            room -= cost(best[2][0])
            if room < 0:
                break
            kept.append(best)
            left.remove(best)
    some = [item for item in order if item[1] not in gone]
    return kept or [max(some, key=_worth)] if some else []
