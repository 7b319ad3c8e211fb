"""Each cell of a recurrence looked at by itself, along its own inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur.audits.blocks import Reference, Sequences, places, reversed_rows
from unrecur.audits.budget import weights_of
from unrecur.audits.gates import GateStatistics, gate_statistics
from unrecur.audits.gradient_flow import (
    EXACT,
    PROBES,
    Flow,
    InputFlow,
    cotangents,
    gradient_flow,
    input_flow,
)
from unrecur.audits.outputs import Outputs
from unrecur.audits.spectra import WeightSpectrum, exponents, weight_spectra
from unrecur.audits.subject import Subject
from unrecur.audits.units import Units, name_units
from unrecur.core.cell import AbstractCell

LAGS = 1024  # the furthest that a gradient is followed
ENDS = 8  # steps t that gradients are followed back from
WINDOWS = 64  # that a cell is run over from zero, alone
SAMPLE = 2**14  # steps whose gates are looked at
INPUT_PROBES = 4
EXPONENT_STEPS = 512
GRAPH = 2**20  # outputs of a model that are differentiated at once


@dataclass(frozen=True, eq=False)
class CellAudit:
    """One cell of a recurrence.

    Attributes:
        name: Its layer and direction.
        flow: How far its own gradient reaches.
        units: What its units remember.
        gates: How far its gates are open.
        spectra: Those of its recurrent weights.
        exponents: Its largest Lyapunov exponents, nats per step; None where they are left out.
    """

    name: str
    flow: Flow
    units: Units
    gates: list[GateStatistics]
    spectra: list[WeightSpectrum]
    exponents: list[float] | None


@torch.no_grad()
def audit_cells(subject: Subject, reference: Reference, work: float) -> list[CellAudit]:
    """Look at each cell by itself.

    Args:
        subject: The recurrence in its model.
        reference: Its run.
        work: How many multiplications to spend on each cell's gradients.

    Returns:
        One entry a cell, from the bottom up.
    """
    found: list[CellAudit] = []
    x = subject.sequences.x
    for depth, cells in enumerate(subject.layers):
        for direction, cell in enumerate(cells):
            states = reference.states[depth][direction]
            path = _path(cell, subject, x, states, depth, direction)
            before, inputs = path.windows(
                *_ends(path.sequences, _lags(cell, path, work), _count(cell))
            )
            flow = gradient_flow(cell, before, inputs)
            window = max(1, int(path.sequences.lengths.max()) // 2)
            window = min(window, LAGS, int(work / (WINDOWS * weights_of([[cell]]))) or 1)
            remembered = _remembered(cell, path, window)
            units = name_units(cell, states, remembered, window, flow)
            sample = torch.linspace(0, len(x) - 1, min(SAMPLE, len(x))).long()
            gates = gate_statistics(cell, path.before[sample], path.sequences.x[sample])
            steps = min(EXPONENT_STEPS, before.shape[1])
            lyapunov = exponents(cell, inputs[:, -steps:], before[:, -steps])
            name = _name(subject, depth, direction)
            found.append(CellAudit(name, flow, units, gates, weight_spectra(cell), lyapunov))
        shown = zip(cells, reference.states[depth], strict=True)
        x = torch.cat([cell.readout(states) for cell, states in shown], -1)
    return found


def _name(subject: Subject, depth: int, direction: int) -> str:
    """Name a cell by its layer and direction."""
    name = f"layer {depth}" if len(subject.layers) > 1 else subject.recurrence.kind
    return name if len(subject.layers[depth]) == 1 else name + (", backward" if direction else "")


def _remembered(cell: AbstractCell, path: "_Path", window: int) -> Tensor:
    """Run the cell alone from zero over windows of its own inputs: what is left of the past?"""
    begins, length = _ends(path.sequences, window + 1, WINDOWS)
    before, x = path.windows(begins, length)
    h = cell.init_state(len(x))
    for x_t in x[:, :-1].unbind(1):
        h = cell.phi(h, x_t)
    # The run from zero lacks all of the state at the window's beginning; how much at its end?
    lacked, lacks = (
        part.double().square().mean(0).sqrt() for part in (before[:, 0], h - before[:, -1])
    )
    return torch.where(lacked > 0, lacks / lacked.clamp(min=1e-300), 0.0).cpu()


@dataclass(frozen=True, eq=False)
class _Path:
    """What a cell reads, in its own order, and the states before each step, [N, S]."""

    sequences: Sequences
    before: Tensor

    def windows(self, begins: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Take the states and inputs of windows."""
        index = begins[:, None] + torch.arange(length, device=begins.device)
        return self.before[index], self.sequences.x[index]


