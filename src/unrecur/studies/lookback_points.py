"""The points of lookback's curves: each is measured once, and kept in a file."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.data.sequences import known_steps
from unrecur.studies.lookback_data import Steps
from unrecur.studies.lookback_folds import Folds
from unrecur.studies.lookback_linear import AbstractLinear, linear_of
from unrecur.studies.lookback_network import Network
from unrecur.studies.lookback_rules import Curve

FILE = "points.json"
WHOLE = "all"  # the group of all numbers of a target
TRIED = (2, 8, 32, 64)  # windows on which the network may show that it is of use
SURE = 0.99  # that it is
OF_USE = 0.005  # less of the metric is not worth its time

Loss = Callable[[Tensor, Tensor], Tensor]
Point = dict[str, Any]


class Points:
    """Measures windows, and keeps what it finds.

    Args:
        steps: The steps that are predicted.
        folds: How they are split.
        loss: The loss of each step.
        outputs: The number of scores.
        folder: Where the points are kept.
        identity: What they are of.

    Raises:
        InputError: The folder holds points of something else.
        CorruptFileError: Its file is damaged.
    """

    def __init__(
        self,
        steps: Steps,
        folds: Folds,
        loss: Loss,
        outputs: int,
        folder: Path,
        identity: dict[str, Any],
    ) -> None:
        self.steps, self.folds, self.loss = steps, folds, loss
        self.path, self.identity = folder / FILE, json.loads(json.dumps(identity))
        self.linear = linear_of(steps, folds, loss, outputs)
        self.network = Network(self.linear)
        self.counts = self._count()
        self.form, self.points = self._read()

    @property
    def model(self) -> AbstractLinear | Network:
        """The kind of model that is fitted to every window."""
        return self.network if self.form == "network" else self.linear

    def choose_form(self) -> None:
        """Decide whether every window gets the network, or the linear model alone.

        On the first inner parts, the best network of a few windows has to be measurably better
        than the best linear model of the same.
        """
        if self.form:
            return
        lengths = sorted({min(k, self.steps.longest) for k in TRIED})
        fold = self.folds.first
        every = [self.network.inner_losses(self.chosen({}, k), fold) for k in lengths]
        linear = min((losses[0] for losses in every), key=np.mean)
        network = min((one for losses in every for one in losses[1:]), key=np.mean)
        blocks = np.array_split(linear - network, min(len(linear), 20))
        gains = np.array([part.mean() for part in blocks])
        error = gains.std(ddof=1) / len(gains) ** 0.5
        least = max(OF_USE * linear.mean(), student.ppf(SURE, len(gains) - 1) * error)
        self.form = "network" if gains.mean() > least else "linear"
        self._write()

    def chosen(self, shorter: dict[str, int], k: int) -> Tensor:
        """Number the features of a window.

        Args:
            shorter: Columns that are seen through another window, and its length.
            k: The length of the window of all others.

        Returns:
            The features, rising.
        """
        width = self.steps.windows.shape[2]
        length = torch.full((width,), k)
        for column, own in shorter.items():
            length[list(self.steps.columns[column])] = own
        lag = torch.arange(self.steps.longest)[:, None]
        return (lag < length).flatten().nonzero()[:, 0]

    def measure(self, k: int, column: str | None = None, own: int = 0) -> Point:
        """Measure a window, if it is not known yet.

        Args:
            k: Its length.
            column: A column that is seen through a window of its own; None for none.
            own: The length of that window.

        Returns:
            The point.
        """
        name = json.dumps([k] if column is None else [k, column, own])
        if name not in self.points:
            start = time.monotonic()
            chosen = self.chosen({} if column is None else {column: own}, k)
            sums = {group: np.zeros(self.folds.blocks) for group in self.counts}
            for fold in self.folds.splits:
                rows = self.folds.rows(fold.test)
                scores = self.model.scores(chosen, fold, rows)
                for group, losses in self._losses(scores, rows).items():
                    block = self.folds.block[rows]
                    sums[group] += np.bincount(block, losses.numpy(), self.folds.blocks)
            self.points[name] = {
                "parameters": self.model.size(len(chosen)),
                "sums": {group: found.tolist() for group, found in sums.items()},
                "seconds": time.monotonic() - start,
            }
            self._write()
        return self.points[name]

    def _losses(self, scores: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Give the loss of each step, of its whole target and of each horizon."""
        targets = self._targets(rows)
        return {group: self.loss(scores, target).double() for group, target in targets.items()}

    def _targets(self, rows: Tensor) -> dict[str, Tensor]:
        """Give the whole target of each step, and that of each horizon: NaN for all others."""
        whole = self.steps.targets[rows]
        found = {WHOLE: whole}
        for step, numbers in self.steps.horizons.items():
            only = torch.full_like(whole, torch.nan)
            only[:, list(numbers)] = whole[:, list(numbers)]
            found[str(step)] = only
        return found

    def _count(self) -> dict[str, np.ndarray]:
        """Count the steps of each block at which something is known of each target."""
        rows = self.folds.rows(*(fold.test for fold in self.folds.splits))
        block = self.folds.block[rows]
        return {
            group: np.bincount(block, known_steps(target).numpy(), self.folds.blocks)
            for group, target in self._targets(rows).items()
        }

    @property
    def whole(self) -> dict[int, Point]:
        """The points of windows of all columns, by their length."""
        every = ((json.loads(name), point) for name, point in self.points.items())
        return {own[0]: point for own, point in every if len(own) == 1}

    def curve(self, group: str = WHOLE) -> Curve:
        """Collect what is known of the windows of all columns.

        Args:
            group: All numbers of the target, or those of one horizon.

        Returns:
            The losses.
        """
        return self._curve(self.whole, group)

    def column_curve(self, column: str, k: int) -> Curve:
        """Collect what is known of the windows of one column.

        Args:
            column: Which one.
            k: The length of the window of the others.

        Returns:
            The losses by the length of the column's own window.
        """
        every = ((json.loads(name), point) for name, point in self.points.items())
        found = {own[2]: point for own, point in every if own[:2] == [k, column]}
        return self._curve(found, WHOLE)

    def _curve(self, found: dict[int, Point], group: str) -> Curve:
        sums = {k: np.array(point["sums"][group]) for k, point in found.items()}
        return Curve(sums, self.counts[group])

    def _read(self) -> tuple[str, dict[str, Point]]:
        """Read the points of an earlier run."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            identity, form, points = (content[key] for key in ("identity", "form", "points"))
        except FileNotFoundError:
            return "", {}
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptFileError(
                f"{self.path} is damaged ({error}). Delete it and run again."
            ) from error
        for key, value in self.identity.items():
            if identity.get(key) != value:
                raise InputError(
                    f"the folder {self.path.parent} holds another lookback: its {key} is "
                    f"{json.dumps(identity.get(key))}, not {json.dumps(value)}. Choose another "
                    "folder with --out, or delete this one."
                )
        return form, points

    def _write(self) -> None:
        """Keep the points."""
        content = {"identity": self.identity, "form": self.form, "points": self.points}
        write_atomic(self.path, json.dumps(content))
