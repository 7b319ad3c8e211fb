"""How an English word is pronounced: the encoder of g2p_en, one GRU of 256 units over its letters.

A word goes in letter by letter, through an embedding, and then an end mark. The state after the end
mark is all that the decoder, another GRU, learns of the word; it says the phonemes one by one,
each fed back to it, at most 20. The whole decoder is part of `outputs` here, so that an audit of
the encoder is judged by the phonemes. Only the last step of the encoder's outputs is used.

The file is bare arrays: write `MAPPING` as JSON beside it before it is read.
"""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

PACKAGE = "g2p_en==2.1.0"
FILE = "g2p_en/checkpoint20.npz"
LICENCE = "Apache-2.0"
SELECT = "encoder"


def _named(part: str) -> dict[str, Any]:
    """Say which arrays are the encoder's or the decoder's GRU; the layout is torch's own."""
    arrays = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    cell = {what: f"{part[:3]}_{name}" for what, name in arrays.items()}
    return {"name": part, "kind": "gru", "layers": [[cell]]}


MAPPING = {"recurrences": [_named("encoder"), _named("decoder")]}

LETTERS = "abcdefghijklmnopqrstuvwxyz"
END_OF_WORD, FIRST_LETTER = 2, 3  # rows of the embedding of letters
START, END = 2, 3  # phonemes
LONGEST = 20  # phonemes
WORDS = 1000
PHONEMES = [
    *("<pad>", "<unk>", "<s>", "</s>"),
    *(f"{vowel}{stress}" for vowel in ("AA", "AE", "AH", "AO", "AW", "AY") for stress in "012"),
    *("B", "CH", "D", "DH"),
    *(f"{vowel}{stress}" for vowel in ("EH", "ER", "EY") for stress in "012"),
    *("F", "G", "HH"),
    *(f"{vowel}{stress}" for vowel in ("IH", "IY") for stress in "012"),
    *("JH", "K", "L", "M", "N", "NG"),
    *(f"{vowel}{stress}" for vowel in ("OW", "OY") for stress in "012"),
    *("P", "R", "S", "SH", "T", "TH", "UH0", "UH1", "UH2", "UW", "UW0", "UW1", "UW2"),
    *("V", "W", "Y", "Z", "ZH"),
]


def inputs(path: Path, model: Path) -> list[np.ndarray]:
    """Embed the letters of English words.

    Args:
        path: The data folder; the words are the first 1,000 different ones of three letters or
            more that the validation text of Multi30k has (captions of pictures).
        model: The file of weights.

    Returns:
        The embeddings [letters + 1, 256] of each word; the last is the end mark's.
    """
    with np.load(model) as arrays:
        table = arrays["enc_emb"]
    return [table[indices(word)] for word in words(path)]


@torch.no_grad()
def outputs(y: Tensor, model: Path) -> Tensor:
    """Let the decoder speak from the last state: its scores [B, 20, 74], zeros after the end."""
    with np.load(model) as arrays:
        weights = {name: torch.from_numpy(arrays[name]).to(y) for name in arrays.files}
    gates = [weights[f"dec_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
    state = y[:, -1]
    said = torch.full((len(y),), START, device=y.device)
    going = torch.ones(len(y), 1, dtype=torch.bool, device=y.device)
    steps = []
    for _ in range(LONGEST):
        state = torch.gru_cell(weights["dec_emb"][said], state, *gates)
        scores = state @ weights["fc_w"].T + weights["fc_b"]
        steps.append(torch.where(going, scores, 0.0))
        said = scores.argmax(-1)
        going = going & (said != END)[:, None]
    return torch.stack(steps, 1)


def decision(out: Tensor) -> Tensor:
    """Give the phonemes as rows of `PHONEMES`, [B, 20]: zeros after the end mark."""
    return out.argmax(-1)


def words(path: Path) -> list[str]:
    """Read the words, in the order in which they come first."""
    text = gzip.decompress((path / "multi30k" / "val.en.gz").read_bytes()).decode().lower()
    return list(dict.fromkeys(re.findall(r"\b[a-z]{3,}\b", text)))[:WORDS]


def indices(word: str) -> list[int]:
    """Number the letters of a word as the package does."""
    return [*(FIRST_LETTER + LETTERS.index(letter) for letter in word), END_OF_WORD]
