"""`unrecur export`: a model of ours as a file of another runtime."""

from pathlib import Path
from typing import Annotated, Any

import typer


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A .safetensors file of `unrecur train`.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write, ending in .onnx or .pt2.")
    ],
    form: Annotated[
        str,
        typer.Option(
            help="block: whole sequences; step: one step with its state; window: feed-forward, the "
            "last k inputs; encode: the source that the other forms start from."
        ),
    ] = "block",
    k: Annotated[int | None, typer.Option("-k", help="The length of a window.")] = None,
    eps: Annotated[
        float | None, typer.Option(help="Or the largest error of its outputs, to be proved.")
    ] = None,
    box: Annotated[
        float | None, typer.Option(help="With --eps: the largest size of an input.")
    ] = None,
    quantize: Annotated[
        Path | None,
        typer.Option(help="Write a second file with weights of eight bits.", show_default="none"),
    ] = None,
    aot: Annotated[
        bool, typer.Option("--aot", help="Compile a .pt2 file ahead of time, for this processor.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
) -> None:
    """Write a model as ONNX or .pt2, run beside the model before anything is kept."""
    from rich.console import Console

    from unrecur._check import InputError
    from unrecur.exports.export import export as write
    from unrecur.exports.quantize import quantize as shrink
    from unrecur.models.spec import load_model
    from unrecur.truncation.bound import truncate

    loaded: Any = load_model(model)[1]
    if eps is not None:
        if form != "window" or k is not None:
            raise InputError("--eps finds the k of --form window; leave -k out.")
        loaded = truncate(loaded, eps=eps, input_box=box)
    named: Any = form
    written = write(loaded, out, named, k=k, aot=aot, overwrite=overwrite)
    console = Console()
    console.print(str(written), soft_wrap=True, highlight=False)
    if form == "window":
        bound = written.metadata.get("unrecur.bound", "none")
        k_found = written.metadata["unrecur.k"]
        console.print(f"A window of {k_found} inputs; proved bound of its error: {bound}")
    if quantize is not None:
        small = shrink(out, quantize, overwrite=overwrite)
        console.print(str(small), soft_wrap=True, highlight=False)
