"""Where is the beat? BeatNet's network for music as it is played: two LSTM layers of 150 units.

Every 20 ms, the logarithm of 136 bands of a spectrogram and how much each rose go through a small
convolution and a linear map to 150 features, the recurrence's inputs; its outputs go through a
linear map to the scores of beat, downbeat and neither. The spectrogram is madmom's, as the package
calls it. Here the network hears folk tunes of the Nottingham collection, played by a plain
synthesizer: their notes are real, their sound is not.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, linear, max_pool1d

from unrecur.data.matlab import cell_arrays

PACKAGE = "BeatNet==1.1.3"
FILE = "BeatNet/models/model_1_weights.pt"
LICENCE = "CC-BY-4.0"
SELECT = "lstm"

RATE, WINDOW, HOP = 22050, 1411, 441  # 64 ms every 20 ms
BANDS_PER_OCTAVE, LOWEST, HIGHEST, CONCERT_PITCH = 24, 30.0, 17000.0, 440.0
TUNES = 20
SECONDS_PER_STEP = 0.125  # of a tune; the roll does not say how fast it is played
FIRST_KEY = 21  # MIDI number of the piano's lowest


@torch.no_grad()
def inputs(path: Path, model: Path) -> list[np.ndarray]:
    """Make the recurrence's inputs from folk tunes.

    Args:
        path: The data folder; the tunes are `polymusic/Nottingham.mat` in it.
        model: The file of weights.

    Returns:
        The features [T, 150] of the first 20 tunes of the test split, half a minute each or so.
    """
    weights = torch.load(model, map_location="cpu", weights_only=True)
    return [features(play(tune), weights).numpy() for tune in tunes(path)]


def outputs(y: Tensor, model: Path) -> Tensor:
    """Give the probabilities of beat, downbeat and neither at each step, [B, T, 3]."""
    weights = torch.load(model, map_location="cpu", weights_only=True)
    return linear(y, weights["linear.weight"].to(y), weights["linear.bias"].to(y)).softmax(-1)


def decision(out: Tensor) -> Tensor:
    """Say which of the three is likeliest (the package's tracker goes by the probabilities)."""
    return out.argmax(-1)


def tunes(path: Path) -> list[np.ndarray]:
    """Read piano rolls [steps, 88]."""
    content = (path / "polymusic" / "Nottingham.mat").read_bytes()
    return dict(cell_arrays(content, ["testdata"]))["testdata"][:TUNES]


def play(roll: np.ndarray) -> np.ndarray:
    """Play a piano roll: each note a decaying sum of eight partials."""
    step = round(SECONDS_PER_STEP * RATE)
    audio = np.zeros(len(roll) * step + RATE)
    before = np.vstack([np.zeros_like(roll[:1]), roll[:-1]])
    for begin, key in np.argwhere((roll > 0) & (before == 0)):
        off = np.flatnonzero(roll[begin:, key] == 0)
        time = np.arange((off[0] if len(off) else len(roll) - begin) * step) / RATE
        pitch = CONCERT_PITCH * 2 ** ((key + FIRST_KEY - 69) / 12)
        partials = [np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 9)]
        start = begin * step
        audio[start : start + len(time)] += np.sum(partials, axis=0) * np.exp(-4 * time)
    return (audio / np.abs(audio).max() * 0.7).astype(np.float32)


def features(audio: np.ndarray, weights: dict[str, Tensor]) -> Tensor:
    """Run what comes before the recurrence: one row of 150 features every 20 ms."""
    x = torch.from_numpy(spectrogram(audio))[:, None]
    x = max_pool1d(conv1d(x, weights["conv1.weight"], weights["conv1.bias"]).relu(), 2)
    return linear(x.flatten(1), weights["linear0.weight"], weights["linear0.bias"])


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Take the logarithm of each band, and its rise since the frame before, [frames, 272]."""
    count = -(-len(audio) // HOP)
    padded = np.pad(audio, (WINDOW // 2, WINDOW + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(WINDOW)))[:, : WINDOW // 2]
    bands = np.log10(magnitudes @ filters() + 1)
    rise = np.maximum(np.diff(bands, axis=0, prepend=bands[:1]), 0)
    return np.hstack([bands, rise]).astype(np.float32)


def filters() -> np.ndarray:
    """Make triangles of sum one between quarter tones, where the bins tell them apart."""
    bins = np.arange(WINDOW // 2) * RATE / (WINDOW - 1)  # madmom takes the window for even
    steps = BANDS_PER_OCTAVE * np.log2(np.array([LOWEST, HIGHEST]) / CONCERT_PITCH)
    tones = np.arange(np.ceil(steps[0]), np.floor(steps[1]) + 1)
    pitches = CONCERT_PITCH * 2 ** (tones / BANDS_PER_OCTAVE)
    centres = np.unique(np.abs(bins[:, None] - pitches).argmin(0))
    triangles = np.zeros((len(bins), len(centres) - 2))
    for band, (low, middle, high) in enumerate(
        zip(centres, centres[1:], centres[2:], strict=False)
    ):
        if high - low < 2:
            low, middle, high = low, low, low + 1
        rows = np.arange(low, high)
        up = (rows - low) / max(1, middle - low)
        triangles[rows, band] = np.where(rows < middle, up, (high - rows) / (high - middle))
    return triangles / triangles.sum(0)
