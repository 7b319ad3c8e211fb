"""Recurrent layers run in parallel over time, against torch's own: ratio and error in one run.

    python benchmarks/parallel.py --data-dir DIR [--quick] [--hidden N ...] [--time T ...]
        [--cell ...] [--write] [--append]

Weights are trained on text by benchmarks/weights.py (a cache keeps them); inputs are text. Each row
is one cell, size, length and number of rows: seconds of torch's module and of `unrecur.parallel` on
the same weights and inputs, the ratio, and the largest difference of any output and, with backward,
of any gradient relative to its largest entry; at one row, that of both from float64 too. `limit` is
what the ratio would be if all steps of the block were one matrix product at the speed of a large
one, and nothing else.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rows
import torch
from torch import Tensor
from weights import FEATURES, characters, reader

import unrecur
from unrecur.cells.from_torch import cells_of
from unrecur.solvers.costs import cost_of

HIDDEN, TIMES, BATCHES = (64, 128, 256, 512), (1_000, 10_000, 100_000), (1, 8, 32)
LONGEST = 30.0  # seconds of torch's run; what would take longer is left out, and said so
BACKWARD = {"lstm": 6.0, "gru": 15.0}  # times of a forward run that a backward one may take
HELD = 24  # numbers for each unit and step that forward and backward hold, both runs together
MOST = 12 * 2**30  # bytes
NEWTON = 64  # units; Newton in time is compared up to here
REPEATS = 3
Timed = tuple[float, Any]


def main() -> None:
    parser: argparse.ArgumentParser = rows.parser(__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="with text/")
    parser.add_argument("--quick", action="store_true", help="a few rows, under five minutes")
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN, help="sizes of the grid")
    parser.add_argument("--cell", nargs="+", default=["lstm", "gru"], help="cells of the grid")
    parser.add_argument("--time", type=int, nargs="+", default=TIMES, help="lengths of the grid")
    parser.add_argument("--append", action="store_true", help="to the rows that are kept already")
    given = parser.parse_args()
    name = "parallel_quick" if given.quick else "parallel"
    measures = measured(given.data_dir, given.quick, given.hidden, given.cell, given.time)
    rows.run(name, measures, given.write, rows.everything if given.append else None)


def measured(
    folder: Path, quick: bool, sizes: list[int], cells: list[str], times: list[int]
) -> Iterator[dict[str, Any]]:
    """Measure the grid."""
    speed = product_speed()
    yield {"matrix product": round(speed / 1e9, 1), "unit": "Gflop/s", "threads": threads()}
    ids, _ = characters(folder)
    subjects = [(cell, hidden, "stable") for hidden in sizes for cell in cells]
    if 256 in sizes:
        subjects = [(cell, 256, "free") for cell in cells] + subjects
    if quick:
        subjects = [("lstm", 64, "stable"), ("gru", 64, "stable"), ("lstm", 256, "free")]
    for cell, hidden, kind in subjects:
        model = reader(cell, hidden, kind, folder)
        tol = 1e-4 if kind == "free" else 1e-5
        for length in TIMES[:2] if quick and kind == "stable" else times:
            for batch in BATCHES[:1] if quick else BATCHES:
                starts = torch.arange(batch) * (len(ids) - length - 1) // max(1, batch)
                text = torch.stack([ids[begin : begin + length] for begin in starts])
                with torch.no_grad():
                    x = model.inputs(text)
                name = {"cell": cell, "hidden": hidden, "weights": kind, "tol": tol}
                shape = {"time": length, "batch": batch}
                yield {**name, **shape, **compared(model.recurrence, x, tol, speed, False)}
                if length < TIMES[-1] or not quick:
                    yield {**name, **shape, **compared(model.recurrence, x, tol, speed, True)}
                if hidden == NEWTON and batch == 1 and length < TIMES[-1]:
                    yield {**name, **shape, **newton(model.recurrence, x, tol)}


def compared(module: Any, x: Tensor, tol: float, speed: float, backward: bool) -> dict[str, Any]:
    """Run torch's module and ours, forward, or forward and backward."""
    ((cell,),) = cells_of(module)
    expected = cost_of(cell).of(len(x)) * x.shape[1]
    name = type(module).__name__.lower()
    what = {"pass": "forward and backward" if backward else "forward"}
    if expected * (1 + BACKWARD[name] * backward) > LONGEST:
        return {**what, "left out": f"torch would take over {LONGEST:.0f} s"}
    held = 4 * x.shape[0] * x.shape[1] * cell.hidden_size * (HELD if backward else 2)
    if held > MOST:
        return {**what, "left out": f"about {held / 2**30:.0f} GiB"}
    fast = unrecur.parallel(module, tol)
    call = _both if backward else _forward
    # The first call measures the device and chooses.
    repeats = REPEATS if expected < 1 else 1
    _timed(lambda: call(fast, x), repeats)
    seconds, found = _timed(lambda: call(fast, x), repeats)
    slow, wanted = _timed(lambda: call(module, x), repeats)
    errors = [float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)]
    row: dict[str, Any] = {
        **what,
        "torch seconds": round(slow, 4),
        "seconds": round(seconds, 4),
        "ratio": round(slow / seconds, 2),
        "error": errors[0],
    }
    if backward:
        row["gradient error"] = _gradient_error(found, wanted)
        if len(x) == 1:  # whose rounding is it?
            exact = _both(copy.deepcopy(module).double(), x.double())
            row["gradient error, float64"] = _gradient_error(found, exact)
            row["torch's gradient error, float64"] = _gradient_error(wanted, exact)
    else:
        flops = 2.0 * x.shape[0] * x.shape[1] * cell.gates * cell.hidden_size
        flops *= FEATURES + cell.hidden_size
        row["limit"] = round(slow / (flops / speed), 1)
    (report,) = fast.reports
    stats = report.stats
    row |= {
        "solver": stats.solver,
        "result": report.result.value,
        "burn-in": stats.burn_in,
        "piece": stats.length,
        "corrections": stats.iterations,
        "work": round(stats.work, 3),
        "residual": stats.residual,
    }
    if stats.reason:
        row["reason"] = stats.reason
    # A speed with a wrong answer is none.
    if not row["error"] <= tol:
        raise AssertionError(f"the error {row['error']:.2g} is above the tolerance: {row}")
    return row


