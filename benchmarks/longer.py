"""Does the verdict on chorales depend on the length of training?

python benchmarks/longer.py --write
"""

import tempfile
from collections.abc import Iterator
from typing import Any

import rows

from unrecur.studies.config import StudyConfig
from unrecur.studies.study import study


def measured() -> Iterator[dict[str, Any]]:
    """Run the study with more and more epochs, one row each."""
    for epochs in (6, 12, 24):
        with tempfile.TemporaryDirectory() as folder:
            results = study("chorales", folder, StudyConfig(epochs=epochs))
        metrics: dict[str, list[float]] = {}
        for row in results["rows"]:
            metrics.setdefault(row["model"], []).append(row["metric"]["test"])
        yield {
            "benchmark": "length of training",
            "epochs": epochs,
            "seconds": results["seconds"],
            "test": metrics,
            "truncation": results["truncation"],
            "verdict": results["verdict"],
        }


if __name__ == "__main__":
    rows.run("longer", measured(), rows.parser(__doc__).parse_args().write)
