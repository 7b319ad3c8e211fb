"""What truncation to k inputs costs, at every step, for a few steps of the model each.

For a window of k the sequences are cut into cores of c steps; each is run from the zero state,
k - 1 steps early. So a step of a core has seen between k and k + c - 1 inputs, how many is known
exactly, and the cores put side by side are a whole run of the truncated model, at 1 + (k - 1) / c
steps each. With c = k the windows 1, 2, 4, ... measure every k, at O(T log k) steps in place of
O(T k); with c = k / 8 each of them comes close to its k.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from unrecur.audits.blocks import NUMBERS, Reference, places, run_block, state_numbers
from unrecur.audits.outputs import Outputs
from unrecur.audits.subject import Subject

ROWS = 2048  # run side by side: more leave the processor's cache


@dataclass(frozen=True, eq=False)
class Level:
    """The model on its last k to k + core - 1 inputs.

    Sequences of at most k inputs are not truncated; their numbers are 0.

    Attributes:
        k: The length of the window, at least.
        core: How many steps a piece is good for.
        state: The largest difference of any number of any state, for each sequence, [Q].
        state_typical: The median over steps of the largest difference, [Q].
        hidden: The largest difference of what the recurrence shows of its state, [Q].
        cells: The largest difference in each cell's state.
        output: The largest difference of any output of the model, [Q].
        output_typical: The median of it over steps, [Q].
        changed: The share of decisions that are others, [Q]; None where nothing is decided.
        metric: The task's score; None without a metric.
        context: How many inputs each truncated step has seen, [n].
        state_error: The state's difference there, [n].
        hidden_error: That of what the recurrence shows, [n].
        output_error: The output's, [n]; empty where outputs are not of single steps.
        changed_at: Whether the decision is another, [n]; empty as `output_error`.
    """

    k: int
    core: int
    state: Float[Tensor, " Q"]
    state_typical: Float[Tensor, " Q"]
    hidden: Float[Tensor, " Q"]
    cells: list[float]
    output: Float[Tensor, " Q"]
    output_typical: Float[Tensor, " Q"]
    changed: Float[Tensor, " Q"] | None
    metric: float | None
    context: Integer[Tensor, " n"]
    state_error: Float[Tensor, " n"]
    hidden_error: Float[Tensor, " n"]
    output_error: Float[Tensor, " m"]
    changed_at: Float[Tensor, " d"]

    @property
    def worst(self) -> float:
        """The largest difference in the state or the outputs."""
        return max(float(self.state.max()), float(self.output.max()))


@torch.no_grad()
def measure_level(
    subject: Subject, reference: Reference, outputs: Outputs, k: int, core: int
) -> Level:
    """Run a model on windows of k to k + core - 1 inputs.

    Args:
        subject: The model.
        reference: Its run on all inputs.
        outputs: Its outputs.
        k: The length of the window.
        core: How many steps a piece is good for, 1 to k.

    Returns:
        What it costs.
    """
    sequences, layers = subject.sequences, subject.layers
    x, steps = sequences.x, len(sequences.x)
    cores, pieces = _pieces(subject, k, core)
    context = torch.zeros(steps, dtype=torch.long, device=x.device)
    error = torch.zeros(steps, dtype=torch.float64, device=x.device)
    y = reference.y.clone()
    last = [[h.clone() for h in cells] for cells in reference.last]
    worst = [0.0] * sum(len(cells) for cells in layers)
    longest = core + (2 if subject.two_sided else 1) * k
    size = max(1, min(ROWS, NUMBERS // (longest * 2 * state_numbers(layers))))
    for part in torch.arange(len(cores.begin), device=x.device).split(size):
        begin, length = pieces.begin[part], pieces.end[part] - pieces.begin[part]
        index = places(begin, length)
        run = run_block(layers, x[index], length, _starts(subject, len(part)))
        local = index - begin[:, None]
        valid = torch.arange(index.shape[1], device=x.device) < length[:, None]
        inside = valid & (index >= cores.begin[part, None]) & (index < cores.end[part, None])
        seen = _seen(local, length[:, None], pieces.cut_before[part], pieces.cut_behind[part])
        inside = inside & (seen > 0)
        at = index[inside]
        context[at] = seen[inside]
        y[at] = run.y[inside]
        found = [states for cells in run.states for states in cells]
        kept = [states for cells in reference.states for states in cells]
        for number, (states, whole) in enumerate(zip(found, kept, strict=True)):
            gap = (states[inside].double() - whole[at].double()).abs()
            if len(gap):
                error[at] = torch.maximum(error[at], gap.amax(1))
                worst[number] = max(worst[number], float(gap.max()))
        _take_last(subject, last, run.states, index, inside)
    return _summary(
        subject,
        reference,
        outputs,
        (k, core),
        Reference([], y, last, sequences.lengths),
        context,
        error,
        worst,
    )


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Parts of sequences, by their places in the flat layout."""

    row: Tensor
    begin: Tensor
    end: Tensor
    cut_before: Bool[Tensor, " P"]
    cut_behind: Bool[Tensor, " P"]


