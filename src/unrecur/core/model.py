"""The sequence model: one function in two forms.

Legend of the shapes, here and everywhere: B batch, T time, D features in, E features out,
S numbers of state.
"""

import math
from abc import ABC, abstractmethod
from fractions import Fraction

from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.core.arithmetic import arithmetic
from unrecur.core.field import Field
from unrecur.core.state import State


class AbstractSequenceModel(nn.Module, ABC):
    """A map from sequences to sequences, over a whole block or one step at a time.

    Both forms give the same values, gradients and final state; a sequence may be cut into blocks
    anywhere; rows of a batch do not see each other. `tests/contract.py` holds every model of this
    package to that, and `unrecur.check_equivalence` checks it on your own.
    """

    in_features: int
    out_features: int
    takes_tokens: bool = False
    """Whether the inputs are token ids [batch, time] below `in_features`, not features."""
    output_ratio: Fraction = Fraction(1)
    """How many outputs there are to an input; not 1 where a layer strides or upsamples."""

    @property
    @abstractmethod
    def receptive_field(self) -> Field:
        """Which inputs an output can see."""

    def output_lengths(self, lengths: Integer[Tensor, " B"]) -> Integer[Tensor, " B"]:
        """Count the outputs of rows of some lengths.

        Args:
            lengths: How many inputs each row has.

        Returns:
            How many outputs: as many, if the model does not say otherwise.
        """
        return lengths

    @abstractmethod
    def init_state(self, batch: int) -> State:
        """Make the state before the first input, on the device and in the dtype of the weights.

        Args:
            batch: The number of rows.

        Returns:
            A tree of tensors, batch first in each.
        """

    @abstractmethod
    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block.

        Args:
            x: The inputs [batch, time, features] (or token ids [batch, time]).
            state: The state before the block; None for the state before the first input.
            lengths: How many steps of each row are valid; None when all are. What the padding
                holds does not matter, and the outputs in it mean nothing.

        Returns:
            The outputs, and the state after each row's own last valid step.
        """

    @abstractmethod
    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one time step.

        Args:
            x_t: The inputs of one step, [batch, features] (or token ids [batch]).
            state: The state before the step; None for the state before the first input.

        Returns:
            The outputs of the step and the state after it.
        """


class AbstractBlockModel(AbstractSequenceModel):
    """A model for whole sequences, as one that sees inputs still to come: the block form alone.

    Where it sees a finite number of inputs ahead, `Lagged` makes a causal model of it that answers
    that many steps late.
    """

    def init_state(self, batch: int) -> State:
        """Make the empty state."""
        return ()

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Refuse: an output needs inputs that have not come.

        Args:
            x_t: The inputs of one step.
            state: The state before it.

        Raises:
            InputError: Always; the message says what to do instead.
        """
        ahead = self.receptive_field.future
        streams = arithmetic(self).keeps_length and not math.isinf(ahead)
        raise InputError(
            f"{type(self).__name__} is made for whole sequences (it sees {ahead:g} inputs ahead) "
            "and cannot answer step by step. "
            + ("Stream it with unrecur.Lagged(model)." if streams else "Give it whole sequences.")
        )


class AbstractConditionalModel(AbstractSequenceModel):
    """A causal model that starts from something given: the source of a translation, a question.

    `encode` reads that once; the state it gives holds what the steps look up. From there on it is a
    sequence model like any other, in both forms.
    """

    @property
    def source_features(self) -> int:
        """How many features the source has, or how many token ids there are; as many as inputs."""
        return self.in_features

    @abstractmethod
    def encode(
        self, source: Shaped[Tensor, "B N ..."], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the source, and make the state before the first input.

        Args:
            source: What the model is conditioned on, [batch, steps] of token ids or
                [batch, steps, features].
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            The state to begin with.
        """

    def coverage(self, state: State) -> Float[Tensor, "B N"] | None:
        """Say how much of each step of the source has been read, for models with one attention.

        Args:
            state: A state of the model.

        Returns:
            The sum of the attention's weights over the steps so far, and 1 in the padding, where
            there is nothing to read; None for a model that does not keep it, as here.
        """
        return None

    def init_state(self, batch: int) -> State:
        """Refuse: the state comes from the source.

        Args:
            batch: The number of rows.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"{type(self).__name__} starts from a source: begin with state = model.encode(source) "
            "and hand the state in."
        )
