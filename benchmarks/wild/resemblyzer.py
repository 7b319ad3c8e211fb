"""Whose voice is this? Resemblyzer's encoder: three LSTM layers of 256 units over a spectrogram.

An utterance is cut into parts of 160 frames (1.6 s), each a power spectrogram on 40 mel bands; the
last output of the top layer goes through a linear map and a ReLU to a vector of length one, and
vectors of one speaker point the same way. The spectrogram is librosa's with its defaults, as the
package calls it. The package also cuts out long silences with webrtcvad before; the recordings here
have none.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor
from torch.nn.functional import normalize

PACKAGE = "Resemblyzer==0.1.4"
FILE = "resemblyzer/pretrained.pt"
LICENCE = "Apache-2.0"
SELECT = "model_state.lstm"

RATE, WINDOW, STEP, BANDS = 16000, 400, 160, 40  # 25 ms every 10 ms
FRAMES, FRAMES_BETWEEN = 160, 77  # of a part, and from one to the next: 1.3 parts a second
RECORDINGS = 60  # of each speaker
LOUDNESS = 10 ** (-30 / 20)  # root mean square, of full scale


def inputs(path: Path, model: Path) -> list[np.ndarray]:
    """Make the spectrograms of six speakers who say digits.

    Args:
        path: The data folder; the recordings are `fsdd/fsdd.npz` in it.
        model: The file of weights; nothing in it comes before the recurrence.

    Returns:
        Parts [160, 40], those of one speaker after those of the other (`speakers` says whose).
    """
    return [part for parts in spectrograms(path) for part in parts]


def outputs(y: Tensor, model: Path) -> Tensor:
    """Give the embedding of each part, [B, 256], from the recurrence's outputs."""
    state = torch.load(model, map_location="cpu", weights_only=True)["model_state"]
    weight, bias = state["linear.weight"].to(y), state["linear.bias"].to(y)
    return normalize((y[:, -1] @ weight.T + bias).relu(), dim=1)


def speakers(path: Path) -> np.ndarray:
    """Number the speaker of each part of `inputs`."""
    return np.repeat(np.arange(6), [len(parts) for parts in spectrograms(path)])


def spectrograms(path: Path) -> list[list[np.ndarray]]:
    """Make the parts of each speaker, who says the digits 0 to 9 again and again."""
    with np.load(path / "fsdd" / "fsdd.npz") as data:
        audio, offsets = data["audio"].astype(np.float32) / 32768, data["offsets"]
        digit, speaker, index = data["digit"], data["speaker"], data["index"]
    spoken = []
    for person in range(6):
        rows = np.flatnonzero(speaker == person)
        rows = rows[np.lexsort((digit[rows], index[rows]))][:RECORDINGS]
        joined = np.concatenate([audio[offsets[row] : offsets[row + 1]] for row in rows])
        mel = mel_spectrogram(louder(resample_poly(joined, 2, 1).astype(np.float32)))
        starts = range(0, len(mel) - FRAMES + 1, FRAMES_BETWEEN)
        spoken.append([mel[start : start + FRAMES] for start in starts])
    return spoken


def louder(audio: np.ndarray) -> np.ndarray:
    """Bring audio to -30 dB of full scale where it is below."""
    return audio * max(1.0, LOUDNESS / float(np.sqrt(np.mean(audio**2))))


def mel_spectrogram(audio: np.ndarray) -> np.ndarray:
    """Take the power in each mel band, [frames, 40]; no logarithm."""
    window = torch.hann_window(WINDOW)
    wave = torch.from_numpy(audio.astype(np.float32))
    bins = torch.stft(wave, WINDOW, STEP, window=window, pad_mode="constant", return_complex=True)
    return (mel_filters() @ bins.abs().square().numpy()).T.astype(np.float32)


def mel_filters() -> np.ndarray:
    """Make triangles between 0 and 8 kHz on Slaney's mel scale, each of area one, [40, 201]."""
    log_step, break_mel = np.log(6.4) / 27, 15.0  # linear to 1 kHz, then logarithmic
    top = break_mel + np.log(RATE / 2 / 1000) / log_step
    mels = np.linspace(0, top, BANDS + 2)
    linear, logarithmic = mels * 200 / 3, 1000 * np.exp(log_step * (mels - break_mel))
    edges = np.where(mels < break_mel, linear, logarithmic)
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)
