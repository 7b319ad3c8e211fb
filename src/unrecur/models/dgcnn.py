"""DGCNN: reading comprehension with dilated gated convolutions."""

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.compose import Pointwise, Serial
from unrecur.core.field import Field
from unrecur.core.model import AbstractBlockModel, AbstractConditionalModel
from unrecur.core.state import State
from unrecur.layers.dgcnn import AttentionPooling, DilatedGatedConvolution
from unrecur.layers.embedding import Embedding

QUESTION_DILATIONS = (1, 2, 1)
PASSAGE_DILATIONS = (1, 2, 4, 8, 16, 1)


def dgcnn(*, in_features: int, hidden: int, out_features: int = 2, dropout: float = 0.0) -> "DGCNN":
    """Build Su's DGCNN (2019, kexue.fm/archives/6906), which points at answers in a passage.

    The question goes through dilated gated convolutions (dilations 1, 2, 1) and becomes one vector
    by attention pooling. That vector stands beside each token of the passage, which goes through
    six more (1, 2, 4, 8, 16, 1), and once more beside what comes out. Question and passage share
    their embedding. Each token has a score of being the first of an answer and one of being the
    last, each by itself: their sigmoids are the probabilities.

    What is left out of the published code: vectors of words beside those of characters, and the
    factor common to a passage (the probability that it holds an answer at all), which would make
    every score depend on the whole passage.

    Args:
        in_features: The number of tokens of questions and passages.
        hidden: The length of the embeddings, and the number of channels.
        out_features: The number of scores of a token: 2, for start and end, as `answers` reads
            them.
        dropout: The probability with which an embedding or a gate's input is dropped in training.

    Returns:
        The model.

    Raises:
        InputError: A size or the probability is out of range.

    Example:
        >>> model = dgcnn(in_features=100, hidden=8)
        >>> question, passage = torch.tensor([[5, 17, 3]]), torch.randint(0, 100, (1, 40))
        >>> scores, _ = model(passage, model.encode(question))
        >>> scores.shape
        torch.Size([1, 40, 2])
    """
    _check.positive_integer(in_features, "in_features")
    _check.positive_integer(hidden, "hidden")
    _check.positive_integer(out_features, "out_features")
    _check.fraction(dropout, "dropout")
    return DGCNN(in_features, hidden, out_features, dropout)


def dgcnn_parameters(*, in_features: int, hidden: int, out_features: int = 2, **_: Any) -> int:
    """Count the parameters of `dgcnn`.

    The embedding V H, the nine convolutions of 2 H (3 H + 1), the pooling H H + H, the map of a
    token and the question 2 H H, the scores (2 H + 1) E.

    Args:
        in_features: The number of tokens V.
        hidden: The number of channels H.
        out_features: The number of scores E.

    Returns:
        The number of parameters.
    """
    convolutions = len(QUESTION_DILATIONS) + len(PASSAGE_DILATIONS)
    return (
        in_features * hidden
        + convolutions * 2 * hidden * (3 * hidden + 1)
        + hidden * (hidden + 1)
        + 2 * hidden * hidden
        + (2 * hidden + 1) * out_features
    )


class DGCNN(AbstractConditionalModel, AbstractBlockModel):
    """The network that `dgcnn` builds: the question is the state, a passage is a block.

    The state is the question's vector, [batch, hidden]; a passage does not change it.

    Args:
        in_features: The number of tokens.
        hidden: The number of channels.
        out_features: The number of scores of a token.
        dropout: The probability with which a value is dropped in training.
    """

    takes_tokens = True

    def __init__(self, in_features: int, hidden: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features

        def convolutions(dilations: tuple[int, ...]) -> Serial:
            return Serial(*(DilatedGatedConvolution(hidden, d, dropout) for d in dilations))

        self.embedding = Serial(
            Embedding(in_features, hidden), Pointwise(nn.Dropout(dropout), hidden)
        )
        self.question = convolutions(QUESTION_DILATIONS)
        self.pooling = AttentionPooling(hidden)
        self.join = nn.Linear(2 * hidden, hidden, bias=False)
        self.passage = convolutions(PASSAGE_DILATIONS)
        self.scores = nn.Linear(2 * hidden, out_features)

    @property
    def receptive_field(self) -> Field:
        """How much of a passage a token's scores see: 32 tokens to each side."""
        return self.passage.receptive_field

    def encode(
        self, source: Integer[Tensor, "B N"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the question; see `AbstractConditionalModel.encode`."""
        embedded, _ = self.embedding(source, None, lengths)
        return self.pooling(self.question(embedded, None, lengths)[0], lengths)

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Score the tokens of a passage; see `AbstractSequenceModel.forward`.

        Args:
            x: The tokens of a passage.
            state: The question, as `encode` gives it: of one row, for all passages, or of one for
                each.
            lengths: How many tokens of each row are valid; None when all are.

        Returns:
            The scores, and the question of each row.

        Raises:
            InputError: There is no question, or there are too many or too few.
        """
        if state is None:
            raise _check.InputError(
                "DGCNN reads a passage for a question: begin with state = model.encode(question) "
                "and hand the state in."
            )
        passages, questions = x.shape[0], state.shape[0]
        if questions not in (1, passages):
            raise _check.InputError(
                f"expected one question, or one for each of {passages} passages, got {questions}."
            )
        state = state.expand(passages, -1)
        embedded, _ = self.embedding(x, None, lengths)
        read, _ = self.passage(self.join(_beside(embedded, state)), None, lengths)
        return self.scores(_beside(read, state)), state

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Refuse: a token's scores need the tokens after it.

        Args:
            x_t: A token of each row.
            state: The question.

        Raises:
            InputError: Always.
        """
        raise _check.InputError(
            "DGCNN sees 32 tokens ahead and cannot answer step by step. Give it whole passages: "
            "model(passage, state)."
        )


def _beside(x: Tensor, question: Tensor) -> Tensor:
    """Put the question's vector beside each step."""
    return torch.cat([x, question[:, None].expand(*x.shape[:2], -1)], -1)
