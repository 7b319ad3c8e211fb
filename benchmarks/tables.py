"""How fast and in how much memory a large table becomes batches of a forecasting task.

Writes a table of 8 columns as Parquet and as CSV, and in a process of its own loads it as a task
and goes once over the training batches.

    python benchmarks/tables.py --rows 100000 1000000
    python benchmarks/tables.py --study --rows 1000000    # instead, `unrecur study` of the Parquet

A study has one seed and trains each model for ten seconds; what takes long is scoring.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rows

COLUMNS = 7  # besides the time
PART = 1_000_000  # rows that are made at once


def write(path: Path, count: int) -> None:
    """Write a table with a time each minute, and random walks with a few gaps."""
    import polars

    parts = path.parent / f"{path.name}.parts"
    parts.mkdir()
    for number, start in enumerate(range(0, count, PART)):
        size = min(PART, count - start)
        rng = np.random.default_rng(number)
        ticks = 60_000_000 * np.arange(start, start + size)
        columns = {"time": polars.Series(ticks).cast(polars.Datetime("us"))}
        for column in range(COLUMNS):
            values = rng.normal(size=size).cumsum().astype(np.float32)
            if column == 3:
                values[rng.random(size) < 0.01] = np.nan
            columns[f"x{column}"] = polars.Series(values).fill_nan(None)
        polars.DataFrame(columns).write_parquet(parts / f"{number:04}.parquet")
    whole = polars.scan_parquet(parts / "*.parquet")
    if path.suffix == ".parquet":
        whole.sink_parquet(path)
    else:
        whole.sink_csv(path)
    for part in parts.iterdir():
        part.unlink()
    parts.rmdir()


def measure(path: str) -> None:
    """Load a table, go over it once, and print what it took."""
    import torch

    from unrecur.data.forecasting import forecasting_task

    before, started = rows.peak(), time.perf_counter()
    task = forecasting_task(path, target="x0", time="time", horizon=12)
    loaded = time.perf_counter()
    steps = 0
    for batch in task.batches("train", 32, torch.Generator().manual_seed(0)):
        steps += int(batch.lengths.sum())
    done = time.perf_counter()
    found = {
        "load_seconds": round(loaded - started, 2),
        "epoch_seconds": round(done - loaded, 2),
        "steps": steps,
        "imports_mebibytes": round(before),
        "peak_mebibytes": round(rows.peak()),
    }
    print(json.dumps(found))


def measurements(counts: list[int], folder: str) -> Iterator[dict[str, Any]]:
    for count in counts:
        for kind in ("parquet", "csv"):
            path = Path(folder) / f"table.{kind}"
            write(path, count)
            command = [sys.executable, __file__, "--measure", str(path)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(ran.stdout)
            yield {
                "question": "table to batches",
                "kind": kind,
                "rows": count,
                "columns": COLUMNS + 1,
                "file_mebibytes": path.stat().st_size // 2**20,
                **found,
                "rows_per_second": round(count / found["load_seconds"]),
            }
            path.unlink()


def studies(counts: list[int], folder: str) -> Iterator[dict[str, Any]]:
    """Study tables by the command line, from the file to the verdict."""
    for count in counts:
        path = Path(folder) / "table.parquet"
        write(path, count)
        asked = ["--target", "x0", "--time", "time", "--horizon", "12"]
        asked += ["--seeds", "1", "--budget-seconds", "10", "--out", f"{folder}/{count}"]
        code = "from unrecur.cli.main import main; main()"
        began = time.perf_counter()
        command = [sys.executable, "-c", code, "study", str(path), *asked]
        ran = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(ran.pid, 0)
        yield {
            "question": "table to verdict",
            "kind": "parquet",
            "rows": count,
            "columns": COLUMNS + 1,
            "exit_code": os.waitstatus_to_exitcode(status),
            "seconds": round(time.perf_counter() - began),
            "peak_mebibytes": usage.ru_maxrss // 1024,
        }
        path.unlink()


def main() -> None:
    parser = rows.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--study", action="store_true", help="study the tables")
    parser.add_argument("--measure", help="for the process of one measurement: the table")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        question = "table to verdict" if options.study else "table to batches"
        found = (studies if options.study else measurements)(options.rows, folder)
        rows.run("tables", found, options.write, rows.others("question", question))


if __name__ == "__main__":
    main()
