"""Sound drawn from a model of the next sample."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.compose import Serial
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.audio import Pieces
from unrecur.data.quantizer import Quantizer
from unrecur.data.sequences import SPLITS, Some
from unrecur.data.task import Task
from unrecur.layers.embedding import Embedding
from unrecur.models.decoding import sample


def generate_sound(
    model: AbstractSequenceModel,
    task: Task,
    seconds: float,
    generator: torch.Generator | None = None,
) -> tuple[Float[Tensor, " N"], int]:
    """Draw a recording, sample by sample, each from all before it, after a sample of silence.

    Args:
        model: A model of the task; put into evaluation mode.
        task: A task of raw audio, from `audio_task`.
        seconds: How long the recording is.
        generator: Where the randomness comes from; torch's own where left out.

    Returns:
        The samples in [-1, 1], and how many make a second: what `write_wav` writes.

    Raises:
        InputError: The task is no raw audio, the model is of another task, or the time is shorter
            than a sample.
    """
    pieces = _pieces(task)
    quantizer, rate = pieces.quantizer, pieces.recordings.rate
    _check.positive(seconds, "seconds")
    steps = round(seconds * rate)
    if steps < 1:
        raise InputError(f"expected at least {1 / rate:g} seconds, a sample, got {seconds:g}.")
    sizes = (model.takes_tokens, model.in_features, model.out_features)
    if sizes != (task.tokens, task.in_features, task.out_features):
        raise InputError(
            f"expected a model of task '{task.name}' (tokens, in_features, out_features: "
            f"{task.tokens}, {task.in_features}, {task.out_features}), got {type(model).__name__} "
            f"({', '.join(map(str, sizes))})."
        )
    reader = model if task.tokens else Serial(_middles(quantizer).to(_device(model)), model)
    drawn = sample(
        reader.eval(), start=quantizer.silence, max_length=steps, generator=generator
    ).tokens[0]
    return quantizer.decode(drawn.cpu()), rate


def _pieces(task: Task) -> Pieces:
    """Give the pieces of a split of a task of raw audio."""
    found = task.splits[SPLITS[0]]
    while isinstance(found, Some):
        found = found.whole
    if not isinstance(found, Pieces):
        raise InputError(
            f"expected a task of raw audio, such as 'fsdd', got '{task.name}', whose sequences are "
            "no recordings."
        )
    return found


def _middles(quantizer: Quantizer) -> Embedding:
    """Make a table of the samples that linear levels stand for, before a model of samples."""
    table = Embedding(quantizer.levels, 1)
    samples = quantizer.decode(torch.arange(quantizer.levels))
    table.table.weight.data.copy_(samples[:, None])
    return table


def _device(model: AbstractSequenceModel) -> torch.device:
    """Say where a model is."""
    return next(model.parameters()).device
