"""The whole curve of a proof: what two runs may still differ by after k inputs, layer by layer.

Per layer a set |d| <= gap is carried, number by number, and for each norm that contracts a ball;
after every step each is cut by the others, so that the curve is below that of every single rule.
The gap of a layer's outputs is the gap of the next one's inputs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64
from torch import Tensor

from unrecur.certificates.certificate import AbstractCurve, Start
from unrecur.certificates.norms import Layer, Norm
from unrecur.certificates.pairs import SLACK

LONGEST = 4096  # inputs; from then on the bound stays
LONGEST_OF_BOTH = 1024  # inputs on each side, where a layer also runs backward
RESTING = 1e-9  # a change that counts as none
FASTEST = 1e-3  # the least rate of a closed form over several steps


@dataclass(frozen=True)
class Proof:
    """A cell with the norms in which it contracts, the best first.

    Attributes:
        layer: The cell.
        norms: The norms, at least one.
    """

    layer: Layer
    norms: tuple[Norm, ...]

    def first_gap(self, start: Start) -> Float64[Tensor, " S"]:
        """Give the gap before the first input.

        Args:
            start: Whether one run starts from the zero state, or both from any reachable one.

        Returns:
            The gap.
        """
        reach = self.layer.reach
        if start == "any":
            return reach.high - reach.low
        return torch.maximum(reach.high, -reach.low)


@dataclass
class Gap:
    """What is known of two runs of one layer.

    Attributes:
        state: The gap of the states after each input, the first before any.
        radii: The radius of the ball in each norm.
        rests: Whether the last inputs changed nothing.
    """

    state: list[Tensor]
    radii: list[float] = field(default_factory=list)
    rests: bool = False


class Forgetting(AbstractCurve):
    """The curve of a stack of layers.

    Args:
        layers: The proofs of each layer: one, or those of a forward and a backward cell.
    """

    def __init__(self, layers: Sequence[Sequence[Proof]]) -> None:
        self.layers = layers
        self.bidirectional = any(len(layer) == 2 for layer in layers)
        self._flaws: dict[int, Tensor] = {}
        self._gaps: dict[Start, list[Gap]] = {}
        self._outputs: dict[Start, list[Tensor]] = {}

    @torch.no_grad()
    def at(self, k: int, start: Start) -> tuple[list[Float64[Tensor, " S"]], Float64[Tensor, " H"]]:
        """See `AbstractCurve.at`; k inputs on each side where a layer also runs backward."""
        # From any state the bound falls with every input: where it rests it holds for all later k.
        if k > LONGEST:
            k, start = LONGEST, "any"
        if self.bidirectional and k:
            return self._both_sides(k, start)
        if start not in self._gaps:
            first = [self._begin(proof, start) for layer in self.layers for proof in layer]
            self._gaps[start] = first
            self._outputs[start] = [self._shown(first, start)]
        gaps, outputs = self._gaps[start], self._outputs[start]
        while len(outputs) <= k and not all(gap.rests for gap in gaps):
            below = None
            for (proof,), gap in zip(self.layers, gaps, strict=True):
                below = self._advance(proof, gap, below)
            assert below is not None
            outputs.append(below)
        if len(outputs) <= k and start == "zero":
            return self.at(k, "any")
        place = min(k, len(outputs) - 1)
        return [gap.state[place] for gap in gaps], outputs[place]

    def first(self, enough: Callable[[int], bool]) -> int | None:
        """See `AbstractCurve.first`; with two directions by doubling and halving."""
        if self.bidirectional:
            return self._first_of_both(enough)
        for k in range(LONGEST + 1):
            if enough(k):
                return k
            computed = len(self._outputs["zero"]) - 1  # by an earlier call perhaps more than k
            if 0 < computed <= k and all(gap.rests for gap in self._gaps["zero"]):
                return None
        return None

    def _first_of_both(self, enough: Callable[[int], bool]) -> int | None:
        """Halve the last doubling, as each k costs a pass over its whole window."""
        if enough(0):
            return 0
        low, high = 0, 1
        while not enough(high):
            low, high = high, 2 * high
            if high > LONGEST_OF_BOTH:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high

    def _begin(self, proof: Proof, start: Start) -> Gap:
        """Start a layer."""
        first = proof.first_gap(start)
        return Gap([first], [norm.of(first) for norm in proof.norms])

    def _shown(self, gaps: list[Gap], start: Start) -> Tensor:
        """Give the gap of the outputs before any input; a zero state shows zero."""
        found = []
        for proof, gap in zip(self.layers[-1], gaps[-len(self.layers[-1]) :], strict=True):
            low, high = proof.layer.reach.output()
            whole = high - low if start == "any" else torch.maximum(high, -low)
            found.append(torch.minimum(whole, proof.layer.majorant.shown(gap.state[0])))
        return torch.cat(found)

    def _advance(self, proof: Proof, gap: Gap, below: Tensor | None) -> Tensor:
        """Advance a layer by one input; give the gap of its outputs."""
        majorant, before = proof.layer.majorant, list(gap.radii)
        state, output = majorant.step(gap.state[-1], below)
        if below is None:
            added = proof.layer.flaw
        else:
            added = majorant.step(torch.zeros_like(state), below, saturated=False)[0]
        for place, norm in enumerate(proof.norms):
            if norm.product is None:
                radius = norm.rate * gap.radii[place] + norm.of(added)
                state = torch.minimum(state, radius * norm.ball)
                gap.radii[place] = radius
            elif below is None and len(gap.state) >= norm.steps:
                earlier = norm.product @ gap.state[-norm.steps] + self.flaw_of(proof, norm.steps)
                state = torch.minimum(state, earlier)
        # Both states are reachable: no further apart than any two.
        state = torch.minimum(state, proof.first_gap("any"))
        # A product of r steps cuts what is r inputs later: only then is a change seen.
        most = max(norm.steps for norm in proof.norms)
        gap.rests = len(gap.state) >= most
        gap.rests &= bool(((state - gap.state[-most:][0]).abs() <= RESTING * state).all())
        for place, norm in enumerate(proof.norms):
            radius = min(gap.radii[place], norm.of(state))
            gap.rests &= before[place] * (1 - RESTING) <= radius
            gap.radii[place] = radius
        gap.state.append(state)
        return torch.minimum(output, majorant.shown(state))

    def flaw_of(self, proof: Proof, steps: int) -> Tensor:
        """Bound what rounding adds to a gap within some steps.

        Args:
            proof: The proof of a layer.
            steps: How many.

        Returns:
            The bound on each number.
        """
        key = id(proof)
        if key not in self._flaws:
            flaw = torch.zeros_like(proof.layer.flaw)
            for _ in range(steps):
                flaw = proof.layer.majorant.step(flaw, saturated=False)[0]
            self._flaws[key] = flaw
        return self._flaws[key]

    def _both_sides(self, k: int, start: Start) -> tuple[list[Tensor], Tensor]:
        """Follow a window of k inputs before and k after an output, itself counted in both."""
        below: list[Tensor | None] = [None] * (2 * k - 1)
        states: list[Tensor] = []
        for layer in self.layers:
            sides = []
            for direction, proof in zip((1, -1), layer, strict=False):
                gap = self._begin(proof, start)
                sides.append(
                    [self._advance(proof, gap, e) for e in below[::direction]][::direction]
                )
                states.append(gap.state[k])
            below = [torch.cat(side) for side in zip(*sides, strict=True)]
        middle = below[k - 1]
        assert middle is not None
        return states, middle


@dataclass(frozen=True)
class ClosedForm:
    """A bound on the curve of a causal stack.

    gap(k) <= start rate^k + rounding (1 - rate^k) / (1 - rate)

    Attributes:
        rate: The rate of the stack: that of its slowest layer, or a little more.
        start: The constant in front, for one run from zero.
        rounding: What rounding adds in one step.
    """

    rate: float
    start: float
    rounding: float


def closed_form(forgetting: Forgetting) -> ClosedForm:
    """Solve r' <= T r + b for the norms r of all layers' gaps.

    T is lower triangular: on its diagonal are the rates of the layers, below it what the gap of one
    layer's outputs adds to the next. With w = (I - T / rate)^-1 1, max r / w falls by the rate.

    Args:
        forgetting: The curve.

    Returns:
        The closed form; its start is infinite where there is none (two directions, or a layer of
        a stack that contracts over several steps only).
    """
    slowest = max(proof.norms[0].rate for layer in forgetting.layers for proof in layer)
    none = ClosedForm(slowest, math.inf, 0.0)
    if forgetting.bidirectional:
        return none
    proofs = [proof for (proof,) in forgetting.layers]
    norms = [proof.norms[0] for proof in proofs]
    if len(proofs) == 1 and norms[0].product is not None:
        return _of_products(forgetting, proofs[0], norms[0])
    if any(norm.product is not None for norm in norms):
        return none
    table, flaw = _coupling(proofs)
    rate = slowest if len(proofs) == 1 else slowest + 0.1 * (1 - slowest)
    weights = torch.ones(len(proofs), dtype=torch.float64)
    if len(proofs) > 1:
        system = torch.eye(len(proofs), dtype=torch.float64) - table / rate
        weights = torch.linalg.solve_triangular(system, weights[:, None], upper=False)[:, 0]
    balls = torch.tensor([float(norm.ball.max()) for norm in norms], dtype=torch.float64)
    first = torch.tensor(
        [norm.of(proof.first_gap("zero")) for proof, norm in zip(proofs, norms, strict=True)],
        dtype=torch.float64,
    )
    size = float((balls * weights).max()) * SLACK
    return ClosedForm(
        rate, size * float((first / weights).max()), size * float((flaw / weights).max())
    )


def _of_products(forgetting: Forgetting, proof: Proof, norm: Norm) -> ClosedForm:
    """Write k = i + n r: the gap after i < r inputs has shrunk n times."""
    first = max(norm.of(forgetting.at(i, "zero")[0][0]) for i in range(norm.steps))
    rate = max(norm.rate, FASTEST)  # where a product is zero, start would not be a number
    size, whole = float(norm.ball.max()), rate**norm.steps
    flaw = norm.of(forgetting.flaw_of(proof, norm.steps)) * (1 - rate) / (1 - whole)
    return ClosedForm(rate, size * first / rate ** (norm.steps - 1), size * flaw)


def _coupling(proofs: Sequence[Proof]) -> tuple[Tensor, Tensor]:
    """Give T and b: each layer's unit ball, and rounding, sent through the stack for one step."""
    count = len(proofs)
    table = torch.zeros(count, count, dtype=torch.float64)
    flaw = torch.zeros(count, dtype=torch.float64)
    for column in (*range(count), None):
        below = None
        for row, proof in enumerate(proofs):
            norm, rounded = proof.norms[0], column is None
            gap = norm.ball * (row == column)
            if not rounded and below is None and row != column:
                continue  # below the layer that is disturbed
            state, below = proof.layer.majorant.step(gap, below, saturated=False, rounded=rounded)
            if column is None:
                flaw[row] = norm.of(state)
            else:
                table[row, column] = norm.rate if row == column else norm.of(state)
    return table, flaw
