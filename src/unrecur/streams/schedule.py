"""When each output of a stream can come, and from which input on the inputs are still needed."""

import math

from unrecur.core.arithmetic import AbstractArithmetic, InTurn, SideBySide


class Schedule:
    """The outputs of a stream, one after the other, by the geometry of its model.

    Output j can come once the last input of its cone has; the cone is the least range that holds
    all inputs it is made from and its own place. Everything is the same again after `period`
    inputs, so that a model may be run anew from any multiple of it.

    Args:
        geometry: That of the model; infinite ends are left out.

    Attributes:
        period: After how many inputs all layers stand at a whole number of steps again.
        latency: How many inputs after its own place an output comes, the latest one.
        kept: The most inputs that outputs to come still need.

    Example:
        >>> from unrecur.core.arithmetic import Taps
        >>> schedule = Schedule(Taps(kernel_size=5, left=2, right=2))
        >>> schedule.latency, schedule.outputs(10), schedule.start(10)
        (2, 8, 6)
    """

    def __init__(self, geometry: AbstractArithmetic) -> None:
        geometry = geometry.finite()
        self.ratio, self._count = geometry.ratio, geometry.period
        self.period = int(self._count / self.ratio)
        self._cones = [_cone(geometry, output, output) for output in range(self._count)]
        self.latency = max(
            last - math.floor(output / self.ratio) for output, (_, last) in enumerate(self._cones)
        )
        self.kept = max(last - first for first, last in self._cones) + self.period - 1

    def outputs(self, come: int) -> int:
        """Count the outputs that can be given.

        Args:
            come: How many inputs have come.

        Returns:
            How many outputs, all since the first.
        """
        return sum(max(0, (come - 1 - last) // self.period + 1) for _, last in self._cones)

    def start(self, come: int) -> int:
        """Say from where on the inputs are needed for the outputs still to come.

        Args:
            come: How many inputs have come.

        Returns:
            The step of an input, a multiple of the period.
        """
        periods, output = divmod(self.outputs(come), self._count)
        first = self._cones[output][0] + periods * self.period
        return max(first // self.period, 0) * self.period

    def place(self, come: int) -> int:
        """Name where a stream stands: what comes at the same place comes alike.

        Args:
            come: How many inputs have come.

        Returns:
            The number of inputs, or one below 0 once the beginning is out of sight.
        """
        return -1 - come % self.period if self.start(come) else come


def _cone(geometry: AbstractArithmetic, first: int, last: int) -> tuple[int, int]:
    """Give the least range with all inputs, and the own places, of a range of outputs."""
    if isinstance(geometry, InTurn):
        for part in reversed(geometry.parts):
            first, last = _cone(part, first, last)
        return first, last
    if isinstance(geometry, SideBySide):
        cones = [_cone(part, first, last) for part in geometry.parts]
        return min(first for first, _ in cones), max(last for _, last in cones)
    seen = geometry.sees([first, last])
    own = [math.floor(output / geometry.ratio) for output in (first, last)]
    return min([own[0], *seen[:1].tolist()]), max([own[1], *seen[-1:].tolist()])
