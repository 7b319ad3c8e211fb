"""Tokenizers: text to ids and back, by words, characters, bytes or byte pairs."""

import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from unrecur import _check
from unrecur._check import InputError
from unrecur.data.lines import LONGEST

Level = Literal["word", "character", "byte", "bpe"]
END = "<eos>"
UNKNOWN = "<unk>"
MOST_WORDS = 2**24  # different ones; they are held in memory


class AbstractTokenizer(ABC):
    """A map from text to token ids, learned from the training text alone.

    Text comes in units, as `lines.units` gives them, and joined they are the text.
    """

    encoding: ClassVar[str] = "utf-8"
    """How the bytes of a file are decoded before."""
    ends_lines: ClassVar[bool] = False
    """Whether a line end is a token, so that a last line without one gets it."""
    size: int
    """The number of ids that were learned."""
    unknown: int | None = None
    """The id of what the training text has not: `size` where it was not learned itself."""

    @classmethod
    @abstractmethod
    def learn(cls, units: Iterable[list[str]], vocabulary: int | None) -> "AbstractTokenizer":
        """Learn from the training text.

        Args:
            units: The text.
            vocabulary: How many ids there are to be; None where the text decides.

        Returns:
            The tokenizer.
        """

    @classmethod
    @abstractmethod
    def loads(cls, content: str) -> "AbstractTokenizer":
        """Read what `dumps` wrote.

        Args:
            content: JSON.

        Returns:
            The tokenizer.
        """

    @abstractmethod
    def dumps(self) -> str:
        """Write what was learned, as JSON."""

    @abstractmethod
    def encode(self, units: list[str]) -> np.ndarray:
        """Map text to ids.

        Args:
            units: The text.

        Returns:
            The ids, one array for all.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Map ids to text.

        Args:
            ids: The ids.

        Returns:
            The text.
        """


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
