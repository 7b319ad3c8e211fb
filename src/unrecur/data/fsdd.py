"""The Free Spoken Digit Dataset: the next sample, and which digit was said."""

import math
import zipfile
from pathlib import Path

import numpy as np
import torch

from unrecur._check import CorruptFileError
from unrecur.data.audio import audio_task
from unrecur.data.losses import IGNORED, categorical_nll
from unrecur.data.places import find
from unrecur.data.recordings import FULL_SCALE, StoredRecordings
from unrecur.data.scores import accuracy
from unrecur.data.sequences import SPLITS, Pair, Split
from unrecur.data.task import Task

LARGEST = 2**30  # bytes once inflated
DIGITS = 10
FRAME = 80  # samples, 10 ms at 8 kHz
_SPLIT = (
    "Of each speaker and digit recordings 0 to 4 are the test split, as the data set has it; 5 to "
    "9 are for validation, the rest to train on."
)
Spoken = dict[Split, list[tuple[np.ndarray, int]]]


def fsdd(data_dir: Path | None = None) -> Task:
    """Load the spoken digits as raw audio: the next sample, in 256 mu-law levels.

    Args:
        data_dir: The folder that holds fsdd.npz, or the one above `fsdd`.

    Returns:
        The task.
    """
    spoken, rate = _read(find(data_dir, "fsdd", "fsdd.npz"))
    recordings = {
        split: StoredRecordings([samples for samples, _ in spoken[split]], rate) for split in SPLITS
    }
    return audio_task("fsdd", "Spoken digits, next sample", recordings, notes=(_SPLIT,))


def fsdd_digits(data_dir: Path | None = None) -> Task:
    """Load the spoken digits as frames of raw samples: which digit was said?

    Args:
        data_dir: The folder that holds fsdd.npz, or the one above `fsdd`.

    Returns:
        The task; only the last frame of a recording counts.
    """
    spoken, rate = _read(find(data_dir, "fsdd", "fsdd.npz"))
    return Task(
        name="fsdd-digits",
        title="Spoken digits, which one",
        metric="negative log-likelihood of the digit",
        unit="nats per recording",
        in_features=FRAME,
        out_features=DIGITS,
        step_loss=categorical_nll,
        chance_level=math.log(DIGITS),
        splits={split: [_frames(*each) for each in spoken[split]] for split in SPLITS},
        input_box=(-1.0, 1.0),
        floors={"constant": {}},
        scores={"accuracy": accuracy},
        parameters=30_000,
        notes=(
            _SPLIT,
            f"A step is {FRAME} samples, {1000 * FRAME / rate:g} ms; the last one of a recording "
            "is filled up with zeros.",
            "The digit is asked for at the last step, and only this counts.",
        ),
    )


def _frames(samples: np.ndarray, digit: int) -> Pair:
    """Cut a recording into frames."""
    padded = np.pad(samples, (0, -len(samples) % FRAME))
    x = torch.from_numpy(padded.astype(np.float32).reshape(-1, FRAME) / FULL_SCALE)
    target = torch.full((len(x),), IGNORED)
    target[-1] = digit
    return x, target


def _read(path: Path) -> tuple[Spoken, int]:
    """Read the recordings with their digits, and their rate."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise CorruptFileError(f"{size:,} bytes once inflated, at most {LARGEST:,} expected")
        with np.load(path, allow_pickle=False) as file:
            return _unpack({name: file[name] for name in file.files})
    # A damaged file makes zip, zlib and numpy raise a dozen kinds of errors; all mean the same.
    except Exception as error:
        raise CorruptFileError(
            f"{path}: expected the recordings of fsdd.npz, whole; got a file that cannot be read "
            f"({' '.join(str(error).split())[:200]}). Make it again."
        ) from error


def _unpack(arrays: dict[str, np.ndarray]) -> tuple[Spoken, int]:
    """Check that the arrays fit together, and cut them into recordings."""
    audio, offsets = arrays["audio"], arrays["offsets"]
    digit, index = arrays["digit"], arrays["index"]
    if audio.dtype != np.int16 or audio.ndim != 1:
        raise CorruptFileError(f"audio of {audio.dtype} {list(audio.shape)}, int16 [time] expected")
    for name, array in {"offsets": offsets, "digit": digit, "index": index}.items():
        if array.dtype.kind not in "iu" or array.shape != (len(digit) + (name == "offsets"),):
            raise CorruptFileError(f"{name} of {array.dtype} {list(array.shape)} does not fit")
    ends = offsets.astype(np.int64)
    if ends[0] != 0 or ends[-1] != len(audio) or (np.diff(ends) < 1).any():
        raise CorruptFileError("offsets do not rise from 0 to the end of the audio")
    if not 0 <= digit.min() <= digit.max() < DIGITS or index.min() < 0:
        raise CorruptFileError(f"digits from {digit.min()} to {digit.max()}")
    rate = int(arrays["rate"])
    if rate < 1:
        raise CorruptFileError(f"a rate of {rate}")
    spoken: Spoken = {split: [] for split in SPLITS}
    for samples, said, number in zip(np.split(audio, ends[1:-1]), digit, index, strict=True):
        split: Split = "test" if number < 5 else "valid" if number < 10 else "train"
        spoken[split].append((samples, int(said)))
    return spoken, rate
