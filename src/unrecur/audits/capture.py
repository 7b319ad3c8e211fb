"""A recurrence inside a live module: what goes into it, and the module rerun on other outputs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from unrecur._check import InputError
from unrecur.audits.blocks import Reference
from unrecur.audits.subject import Subject, outputs_of, sequences_of, unless_zero
from unrecur.audits.tap import Call, Tap, answer
from unrecur.interop.modules import find_in_module
from unrecur.interop.recurrence import Recurrence
from unrecur.layers.recurrent import Recurrent

AGREED = 1e-4  # of the outputs' size: what the rerun module may differ by from itself, or ...
EPSILONS = 8  # ... so many of its type's


@dataclass(frozen=True, eq=False)
class Turn:
    """What one call of the model made of the recurrence.

    Attributes:
        calls: The calls of the recurrence: one, or several that hand the state on.
        run: Calls the model again and gives its output.
    """

    calls: tuple[Call, ...]
    run: Callable[[], Tensor]

    @property
    def lengths(self) -> Tensor:
        """The length of each sequence, [B]."""
        if len(self.calls) == 1:
            return self.calls[0].lengths
        return torch.stack([call.lengths for call in self.calls]).sum(0)

    def sequences(self) -> list[Tensor]:
        """Give the recurrence's inputs, one tensor a sequence."""
        block = torch.cat([call.x for call in self.calls], 1)
        return [x[:length] for x, length in zip(block, self.lengths.tolist(), strict=True)]


@dataclass(frozen=True, eq=False)
class Rerun:
    """A model that is run again with another answer of its recurrence.

    Attributes:
        tap: The recurrence.
        turns: The calls of the model.
        per_step: Whether the model gives an output for each step.
    """

    tap: Tap
    turns: tuple[Turn, ...]
    per_step: bool

    def __call__(self, reference: Reference) -> list[Tensor]:
        """Rerun the model; see `subject.Finish`."""
        parts = reference.y.split(reference.lengths.tolist())
        flat = [h for cells in reference.last for h in cells]
        found: list[Tensor] = []
        row = 0
        for turn in self.turns:
            rows = slice(row, row + len(turn.lengths))
            row = rows.stop
            last = [h[rows] for h in flat]
            with self.tap.answering(_answers(self.tap.module, turn, list(parts[rows]), last)):
                output = turn.run()
            found += by_sequence(output, turn, self.tap.module, self.per_step)
        return found


def _answers(module: nn.Module, turn: Turn, parts: list[Tensor], last: list[Tensor]) -> list[Any]:
    """Lay the recurrence's outputs out as its module gives them, call by call."""
    block = nn.utils.rnn.pad_sequence(parts, batch_first=True)
    answers, step = [], 0
    for call in turn.calls:
        time = call.x.shape[1]
        y = block[:, step : step + time]
        short = time - y.shape[1]  # padding of the module's own
        y = torch.cat([y, y.new_zeros(len(y), short, y.shape[2])], 1) if short else y
        answers.append(answer(module, call, y, last))
        step += time
    return answers


def by_sequence(output: Tensor, turn: Turn, module: nn.Module, per_step: bool) -> list[Tensor]:
    """Cut a model's output into those of its sequences.

    Args:
        output: The output.
        turn: The call that gave it.
        module: The recurrence.
        per_step: Whether there is an output for each step.

    Returns:
        One tensor a sequence.

    Raises:
        InputError: The output has an axis neither for the sequences nor for their steps.
    """
    rows, lengths = len(turn.lengths), turn.lengths.tolist()
    if per_step:
        axis = _time_axis(output, turn, module)
        assert axis is not None
        block = output if axis == 1 else output.transpose(0, 1) if output.dim() > 1 else output
        if rows == 1 and axis == 0 and (output.dim() == 1 or output.shape[1] != 1):
            block = output[None]
        return [y[:length] for y, length in zip(block, lengths, strict=True)]
    if output.dim() and len(output) == rows:
        return list(output)
    if rows == 1:
        return [output]
    raise InputError(
        f"expected an output for each of {rows} sequences, or for each of their steps, got the "
        f"shape {list(output.shape)}. Say which with output=."
    )


