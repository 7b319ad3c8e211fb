"""Training in several processes gives the weights of one on the same batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train import several

PROCESSES = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of what two processes, started by torchrun, trained."""
    folder = tmp_path_factory.mktemp("several")
    tests = Path(__file__).parents[1]
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    done = subprocess.run(
        [sys.executable, *command, str(tests / "train" / "several.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(tests), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", several.RUNS)
def test_the_weights_are_those_of_one_process(name, trained, tmp_path):
    spec, make, config, _ = several.RUNS[name]
    alone = several.train(spec, make(), config, 3, tmp_path / "checkpoint")
    history = torch.tensor([[h["train"], h["valid"]] for h in alone.progress.history])
    for rank in range(PROCESSES):
        found = torch.load(trained / f"{name}-{rank}.pt", weights_only=True)
        for key, value in alone.model.state_dict().items():
            torch.testing.assert_close(found["model"][key], value, atol=2e-6, rtol=2e-5)
            assert torch.equal(found["again"][key], found["model"][key])
        torch.testing.assert_close(torch.tensor(found["history"]), history, atol=1e-5, rtol=1e-5)