def _path(
    cell: AbstractCell, subject: Subject, x: Tensor, states: Tensor, depth: int, direction: int
) -> _Path:
    """Lay out what a cell reads, turned around where it reads from the end."""
    sequences = subject.sequences
    start = cell.init_state(len(sequences.lengths))
    if subject.initial is not None:
        start = subject.initial[depth][direction]
    if direction == 1:
        index = places(sequences.starts, sequences.lengths)
        turned = reversed_rows(index, sequences.lengths)
        order = index.clone().flatten()
        flat = torch.empty(len(x), dtype=torch.long, device=x.device)
        flat[order] = turned.flatten()
        flat[sequences.starts + sequences.lengths - 1] = sequences.starts
        x, states = x[flat], states[flat]
    before = torch.cat([start[:1], states[:-1]])
    before[sequences.starts] = start
    return _Path(Sequences(x, sequences.lengths), before)


def _count(cell: AbstractCell) -> int:
    """Choose how many steps gradients are followed back from: fewer for large states."""
    return ENDS if cell.state_size <= EXACT else ENDS // 2


def _lags(cell: AbstractCell, path: _Path, work: float) -> int:
    """Choose how far back to follow gradients."""
    size, weights = cell.state_size, weights_of([[cell]])
    step = size**3 if size <= EXACT else 4 * PROBES * weights
    longest = int(path.sequences.lengths.max())
    return max(1, min(LAGS, -(-3 * longest // 4), int(work / (_count(cell) * max(1, step)))))


def _ends(sequences: Sequences, length: int, count: int) -> tuple[Tensor, int]:
    """Choose where windows of a length begin, evenly spread over the sequences."""
    begins = [
        torch.arange(start, start + steps - length + 1)
        for start, steps in zip(sequences.starts.tolist(), sequences.lengths.tolist(), strict=True)
        if steps >= length
    ]
    every = torch.cat(begins)
    # The last ones of all: the earliest begin at the zero state, which is like no other.
    chosen = torch.linspace(len(every) - 1, 0, min(count, len(every)) + 1).round().long()
    chosen = chosen[:-1] if len(every) > 1 else chosen
    return every[chosen].to(sequences.x.device), length


def audit_inputs(
    subject: Subject, reference: Reference, outputs: Outputs, work: float
) -> InputFlow:
    """Measure how far gradients of the outputs reach back to the recurrence's inputs.

    Args:
        subject: The recurrence in its model.
        reference: Its run.
        outputs: The model's outputs.
        work: How many multiplications to spend.

    Returns:
        |dL_t / dx_s| against the lag.
    """
    sequences, layers = subject.sequences, subject.layers
    weights = weights_of(layers)
    longest = int(sequences.lengths.max())
    affordable = int(work / (6 * ENDS * INPUT_PROBES * weights))
    length = max(1, min(LAGS, -(-3 * longest // 4), affordable))
    begins, _ = _ends(sequences, length, ENDS)
    index = begins[:, None] + torch.arange(length, device=begins.device)
    place = length // 2 if subject.two_sided else length - 1
    at = index[:, place]
    starts = None if subject.two_sided else _before(subject, reference, begins)
    differentiable = outputs.pointwise and outputs_count(outputs) <= GRAPH

    def finish(y: Tensor) -> list[Tensor]:
        return subject.finish(Reference([], y, reference.last, reference.lengths))

    given, of = cotangents(finish if differentiable else None, reference.y, INPUT_PROBES)
    return input_flow(layers, sequences.x[index], starts, place, given[:, at], of)


def outputs_count(outputs: Outputs) -> int:
    """Count the numbers of all outputs."""
    return sum(y.numel() for y in outputs.full)


def _before(subject: Subject, reference: Reference, begins: Tensor) -> list[list[Tensor]]:
    """Give the states of all cells before windows begin."""
    first = torch.isin(begins, subject.sequences.starts)
    rows = torch.searchsorted(subject.sequences.starts, begins, right=True) - 1
    found = []
    for depth, cells in enumerate(subject.layers):
        states = reference.states[depth][0][(begins - 1).clamp(min=0)]
        fresh = cells[0].init_state(len(begins))
        if subject.initial is not None:
            fresh = subject.initial[depth][0][rows]
        found.append([torch.where(first[:, None], fresh, states)])
    return found
