"""Attack: the largest error of a truncated model that gradient ascent finds.

It is the other side of every bound: no proof may be below it, and how far a proof is above it is
how loose the proof is.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.chain import NoRuleError, read_chain
from unrecur.certificates.inputs import Box, InputSet, Points
from unrecur.core.cell import AbstractCell

AttackStart = Literal["zero", "any", "reached"]
StateBox = Sequence[tuple[Tensor, Tensor]]
RESTARTS, CLIMBS = 64, 40
FLIPPED = 8  # of the steps of a sequence of tokens, one in so many changes at a time
POLISHED, NEIGHBOURS = 8, 256  # rows, and single changes of each that are tried at a time
TINY = 1e-300


@dataclass(frozen=True)
class Attack:
    """The worst that was found at one window.

    Attributes:
        k: The length of the window.
        error: The largest difference of any output of the recurrence after k inputs.
        state_error: The largest difference of any number of any layer's state.
        inputs: The inputs of the full run: the prefix, then the k of the window.
        starts: The starting states of the full and of the truncated run, all layers side by side.
        evidence: `MEASURED`.
    """

    k: int
    error: float
    state_error: float
    inputs: Float64[Tensor, "T D"]
    starts: Float64[Tensor, "2 S"]
    evidence: Evidence = Evidence.MEASURED


def attack(
    model: nn.Module,
    k: int,
    input_box: Any = None,
    *,
    start: AttackStart = "reached",
    state_box: StateBox | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Attack:
    """Look for the inputs and states at which two runs differ most after k common inputs.

    Sequences that hold one input throughout, corners of the box and random ones are improved by
    signed gradient ascent on the logarithm of the difference (box) or by exchanging the tokens that
    gain most to first order (vocabulary). In float64.

    Args:
        model: As for `certify`; one direction only.
        k: The length of the window, at least 0.
        input_box: The inputs; see `certify`.
        start: "reached": both runs start from zero, the full one 2 k (at least 32) inputs earlier.
            "zero": the full run starts anywhere in `state_box`, the truncated one from zero.
            "any": both start anywhere in it.
        state_box: The least and the largest state of each layer: `Certificate.state_box`.
        restarts: How many sequences are followed.
        seed: Of the random ones.

    Returns:
        The worst that was found.

    Raises:
        InputError: The model is bidirectional or unknown, an argument is malformed, or the state
            box is missing.

    Example:
        >>> import torch, unrecur
        >>> cell = unrecur.stabilize(torch.nn.LSTM(2, 4), 1.0, rate=0.8)
        >>> proof = unrecur.certify(cell, 1.0)
        >>> unrecur.attack(cell, 3, 1.0).state_error <= proof.bound(3)
        True
    """
    return attack_curve(
        model, [k], input_box, start=start, state_box=state_box, restarts=restarts, seed=seed
    )[0]


def attack_curve(
    model: nn.Module,
    ks: Sequence[int],
    input_box: Any = None,
    *,
    start: AttackStart = "reached",
    state_box: StateBox | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> list[Attack]:
    """Attack at several windows; the worst inputs of one, made longer, are tried at the next.

    Args:
        model: See `attack`.
        ks: The lengths of the windows.
        input_box: See `attack`.
        start: See `attack`.
        state_box: See `attack`.
        restarts: See `attack`.
        seed: See `attack`.

    Returns:
        The attacks, in the order of ks.

    Raises:
        InputError: See `attack`.
    """
    _check.known_name(start, get_args(AttackStart), "start")
    _check.positive_integer(restarts, "restarts")
    if any(k < 0 for k in ks):
        raise InputError(f"k must be at least 0, got {min(ks)}.")
    try:
        chain = read_chain(model)
    except NoRuleError as error:
        raise InputError(f"{error}.") from None
    if chain.bidirectional:
        raise InputError("an attack needs a causal model; this one also runs backward.")
    chain.check_weights()
    inputs = chain.inputs(input_box)
    cells = [copy.deepcopy(cell).double().cpu().requires_grad_(False) for (cell,) in chain.layers]
    found: dict[int, Attack] = {}
    best: Tensor | None = None
    for k in sorted(set(ks)):
        prefix = max(32, 2 * k) if start == "reached" else 0
        low, high = _starts(cells, start, state_box)
        climb = _Climb(cells, inputs, low, high, prefix, k)
        found[k], best = climb.run(restarts, torch.Generator().manual_seed(seed), best)
    return [found[k] for k in ks]


def _starts(
    cells: list[AbstractCell], start: AttackStart, box: StateBox | None
) -> tuple[Tensor, Tensor]:
    """Give the box of both starting states, [2, S]."""
    zero = torch.zeros(sum(cell.state_size for cell in cells), dtype=torch.float64)
    if start == "reached":
        return zero.expand(2, -1), zero.expand(2, -1)
    if box is None:
        raise InputError(
            f"start='{start}' needs state_box, such as certify(model, ...).state_box; or use "
            "start='reached'."
        )
    low, high = (torch.cat([ends[n].double().cpu() for ends in box]) for n in (0, 1))
    if low.shape != zero.shape or high.shape != zero.shape:
        raise InputError(f"state_box must hold {len(zero)} numbers in all, got {len(low)}.")
    second = (zero, zero) if start == "zero" else (low, high)
    return torch.stack([low, second[0]]), torch.stack([high, second[1]])


@dataclass
class _Tries:
    """Sequences that are followed side by side: starting states [N, 2, S], inputs [N, T, D]."""

    states: Tensor
    x: Tensor


class _Climb:
    """Gradient ascent at one window."""

    def __init__(
        self,
        cells: list[AbstractCell],
        inputs: InputSet,
        low: Tensor,
        high: Tensor,
        prefix: int,
        k: int,
    ) -> None:
        self.cells, self.inputs, self.low, self.high = cells, inputs, low, high
        self.prefix, self.k = prefix, k

    def run(
        self, restarts: int, generator: torch.Generator, best: Tensor | None
    ) -> tuple[Attack, Tensor]:
        """Climb from all starts; give the worst and its inputs."""
        tries = self._begin(restarts, generator, best)
        outputs, states = self._gaps(tries)
        record = [_worst(outputs), _worst(states)]
        kept = tries
        for turn in range(CLIMBS if self.k + self.prefix else 0):
            tries = self._climbed(tries, 2.0 ** (-turn / 8), soft=turn % 2 == 1)
            outputs, states = self._gaps(tries)
            score = _worst(outputs)
            better = score > record[0]
            record = [torch.maximum(score, record[0]), torch.maximum(_worst(states), record[1])]
            kept = _chosen(better, tries, kept)
            # Where a step lost more than half, go on from the best so far.
            tries = _chosen(score < record[0] / 2, kept, tries)
        state_error, found = float(record[1].max()), []
        for row in record[0].topk(min(POLISHED, restarts)).indices.tolist():
            row_of = slice(row, row + 1)
            first = _Tries(kept.states[row_of], kept.x[row_of])
            error, state, worst = self._polished(first, float(record[0][row]))
            found.append((error, worst))
            state_error = max(state_error, state)
        error, worst = max(found, key=lambda pair: pair[0])
        return Attack(self.k, error, state_error, worst.x[0], worst.states[0]), worst.x[0]

    def _polished(self, worst: _Tries, error: float) -> tuple[float, float, _Tries]:
        """Change one thing at a time as long as that gains."""
        state_error = 0.0
        while True:
            near = self._neighbours(worst)
            outputs, states = self._gaps(near)
            row = int(_worst(outputs).argmax())
            state_error = max(state_error, float(states.max()))
            if not float(outputs[row].max()) > error:
                return error, state_error, worst
            error = float(outputs[row].max())
            worst = _Tries(near.states[row : row + 1], near.x[row : row + 1])

    def _neighbours(self, worst: _Tries) -> _Tries:
        """Change one thing: a number of a state to an end, or an input to another, some of them."""
        low, high = self.low.flatten(), self.high.flatten()
        flat, time = worst.states.flatten(), worst.x.shape[1]
        moved = torch.cat(
            [flat.where(torch.eye(len(flat)) < 1, end).clone() for end in (low, high)]
        )[:NEIGHBOURS]
        if isinstance(self.inputs, Points):
            table = self.inputs.vectors
        else:
            table = torch.stack([self.inputs.low, self.inputs.high])
        places = torch.arange(time * len(table))[:NEIGHBOURS]
        x = worst.x.repeat(len(places) + len(moved), 1, 1)
        # The last inputs matter most, and gradients see their exchanges worst.
        step, token = time - 1 - places // len(table), places % len(table)
        x[torch.arange(len(places)), step] = table[token]
        states = worst.states.repeat(len(x), 1, 1)
        states[len(places) :] = moved.view(-1, *worst.states.shape[1:])
        return _Tries(states, x)

    def _begin(self, count: int, generator: torch.Generator, best: Tensor | None) -> _Tries:
        """Start from constant inputs, random ones, and what was worst at a shorter window."""
        time, size = self.prefix + self.k, (count, *self.low.shape)
        corners = torch.rand(size, generator=generator, dtype=torch.float64).round()
        corners[0::8], corners[2::8] = 1.0, 0.0
        states = self.low + (self.high - self.low) * corners
        x = self._choices(count, generator)[:, None].expand(-1, time, -1).clone()
        drawn = x[1::2]
        drawn.copy_(self._random(len(drawn) * time, generator).view_as(drawn))
        if best is not None and len(best) and time:
            longer = torch.cat([best[:1].expand(max(0, time - len(best)), -1), best])[-time:]
            x[:2] = longer
        return _Tries(states, x)

    def _choices(self, count: int, generator: torch.Generator) -> Tensor:
        """Pick inputs to hold: tokens, or the corners that drive single rows of weights most."""
        if isinstance(self.inputs, Points):
            table = self.inputs.vectors
            order = torch.randperm(len(table), generator=generator)
            return table[order[torch.arange(count) % len(table)]]
        low, high = self.inputs.low, self.inputs.high
        chosen = torch.rand(count, len(low), generator=generator, dtype=torch.float64).round()
        rows = getattr(self.cells[0], "weight_ih_l0", None)
        if rows is not None:
            rows = torch.cat([rows, -rows])
            picked = torch.randperm(len(rows), generator=generator)[: count // 2]
            chosen[: len(picked)] = (rows[picked] > 0).double()
        return low + (high - low) * chosen

    def _random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw inputs."""
        if isinstance(self.inputs, Points):
            table = self.inputs.vectors
            return table[torch.randint(len(table), (count,), generator=generator)]
        low, high = self.inputs.low, self.inputs.high
        return low + (high - low) * torch.rand(
            count, len(low), generator=generator, dtype=torch.float64
        )

    def _gaps(self, tries: _Tries) -> tuple[Tensor, Tensor]:
        """Run both runs; give the differences of outputs and of states."""
        full, short = tries.states.unbind(1)
        for x in tries.x[:, : self.prefix].unbind(1):
            full = self._advance(full, x)
        # Run after run, not as one batch: the same numbers are then rounded in the same way.
        for x in tries.x[:, self.prefix :].unbind(1):
            full, short = self._advance(full, x), self._advance(short, x)
        top = self.cells[-1]
        shown = (top.readout(h[:, -top.state_size :]) for h in (full, short))
        return _apart(*shown), _apart(full, short)

    def _advance(self, h: Tensor, x: Tensor) -> Tensor:
        """Advance all layers by one input."""
        after = []
        for cell, before in zip(
            self.cells, h.split([cell.state_size for cell in self.cells], -1), strict=True
        ):
            after.append(cell.phi(before, x))
            x = cell.readout(after[-1])
        return torch.cat(after, -1)

    def _climbed(self, tries: _Tries, reach: float, soft: bool) -> _Tries:
        """Take one step of ascent on the logarithm of the largest difference, or a soft one."""
        states, x = tries.states.clone().requires_grad_(), tries.x.clone().requires_grad_()
        with torch.enable_grad():
            gaps, _ = self._gaps(_Tries(states, x))
            largest = gaps.detach().amax(1, keepdim=True).clamp(min=TINY)
            aim = ((gaps / largest) ** 8).sum(1) if soft else gaps.amax(1).clamp(min=TINY).log()
            slopes = torch.autograd.grad(aim.sum(), (states, x), materialize_grads=True)
        by_state, by_input = (slope.nan_to_num(posinf=0.0, neginf=0.0) for slope in slopes)
        span = self.high - self.low
        # States are often worst at a corner of their box: every other step goes there at once.
        moved = tries.states + (1.0 if soft else reach) * span * by_state.sign()
        moved = torch.minimum(torch.maximum(moved, self.low), self.high)
        if isinstance(self.inputs, Box):
            low, high = self.inputs.low, self.inputs.high
            step = reach * (high - low) * by_input.sign()
            return _Tries(moved, torch.minimum(torch.maximum(tries.x + step, low), high))
        return _Tries(moved, self._exchanged(tries.x, by_input, self.inputs))

    def _exchanged(self, x: Tensor, slope: Tensor, inputs: Points) -> Tensor:
        """Exchange the tokens that gain most to first order."""
        gains = slope @ inputs.vectors.T - (slope * x).sum(-1, keepdim=True)
        gain, token = gains.max(-1)
        count = max(1, x.shape[1] // FLIPPED)
        places = gain.topk(count, 1).indices
        chosen = torch.zeros_like(gain).scatter(1, places, 1.0).bool() & (gain > 0)
        return torch.where(chosen[..., None], inputs.vectors[token], x)


def _apart(full: Tensor, short: Tensor) -> Tensor:
    """Give the differences; overflow counts as inf."""
    gap = (full - short).abs()
    return torch.where(gap.isnan(), math.inf, gap)


def _worst(gaps: Tensor) -> Tensor:
    """Give each row's largest difference."""
    return gaps.detach().amax(1)


def _chosen(mask: Tensor, first: _Tries, second: _Tries) -> _Tries:
    """Pick rows from the first where the mask says so, else from the second."""
    here = mask[:, None, None]
    return _Tries(
        torch.where(here, first.states, second.states), torch.where(here, first.x, second.x)
    )
