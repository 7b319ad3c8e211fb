"""`unrecur train`: one model on one task."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unrecur.cli.options import Device
from unrecur.cli.task_options import with_task

if TYPE_CHECKING:
    from unrecur.data.task import Task


@with_task
def train(
    task: "Task",
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The model: lstm, tcn, transformer, ...; `unrecur models` lists them.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The model's file.", show_default="runs/TASK-MODEL-SEED.safetensors"),
    ] = None,
    stable: Annotated[
        bool, typer.Option("--stable", help="Project to the stable set after each step.")
    ] = False,
    rate: Annotated[
        float, typer.Option(help="With --stable: the contraction to prove, below 1.")
    ] = 0.95,
    parameters: Annotated[
        int | None,
        typer.Option(help="How many the model shall have.", show_default="the task's own"),
    ] = None,
    epochs: Annotated[int, typer.Option(help="The number of epochs.")] = 12,
    dropout: Annotated[float, typer.Option(help="The dropout probability.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The seed.")] = 0,
    device: Device = "cpu",
) -> None:
    """Train one model and write it to a safetensors file. Stopped, it goes on where it was."""
    from rich.console import Console

    from unrecur import _check
    from unrecur.cli.progress import bars
    from unrecur.models import MODELS
    from unrecur.models.spec import save_model
    from unrecur.studies.budget import matched
    from unrecur.train.checkpoint import Progress
    from unrecur.train.config import TrainConfig
    from unrecur.train.evaluate import evaluate
    from unrecur.train.loop import train as run

    architecture = MODELS[_check.known_name(model, MODELS, "model")]
    options = {
        **{name: value for name, value in architecture.example.items() if name != "hidden"},
        "in_features": task.source_features or task.in_features,
        "out_features": task.out_features,
        "dropout": dropout,
    }
    if task.tokens and not task.sources:
        options["tokens"] = True
    if model == "transformer_pair":
        options["context"] = task.longest
    size = task.parameters if parameters is None else parameters
    spec = matched(model, options, size)
    config = TrainConfig(epochs=epochs, rate=rate if stable else None)
    path = out or Path("runs") / f"{task.name}-{model}-{seed}.safetensors"
    console = Console()
    with bars(console) as progress_bars:
        bar = progress_bars.add_task(model, total=epochs)

        def report(progress: Progress, batches: int) -> None:
            best = "" if progress.best is None else f", best {progress.best:.3f}"
            done = progress.epoch + progress.batch / batches
            progress_bars.update(bar, completed=done, description=f"{model}{best}")

        checkpoint = path.with_name(f"{path.name}.checkpoint")
        trained = run(spec, task, config, seed, checkpoint, device, report=report)
    save_model(path, spec, trained.model)
    metric = evaluate(trained.model, task, "test").metric
    console.print(
        f"{model}, {spec.parameters:,} parameters, best epoch {trained.progress.best_epoch}: "
        f"test {task.metric} {metric:.4f} {task.unit}",
        highlight=False,
    )
    console.print(f"The model: {path}", soft_wrap=True, highlight=False)
