"""What an audit costs: how it grows with the data, and ten million weights on a million steps.

    python benchmarks/audit.py [--write]

A row has the seconds of the memory curve alone and of the whole audit, the steps of data, how many
of them were audited, and the visits: how often a step of data was run through the model. With an
endless budget every step is audited and the seconds must grow like T log k_max; with the default
one an audit ends in time, and its row says how much of the data it saw.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch
from rows import parser, run
from torch import nn

import unrecur
from unrecur.audits.audit import BUDGET

SIZES = (25_000, 50_000, 100_000, 200_000)
FEATURES, HIDDEN = 64, 64
ENDLESS = 1e18  # multiplications
WIDE = 1549  # 4 * 1549 * (64 + 1549) = 10.0 M weights in one layer


def counting(hidden: int) -> nn.LSTM:
    """An LSTM in which every fourth cell remembers for hundreds of steps."""
    torch.manual_seed(0)
    lstm = nn.LSTM(FEATURES, hidden, batch_first=True)
    with torch.no_grad():
        lstm.bias_ih_l0[hidden : 2 * hidden : 4] += 7.0
    return lstm.eval()


def measure(what: str, lstm: nn.LSTM, steps: int, budget: float) -> dict[str, Any]:
    """Audit one model on so many steps of noise."""
    x = torch.randn(1, steps, FEATURES, generator=torch.Generator().manual_seed(1))
    curve: dict[str, float] = {}
    begin = time.perf_counter()

    def tell(stage: str, part: float) -> None:
        curve.setdefault(stage.split()[0], time.perf_counter() - begin)

    report = unrecur.audit(lstm, x, budget=budget, progress=tell)
    seconds = time.perf_counter() - begin
    [found] = report.recurrences
    lengths = found.subject.sequences.lengths
    return {
        "what": what,
        "weights": sum(weight.numel() for weight in lstm.parameters()),
        "steps": steps,
        "audited": int(lengths.sum()),
        "longest": int(lengths.max()),
        "windows": [level.k for level in found.curve.levels],
        "curve_seconds": round(curve["proofs"], 2),
        "seconds": round(seconds, 2),
        "curve_microseconds_a_step": round(1e6 * curve["proofs"] / int(lengths.sum()), 1),
        "k_hidden_0.01": found.curve.hidden.least(0.01),
        "notes": list(found.notes),
    }


def rows() -> Iterator[dict[str, Any]]:
    """Measure the growth, then the large one."""
    for steps in SIZES:
        yield measure("growth", counting(HIDDEN), steps, ENDLESS)
    yield measure("ten million weights", counting(WIDE), 1_000_000, BUDGET)


if __name__ == "__main__":
    given = parser(__doc__).parse_args()
    run("audit", rows(), given.write)
