"""Rows of measurements: one JSON object a line, with where it was measured."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unrecur.studies.environment import environment

RESULTS = Path(__file__).parent / "results"


def run(name: str, rows: Iterable[dict[str, Any]], write: bool) -> None:
    """Print each row as it comes and, if asked to, keep them all with their environment."""
    kept: list[str] = []
    try:
        for row in rows:
            line = json.dumps(row)
            print(line, flush=True)
            kept.append(line)
    finally:  # what was measured before an interruption is kept too
        if write and kept:
            lines = [json.dumps({"environment": environment()}), *kept]
            (RESULTS / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark's command line."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--write", action="store_true", help="keep the rows in benchmarks/results")
    return made
