"""A recurrence read from a file, with its inputs and what is known of the model around it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unrecur._check import InputError
from unrecur.audits.blocks import Reference, run_all
from unrecur.audits.subject import Subject, outputs_of, sequences_of, unless_zero
from unrecur.interop.onnx_graph import Cut, cut_at
from unrecur.interop.recurrence import Recurrence

GRAPH_NOTE = "the graph around the recurrence was not run: give its inputs by name for that"


def from_file(
    recurrence: Recurrence,
    path: Path,
    x: Any,
    output: Callable[[Any], Tensor] | None,
) -> Subject:
    """Take a recurrence read from a file, with its inputs.

    Args:
        recurrence: The recurrence.
        path: The file.
        x: Its inputs, a list of sequences; for ONNX a dict of the graph's inputs.
        output: Makes the model's outputs of the recurrence's, [B, T, E].

    Returns:
        The recurrence in what is known of its model.

    Raises:
        InputError: The inputs do not fit.
    """
    if isinstance(x, Mapping):
        return _from_graph(recurrence, path, x)
    weight = next(recurrence.cells[0][0].parameters())
    parts = [part.to(weight.dtype) for part in x]
    features = recurrence.cells[0][0].input_size
    sequences = sequences_of(parts, features, recurrence.reverse)
    own = outputs_of(recurrence)
    starts = recurrence.initial or []
    initial = unless_zero([[h.expand(len(parts), -1) for h in cells] for cells in starts])
    if output is None:
        notes = () if path.suffix != ".onnx" else (GRAPH_NOTE,)
        return Subject(recurrence, sequences, own, True, initial, notes, bare=True)

    def finish(run: Reference) -> list[Tensor]:
        parts = own(run)
        found: list[Tensor] = [torch.empty(0)] * len(parts)
        for length in {len(y) for y in parts}:  # sequences of one length go through together
            rows = [row for row, y in enumerate(parts) if len(y) == length]
            outputs = torch.as_tensor(output(torch.stack([parts[row] for row in rows])))
            if len(outputs) != len(rows):
                raise InputError(
                    f"expected outputs for {len(rows)} sequences, [batch, ...], of a block "
                    f"[batch, time, features], got the shape {list(outputs.shape)}."
                )
            for row, y in zip(rows, outputs, strict=True):
                found[row] = y
        return found

    y = finish(run_all(recurrence.cells, sequences, initial))
    per_step = all(
        len(a) == n for a, n in zip(y, sequences.lengths.tolist(), strict=True) if a.dim()
    )
    per_step = per_step and all(a.dim() > 0 for a in y)
    return Subject(recurrence, sequences, finish, per_step, initial)


def _from_graph(recurrence: Recurrence, path: Path, x: Mapping[str, Any]) -> Subject:
    """Cut an ONNX graph at a recurrence; what is before and behind runs in onnxruntime."""
    if path.suffix.lower() != ".onnx":
        raise InputError(f"expected the recurrence's own inputs for {path.name}, got a dict.")
    return from_cut(cut_at(path, recurrence.name), x)


def from_cut(cut: Cut, x: Mapping[str, Any]) -> Subject:
    """Take a recurrence cut out of an ONNX graph; what is before and behind runs in onnxruntime.

    Args:
        cut: The graph, cut at the recurrence.
        x: The graph's inputs by name.

    Returns:
        The recurrence in its graph.

    Raises:
        InputError: The inputs do not fit.
    """
    recurrence = cut.recurrence
    block, starts = cut.before(x)
    initial = unless_zero(starts)
    parts = list(block)
    sequences = sequences_of(parts, recurrence.cells[0][0].input_size, recurrence.reverse)
    own = outputs_of(recurrence)

    rows, time = block.shape[:2]

    def finish(run: Reference) -> list[Tensor]:
        outputs = cut.after(x, torch.stack(own(run)), run.last)
        return _rows(torch.as_tensor(next(iter(outputs.values()))), rows, time)

    first = finish(run_all(recurrence.cells, sequences, initial))
    per_step = all(y.dim() > 0 and len(y) == time for y in first)
    return Subject(recurrence, sequences, finish, per_step, initial)


def _rows(output: Tensor, rows: int, time: int) -> list[Tensor]:
    """Cut a graph's output into those of its sequences, time first where there is a time."""
    shape = tuple(output.shape)
    if shape[:1] == (rows,):
        return list(output)
    if shape[:2] == (time, rows):
        return list(output.transpose(0, 1))
    if rows == 1:
        return [output]
    raise InputError(
        f"expected a first output of the graph with {rows} rows, got the shape {list(shape)}."
    )


def sequences_given(x: Any) -> list[Tensor]:
    """Read a block, one sequence or a list as sequences.

    Args:
        x: [B, T, D], [T, D], or a list of [T, D].

    Returns:
        The sequences.

    Raises:
        InputError: A block has another number of dimensions.
    """
    if isinstance(x, list):
        return [torch.as_tensor(part) for part in x]
    block = torch.as_tensor(x)
    if block.dim() not in (2, 3):
        raise InputError(
            f"expected a block [batch, time, features] or a sequence [time, features], got "
            f"{list(block.shape)}."
        )
    return list(block if block.dim() == 3 else block[None])
