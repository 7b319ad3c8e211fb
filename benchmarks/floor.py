"""The floor: the cells and the streaming step cost what they should.

    python benchmarks/floor.py            # prints JSON rows; exits 1 if one misses its aim
    python benchmarks/floor.py --write    # and keeps them in benchmarks/results

1. Our LSTM layer, forward and forward + backward, against `torch.nn.LSTM` with the same weights:
   aim ratio (torch's time / ours) >= 0.95, largest difference <= 1e-6.
2. One TCN step at batch 1 against the streaming step of the package pytorch-tcn on the same
   network: aim ratio >= 3, largest difference <= 1e-5.

Times are medians of interleaved runs. A row whose answers differ by more than its aim is an error,
whatever its speed.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import rows
import torch
from peers import pytorch_tcn
from torch import Tensor, nn

from streams import eager
from unrecur.cells import LSTM
from unrecur.layers.recurrent import Recurrent

LSTM_SIZES = [(4, 50, 88, 126), (16, 100, 32, 64), (32, 200, 128, 256)]
TCN_SIZES = [(88, 93, 3, 2), (32, 64, 4, 3), (1, 25, 8, 7)]


def interleaved(*runs: Callable[[], Any], seconds: float = 2.0, least: int = 11) -> list[float]:
    """Time several calls in turn, so that all meet the same machine; the median of each."""
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds
    while len(times[0]) < least or time.perf_counter() < end:
        for run, kept in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return [statistics.median(kept) for kept in times]


def backward(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Give the gradients of a functional of the outputs."""
    model.zero_grad()
    inputs = x.clone().requires_grad_()
    y, _ = model(inputs)
    (y * torch.linspace(-1, 1, y.shape[-1])).mean().backward()
    return [gradient for gradient in (inputs.grad, *(p.grad for p in model.parameters()))]


@torch.inference_mode()
def forward(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Give the outputs."""
    return [model(x)[0]]


def lstm_rows() -> Iterator[dict[str, Any]]:
    """Compare the LSTM with torch's."""
    for batch, steps, features, hidden in LSTM_SIZES:
        torch.manual_seed(0)
        theirs = nn.LSTM(features, hidden, batch_first=True)
        ours = Recurrent([LSTM(features, hidden)])
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(batch, steps, features)
        for name, run in (("forward", forward), ("forward+backward", backward)):
            pairs = zip(run(ours, x), run(theirs, x), strict=True)
            error = max(float((a - b).abs().max()) for a, b in pairs)
            mine, other = interleaved(partial(run, ours, x), partial(run, theirs, x))
            yield {
                "benchmark": f"lstm {name}",
                "against": "torch.nn.LSTM",
                "size": {"batch": batch, "time": steps, "features": features, "hidden": hidden},
                "seconds": mine,
                "reference_seconds": other,
                "ratio": other / mine,
                "error": error,
                "aim": {"ratio": 0.95, "error": 1e-6},
            }


def tcn_rows() -> Iterator[dict[str, Any]]:
    """Compare the streaming step of the TCN with that of pytorch-tcn."""
    for features, hidden, levels, kernel_size in TCN_SIZES:
        torch.manual_seed(0)
        peer = pytorch_tcn(features, hidden, levels, kernel_size)
        x, stream = peer.x, eager(peer.model, peer.x, peer.model.init_state(1))
        right = peer.run(x)
        if not right.std() > 1e-3:
            sys.exit("the reference gives nothing to compare with")
        error = float((stream(x) - right).abs().max())
        mine, other = (
            seconds / x.shape[1]
            for seconds in interleaved(partial(stream, x), partial(peer.run, x))
        )
        yield {
            "benchmark": "tcn step",
            "against": "pytorch-tcn",
            "size": {
                "batch": 1,
                "features": features,
                "hidden": hidden,
                "levels": levels,
                "kernel_size": kernel_size,
            },
            "seconds": mine,
            "reference_seconds": other,
            "ratio": other / mine,
            "error": error,
            "aim": {"ratio": 3.0, "error": 1e-5},
        }


def measured() -> Iterator[dict[str, Any]]:
    """Give every row; a wrong answer ends the benchmark before its speed is printed."""
    for row in itertools.chain(lstm_rows(), tcn_rows()):
        if row["error"] > row["aim"]["error"]:
            sys.exit(f"wrong answer: {row['benchmark']} errs by {row['error']}, no speed given")
        missed.extend([row] if row["ratio"] < row["aim"]["ratio"] else [])
        yield row


missed: list[dict[str, Any]] = []

if __name__ == "__main__":
    rows.run("floor", measured(), rows.parser(__doc__).parse_args().write)
    for row in missed:
        print(f"missed its aim: {row['benchmark']} {row['size']}", file=sys.stderr)
    sys.exit(1 if missed else 0)
