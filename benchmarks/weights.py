"""Recurrent layers trained on text, for benchmarks that need real weights; kept in a cache.

    python benchmarks/weights.py --data-dir DIR [--hidden 64 128 256 512] [--steps N]

The task is the next character of text/tinyshakespeare.txt.gz, from inputs tanh(E[token]) of 64
numbers, so that all inputs lie in [-1, 1]. "free" is trained without constraint; "stable" is
projected by `unrecur.project_` to contract at rate 0.95 for all such inputs.
"""

import argparse
import gzip
import math
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import unrecur

FEATURES, ROWS, STRETCH, RATE, SEED = 64, 32, 64, 0.95, 0
CELLS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}
PROJECT_EVERY = 5
STEPS = {"stable": 600, "free": 1500}  # free cells need some time to learn to count


class Reader(nn.Module):
    """A character model around one of torch's recurrent layers."""

    def __init__(self, cell: str, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, FEATURES)
        self.recurrence = CELLS[cell](FEATURES, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, vocabulary)

    def inputs(self, ids: Tensor) -> Tensor:
        """Embed characters in [-1, 1]."""
        return torch.tanh(self.table(ids))

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Predict the next characters."""
        y, state = self.recurrence(self.inputs(ids), state)
        return self.readout(y), state


def characters(folder: Path) -> tuple[Tensor, int]:
    """Read the text as numbers of characters."""
    text = gzip.decompress((folder / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()
    index = {character: number for number, character in enumerate(sorted(set(text)))}
    return torch.tensor([index[character] for character in text]), len(index)


def reader(cell: str, hidden: int, kind: str, folder: Path, steps: int | None = None) -> Reader:
    """Give a trained character model, from the cache if it is there."""
    ids, vocabulary = characters(folder)
    steps = STEPS[kind] if steps is None else steps
    torch.manual_seed(SEED)
    model = Reader(cell, hidden, vocabulary)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unrecur" / "weights"
    file = home / f"{cell}-{hidden}-{kind}-{steps}.safetensors"
    if file.exists():
        model.load_state_dict(load_file(file))
        return model.eval()
    _train(model, ids[: int(0.9 * len(ids))], kind, steps)
    home.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), file.with_suffix(".partial"))
    file.with_suffix(".partial").rename(file)
    return model.eval()


def _train(model: Reader, ids: Tensor, kind: str, steps: int) -> None:
    x = ids[: len(ids) // ROWS * ROWS].view(ROWS, -1)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    state, begin = None, 0
    for step in range(1, steps + 1):
        if begin + STRETCH >= x.shape[1]:
            state, begin = None, 0
        part = x[:, begin : begin + STRETCH + 1]
        begin += STRETCH
        y, state = model(part[:, :-1], state)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        loss = cross_entropy(y.flatten(0, 1), part[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if kind == "stable" and (step % PROJECT_EVERY == 0 or step == steps):
            unrecur.project_(model.recurrence, 1.0, RATE)
        if step % 100 == 0 or step == steps:
            print(f"{kind} step {step}: {float(loss.detach()) / math.log(2):.3f} bits", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="with text/")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--cell", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--kind", nargs="+", choices=["stable", "free"], default=["stable", "free"])
    parser.add_argument("--steps", type=int, help="of each training run")
    given = parser.parse_args()
    for hidden in given.hidden:
        for cell in given.cell:
            for kind in given.kind:
                print(cell, hidden, kind, flush=True)
                reader(cell, hidden, kind, given.data_dir, given.steps)


if __name__ == "__main__":
    main()
