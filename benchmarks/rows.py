"""Rows of measurements: one JSON object a line, with where it was measured."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from unrecur.studies.environment import environment

RESULTS = Path(__file__).parent / "results"


def run(
    name: str,
    rows: Iterable[dict[str, Any]],
    write: bool,
    keep: Callable[[dict[str, Any]], bool] | None = None,
) -> None:
    """Print each row as it comes and, if asked to, keep it with the environment of the run.

    Of the rows that are there already those stay that `keep` says, each with its environment.
    """
    kept = RESULTS / f"{name}.jsonl"
    if write:
        found = kept.read_text().splitlines() if keep and kept.exists() else []
        blocks: list[list[str]] = []
        for line in found:
            if "environment" in (row := json.loads(line)):
                blocks.append([line])
            elif keep and keep(row):
                blocks[-1].append(line)
        blocks = [block for block in blocks if len(block) > 1]
        blocks.append([json.dumps({"environment": environment()})])
        kept.write_text("".join(f"{line}\n" for block in blocks for line in block))
    for row in rows:
        line = json.dumps(row)
        print(line, flush=True)
        if write:  # at once, so that an interruption loses nothing
            with kept.open("a") as file:
                file.write(line + "\n")


def everything(_: dict[str, Any]) -> bool:
    """Keep every row."""
    return True


def others(key: str, only: str | None) -> Callable[[dict[str, Any]], bool] | None:
    """Keep what was not asked again: rows of other questions, where one alone is."""
    return None if only is None else lambda row: row.get(key) != only


def peak() -> float:
    """Give the most mebibytes that this process has held (Linux).

    `ru_maxrss` would begin with what the process that started it held.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark's command line."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--write", action="store_true", help="keep the rows in benchmarks/results")
    return made