def newton(module: Any, x: Tensor, tol: float) -> dict[str, Any]:
    """Run Newton in time with full Jacobians, as DEER does."""
    ((cell,),) = cells_of(module)
    what = {"pass": "forward", "solver": "Newton"}
    numbers = x.shape[0] * x.shape[1] * cell.state_size**2
    if numbers > 2**26:
        return {**what, "left out": f"{numbers * 4 / 2**30:.1f} GiB of Jacobians"}

    def run() -> Any:
        with torch.no_grad():
            return unrecur.unroll(cell, x, solver=unrecur.Newton(), tol=tol)

    seconds, solution = _timed(run, 1)
    slow, wanted = _timed(lambda: _forward(module, x), REPEATS)
    return {
        **what,
        "torch seconds": round(slow, 4),
        "seconds": round(seconds, 4),
        "ratio": round(slow / seconds, 3),
        "error": float((solution.y - wanted[0]).abs().max()),
        "result": solution.result.value,
        "iterations": solution.stats.iterations,
    }


def _forward(module: Any, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [module(x)[0]]


def _both(module: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y, _ = module(x)
    # Weights that differ from step to step and unit to unit, so that no error cancels.
    direction = torch.linspace(-1, 1, y.numel()).view_as(y)
    slopes = torch.autograd.grad((y * direction).sum(), [x, *module.parameters()])
    return [y.detach(), *slopes]


def _gradient_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Give the largest difference of a gradient, relative to its largest entry."""
    return max(
        float((a.to(b) - b).abs().max() / b.abs().max().clamp(min=1e-30))
        for a, b in zip(found[1:], wanted[1:], strict=True)
    )


def _timed(run: Callable[[], Any], repeats: int) -> Timed:
    best, result = float("inf"), None
    for _ in range(repeats):
        began = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - began)
    return best, result


def product_speed(size: int = 1024) -> float:
    """Measure a matrix product, in operations a second."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    seconds, _ = _timed(lambda: a @ b, 20)
    return 2.0 * size**3 / seconds


def threads() -> int:
    """Say how many threads torch uses."""
    return torch.get_num_threads()


if __name__ == "__main__":
    main()
