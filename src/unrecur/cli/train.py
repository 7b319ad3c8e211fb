"""`unrecur train`: one model on one task."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from unrecur.cli.options import Device
from unrecur.cli.task_options import with_task
from unrecur.cli.training_options import with_training

if TYPE_CHECKING:
    from unrecur.data.task import Task
    from unrecur.train.config import TrainConfig


@with_task
@with_training
def train(
    task: "Task",
    config: "TrainConfig",
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
    parameters: Annotated[
        int | None,
        typer.Option(help="How many the model shall have.", show_default="the task's own"),
    ] = None,
    dropout: Annotated[float, typer.Option(help="The dropout probability.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The seed.")] = 0,
    device: Device = "cpu",
    strategy: Annotated[
        str, typer.Option(help="Under torchrun: ddp (whole models) or fsdp (parts of one).")
    ] = "ddp",
) -> None:
    """Train one model and write it to a safetensors file. Stopped, it goes on where it was."""
    from rich.console import Console

    from unrecur import _check
    from unrecur.cli.progress import bars
    from unrecur.models import MODELS
    from unrecur.models.spec import save_model
    from unrecur.studies.budget import matched
    from unrecur.train.checkpoint import Progress
    from unrecur.train.devices import Strategy
    from unrecur.train.evaluate import evaluate
    from unrecur.train.guard import DivergedError
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
    path = out or Path("runs") / f"{task.name}-{model}-{seed}.safetensors"
    console, warned = Console(), list[str]()
    sharing: Any = _check.known_name(strategy, get_args(Strategy), "strategy")
    with bars(console) as progress_bars:
        bar = progress_bars.add_task(model, total=config.epochs)

        def report(progress: Progress, batches: int) -> None:
            best = "" if progress.best is None else f", best {progress.best:.3f}"
            done = progress.epoch + progress.batch / batches
            progress_bars.update(bar, completed=done, description=f"{model}{best}")
            while len(progress.warnings) > len(warned):
                warned.append(progress.warnings[len(warned)]["proposal"])
                progress_bars.console.print(warned[-1], style="yellow", highlight=False)

        checkpoint = path.with_name(f"{path.name}.checkpoint")
        try:
            trained = run(
                spec, task, config, seed, checkpoint, device, report=report, strategy=sharing
            )
        except DivergedError as error:
            if error.trained is not None:
                save_model(path, spec, error.trained.model)
                epoch = error.trained.progress.best_epoch
                when = f"of epoch {epoch}" if epoch else "as it was before"
                console.print(f"The model {when}: {path}", soft_wrap=True)
            raise
    if int(os.environ.get("RANK", "0")):  # of several processes the first one writes
        return
    save_model(path, spec, trained.model)
    metric = evaluate(config.objective.form(trained.model), task, "test").metric
    console.print(
        f"{model}, {spec.parameters:,} parameters, best epoch {trained.progress.best_epoch}: "
        f"test {task.metric} {metric:.4f} {task.unit}",
        highlight=False,
    )
    if not metric < task.chance_level:
        console.print(
            f"That is no better than knowing nothing ({task.chance_level:.4f}): try a smaller "
            "--learning-rate, more --epochs, or --watch to see what the gradients do.",
            style="yellow",
            highlight=False,
        )
    console.print(f"The model: {path}", soft_wrap=True, highlight=False)
