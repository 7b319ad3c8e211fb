"""`unrecur audit`: how fast does this model forget?"""

from pathlib import Path
from typing import Annotated

import typer

from unrecur.cli.options import DataDir, Device, TaskName


def audit(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model file that unrecur wrote.")
    ],
    task: TaskName,
    data_dir: DataDir = None,
    device: Device = "cpu",
) -> None:
    """Measure a model on its last k inputs, k = 1, 2, 4, ..., and say what is proved about it."""
    from rich.console import Console
    from rich.table import Table

    from unrecur._check import InputError
    from unrecur.audits.memory import memory_curve
    from unrecur.certificates.contraction import certify
    from unrecur.data.tasks import load_task
    from unrecur.models.spec import load_model
    from unrecur.train.evaluate import evaluate
    from unrecur.train.loop import fabric_on

    loaded = load_task(task, data_dir)
    spec, trained = load_model(model)
    if (trained.in_features, trained.out_features) != (loaded.in_features, loaded.out_features):
        raise InputError(
            f"{model} maps {trained.in_features} features to {trained.out_features}; the task "
            f"'{loaded.name}' needs {loaded.in_features} and {loaded.out_features}."
        )
    trained = trained.to(fabric_on(device).device)
    certificate = certify(trained, loaded.input_box)
    table = Table(title=f"{spec.name} on its last k inputs, test split of {loaded.name}")
    for column in ("k", loaded.unit, "output error, median", "largest", "proved bound"):
        table.add_column(column, justify="right")
    for point in memory_curve(trained, loaded, "test", certificate):
        bound = "" if point.bound is None else f"{point.bound:.3g}"
        errors = (f"{point.error_median:.3g}", f"{point.error_max:.3g}", bound)
        table.add_row(str(point.k), f"{point.scores.metric:.4f}", *errors)
    table.add_row("all", f"{evaluate(trained, loaded, 'test').metric:.4f}", "", "", "")
    console = Console()
    console.print(table)
    console.print(f"Evidence: {certificate.evidence}. {'; '.join(certificate.reasons)}.")
    if certificate.assumptions:
        console.print(f"It assumes: {'; '.join(certificate.assumptions)}.")
