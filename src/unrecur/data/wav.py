"""Writing sound to a wav file."""

import io
import wave
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.data.recordings import FULL_SCALE


def write_wav(path: Path, samples: Float[Tensor, " N"], rate: int) -> None:
    """Write a recording as a wav file of one channel and 16 bits, whole or not at all.

    Args:
        path: Where to.
        samples: In [-1, 1]; 1 itself becomes the largest number there is, 1 - 2^-15.
        rate: Samples per second.

    Raises:
        InputError: There are no samples, or they are not finite or outside [-1, 1].
        OSError: No permission, a full disk, ...; the old content stays.
    """
    _check.positive_integer(rate, "rate")
    _check.finite(samples, "samples")
    if samples.dim() != 1 or not len(samples):
        raise InputError(f"expected samples [time >= 1], got {list(samples.shape)}.")
    if samples.abs().max() > 1:
        raise InputError(f"expected samples in [-1, 1], got one of {samples.abs().max():g}.")
    whole = (samples.double() * FULL_SCALE).round().clamp(max=FULL_SCALE - 1)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.to(torch.int16).cpu().numpy().astype("<i2").tobytes())
    write_atomic(path, content.getvalue())
