"""Kill -9 at random moments, in every objective: the resumed run is the uninterrupted one.

python tests/train/kill.py            # 20 kills each, about 5 minutes on 2 cores
python tests/train/kill.py --kills 3
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import load_file, save_file

from small import FEATURES, small_task, small_text
from unrecur import (
    RTRL,
    UORO,
    EProp,
    Full,
    InParallel,
    SnAp1,
    Spec,
    TrainConfig,
    Truncated,
    Windowed,
)
from unrecur.train import loop

LSTM = Spec("lstm", {"in_features": FEATURES, "out_features": FEATURES, "hidden": 6})
DROPPING = Spec("lstm", {**LSTM.options, "dropout": 0.3})
TEXT = Spec("gru", {"in_features": 7, "out_features": 7, "hidden": 6, "tokens": True})
OBJECTIVES = [
    Full(),
    Full(segment=0),
    Truncated(3),
    Truncated(2, 4),
    Windowed(3),
    InParallel(burn_in=1, length=2),
    RTRL(),
    RTRL(update_every=2),
    SnAp1(),
    EProp(),
    UORO(),
]
SETTINGS = {
    "watch": {"watch": True},
    "accumulate": {"accumulate": 2},
    "bf16": {"precision": "bf16-mixed"},
    "stable": {"rate": 0.9},
    "adaptive": {"clip_by": "adaptive"},
}


def cases():
    """Every objective on rows with dropout and on a stream, and every other setting once."""
    for objective in OBJECTIVES:
        yield (
            f"{objective}, rows",
            DROPPING,
            partial(small_task, "small", 24),
            {"objective": objective},
        )
        yield f"{objective}, stream", TEXT, partial(small_text, 60), {"objective": objective}
    for name, settings in SETTINGS.items():
        yield name, LSTM, partial(small_task, "small", 24), settings


def work(spec, make, settings, checkpoint, out):
    """Train to the end, writing a checkpoint after each batch."""
    torch.set_num_threads(1)
    loop.SAVE_EVERY = 0.0
    config = TrainConfig(epochs=6, batch_size=3, patience=99, **settings)
    trained = loop.train(spec, make(), config, 3, checkpoint)
    part = out.with_suffix(".part")
    save_file(trained.model.state_dict(), part)
    part.replace(out)


def run(context, *given, after=None):
    """Run a process; kill it after some seconds, if it still runs. Say whether it was killed."""
    process = context.Process(target=work, args=given)
    process.start()
    process.join(after)
    killed = process.is_alive()
    if killed:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    elif process.exitcode:
        raise SystemExit(f"the training failed with exit code {process.exitcode}")
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    context, chance, wrong = multiprocessing.get_context("fork"), random.Random(0), 0
    torch.set_num_threads(1)
    for name, spec, make, settings in cases():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            start = time.monotonic()
            run(context, spec, make, settings, folder / "whole", folder / "expected")
            took, done = time.monotonic() - start, 0
            while done < kills:
                (folder / "found").unlink(missing_ok=True)
                after = chance.uniform(0.0, min(took, 3 * took / kills + 0.1))
                if run(context, spec, make, settings, folder / "c", folder / "found", after=after):
                    done += 1
                else:  # it came to its end: once more from the beginning
                    (folder / "c").unlink()
            run(context, spec, make, settings, folder / "c", folder / "found")
            expected, found = load_file(folder / "expected"), load_file(folder / "found")
            same = all(torch.equal(found[key], value) for key, value in expected.items())
            wrong += not same
            print(
                f"{'same' if same else 'DIFFERENT':9} {kills} kills, {took:.1f} s  {name}",
                flush=True,
            )
    if wrong:
        raise SystemExit(f"{wrong} resumed runs are not the uninterrupted ones")


if __name__ == "__main__":
    main()
