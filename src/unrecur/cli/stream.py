"""`unrecur stream`: run a model over a sound, or over what comes in, block by block."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from unrecur.streams.stream import Stream

    Write = Callable[["np.ndarray"], None]


def stream(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A .safetensors file of ours, or the .onnx graph of one step."
        ),
    ],
    wav: Annotated[
        Path | None,
        typer.Option(
            help="A sound file, wav or flac, of one channel; a step reads as many samples as the "
            "model has features.",
            show_default="standard input: raw float32, in_features a step",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="An .npy file for the outputs.", show_default="standard output: raw float32"
        ),
    ] = None,
    block: Annotated[int, typer.Option(min=1, help="How many steps are fed at a time.")] = 1024,
    rate: Annotated[
        float | None,
        typer.Option(help="Steps a second, for the real-time factor.", show_default="the sound's"),
    ] = None,
) -> None:
    """Run a model over a sound or standard input, block by block.

    Ends with the real-time factor, on standard error. Stopped by Ctrl-C, it keeps what was written.
    """
    opened = _open(model, out, rate)
    if wav is None:
        blocks = _input(opened.in_features, block)
    else:
        blocks, sound_rate = _sound(wav, opened.in_features, block)
        rate = sound_rate if rate is None else rate
    seconds = _run(opened, blocks, out)
    typer.echo(_summary(opened, seconds, rate), err=True)


def _open(model: Path, out: Path | None, rate: float | None) -> "Stream":
    """Check what was asked for and open the stream.

    Args:
        model: The model's file.
        out: Where the outputs go.
        rate: Steps a second.

    Returns:
        The stream.

    Raises:
        InputError: The model reads tokens, the outputs' file is no .npy, or the rate is not
            positive.
    """
    from unrecur import _check
    from unrecur.streams.stream import stream as open_stream

    if rate is not None:
        _check.positive(rate, "rate")
    if out is not None and out.suffix.lower() != ".npy":
        raise _check.InputError(f"expected an .npy file for the outputs, got {out}.")
    opened = open_stream(model)
    if opened.takes_tokens:
        raise _check.InputError("expected a model of features, got one of tokens.")
    return opened


def _run(opened: "Stream", blocks: Iterable[Any], out: Path | None) -> float:
    """Feed all blocks and write the outputs.

    Args:
        opened: The stream.
        blocks: The inputs.
        out: Where the outputs go.

    Returns:
        The seconds that the model took.

    Raises:
        Exit: By Ctrl-C.
    """
    import time

    from unrecur.cli.errors import INTERRUPTED

    seconds = 0.0
    try:
        with _outputs(out, opened.out_features) as write:
            for x in blocks:
                start = time.perf_counter()
                y = opened.feed(x)
                seconds += time.perf_counter() - start
                write(y.numpy())
            start = time.perf_counter()
            y = opened.close()
            seconds += time.perf_counter() - start
            write(y.numpy())
    except KeyboardInterrupt:
        kept = "" if out is None else f" The outputs so far: {out}"
        typer.echo(f"unrecur: stopped after {opened.come} steps.{kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    return seconds


def _sound(path: Path, features: int, block: int) -> tuple[Iterator[Any], float]:
    """Read a sound in blocks of steps, each of so many samples; what is no whole step is left out.

    Args:
        path: The file.
        features: The samples of a step.
        block: The steps of a block.

    Returns:
        The blocks [steps, features], and how many steps there are to a second.
    """
    from unrecur.data.sound import open_sounds

    sounds = open_sounds([path])
    length = int(sounds.lengths[0])
    if rest := length % features:
        typer.echo(
            f"unrecur: the last {rest} of {length} samples are no whole step of {features}, and "
            "are left out.",
            err=True,
        )

    def blocks() -> Iterator[Any]:
        whole = length - rest
        # The file is opened for each piece: small blocks are cut from larger ones.
        piece = block * features * max(1, 2**16 // (block * features))
        for begin in range(0, whole, piece):
            samples = sounds.read(0, begin, min(begin + piece, whole)).reshape(-1, features)
            for first in range(0, len(samples), block):
                yield samples[first : first + block]

    return blocks(), sounds.rate / features


def _input(features: int, block: int) -> Iterator[Any]:
    """Read raw float32 from standard input, in blocks of steps.

    Args:
        features: The numbers of a step.
        block: The steps of a block.

    Yields:
        Blocks [steps, features].

    Raises:
        InputError: The input ends within a step.
    """
    import sys

    import numpy as np

    from unrecur._check import InputError

    step = 4 * features
    while content := sys.stdin.buffer.read(block * step):
        whole = len(content) // step * step
        if whole:
            yield np.frombuffer(content[:whole], "<f4").astype(np.float32).reshape(-1, features)
        if whole < len(content):
            raise InputError(
                f"expected steps of {features} float32 ({step} bytes) on standard input, got "
                f"{len(content) - whole} bytes more than whole ones. Does the input have "
                f"{features} features?"
            )


@contextmanager
def _outputs(path: Path | None, features: int) -> "Iterator[Write]":
    """Open what the outputs go to: an .npy file, or standard output, each block at once."""
    import sys

    from unrecur.streams.array_file import ArrayFile

    def write(y: "np.ndarray") -> None:
        sys.stdout.buffer.write(y.astype("<f4").tobytes())
        sys.stdout.buffer.flush()

    if path is None:
        yield write
    else:
        with ArrayFile(path, features) as file:
            yield file.write


def _summary(opened: "Stream", seconds: float, rate: float | None) -> str:
    """Say what was run, and how fast."""
    text = f"{opened.come} steps in {seconds:.3f} s, latency {opened.latency} steps"
    if rate is None or not opened.come:
        return text
    factor = seconds * rate / opened.come
    return f"{text}; real-time factor {factor:.4f} ({1 / factor:.1f} times as fast as real time)"
