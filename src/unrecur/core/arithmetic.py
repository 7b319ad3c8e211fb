"""Which inputs an output sees, and how many outputs there are: exact, for any stack of layers."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrecur._check import InputError
from unrecur.core.field import Field

Steps = NDArray[np.int64]
# Beyond this many steps an index times a stride may leave 64 bits, and a list of steps memory.
LARGEST_FIELD = 2**24


class AbstractArithmetic(ABC):
    """The geometry of a layer along time, weights aside.

    Output j stands at the input floor(j / ratio); its field is counted from there.
    """

    @property
    @abstractmethod
    def ratio(self) -> Fraction:
        """How many outputs there are to an input: 1 / stride, or the stride of an upsampling."""

    @abstractmethod
    def sees(self, outputs: ArrayLike) -> Steps:
        """List the inputs that some outputs see, in a sequence without ends.

        Args:
            outputs: The steps of the outputs, a list of whole numbers.

        Returns:
            The steps of the inputs, each once and in order; none where the outputs see none.
        """

    @abstractmethod
    def length(self, inputs: int) -> int:
        """Count the outputs of a sequence.

        Args:
            inputs: The number of inputs.

        Returns:
            The number of outputs, 0 where there are too few inputs for one.
        """

    @property
    def period(self) -> int:
        """After how many outputs the inputs seen are the same again, moved on."""
        return self.ratio.numerator

    @property
    def reach(self) -> tuple[float, float]:
        """The first and the last input that an output sees, from its own place; the widest ones.

        Negative before it, positive after it: (-2, -1) is seen by a layer that sees none but the
        two inputs before.
        """
        first, last = math.inf, -math.inf
        for output in range(self.period):
            inputs = self.sees([output])
            here = math.floor(output / self.ratio)
            if len(inputs):
                first, last = min(first, inputs[0] - here), max(last, inputs[-1] - here)
        return (float(first), float(last)) if first <= last else (0.0, 0.0)

    def finite(self) -> "AbstractArithmetic":
        """Leave infinite ends out, so that the inputs seen can be listed.

        Returns:
            The same layer, seeing none but its own place where it saw without end.
        """
        return self

    @property
    def field(self) -> Field:
        """The inputs before and after its own place that an output sees."""
        first, last = self.reach
        return Field(
            *(end if math.isinf(end) else int(end) for end in (max(-first, 0), max(last, 0)))
        )

    @property
    def keeps_length(self) -> bool:
        """Whether there are as many outputs as inputs: no rate, and padding for the whole field."""
        return self.length(LARGEST_FIELD) == LARGEST_FIELD

    @property
    def stride(self) -> Fraction:
        """How many inputs further the next output stands."""
        return 1 / self.ratio


@dataclass(frozen=True)
class Span(AbstractArithmetic):
    """A layer that sees all inputs of a field and gives one output to an input.

    Attributes:
        within: The field, finite or not.
    """

    within: Field

    @property
    def ratio(self) -> Fraction:
        """One output to an input."""
        return Fraction(1)

    @property
    def reach(self) -> tuple[float, float]:
        """The ends of the field."""
        return -self.within.past, self.within.future

    def finite(self) -> AbstractArithmetic:
        """See `AbstractArithmetic.finite`."""
        ends = (0 if math.isinf(end) else end for end in (self.within.past, self.within.future))
        return Span(Field(*ends))

    def sees(self, outputs: ArrayLike) -> Steps:
        """See `AbstractArithmetic.sees`."""
        _countable(self.within)
        reach = np.arange(-int(self.within.past), int(self.within.future) + 1)
        return np.unique(np.add.outer(outputs, reach))

    def length(self, inputs: int) -> int:
        """See `AbstractArithmetic.length`."""
        return inputs


@dataclass(frozen=True)
class Taps(AbstractArithmetic):
    """A convolution or pooling: output j sees the inputs j s - left + m d, m = 0 ... K - 1.

    Attributes:
        kernel_size: The number of taps K.
        dilation: The distance d between taps.
        step: The stride s.
        left: How many zeros are padded before the sequence; negative where inputs are cut off.
        right: How many after it.
    """

    kernel_size: int
    dilation: int = 1
    step: int = 1
    left: int = 0
    right: int = 0

    @property
    def ratio(self) -> Fraction:
        """One output to s inputs."""
        return Fraction(1, self.step)

    @property
    def reach(self) -> tuple[float, float]:
        """The first and the last tap, from the input j s."""
        return -self.left, (self.kernel_size - 1) * self.dilation - self.left

    def sees(self, outputs: ArrayLike) -> Steps:
        """See `AbstractArithmetic.sees`."""
        taps = np.arange(self.kernel_size) * self.dilation - self.left
        return np.unique(np.add.outer(np.multiply(outputs, self.step), taps))

    def length(self, inputs: int) -> int:
        """Count floor((n + left + right - (K - 1) d - 1) / s) + 1 outputs."""
        room = inputs + self.left + self.right - (self.kernel_size - 1) * self.dilation - 1
        return max(room // self.step + 1, 0)


@dataclass(frozen=True)
class TransposedTaps(AbstractArithmetic):
    """A transposed convolution: input i gives to the outputs i s - left + m d, m = 0 ... K - 1.

    Attributes:
        kernel_size: The number of taps K.
        dilation: The distance d between taps.
        step: The stride s.
        left: How many outputs are cut off before the first.
        right: How many after the last; negative where outputs without input are added.
        trailing: Whether the outputs after the last input's first are cut: s outputs to an input.
    """

    kernel_size: int
    dilation: int = 1
    step: int = 1
    left: int = 0
    right: int = 0
    trailing: bool = False

    @property
    def ratio(self) -> Fraction:
        """As many outputs to an input as the stride says."""
        return Fraction(self.step)

    def sees(self, outputs: ArrayLike) -> Steps:
        """See `AbstractArithmetic.sees`."""
        taps = np.arange(self.kernel_size) * self.dilation - self.left
        sums = np.subtract.outer(outputs, taps)
        return np.unique(sums[sums % self.step == 0] // self.step)

    def length(self, inputs: int) -> int:
        """Count (n - 1) s + (K - 1) d + 1 - left - right outputs, or n s where trailing are cut."""
        if self.trailing or inputs == 0:
            return inputs * self.step
        reach = (self.kernel_size - 1) * self.dilation
        return max((inputs - 1) * self.step + reach + 1 - self.left - self.right, 0)


@dataclass(frozen=True)
class InTurn(AbstractArithmetic):
    """Layers one after the other.

    Attributes:
        parts: The layers, from the input up.
    """

    parts: tuple[AbstractArithmetic, ...]

    @property
    def ratio(self) -> Fraction:
        """The product of all."""
        return math.prod((part.ratio for part in self.parts), start=Fraction(1))

    @property
    def period(self) -> int:
        """The least number of outputs that is a whole number of steps of every layer."""
        steps, moved = 1, Fraction(1)
        for part in reversed(self.parts):
            steps = math.lcm(steps, (moved / part.period).denominator)
            moved /= part.ratio
        return steps

    @property
    def reach(self) -> tuple[float, float]:
        """The sum of all; found by listing the inputs where a layer changes the rate."""
        reaches = [part.reach for part in self.parts]
        first, last = sum(first for first, _ in reaches), sum(last for _, last in reaches)
        if all(part.ratio == 1 for part in self.parts):
            return first, last
        if math.isinf(last - first):
            listed = self.finite().reach
            return (
                first if math.isinf(first) else listed[0],
                last if math.isinf(last) else listed[1],
            )
        return super().reach

    def finite(self) -> AbstractArithmetic:
        """See `AbstractArithmetic.finite`."""
        return InTurn(tuple(part.finite() for part in self.parts))

    def sees(self, outputs: ArrayLike) -> Steps:
        """See `AbstractArithmetic.sees`."""
        if all(part.ratio == 1 for part in self.parts):
            _countable(self.field)  # known without listing
        seen = np.asarray(outputs)
        for part in reversed(self.parts):
            seen = part.sees(seen)
            _countable(Field(len(seen)))
        return seen

    def length(self, inputs: int) -> int:
        """See `AbstractArithmetic.length`."""
        for part in self.parts:
            inputs = part.length(inputs)
        return inputs


@dataclass(frozen=True)
class SideBySide(AbstractArithmetic):
    """Layers on the same input whose outputs are put together, all of one ratio.

    Attributes:
        parts: The layers, at least one.
    """

    parts: tuple[AbstractArithmetic, ...]

    @property
    def ratio(self) -> Fraction:
        """That of all."""
        return self.parts[0].ratio

    @property
    def period(self) -> int:
        """The least that is a period of all."""
        return math.lcm(*(part.period for part in self.parts))

    @property
    def reach(self) -> tuple[float, float]:
        """The least range that holds those of all."""
        reaches = [part.reach for part in self.parts]
        return min(first for first, _ in reaches), max(last for _, last in reaches)

    def finite(self) -> AbstractArithmetic:
        """See `AbstractArithmetic.finite`."""
        return SideBySide(tuple(part.finite() for part in self.parts))

    def sees(self, outputs: ArrayLike) -> Steps:
        """See `AbstractArithmetic.sees`."""
        return np.unique(np.concatenate([part.sees(outputs) for part in self.parts]))

    def length(self, inputs: int) -> int:
        """Count the outputs that all of them give."""
        return min(part.length(inputs) for part in self.parts)


def _countable(field: Field) -> None:
    """Refuse to list the steps of a field that is infinite or too large for it."""
    if field.length > LARGEST_FIELD:
        raise InputError(
            f"a field of {field.length:g} inputs cannot be listed step by step; up to "
            f"{LARGEST_FIELD} can. Ask for its ends: unrecur.field(model).field."
        )


@singledispatch
def arithmetic(model: Any) -> AbstractArithmetic:
    """Give the geometry of a model along time; see `unrecur.field`.

    Each kind of module has its rule, added with `arithmetic.register`; this is what is said of one
    without.

    Args:
        model: A module without a rule.

    Raises:
        InputError: The module's geometry is not known.
    """
    raise InputError(
        f"the field of a {type(model).__name__} is not known. Give a model of this package, or "
        "torch's convolutions, poolings and pointwise layers in a Sequential; others are added "
        "with unrecur.core.arithmetic.arithmetic.register."
    )