def _time_axis(output: Tensor, turn: Turn, module: nn.Module) -> int | None:
    """Find the axis of time in an output; None where there is none."""
    rows = len(turn.lengths)
    time = sum(call.x.shape[1] for call in turn.calls)
    times = {time, int(turn.lengths.max())}
    shape = tuple(output.shape)
    batch_first = getattr(module, "batch_first", True)
    after = len(shape) > 1 and shape[0] == rows and shape[1] in times
    before = len(shape) > 1 and shape[0] in times and shape[1] == rows
    if rows == 1 and len(shape) and shape[0] in times and not after:
        return 0
    if before and (not batch_first or not after):
        return 0
    return 1 if after else None


def capture(
    module: nn.Module,
    x: Any,
    name: str,
    output: Callable[[Any], Tensor] | None = None,
) -> Subject:
    """Run a module and take one of its recurrences out of it.

    Args:
        module: The module, in evaluation mode.
        x: What it is called with: a tensor, a tuple of arguments, a dict of keyword arguments; or a
            list of sequences that it is called with one by one, [1, time, ...] each.
        name: The name of the recurrence, as `find_in_module` gives it.
        output: Takes the output that counts out of what the module returns; the first tensor in it
            if left out.

    Returns:
        The recurrence with its inputs, and the model around it.

    Raises:
        InputError: The module is in training mode, does not call the recurrence, or in a way that
            is not understood; or its inputs are not fit for an audit.
    """
    if module.training:
        raise InputError(
            "the module is in training mode, where dropout errs too: call eval() on it."
        )
    recurrence = replace(find_in_module(module)[name](), name=name)
    inner = dict(module.named_modules()).get(name, module)
    if not isinstance(inner, (nn.RNNBase, nn.RNNCellBase, Recurrent)):
        return _bare(recurrence, inner is module, x)
    tap = Tap(inner, name)
    take = output or _first_tensor
    turns, outputs = [], []
    for run in _runs(module, x, take):
        with torch.no_grad(), tap.listening():
            outputs.append(_first_run(run))
        turns.append(Turn(_carried(tap, recurrence), run))
    per_step = all(
        _time_axis(y, turn, inner) is not None for y, turn in zip(outputs, turns, strict=True)
    )
    features = recurrence.cells[0][0].input_size
    parts = [part for turn in turns for part in turn.sequences()]
    sequences = sequences_of(parts, features)
    finish = Rerun(tap, tuple(turns), per_step)
    initial = _initial(turns, recurrence)
    bare = inner is module and output is None
    return Subject(recurrence, sequences, finish, per_step, initial, bare=bare)


def _first_run(run: Callable[[], Tensor]) -> Tensor:
    """Call the module, and say that its inputs do not fit where it fails."""
    try:
        return run()
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"the module cannot be called with these inputs: {error}. x must be what it takes: a "
            "tensor, a tuple of arguments, a dict of keyword arguments, or a list of sequences."
        ) from error


def _bare(recurrence: Recurrence, alone: bool, x: Any) -> Subject:
    """Take a cell that is only known by its step; x are its own inputs."""
    if not alone or not isinstance(x, (Tensor, list)):
        raise InputError(
            f"'{recurrence.name}' is called in a way that only its author knows. Audit it by "
            "itself: pass it instead of the module around it, and its own inputs [batch, time, "
            "features] as x."
        )
    sequences = sequences_of(list(x), recurrence.cells[0][0].input_size)
    return Subject(recurrence, sequences, outputs_of(recurrence), bare=True)


