"""`unrecur truncate`: somebody's recurrent model as a feed-forward file, with its error."""

from pathlib import Path
from typing import Annotated, Any

import typer


def truncate(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model file: .onnx, .keras, .h5, .nam, .safetensors, .pt, .npz.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, .onnx.")],
    eps: Annotated[
        float | None, typer.Option(help="The largest error allowed; or give -k.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="The length of the window.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="The inputs it is judged on: .npy, .npz (an ONNX model's, by name), .wav, .csv, "
            ".parquet, or a hook's."
        ),
    ] = None,
    hook: Annotated[
        Path | None,
        typer.Option(help="A Python file with inputs(data, model), as for audit. It is run."),
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="The name of the recurrence.", show_default="the only one")
    ] = None,
    box: Annotated[
        float | None,
        typer.Option(help="Prove it for inputs |x| <= BOX.", show_default="those of the data"),
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            help="What the error rests on: proved, statistical or measured.",
            show_default="the strongest there is",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Take the recurrence out of a model: feed-forward ONNX of its last k inputs, error stated.

    The file is run in onnxruntime beside the original, and kept only if the error stated holds.
    """
    from rich.console import Console

    from unrecur.cli.progress import bars
    from unrecur.exports.latency import latency
    from unrecur.exports.truncated_file import truncate_file

    x, output, given, chosen = _inputs(model, data, hook)
    console = Console()
    with bars(console) as progress:
        bar = progress.add_task("truncate", total=1.0)

        def show(what: str, part: float) -> None:
            progress.update(bar, completed=part, description=f"truncate: {what}")

        result = truncate_file(
            model,
            out,
            eps=eps,
            k=k,
            data=x,
            select=select or chosen,
            output=output,
            input_box=given if box is None else box,
            evidence=evidence,
            progress=show,
            overwrite=overwrite,
        )
    _print(result, latency(result, x), console)


def _inputs(model: Path, data: Path | None, hook: Path | None) -> tuple[Any, Any, Any, str | None]:
    """Read the inputs, what makes outputs, the box, and the recurrence's name."""
    from unrecur._check import InputError
    from unrecur.cli.audited import read_audited

    if data is None:
        return None, None, None, None
    audited = read_audited(model, None, data, hook, None, "cpu")
    if not isinstance(audited.model, Path):
        raise InputError(
            f"{model} is a model of ours, or one that the hook loads: truncate it in Python, with "
            "unrecur.truncate, and export it."
        )
    return audited.x, audited.output, audited.box, audited.select


def _print(result: Any, times: Any, console: Any) -> None:
    """Print what was found, what is stated and what was seen."""
    from rich.table import Table
    from rich.text import Text

    inputs = "random inputs of the box" if result.drawn else "the data"
    rows = {
        "recurrence": f"{result.recurrence} ({result.kind})",
        "window": f"k = {result.k} inputs",
        "error stated": f"{result.bound:.3g}, {result.evidence}, in {result.of}",
        "holds for": "; ".join(result.window.holds_for),
        "error seen": f"{result.seen.error:.3g} on {inputs}, {result.seen.windows:,} windows, "
        f"the original by {result.seen.original}",
        "size": f"{_size(result.path)}, the original {_size(result.source)}",
        "time": f"{1e3 * times.truncated:.3g} ms, the original {1e3 * times.original:.3g} ms; "
        f"{times.per}",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(Text(name, "bold"), Text(value))
    console.print(table)
    for note in result.notes:
        console.print(Text(f"Note: {note}"))
    console.print(Text(f"Written: {result.path}"), soft_wrap=True)


def _size(path: Path) -> str:
    """Say how large a file is."""
    return f"{path.stat().st_size / 1024:,.0f} KiB"
