"""What the processes of test_several.py run under `torchrun`, and one process by itself."""

import sys
import time

import torch

from small import FEATURES, small_task, small_text
from unrecur import RTRL, Full, Spec, TrainConfig, Windowed
from unrecur._files import write_atomic
from unrecur.train import checkpoint
from unrecur.train.loop import train
from unrecur.train.truncated import Truncated

IO = {"in_features": FEATURES, "out_features": FEATURES}
LSTM = Spec("lstm", {**IO, "hidden": 6})
TEXT = Spec("gru", {"in_features": 7, "out_features": 7, "hidden": 6, "tokens": True})
CONFIG = TrainConfig(epochs=2, batch_size=5, learning_rate=1e-2)
RUNS = {
    "full": (LSTM, small_task, CONFIG, "ddp"),
    "truncated": (
        LSTM,
        small_task,
        TrainConfig(epochs=2, batch_size=5, objective=Truncated(3, 5)),
        "ddp",
    ),
    "segments": (LSTM, small_task, TrainConfig(epochs=2, batch_size=5, objective=Full(0)), "ddp"),
    "windowed": (
        LSTM,
        small_task,
        TrainConfig(epochs=1, batch_size=5, objective=Windowed(3)),
        "ddp",
    ),
    "online": (LSTM, small_task, TrainConfig(epochs=1, batch_size=5, objective=RTRL()), "ddp"),
    "accumulated": (LSTM, small_task, TrainConfig(epochs=2, batch_size=2, accumulate=2), "ddp"),
    "stable": (LSTM, small_task, TrainConfig(epochs=2, batch_size=5, rate=0.9), "ddp"),
    "stream": (TEXT, small_text, TrainConfig(epochs=2, batch_size=3), "ddp"),
    "parts": (LSTM, small_task, CONFIG, "fsdp"),
}


def write_slowly(path, data):
    """Write as a slow disk does; no process may look for the file before it is there."""
    time.sleep(0.1)
    write_atomic(path, data)


def main(folder):
    torch.set_num_threads(1)
    checkpoint.write_atomic = write_slowly
    for name, (spec, make, config, strategy) in RUNS.items():
        path = folder / f"{name}.checkpoint"
        trained = train(spec, make(), config, 3, path, strategy=strategy)
        again = train(spec, make(), config, 3, path, strategy=strategy)  # from the checkpoint
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        found = {"model": trained.model.state_dict(), "again": again.model.state_dict()}
        found["history"] = [[entry["train"], entry["valid"]] for entry in trained.progress.history]
        torch.save(found, folder / f"{name}-{rank}.pt")


if __name__ == "__main__":
    from pathlib import Path

    main(Path(sys.argv[1]))
