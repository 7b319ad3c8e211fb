"""Byte pairs, by the library tokenizers."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.tokenizer import AbstractTokenizer


class BPETokenizer(AbstractTokenizer):
    """Byte pairs on bytes (Sennrich et al. 2016, arXiv 1508.07909), by the library tokenizers.

    The bytes themselves are tokens, so nothing is unknown. There are no special tokens: whatever
    marks a task adds has an id from `size` up, and no text can be mistaken for it.

    Args:
        tokenizer: The library's tokenizer.
    """

    DEFAULT = 4096
    """How many ids there are where nothing is said."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.size = tokenizer.get_vocab_size()

    @classmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "BPETokenizer":
        """Merge the most frequent pairs until there are enough ids, or no pair comes twice."""
        library = _check.extra("tokenizers", "text")
        wanted = cls.DEFAULT if vocabulary is None else vocabulary
        if wanted < 256:
            raise InputError(f"vocabulary must be at least 256, one for each byte, got {wanted}.")
        byte_level = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = byte_level, library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=wanted,
            min_frequency=2,
            initial_alphabet=sorted(byte_level.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(units, trainer)
        return cls(tokenizer)

    @classmethod
    def loads(cls, content: str) -> "BPETokenizer":
        """Read the library's JSON."""
        return cls(_check.extra("tokenizers", "text").Tokenizer.from_str(content))

    def dumps(self) -> str:
        """Write the library's JSON."""
        return self.tokenizer.to_str()

    def each(self, texts: list[str]) -> Iterator[list[int]]:
        """Map texts to ids.

        Args:
            texts: The texts.

        Returns:
            The ids of each.
        """
        encoded = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return (each.ids for each in encoded)

    def encode(self, units: list[str]) -> np.ndarray:
        """Encode each unit by the library's own threads."""
        return np.fromiter(itertools.chain.from_iterable(self.each(units)), np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Put the bytes of the tokens side by side; those that are no UTF-8 become U+FFFD."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)
