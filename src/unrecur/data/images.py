"""Images read in pieces, one after the other: sequential and permuted MNIST."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unrecur._check import CorruptFileError
from unrecur.data.hashing import split_hash
from unrecur.data.idx import read_idx
from unrecur.data.losses import IGNORED, categorical_nll
from unrecur.data.places import find
from unrecur.data.scores import accuracy
from unrecur.data.sequences import Split
from unrecur.data.task import Published, Task

Order = Literal["pixels", "permuted pixels", "rows"]
SIDE, CLASSES = 28, 10
VALIDATION = 5_000  # the last of the training images
SEED = 0  # of the permutation


@dataclass(frozen=True)
class Images:
    """Images as sequences; the class is asked for at the last step.

    Attributes:
        images: Numbers from 0 to 255, [images, time, features] of uint8.
        labels: The class of each.
    """

    images: np.ndarray
    labels: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each, all the same."""
        return np.full(len(self.images), self.images.shape[1])

    @property
    def hash(self) -> str:
        """The SHA-256 of images and classes."""
        return split_hash([self.images, self.labels])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(self.images[number]).float() / 255
        target = torch.full((len(x),), IGNORED)
        target[-1] = int(self.labels[number])
        return x, target


def mnist(
    name: str, title: str, order: Order, parameters: int, data_dir: Path | None = None
) -> Task:
    """Load MNIST as sequences: which digit was it?

    Pixel by pixel from the upper left, 784 steps, or in a fixed random order (Le, Jaitly, Hinton
    2015, arXiv 1504.00941, section 4.3), or row by row, 28 steps of 28 pixels.

    Args:
        name: The task's name.
        title: What it is, in words.
        order: What a step is.
        parameters: A size of models that makes sense for it.
        data_dir: The folder that holds the four IDX files, plain or gzip, or the one above `mnist`.

    Returns:
        The task; images are scaled when they are read.

    Raises:
        InputError: A file is not there.
        CorruptFileError: One is damaged, or images and labels do not fit together.
    """
    (images, labels), (test, test_labels) = (_read(data_dir, part) for part in ("train", "t10k"))
    images, test = _in_order(images, order), _in_order(test, order)
    splits: dict[Split, Images] = {
        "train": Images(images[:-VALIDATION], labels[:-VALIDATION]),
        "valid": Images(images[-VALIDATION:], labels[-VALIDATION:]),
        "test": Images(test, test_labels),
    }
    notes = [
        f"The last {VALIDATION:,} of the {len(labels):,} training images are for validation.",
        "Pixels are divided by 255; the class is asked for at the last step, and only this counts.",
    ]
    if order == "permuted pixels":
        notes.append(f"The pixels of all images stand in one random order, of the seed {SEED}.")
    return Task(
        name=name,
        title=title,
        metric="negative log-likelihood of the digit",
        unit="nats per image",
        in_features=images.shape[2],
        out_features=CLASSES,
        step_loss=categorical_nll,
        chance_level=math.log(CLASSES),
        splits=splits,
        input_box=(0.0, 1.0),
        hashes={split: each.hash for split, each in splits.items()},
        floors={"constant": {}},
        scores={"accuracy": accuracy},
        parameters=parameters,
        published=_published(order),
        notes=tuple(notes),
    )


def _read(data_dir: Path | None, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of a part, and check that they fit together."""
    places = [
        find(data_dir, "mnist", f"{part}-{name}-ubyte") for name in ("images-idx3", "labels-idx1")
    ]
    images, labels = map(read_idx, places)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise CorruptFileError(
            f"{places[0]}: expected images [count, {SIDE}, {SIDE}] of uint8, got "
            f"{list(images.shape)} of {images.dtype}. Is it a file of MNIST?"
        )
    least = VALIDATION if part == "train" else 0
    if len(images) <= least:
        raise CorruptFileError(
            f"{places[0]}: expected more than {least} images, got {len(images)}. Is it whole?"
        )
    if labels.shape != images.shape[:1] or labels.dtype != np.uint8 or labels.max() >= CLASSES:
        raise CorruptFileError(
            f"{places[1]}: expected {len(images)} classes from 0 to {CLASSES - 1} in uint8, one "
            f"for each image; got {list(labels.shape)} of {labels.dtype}, up to "
            f"{labels.max(initial=0)}. Download both files again."
        )
    return images, labels


def _in_order(images: np.ndarray, order: Order) -> np.ndarray:
    """Lay images out as sequences, [images, time, features]."""
    if order == "rows":
        return images
    pixels = images.reshape(len(images), -1, 1)
    return pixels[:, permutation()] if order == "permuted pixels" else pixels


def permutation() -> np.ndarray:
    """Give the order of the pixels of permuted MNIST.

    Papers draw their own and do not say which, so figures compare up to this choice.

    Returns:
        The pixel that stands at each step.

    Example:
        >>> permutation()[:4].tolist()
        [318, 2, 606, 446]
    """
    return np.random.default_rng(SEED).permutation(SIDE**2)


def _published(order: Order) -> tuple[Published, ...]:
    """List accuracies by models of about 70,000 parameters."""
    source = "Bai, Kolter, Koltun 2018, arXiv 1803.01271, table 1"
    figures = {
        "pixels": {"LSTM": 0.872, "GRU": 0.962, "RNN": 0.215, "TCN": 0.990},
        "permuted pixels": {"LSTM": 0.857, "GRU": 0.873, "RNN": 0.253, "TCN": 0.972},
    }
    models = figures.get(order, {})
    return tuple(
        Published(value, "accuracy", f"{model}, 70 k", source) for model, value in models.items()
    )


smnist = partial(mnist, "smnist", "MNIST, pixel by pixel", "pixels", 70_000)
pmnist = partial(mnist, "pmnist", "MNIST, pixels in a random order", "permuted pixels", 70_000)
mnist_rows = partial(mnist, "mnist-rows", "MNIST, row by row", "rows", 30_000)
