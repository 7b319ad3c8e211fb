"""Processes that work on one small study, to be disturbed."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import torch

from small import small_task
from unrecur import StudyConfig, study
from unrecur.studies.config import Workplace
from unrecur.studies.listener import Listener
from unrecur.studies.recipes import RECIPES

TASK = "small"
CONFIG = StudyConfig(seeds=2, parameters=2700, epochs=2, trials=2)
NAMES = ("gru", "tcn", "frequencies")
TIMED = {"speed", "seconds", "wall_seconds", "created", "environment", "command", "estimate"}
TRIALS = 2 * 2 + 2 * 2 + 1


class Slow(Listener):
    """Takes its time at each batch, so that there is something to kill."""

    def __init__(self, seconds):
        self.seconds = seconds

    def train(self, progress, batches, epochs):
        time.sleep(self.seconds)


def quickly():
    """Measure speeds once, save at each batch, and run on one thread, as all workers do."""
    import unrecur.studies.estimate
    import unrecur.studies.speed
    import unrecur.train.loop

    torch.set_num_threads(1)
    unrecur.studies.speed.SECONDS = unrecur.studies.estimate.SECONDS = 0.0
    unrecur.train.loop.SAVE_EVERY = 0.0


def small_study(folder, config=CONFIG, listener=None, **places):
    """Run the study, or work on it."""
    recipes = {name: RECIPES[name] for name in NAMES}
    return study(
        small_task(), folder, config, recipes, listener or Listener(), workplace=Workplace(**places)
    )


def timeless(found):
    """Results without what is a time."""
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key not in TIMED}
    return [timeless(value) for value in found] if isinstance(found, list) else found


def begin(folder, storage="", seconds=0.05, before=""):
    """Start a worker in a process of its own; `before` is code that it runs first."""
    code = (
        "import sys, workers; workers.quickly()\n"
        f"{before}\n"
        "workers.small_study(sys.argv[1], storage=sys.argv[2] or None, "
        "listener=workers.Slow(float(sys.argv[3])))"
    )
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), storage, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process, seconds=240):
    """Wait for a worker and give what it said."""
    try:
        return process.communicate(timeout=seconds)[0]
    finally:
        process.kill()


def kill(process):
    """Kill a worker as the system does when memory is short."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def until(holds, seconds=60):
    """Wait until something holds."""
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.02)


def states(folder):
    """Count the trials of a study in its folder by state."""
    with contextlib.suppress(sqlite3.OperationalError):
        uri = f"file:{folder}/study.db?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=20)) as database:
            return dict(database.execute("select state, count(*) from trials group by state"))
    return {}
