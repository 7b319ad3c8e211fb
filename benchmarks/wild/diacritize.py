"""Which vowel marks does this Arabic text take? Three bidirectional LSTM layers of 256 units.

A text goes in letter by letter, through an embedding; at each letter the outputs of both directions
are weighed by an additive attention over the whole text, and a linear map gives the scores of 15
combinations of marks. The data folder has no Arabic: the texts are the first of those that the
package ships with their marks, to be looked up rather than predicted (hadith, mostly). The network
has most likely been trained on them.
"""

import gzip
import json
import unicodedata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PACKAGE = "arabic-diacritizer==1.0.0"
FILE = "diacritize/assets/bilstm_best.pt"
LICENCE = "MIT"
SELECT = "lstm"

TEXTS, LONGEST = 60, 200  # letters
UNKNOWN, FIRST_LETTER = 1, 4
LETTERS = "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوي .,،؛:؟!()-\"'\n"
FATHA, DAMMA, KASRA, SUKUN, SHADDA = "\u064e\u064f\u0650\u0652\u0651"
FATHATAN, DAMMATAN, KASRATAN = "\u064b\u064c\u064d"
ALONE = (FATHA, DAMMA, KASRA, SUKUN, SHADDA, FATHATAN, DAMMATAN, KASRATAN)
DOUBLED = (FATHA, DAMMA, KASRA, FATHATAN, DAMMATAN, KASRATAN)  # after a shadda
LABELS = ["", *ALONE, *(SHADDA + mark for mark in DOUBLED)]


def inputs(path: Path, model: Path) -> list[np.ndarray]:
    """Embed the letters of Arabic texts.

    Args:
        path: The data folder; not used, the texts are beside the weights.
        model: The file of weights.

    Returns:
        The embeddings [letters, 128] of 60 texts of at most 200 letters.
    """
    table = torch.load(model, map_location="cpu", weights_only=True)["embedding.weight"].numpy()
    numbers = {letter: FIRST_LETTER + i for i, letter in enumerate(LETTERS)}
    return [table[[numbers.get(letter, UNKNOWN) for letter in text]] for text, _ in texts(model)]


@torch.no_grad()
def outputs(y: Tensor, model: Path) -> Tensor:
    """Give the scores of the 15 combinations of marks at each letter, [B, T, 15]."""
    weights = torch.load(model, map_location="cpu", weights_only=True)
    keep = {name: value.to(y) for name, value in weights.items() if not name.startswith("lstm.")}
    query, key = y @ keep["attention.W.weight"].T, y @ keep["attention.U.weight"].T
    rows = [  # one letter at a time: all at once take T² x 512 numbers
        torch.tanh(query[:, t, None] + key) @ keep["attention.v.weight"][0]
        for t in range(y.shape[1])
    ]
    context = torch.stack(rows, 1).softmax(-1) @ y
    return context @ keep["classifier.weight"].T + keep["classifier.bias"]


def decision(out: Tensor) -> Tensor:
    """Choose the marks of each letter, as places in `LABELS`."""
    return out.argmax(-1)


def texts(model: Path) -> list[tuple[str, list[int]]]:
    """Read texts without marks, and the marks that the package gives to each letter."""
    with gzip.open(model.parent / "word_cache.json.gz", "rt", encoding="utf-8") as file:
        sentences = json.load(file)["sentences"]
    marked = (next(iter(variants.values())) for variants in sentences.values())
    found = (taken_apart(unicodedata.normalize("NFKC", text)) for text in marked)
    short = (pair for pair in found if len(pair[0]) <= LONGEST)
    return [next(short) for _ in range(TEXTS)]


def taken_apart(text: str) -> tuple[str, list[int]]:
    """Take the marks off a text: its letters, and the marks of each as a place in `LABELS`."""
    letters, marks = "", [""]
    for sign in text:
        if sign in ALONE:
            marks[-1] += sign
        else:
            letters += sign
            marks.append("")
    ordered = ["".join(sorted(of_one, key=lambda mark: mark != SHADDA)) for of_one in marks[1:]]
    return letters, [LABELS.index(of_one) if of_one in LABELS else 0 for of_one in ordered]
