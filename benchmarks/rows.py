"""Rows of measurements: one JSON object a line, with where it was measured."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unrecur.studies.environment import environment

RESULTS = Path(__file__).parent / "results"


def run(name: str, rows: Iterable[dict[str, Any]], write: bool, append: bool = False) -> None:
    """Print each row as it comes and, if asked to, keep it with the environment of the run."""
    kept = RESULTS / f"{name}.jsonl"
    if write:
        lines = kept.read_text() if append and kept.exists() else ""
        kept.write_text(lines + json.dumps({"environment": environment()}) + "\n")
    for row in rows:
        line = json.dumps(row)
        print(line, flush=True)
        if write:  # at once, so that an interruption loses nothing
            with kept.open("a") as file:
                file.write(line + "\n")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark's command line."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--write", action="store_true", help="keep the rows in benchmarks/results")
    return made
