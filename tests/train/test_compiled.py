"""A compiled step of training: the same weights, for cells with a kernel and without."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: a compiler does not see through the checks of types that tests run with.
SCRIPT = """
import torch
from small import FEATURES, small_task
from unrecur import Spec, TrainConfig
from unrecur.train.loop import train

for name in ("lstm", "gru", "min_gru"):
    spec = Spec(name, {"in_features": FEATURES, "out_features": FEATURES, "hidden": 6})
    found = []
    for compiled in (False, True):
        config = TrainConfig(epochs=1, batch_size=5, compile=compiled)
        found.append(train(spec, small_task(), config, 0).model.state_dict())
    for key in found[0]:
        torch.testing.assert_close(found[0][key], found[1][key], atol=1e-6, rtol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_weights_are_the_same():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
