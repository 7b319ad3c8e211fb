"""The command `unrecur`."""

from typing import Annotated

import typer

from unrecur._version import __version__
from unrecur.cli.audit import audit
from unrecur.cli.data import data
from unrecur.cli.errors import friendly
from unrecur.cli.export import export
from unrecur.cli.lookback import lookback
from unrecur.cli.models import models
from unrecur.cli.report import report
from unrecur.cli.stream import stream
from unrecur.cli.study import study
from unrecur.cli.train import train
from unrecur.cli.truncate import truncate

app = typer.Typer(
    name="unrecur",
    help="Does your sequence model need to be recurrent? Decide, audit, train, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (study, lookback, audit, truncate, train, export, stream, models, data, report):
    app.command()(friendly(verb))


def _show_version(value: bool) -> bool:
    """Print the version and leave, if asked to."""
    if value:
        typer.echo(f"unrecur {__version__}")
        raise typer.Exit
    return value


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before the verb.

    Args:
        version: Whether to show the version and leave.
    """


def main() -> None:
    """Run the command line."""
    app()