def _pieces(subject: Subject, k: int, core: int) -> tuple[_Pieces, _Pieces]:
    """Cut the sequences into cores, the last one of one step, and widen them."""
    sequences = subject.sequences
    starts = sequences.starts.tolist()
    rows, begins, ends = [], [], []
    for number, length in enumerate(sequences.lengths.tolist()):
        if length <= k:
            continue
        # Counted from the end, so that the last step has seen k inputs exactly.
        begin = torch.arange(length - 1, -core, -core)
        end = (begin + core).clamp(max=length)
        begin = begin.clamp(min=0 if subject.two_sided else k)
        keep = begin < end
        rows.append(torch.full((int(keep.sum()),), number))
        begins.append(begin[keep] + starts[number])
        ends.append(end[keep] + starts[number])
    device = sequences.x.device
    row, begin, end = (torch.cat(part).to(device) for part in (rows, begins, ends))
    first = sequences.starts[row]
    behind = first + sequences.lengths[row]
    never = torch.zeros_like(row, dtype=torch.bool)
    early = torch.maximum(begin - k + 1, first)
    late = torch.minimum(end + k - 1, behind) if subject.two_sided else end
    late_cut = late < behind if subject.two_sided else never
    return (
        _Pieces(row, begin, end, never, never),
        _Pieces(row, early, late, early > first, late_cut),
    )


def _starts(subject: Subject, count: int) -> list[list[Tensor]] | None:
    """Give the states that truncated runs start from: the model's own, or zeros."""
    fresh = subject.fresh
    return fresh and [[h.expand(count, -1) for h in cells] for cells in fresh]


def _seen(local: Tensor, length: Tensor, before: Tensor, behind: Tensor) -> Tensor:
    """Count the inputs that a step has seen on the side where fewer are; 0 where none is cut."""
    far = torch.iinfo(local.dtype).max
    past = torch.where(before[:, None], local + 1, far)
    future = torch.where(behind[:, None], length - local, far)
    seen = torch.minimum(past, future)
    return torch.where(seen == far, 0, seen)


def _take_last(
    subject: Subject,
    last: list[list[Tensor]],
    states: list[list[Tensor]],
    index: Tensor,
    inside: Tensor,
) -> None:
    """Keep the states at the ends of sequences, in place."""
    first = subject.sequences.starts
    final = first + subject.sequences.lengths - 1
    for direction, ends in enumerate((final, first)):
        wanted = torch.full((len(subject.sequences.x),), -1, device=index.device)
        wanted[ends] = torch.arange(len(ends), device=index.device)
        hit = inside & (wanted[index] >= 0)
        rows = wanted[index[hit]]
        for kept, found in zip(last, states, strict=True):
            if direction < len(found):
                kept[direction][rows] = found[direction][hit]


def _summary(
    subject: Subject,
    reference: Reference,
    outputs: Outputs,
    window: tuple[int, int],
    truncated: Reference,
    context: Tensor,
    error: Tensor,
    worst: list[float],
) -> Level:
    """Gather the numbers of a level by sequences."""
    cut = context > 0
    finished = subject.finish(truncated)
    output, changed = outputs.errors(finished), outputs.changed(finished)
    if subject.recurrence.reverse and subject.per_step:  # back to the order of reading
        output = _turned(subject, output)
        changed = None if changed is None else _turned(subject, changed)
    hidden = (truncated.y.double() - reference.y.double()).abs().amax(1)
    single = subject.per_step and outputs.pointwise
    nothing = output.new_zeros(0)
    by_step = single and changed is not None and len(changed) == len(cut)
    return Level(
        *window,
        state=_by_sequence(subject, error, cut, "max"),
        state_typical=_by_sequence(subject, error, cut, "median"),
        hidden=_by_sequence(subject, hidden, cut, "max"),
        cells=worst,
        output=_by_sequence(subject, output, cut, "max"),
        output_typical=_by_sequence(subject, output, cut, "median"),
        changed=None if changed is None else _by_sequence(subject, changed, cut, "mean"),
        metric=outputs.score(finished),
        context=context[cut],
        state_error=error[cut],
        hidden_error=hidden[cut],
        output_error=output[cut] if single else nothing,
        changed_at=changed[cut] if by_step and changed is not None else nothing,
    )


def _turned(subject: Subject, flat: Tensor) -> Tensor:
    """Turn each sequence of a flat tensor around."""
    if len(flat) != len(subject.sequences.x):
        return flat
    return torch.cat([part.flip(0) for part in subject.sequences.split(flat)])


def _by_sequence(subject: Subject, values: Tensor, cut: Tensor, what: str) -> Tensor:
    """Reduce the truncated steps of each sequence to one number."""
    if len(values) != len(cut):  # one number a sequence already
        return values
    found = []
    for part, inside in zip(
        subject.sequences.split(values), subject.sequences.split(cut), strict=True
    ):
        part = part[inside]
        if not len(part):
            found.append(values.new_zeros(()))
        elif what == "median":
            found.append(part.median())
        else:
            found.append(part.amax() if what == "max" else part.mean())
    return torch.stack(found)
