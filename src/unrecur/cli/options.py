"""Arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(help="The folder with the task's data, where they do not come with unrecur."),
]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, ...")]
