"""Tokenizers by words, characters and bytes, and the table of all."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Literal

import numpy as np

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.byte_pairs import BPETokenizer
from unrecur.data.lines import LONGEST
from unrecur.data.tokenizer import AbstractTokenizer

Level = Literal["word", "character", "byte", "bpe"]
END = "<eos>"
UNKNOWN = "<unk>"
MOST_WORDS = 2**24  # different ones; they are held in memory


class WordTokenizer(AbstractTokenizer):
    r"""Words between spaces, and "<eos>" at each line end, as in the files of PTB and WikiText.

    The ids go by falling frequency (an adaptive softmax wants that), equal ones by the alphabet.
    Where the training text has the word "<unk>", it stands for all others as well.

    Args:
        words: The vocabulary.

    Example:
        >>> tokenizer = WordTokenizer.learn([["a b a\n"]], None)
        >>> tokenizer.words
        ['a', '<eos>', 'b']
        >>> tokenizer.encode(["b a\n", "c\n"]).tolist()  # c was not learned
        [2, 0, 1, 3, 1]
    """

    ends_lines = True

    def __init__(self, words: list[str]) -> None:
        self.words, self.size = words, len(words)
        self._index = {word: number for number, word in enumerate(words)}
        self.unknown = self._index.get(UNKNOWN, self.size)

    @classmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "WordTokenizer":
        """Count the words."""
        counts: Counter[str] = Counter()
        for block in units:
            counts.update(_words(block))
            if len(counts) > MOST_WORDS:
                raise InputError(
                    f"expected at most {MOST_WORDS:,} different words, got more. Take the level "
                    "'bpe'."
                )
        return cls(sorted(counts, key=lambda word: (-counts[word], word)))

    @classmethod
    def loads(cls, content: str) -> "WordTokenizer":
        """Read the words."""
        return cls(json.loads(content))

    def dumps(self) -> str:
        """Write the words."""
        return json.dumps(self.words)

    def encode(self, units: list[str]) -> np.ndarray:
        """Look the words up."""
        words = _words(units)
        return np.fromiter(
            map(self._index.get, words, itertools.repeat(self.unknown)), np.uint32, len(words)
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Put the words side by side, and lines below each other."""
        words = [self.words[number] if number < self.size else UNKNOWN for number in ids]
        return "".join("\n" if word == END else f"{word} " for word in words)


def _words(units: list[str]) -> list[str]:
    """Split text into words."""
    for unit in units:
        if len(unit) == LONGEST and not unit.endswith("\n"):  # it could only be cut inside a word
            raise InputError(
                f"expected words between spaces, got one of {LONGEST:,} characters or more, that "
                f"begins with {unit[:40]!r}. Take the level 'character' or 'byte'."
            )
    return "".join(units).replace("\n", f" {END} ").split()


class CharacterTokenizer(AbstractTokenizer):
    r"""Each character of Unicode by itself, ids in their order.

    Args:
        characters: The vocabulary.

    Example:
        >>> tokenizer = CharacterTokenizer.learn([["abba\n"]], None)
        >>> tokenizer.encode(["ba"]).tolist()
        [2, 1]
    """

    def __init__(self, characters: str) -> None:
        self.characters, self.size = characters, len(characters)
        self.unknown = self.size

    @classmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "CharacterTokenizer":
        """Collect the characters."""
        seen: set[str] = set()
        for block in units:
            seen.update("".join(block))
        return cls("".join(sorted(seen)))

    @classmethod
    def loads(cls, content: str) -> "CharacterTokenizer":
        """Read the characters."""
        return cls(json.loads(content))

    def dumps(self) -> str:
        """Write the characters."""
        return json.dumps(self.characters)

    @cached_property
    def _table(self) -> np.ndarray:
        """The id of each code point."""
        table = np.full(0x110000, self.unknown, dtype=np.uint32)
        table[_code_points(self.characters)] = np.arange(self.size)
        return table

    def encode(self, units: list[str]) -> np.ndarray:
        """Look the characters up."""
        return self._table[_code_points("".join(units))]

    def decode(self, ids: Iterable[int]) -> str:
        """Put the characters side by side; one that was not learned becomes U+FFFD."""
        return "".join(self.characters[i] if i < self.size else "\ufffd" for i in ids)


def _code_points(text: str) -> np.ndarray:
    """Give the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


class ByteTokenizer(AbstractTokenizer):
    """Each byte by itself; nothing is learned."""

    encoding = "latin-1"  # maps each byte to the character of its number
    size = 256

    @classmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "ByteTokenizer":
        """Learn nothing; the text is not read."""
        return cls()

    @classmethod
    def loads(cls, content: str) -> "ByteTokenizer":
        """Read nothing."""
        return cls()

    def dumps(self) -> str:
        """Write nothing."""
        return "{}"

    def encode(self, units: list[str]) -> np.ndarray:
        """Give the bytes."""
        return np.frombuffer("".join(units).encode("latin-1"), np.uint8)

    def decode(self, ids: Iterable[int]) -> str:
        """Read the bytes as UTF-8; those that are none become U+FFFD."""
        return bytes(ids).decode("utf-8", "replace")


TOKENIZERS: dict[str, type[AbstractTokenizer]] = {
    "word": WordTokenizer,
    "character": CharacterTokenizer,
    "byte": ByteTokenizer,
    "bpe": BPETokenizer,
}


def fingerprint(level: Level, vocabulary: int | None, text: str) -> str:
    """Identify what a tokenizer will have learned, before it learns.

    Args:
        level: Its level.
        vocabulary: How many ids it is to have.
        text: The SHA-256 of its training text.

    Returns:
        64 hexadecimal digits.
    """
    library = _check.extra("tokenizers", "text").__version__ if level == "bpe" else ""
    settings = ["unrecur tokens 1", level, vocabulary, text, library]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()
