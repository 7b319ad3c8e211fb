"""Vocabularies: words to ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch
from jaxtyping import Int64
from torch import Tensor

UNKNOWN = "<unk>"


@dataclass(frozen=True)
class Vocabulary:
    """The words that have an id of their own; all others share id 0.

    Attributes:
        words: The words by their ids; the first is "<unk>".

    Example:
        >>> vocabulary = vocabulary_of([["to", "be", "or", "not", "to", "be"]])
        >>> vocabulary.words
        ('<unk>', 'to', 'be', 'or', 'not')
        >>> vocabulary.ids(["not", "me"]).tolist()
        [4, 0]
    """

    words: tuple[str, ...]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def ids(self, words: Iterable[str]) -> Int64[Tensor, " T"]:
        """Give the id of each word.

        Args:
            words: The words.

        Returns:
            Their ids, 0 for a word that has none.
        """
        numbers = self._numbers
        return torch.tensor([numbers.get(word, 0) for word in words], dtype=torch.int64)


def vocabulary_of(texts: Iterable[Iterable[str]], special: Sequence[str] = ()) -> Vocabulary:
    """Collect the words of texts, the frequent ones first.

    Args:
        texts: The words of each text.
        special: Words that are no part of texts and come next to "<unk>".

    Returns:
        The vocabulary. Words that are as frequent as each other stand as they come.
    """
    first = dict.fromkeys((UNKNOWN, *special))
    counts = Counter(chain.from_iterable(texts))
    return Vocabulary((*first, *(word for word, _ in counts.most_common() if word not in first)))


def share_unknown(sequences: Iterable[Tensor]) -> float:
    """Give the share of the words of texts that have no id of their own.

    Args:
        sequences: The ids of each text.

    Returns:
        The share of id 0.
    """
    ids = torch.cat(list(sequences))
    return float((ids == 0).double().mean())


def label_names(
    training: Iterable[str], others: Iterable[str], what: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Number labels: those of the training split in order of the alphabet, then others.

    Args:
        training: The labels of the training split.
        others: The labels of the other splits.
        what: What they are, for the note.

    Returns:
        The labels by their numbers; and a note about those that no model can learn, if there are
        any.

    Example:
        >>> label_names(["b", "a"], ["c", "a"], "label")
        (('a', 'b', 'c'), ('1 label occurs outside the training split only: c.',))
    """
    known = sorted(set(training))
    late = sorted(set(others) - set(known))
    if not late:
        return tuple(known), ()
    many = "s occur" if len(late) > 1 else " occurs"
    note = f"{len(late)} {what}{many} outside the training split only: {', '.join(late)}."
    return (*known, *late), (note,)
