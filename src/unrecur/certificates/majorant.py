"""The majorant of a cell: how far two runs over the same inputs can be apart one step later."""

from jaxtyping import Float64
from torch import Tensor

from unrecur.certificates.expressions import advance, show
from unrecur.certificates.pairs import SLACK, Pair, Tape
from unrecur.certificates.reach import Reach


class Majorant:
    """A monotone map F with |s' - t'| <= F(|s - t|, |x - y|), number by number.

    It holds for any two states in the reachable box and any inputs in the set, and is the largest
    over the modes of the inputs. From above a stack of layers, x and y may differ.

    Args:
        reach: The cell with its reachable box.
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._tape, self._state, self._shown = self._recorded(gap_of_inputs=False)
        self._above: tuple[Tape, Pair, Pair] | None = None

    def _recorded(self, gap_of_inputs: bool) -> tuple[Tape, Pair, Pair]:
        """Record one step and the readout."""
        reach, tape = self.reach, self.reach.tape()
        h = tape.variable(reach.low[None], reach.high[None])
        x = tape.exact(*reach.inputs)
        if gap_of_inputs:
            place = tape.record(lambda values: values[1])
            x = Pair(tape, x.low, x.high, place)
        new = advance(reach.cell, h, x)
        return tape, new, show(reach.cell, new)

    def step(
        self,
        gap: Float64[Tensor, " S"],
        inputs: Float64[Tensor, " D"] | None = None,
        *,
        saturated: bool = True,
        rounded: bool = True,
    ) -> tuple[Float64[Tensor, " S"], Float64[Tensor, " H"]]:
        """Bound the gap one step later.

        Args:
            gap: The gap of the states.
            inputs: The gap of the inputs; None where both runs read the same.
            saturated: Whether gaps are cut at the widths of their intervals.
            rounded: Whether the rounding of both runs is added.

        Returns:
            The gaps of the next states and of their outputs.
        """
        if inputs is None:
            tape, new, shown, given = self._tape, self._state, self._shown, [gap[None]]
        else:
            if self._above is None:
                self._above = self._recorded(gap_of_inputs=True)
            (tape, new, shown), given = self._above, [gap[None], inputs[None]]
        values = tape.replay(saturated, rounded, *given)
        state, output = (values[part.gap].amax(0) * SLACK for part in (new, shown) if part.gap)
        return state, output

    def shown(self, gap: Float64[Tensor, " S"]) -> Float64[Tensor, " H"]:
        """Bound the gap of the outputs of two states.

        Args:
            gap: The gap of the states.

        Returns:
            The gap of what their readouts give.
        """
        tape = self.reach.tape()
        h = tape.variable(self.reach.low[None], self.reach.high[None])
        output = show(self.reach.cell, h)
        return tape.replay(True, True, gap[None])[output.gap or 0].amax(0) * SLACK

    def homogeneous(self, gap: Float64[Tensor, " S"]) -> Float64[Tensor, " S"]:
        """Give F without saturation and rounding: F(c d) = c F(d)."""
        return self.step(gap, saturated=False, rounded=False)[0]
