"""Whole studies of tasks whose answer is known by construction."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TRUTH = Path(__file__).parents[2] / "benchmarks" / "truth.py"


@pytest.mark.slow
def test_no_verdict_contradicts_the_truth():
    done = subprocess.run(
        [sys.executable, str(TRUTH), "--studies", "3"], capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    counts = {row["kind"]: (row["right"], row["wrong"]) for row in rows if "kind" in row}
    assert counts.keys() == {"parity", "copy", "2-gram", "tie"}
    assert all(wrong == 0 for _, wrong in counts.values()), counts
    assert sum(right for right, _ in counts.values()) > 0, counts
