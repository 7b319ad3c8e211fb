"""The options that say how a model is trained."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrecur._check import InputError
from unrecur.cli.options import filled

if TYPE_CHECKING:
    from unrecur.train.config import TrainConfig
    from unrecur.train.objective import AbstractObjective

TIME = "The gradient through time"
GRADIENT = "The gradient's care"
# The options that each objective takes, by the names of its attributes.
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "full": ("segment",),
    "truncated": ("update_every", "look_back"),
    "windowed": ("window",),
    "parallel": ("burn_in",),
    "rtrl": ("update_every",),
    "snap1": ("update_every",),
    "uoro": ("update_every",),
    "eprop": ("update_every",),
}
NEEDED = {"truncated": "update_every", "windowed": "window"}


def training(
    stable: Annotated[
        bool, typer.Option("--stable", help="Project to the stable set after each step.")
    ] = False,
    rate: Annotated[
        float, typer.Option(help="With --stable: the contraction to prove, below 1.")
    ] = 0.95,
    epochs: Annotated[int, typer.Option(help="The number of epochs.")] = 12,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better one.")
    ] = 5,
    batch_size: Annotated[int, typer.Option(help="Sequences in a batch, of all processes.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="The step size at the start.")] = 1e-2,
    optimizer: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    schedule: Annotated[
        str,
        typer.Option(
            help="How the step size falls: cosine, or inverse (alpha / (1 + epochs done))."
        ),
    ] = "cosine",
    objective: Annotated[
        str,
        typer.Option(
            help="How it is made: full, truncated, windowed, parallel, rtrl, snap1, uoro, eprop.",
            rich_help_panel=TIME,
        ),
    ] = "full",
    update_every: Annotated[
        int | None,
        typer.Option(
            help="k1: learn after so many inputs (truncated; rtrl, snap1, uoro, eprop).",
            show_default="a batch",
            rich_help_panel=TIME,
        ),
    ] = None,
    look_back: Annotated[
        int | None,
        typer.Option(
            help="k2: go back so many inputs (truncated).",
            show_default="update-every",
            rich_help_panel=TIME,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="k: predict from so many inputs (windowed).", rich_help_panel=TIME),
    ] = None,
    segment: Annotated[
        int | None,
        typer.Option(
            help="Keep states every so many steps, and run them again (full); 0 for the root of T.",
            show_default="keep all",
            rich_help_panel=TIME,
        ),
    ] = None,
    burn_in: Annotated[
        int | None,
        typer.Option(
            help="Inputs before each piece (parallel).", show_default="64", rich_help_panel=TIME
        ),
    ] = None,
    clip: Annotated[
        float, typer.Option(help="The limit of a gradient.", rich_help_panel=GRADIENT)
    ] = 1.0,
    clip_by: Annotated[
        str,
        typer.Option(help="What it limits: norm, value or adaptive.", rich_help_panel=GRADIENT),
    ] = "norm",
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Measure it by layer and lag, and warn before it explodes or vanishes.",
            rich_help_panel=GRADIENT,
        ),
    ] = False,
    compile: Annotated[
        bool, typer.Option("--compile", help="Run the model through torch.compile.")
    ] = False,
    accumulate: Annotated[
        int, typer.Option(help="Add up so many batches for a step.", rich_help_panel=GRADIENT)
    ] = 1,
    precision: Annotated[
        str,
        typer.Option(help="32-true, bf16-mixed or 16-mixed (CUDA).", rich_help_panel=GRADIENT),
    ] = "32-true",
    workers: Annotated[int, typer.Option(help="Processes that read the data.")] = 0,
) -> "TrainConfig":
    """Make the settings of a training run.

    Args:
        stable: Whether the model is kept stable.
        rate: The contraction to prove then.
        epochs: See `TrainConfig`.
        patience: See `TrainConfig`.
        batch_size: See `TrainConfig`.
        learning_rate: See `TrainConfig`.
        optimizer: See `TrainConfig`.
        schedule: See `TrainConfig`.
        objective: A name of `OBJECTIVES`.
        update_every: See `Truncated`.
        look_back: See `Truncated`.
        window: The k of `Windowed`.
        segment: See `Full`.
        burn_in: See `InParallel`.
        clip: See `TrainConfig`.
        clip_by: See `TrainConfig`.
        watch: See `TrainConfig`.
        compile: See `TrainConfig`.
        accumulate: See `TrainConfig`.
        precision: See `TrainConfig`.
        workers: See `TrainConfig`.

    Returns:
        The settings.

    Raises:
        InputError: One is out of range, or belongs to another objective.
    """
    from unrecur.train.config import TrainConfig

    through_time = {
        "update_every": update_every,
        "look_back": look_back,
        "window": window,
        "segment": segment,
        "burn_in": burn_in,
    }
    given = {name: value for name, value in through_time.items() if value is not None}
    names: dict[str, Any] = {
        "optimizer": optimizer,
        "schedule": schedule,
        "clip_by": clip_by,
        "precision": precision,
    }
    return TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clip=clip,
        rate=rate if stable else None,
        workers=workers,
        objective=chosen(objective, given),
        accumulate=accumulate,
        watch=watch,
        compile=compile,
        patience=patience,
        **names,
    )


def chosen(name: str, given: dict[str, int]) -> "AbstractObjective":
    """Make an objective of its name and options.

    Args:
        name: A name of `OBJECTIVES`.
        given: The options that were given.

    Returns:
        The objective.

    Raises:
        InputError: The name is unknown; an option is missing or is another objective's.
    """
    from unrecur import _check
    from unrecur.train.full import Full
    from unrecur.train.in_parallel import InParallel
    from unrecur.train.online.eprop import EProp
    from unrecur.train.online.rtrl import RTRL
    from unrecur.train.online.snap import SnAp1
    from unrecur.train.online.uoro import UORO
    from unrecur.train.truncated import Truncated
    from unrecur.train.windowed import Windowed

    taken = OBJECTIVES[_check.known_name(name, OBJECTIVES, "objective")]
    for option in given:
        if option not in taken:
            owners = ", ".join(owner for owner, options in OBJECTIVES.items() if option in options)
            raise InputError(
                f"--{option.replace('_', '-')} is an option of the objective {owners}; this is "
                f"--objective {name}."
            )
    needed = NEEDED.get(name)
    if needed is not None and needed not in given:
        raise InputError(f"--objective {name} needs --{needed.replace('_', '-')}.")
    make: dict[str, Any] = {
        "full": Full,
        "truncated": Truncated,
        "windowed": lambda window: Windowed(window),
        "parallel": InParallel,
        "rtrl": RTRL,
        "snap1": SnAp1,
        "uoro": UORO,
        "eprop": EProp,
    }
    objective: AbstractObjective = make[name](**given)
    return objective


with_training = filled("config", training)
