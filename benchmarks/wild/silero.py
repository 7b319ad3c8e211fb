"""Silero VAD at 16 kHz: is there speech in this chunk of 32 ms? One LSTM cell of 128 units.

The network around the cell is rebuilt from the weights in the same file, as `tinygrad_model.py` of
the wheel has it: a chunk of 512 samples, with the 64 before it, goes through a short-time Fourier
transform (a convolution) and four convolutions to one vector of 128 features, the cell's input;
the cell's output goes through a ReLU and a linear map to the probability of speech. Chunks meet in
the cell only: the convolutions see one chunk each.

This file has weights of its own: the wheel's TorchScript and ONNX files are another training of the
same network, with other decisions for about one chunk in a hundred.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.signal import resample_poly
from torch import Tensor
from torch.nn.functional import conv1d, pad

PACKAGE = "silero-vad==6.2.3"
FILE = "silero_vad/data/silero_vad_16k.safetensors"
LICENCE = "MIT"
SELECT = "lstm_cell"

CHUNK, CONTEXT = 512, 64  # samples at 16 kHz
STRIDES = {"conv1": 1, "conv2": 2, "conv3": 2, "conv4": 1}
RECORDINGS_IN_A_SEQUENCE = 300  # about two minutes


def inputs(path: Path, model: Path) -> list[np.ndarray]:
    """Make the cell's inputs from spoken digits, said one after another without a pause.

    Args:
        path: The data folder; the recordings are `fsdd/fsdd.npz` in it.
        model: The file of weights.

    Returns:
        The features [T, 128] of ten sequences, one for each digit: 300 recordings by six speakers.
    """
    weights = load_file(model)
    recordings = spoken_digits(path)
    starts = range(0, len(recordings), RECORDINGS_IN_A_SEQUENCE)
    parts = [recordings[start : start + RECORDINGS_IN_A_SEQUENCE] for start in starts]
    return [features(np.concatenate(part), weights).numpy() for part in parts]


def outputs(y: Tensor, model: Path) -> Tensor:
    """Give the probability of speech in each chunk, [B, T, 1], from the cell's outputs."""
    weights = load_file(model)
    weight, bias = weights["final_conv.weight"][:, :, 0], weights["final_conv.bias"]
    return torch.sigmoid(y.relu() @ weight.T.to(y) + bias.to(y))


def decision(out: Tensor) -> Tensor:
    """Say which chunks are speech, at the package's default threshold."""
    return (out > 0.5).long()


def spoken_digits(path: Path) -> list[np.ndarray]:
    """Read the recordings in the order of the file, resampled from 8 to 16 kHz, in [-1, 1]."""
    with np.load(path / "fsdd" / "fsdd.npz") as data:
        audio, offsets = data["audio"], data["offsets"]
    pieces = np.split(audio.astype(np.float32) / 32768, offsets[1:-1])
    return [resample_poly(piece, 2, 1).astype(np.float32) for piece in pieces]


def chunks(audio: np.ndarray) -> Tensor:
    """Cut audio into chunks, each after the samples before it; zeros before and after all."""
    samples = pad(torch.from_numpy(audio), (CONTEXT, -len(audio) % CHUNK))
    return samples.unfold(0, CONTEXT + CHUNK, CHUNK)


@torch.no_grad()
def features(audio: np.ndarray, weights: dict[str, Tensor]) -> Tensor:
    """Run what comes before the cell: one row of 128 features for each chunk."""
    x = pad(chunks(audio)[:, None], (0, CONTEXT), mode="reflect")
    real, imaginary = conv1d(x, weights["stft_conv.weight"], stride=128).chunk(2, 1)
    x = (real.square() + imaginary.square()).sqrt()
    for name, stride in STRIDES.items():
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        x = conv1d(x, weight, bias, stride=stride, padding=1).relu()
    return x[:, :, 0]