def _runs(
    module: nn.Module, x: Any, take: Callable[[Any], Tensor]
) -> Iterator[Callable[[], Tensor]]:
    """List the calls of the module."""
    if isinstance(x, list):
        for part in x:
            yield partial(_call, module, (part[None],), {}, take)
    elif isinstance(x, dict):
        yield partial(_call, module, (), x, take)
    else:
        yield partial(_call, module, x if isinstance(x, tuple) else (x,), {}, take)


def _call(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], take: Callable[[Any], Tensor]
) -> Tensor:
    """Call the module and take its output."""
    return take(module(*args, **kwargs))


def _first_tensor(value: Any) -> Tensor:
    """Find the first tensor in what a module returns."""
    if isinstance(value, PackedSequence):
        return pad_packed_sequence(value, batch_first=True)[0]
    if isinstance(value, Tensor):
        return value
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise InputError(
            f"expected a tensor among what the module returns, got {type(value).__name__}. Take it "
            "out with output=lambda returned: ..."
        )
    for part in parts:
        return _first_tensor(part)
    raise InputError("expected a tensor among what the module returns, got nothing.")


def _carried(tap: Tap, recurrence: Recurrence) -> tuple[Call, ...]:
    """Check that the calls of one run are one, or hand the state on."""
    calls = tuple(tap.calls)
    if not calls:
        raise InputError(
            f"the module was run and did not call '{tap.name}': its weights may be used without "
            "it. Audit the recurrence itself, with its own inputs as x."
        )
    for first, second in pairwise(calls):
        handed = second.before is not None and len(second.before) == len(first.after)
        if not handed or not all(
            torch.equal(a, b) for a, b in zip(first.after, second.before or [], strict=True)
        ):
            raise InputError(
                f"the module calls '{tap.name}' {len(calls)} times without handing its state on "
                "unchanged: these are sequences of their own. Audit the recurrence itself, with "
                "its own inputs as x."
            )
        if int(first.lengths.min()) < first.x.shape[1]:
            raise InputError(f"'{tap.name}' is called in blocks that are padded inside.")
    if len(calls) > 1 and any(len(cells) == 2 for cells in recurrence.cells):
        raise InputError(f"'{tap.name}' reads from both ends and is called in blocks.")
    return calls


def _initial(turns: list[Turn], recurrence: Recurrence) -> list[list[Tensor]] | None:
    """Give the states that the model starts its sequences from; None for zeros."""
    if all(turn.calls[0].before is None for turn in turns):
        return None
    cells = [cell for layer in recurrence.cells for cell in layer]
    parts = []
    for turn in turns:
        before = turn.calls[0].before
        parts.append(
            [cell.init_state(len(turn.lengths)) for cell in cells] if before is None else before
        )
    each = iter([torch.cat(rows) for rows in zip(*parts, strict=True)])
    return unless_zero([[next(each) for _ in layer] for layer in recurrence.cells])


def check_rerun(subject: Subject, reference: Reference) -> None:
    """Check that the model, rerun on its recurrence's own outputs, gives its own outputs.

    Args:
        subject: The model.
        reference: The recurrence's run.

    Raises:
        InputError: It gives others.
    """
    if not isinstance(subject.finish, Rerun):
        return
    before = []
    with torch.no_grad():
        again = subject.finish(reference)
        for turn in subject.finish.turns:
            before += by_sequence(
                turn.run(), turn, subject.finish.tap.module, subject.finish.per_step
            )
    size = max(1.0, *(float(y.abs().max()) for y in before))
    apart = max(float((a - b).abs().max()) for a, b in zip(again, before, strict=True))
    eps = torch.finfo(reference.y.dtype).eps
    if not apart <= max(AGREED, EPSILONS * eps) * size:
        raise InputError(
            f"the module, rerun on the outputs of '{subject.finish.tap.name}' that it gave itself, "
            f"gives others (by {apart:.2g}): it draws random numbers, keeps something between "
            "calls, or reads the recurrence's inner state. Audit the recurrence itself, with its "
            "own inputs as x."
        )
