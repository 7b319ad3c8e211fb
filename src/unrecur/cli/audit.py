"""`unrecur audit`: how far back does this model look?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from unrecur.cli.options import DataDir, Device


def audit(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model file: .onnx, .safetensors, .pt, .keras, .h5, .nam, .npz, or one of ours.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="For a model of ours: the task it was trained on."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The inputs: .npy, .npz, .wav, .csv, .parquet, or a hook's."),
    ] = None,
    hook: Annotated[
        Path | None,
        typer.Option(
            help="A Python file with inputs(data, model), and outputs(y, model), decision(out) or "
            "load(model), as far as needed. It is run."
        ),
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="The name of one recurrence.", show_default="all")
    ] = None,
    decision: Annotated[
        str | None,
        typer.Option(
            help="What an output decides: argmax, or a threshold.", show_default="nothing"
        ),
    ] = None,
    eps: Annotated[
        list[float] | None,
        typer.Option(help="An error to find a window for; may be given often.", show_default="..."),
    ] = None,
    box: Annotated[
        float | None,
        typer.Option(help="Prove it for inputs |x| <= BOX.", show_default="those of the data"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for the results.", show_default="runs/audit-MODEL"),
    ] = None,
    data_dir: DataDir = None,
    device: Device = "cpu",
) -> None:
    """Find out how far back a recurrent model looks: windows, burn-in, gradients, advice.

    Ends with a table, advice in words, and a page, audit.html.
    """
    import json

    from rich.console import Console

    from unrecur._files import write_atomic
    from unrecur.audits.audit import ERRORS
    from unrecur.audits.audit import audit as run
    from unrecur.audits.record import to_record
    from unrecur.cli.audited import read_audited
    from unrecur.cli.progress import bars
    from unrecur.report.audit_page import write_audit_page
    from unrecur.report.audit_table import print_audit

    audited = read_audited(model, task, data, hook, data_dir, device)
    console = Console()
    with bars(console) as progress:
        bar = progress.add_task("audit", total=1.0)

        def show(what: str, part: float) -> None:
            progress.update(bar, completed=part, description=f"audit: {what}")

        found = run(
            audited.model,
            audited.x,
            metric=audited.metric,
            decision=audited.decision if decision is None else _decision(decision),
            select=select or audited.select,
            output=audited.output,
            input_box=audited.box if box is None else box,
            errors=tuple(eps) if eps else ERRORS,
            progress=show,
        )
    record = {**to_record(found), "source": str(model)}
    folder = out or Path("runs") / f"audit-{model.stem}"
    write_atomic(folder / "audit.json", json.dumps(record, indent=1, allow_nan=False))
    write_audit_page(record, folder / "audit.html")
    print_audit(record, console)
    console.print(f"The page: {folder / 'audit.html'}", soft_wrap=True, highlight=False)


def _decision(text: str) -> Any:
    """Read what decides: a word, or a threshold."""
    try:
        return float(text)
    except ValueError:
        return text
