"""Exact match and F1 of answers that are parts of a passage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor

from unrecur.data.segmentation import words_for_scores
from unrecur.data.sequences import Split
from unrecur.data.squad import Question
from unrecur.data.task import Task
from unrecur.models.answers import answers


def score_answers(predicted: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Score answers as SQuAD does (Rajpurkar et al. 2016, arXiv 1606.05250, section 6).

    Exact match is the share of answers equal to a right one, F1 the mean overlap in words with the
    right one that is nearest. Case, punctuation of ASCII and the articles a, an, the do not count.
    In texts with Chinese or Japanese characters each of these is a word, and no punctuation
    counts. `torchmetrics` counts the rest.

    Args:
        predicted: The answer to each question.
        right: The right answers of each, one or more.

    Returns:
        "exact_match" and "f1", in per cent.

    Example:
        >>> score_answers(["the war of 1812", "梵文"], [["War of 1812"], ["梵語。"]])
        {'exact_match': 50.0, 'f1': 75.0}
    """
    from torchmetrics.functional.text import squad  # takes a second to import

    answered = [
        {"id": str(number), "prediction_text": words_for_scores(text)}
        for number, text in enumerate(predicted)
    ]
    known: list[dict[str, Any]] = [
        {"id": str(number), "answers": {"text": [words_for_scores(text) for text in texts]}}
        for number, texts in enumerate(right)
    ]
    return {name: float(value) for name, value in squad(answered, known).items()}


@dataclass(frozen=True)
class AnswerScore:
    """Scores a model by the likeliest answer to each question.

    An answer is the span of at most `longest` tokens with the largest p_start p_end.

    Attributes:
        name: Which score.
        questions: The questions of each split.
        places: Where each token of each question's passage starts and stops.
        longest: How many tokens an answer may have.
    """

    name: Literal["exact_match", "f1"]
    questions: dict[Split, list[Question]]
    places: dict[Split, list[np.ndarray]]
    longest: int

    def __call__(self, task: Task, split: Split) -> "AnswerTally":
        """Begin to count; see `OutputScore`."""
        return AnswerTally(self, split)

    def answer(
        self, y: Float[Tensor, "T 2"], passage: str, places: Integer[np.ndarray, "N 2"]
    ) -> str:
        """Give the likeliest answer.

        Args:
            y: The scores of each token of question, separator and passage as start and as end.
            passage: The passage.
            places: Where each of its tokens starts and stops.

        Returns:
            The part of the passage.
        """
        best = answers(y[None, -len(places) :], max_length=self.longest)
        return passage[places[int(best.start), 0] : places[int(best.end), 1]]


class AnswerTally:
    """Collects the likeliest answer to each question.

    Args:
        score: What counts.
        split: The split.
    """

    def __init__(self, score: AnswerScore, split: Split) -> None:
        self.score, self.split = score, split
        self.predicted: list[str] = []
        self.right: list[list[str]] = []

    def add(self, number: int, y: Tensor, target: Tensor) -> None:
        """Take one question; see `Tally`."""
        question = self.score.questions[self.split][number]
        places = self.score.places[self.split][number]
        self.predicted.append(self.score.answer(y, question.passage, places))
        self.right.append([answer.text for answer in question.answers])

    def value(self) -> float:
        """Tell the score in per cent."""
        return score_answers(self.predicted, self.right)[self.score.name]
