"""`unrecur study`: does this task need recurrence? Or an experiment by its name."""

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrecur.cli.options import Device
from unrecur.cli.task_options import with_task

if TYPE_CHECKING:
    from unrecur.data.task import Task

SMOKE_SHARE = 1 / 6  # of the parameters that a task suggests
THEOREM = "theorem"
# The names of `unrecur.studies.comparisons.COMPARISONS`, which is slow to import.
COMPARISONS = (
    "initialization",
    "activation",
    "clipping",
    "long-memory",
    "exact-memory",
    "small-data",
    "stability",
)


def _or_experiment(verb: Callable[..., None]) -> Callable[..., None]:
    """Let the verb run an experiment where an experiment's name stands in the task's place.

    Args:
        verb: The verb, as `with_task` made it.

    Returns:
        The function that typer is to see.
    """

    @functools.wraps(verb)
    def run(**given: Any) -> None:
        name = given["task"]
        if name == THEOREM or name in COMPARISONS:
            _experiment(**given)
        else:
            verb(**given)

    return run


def _experiment(
    task: str,
    out: Path | None,
    smoke: bool,
    seeds: int | None,
    device: str,
    **others: Any,
) -> None:
    """Run the theorem's experiment or a comparison."""
    from unrecur._check import InputError

    if task == THEOREM:
        others |= {"seeds": seeds, "device": None if device == "cpu" else device}
    given = sorted(name for name, value in others.items() if value not in (None, [], False))
    if given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"'{task}' is an experiment of its own, which has no {named}.")
    folder = out or Path("runs") / (f"{task}-smoke" if smoke else task)
    if task == THEOREM:
        from unrecur.cli.theorem import run_theorem

        run_theorem(folder, smoke, _command())
    else:
        from unrecur.cli.comparison import run_comparison

        run_comparison(task, folder, smoke, seeds, device, _command())


@_or_experiment
@with_task
def study(
    task: "Task",
    seeds: Annotated[
        int | None, typer.Option(help="Train each model so many times.", show_default="3")
    ] = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(help="Train no model for longer than this.", show_default="no limit"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The study's folder; made if new.", show_default="runs/TASK"),
    ] = None,
    device: Device = "cpu",
    parameters: Annotated[
        int | None,
        typer.Option(help="How many each model shall have.", show_default="the task's own"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Train each model so many epochs.", show_default="12")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Tiny models, two epochs: shows that everything runs.")
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Settings that each family tries first (learning rate, dropout, clipping).",
            show_default="0: those of the recipes",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="End settings early that fall behind others.")
    ] = False,
    match: Annotated[
        list[str] | None,
        typer.Option(
            help="Make latency (of a step) or time (of training) equal too, in trials of their "
            "own; may be given twice."
        ),
    ] = None,
    max_trials: Annotated[
        int | None,
        typer.Option(help="Run no more trials than this in all.", show_default="no limit"),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Stop after this long and conclude; run again, it goes on.",
            show_default="no limit",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="The database: sqlite:///study.db, postgresql://user:password@host/name.",
            show_default="study.db in the folder",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Run trials on this Ray cluster: host:port, or auto (extra ray)."),
    ] = None,
    cpus_per_trial: Annotated[
        float | None, typer.Option(help="Of the Ray cluster.", show_default="1")
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="Of the Ray cluster.", show_default="0")
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write each epoch for TensorBoard, in the folder."),
    ] = False,
) -> None:
    """Train both families at a matched budget and give a verdict with its evidence.

    Ends with a table, a verdict and a page, report.html. Run again, it skips what is finished; run
    by several processes at once on the same folder (and --storage), they share the trials.

    In the place of TASK may stand an experiment of its own: theorem (training on windows against
    training on all inputs), or a comparison: initialization, activation, clipping, long-memory and
    exact-memory (LSTM against RNN), small-data (LSTM against Transformer), stability (stable
    against free).
    """
    from dataclasses import replace

    from rich.console import Console

    from unrecur.cli.progress import Bars
    from unrecur.report.page import write_page
    from unrecur.report.table import print_results
    from unrecur.studies.config import SMOKE, StudyConfig, Workplace
    from unrecur.studies.plan import suggested_budget
    from unrecur.studies.recipes import recipes_for
    from unrecur.studies.study import study as run

    config = SMOKE if smoke else StudyConfig()
    if smoke:
        small = suggested_budget(task, recipes_for(task), SMOKE_SHARE)
        config = replace(config, parameters=small)
    equal: Any = tuple(match or ())
    config = replace(
        config,
        seeds=config.seeds if seeds is None else seeds,
        budget_seconds=budget_seconds,
        parameters=config.parameters if parameters is None else parameters,
        epochs=config.epochs if epochs is None else epochs,
        device=device,
        trials=trials or 0,
        prune=prune,
        match=equal,
        max_trials=max_trials,
        max_seconds=max_seconds,
    )
    shares = {"cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial}
    given = {name: share for name, share in shares.items() if share is not None}
    place = Workplace(storage, ray, tensorboard=tensorboard, **given)
    folder = out or Path("runs") / (f"{task.name}-smoke" if smoke else task.name)
    console = Console()
    with Bars(console, task.unit) as listener:
        results = run(task, folder, config, listener=listener, command=_command(), workplace=place)
    write_page(results, folder / "report.html")
    print_results(results, console)
    console.print(f"The page: {folder / 'report.html'}", soft_wrap=True, highlight=False)


def _command() -> str:
    """Give the command line as it can be typed again, but for the password of a database."""
    import re
    import sys

    typed = shlex.join(["unrecur", *sys.argv[1:]])
    return re.sub(r"(://[^:/@\s]*:)[^@\s]*@", r"\1***@", typed)
