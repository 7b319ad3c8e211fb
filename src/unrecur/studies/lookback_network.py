"""A small network on top of a linear model of a window, as large for every window.

One hidden layer (Bengio et al. 2003, JMLR 3, without a shared embedding) beside the linear part.
Its width makes the number of weights of both the same for every window.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from unrecur.studies.lookback_folds import Fold
from unrecur.studies.lookback_linear import AbstractLinear

LEAST_WIDTH = 24  # of the hidden layer, with the longest window: its steps are then below 2 %
EPOCHS = 10
BATCHES = 40  # in an epoch
LEAST_BATCH = 32
RATE = 2e-3  # at the start; it falls in a line to 0 after all epochs
DECAY = 1e-3


class Network:
    """A linear model and a network of its residuals.

    Args:
        linear: The linear model, which is fitted first.
    """

    def __init__(self, linear: AbstractLinear) -> None:
        self.linear = linear
        self.budget = self._size(linear.features.shape[1], LEAST_WIDTH)
        self._epochs: dict[tuple[object, ...], int] = {}

    def _size(self, features: int, width: int) -> int:
        """Count the weights of both."""
        outputs = len(self.linear.learnt)
        return self.linear.size(features) + width * (features + 1 + outputs) + outputs

    def width(self, features: int) -> int:
        """Choose the width that brings the number of weights nearest to the budget.

        Args:
            features: How many features the model sees.

        Returns:
            The number of hidden units.
        """
        rest = self.budget - self._size(features, 0)
        return max(1, round(rest / (features + 1 + len(self.linear.learnt))))

    def size(self, features: int) -> int:
        """Count the weights of a model.

        Args:
            features: How many features it sees.

        Returns:
            The number.
        """
        return self._size(features, self.width(features))

    def scores(self, chosen: Int[Tensor, " F"], fold: Fold, rows: Int[Tensor, " N"]) -> Tensor:
        """Fit both on the training parts, for as many epochs as the inner parts choose.

        Args:
            chosen: The features they see.
            fold: The split.
            rows: Which steps are predicted.

        Returns:
            The scores [N, outputs].
        """
        linear, folds = self.linear, self.linear.folds
        epochs = self.epochs(chosen, fold)
        if not epochs:
            return linear.scores(chosen, fold, rows)
        train = folds.rows(*fold.train)
        base = linear.scores(chosen, fold, torch.cat([train, rows]))
        *_, found = self._trained(chosen, train, rows, base, epochs)
        return found

    def epochs(self, chosen: Int[Tensor, " F"], fold: Fold) -> int:
        """Find the epoch after which a network of the inner training parts is best.

        Args:
            chosen: The features it sees.
            fold: The split.

        Returns:
            The number of epochs; 0 where the linear model alone is best.
        """
        key = (*chosen.tolist(), -1, *fold.inner_train, fold.inner_test)
        if key not in self._epochs:
            losses = [losses.mean() for losses in self.inner_losses(chosen, fold)]
            self._epochs[key] = int(np.argmin(losses))
        return self._epochs[key]

    def inner_losses(self, chosen: Int[Tensor, " F"], fold: Fold) -> list[np.ndarray]:
        """Train on the inner training parts, and judge each epoch on the inner test part.

        Args:
            chosen: The features the model sees.
            fold: The split.

        Returns:
            The loss of each step before the first epoch (of the linear model) and after each.
        """
        linear, folds = self.linear, self.linear.folds
        train, rows = folds.rows(*fold.inner_train), folds.rows(fold.inner_test)
        base = linear.inner_scores(chosen, fold, torch.cat([train, rows]))
        targets = linear.steps.targets[rows]
        every = [base[len(train) :], *self._trained(chosen, train, rows, base, EPOCHS)]
        return [linear.loss(scores, targets).double().numpy() for scores in every]

    def _trained(
        self, chosen: Tensor, train: Tensor, rows: Tensor, base: Tensor, epochs: int
    ) -> list[Tensor]:
        """Train on some steps; give the scores of others after each epoch."""
        linear = self.linear
        x, y = linear.features[train][:, chosen], linear.features[rows][:, chosen]
        targets = linear.steps.targets[train]
        generator = torch.Generator().manual_seed(len(chosen))
        weights = self._start(len(chosen), generator)
        optimizer = torch.optim.AdamW(weights, RATE, weight_decay=DECAY)
        size = max(LEAST_BATCH, -(-len(x) // BATCHES))
        found = []
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = RATE * (1 - epoch / EPOCHS)
            for batch in torch.randperm(len(x), generator=generator).split(size):
                optimizer.zero_grad()
                scores = base[batch].index_add(1, linear.learnt, _output(x[batch], weights))
                linear.loss(scores, targets[batch]).mean().backward()
                optimizer.step()
            with torch.no_grad():
                found.append(base[len(x) :].index_add(1, linear.learnt, _output(y, weights)))
        return found

    def _start(self, features: int, generator: torch.Generator) -> list[nn.Parameter]:
        """Draw the first weights; those of the output are 0: it starts as the linear model."""
        width, outputs = self.width(features), len(self.linear.learnt)
        scale = (2 / max(1, features)) ** 0.5
        first = torch.randn(features, width, generator=generator) * scale
        return [
            nn.Parameter(first),
            nn.Parameter(torch.randn(width, generator=generator) * 0.5),
            nn.Parameter(torch.zeros(width, outputs)),
            nn.Parameter(torch.zeros(outputs)),
        ]


def _output(x: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """Run the network; divided by its width, so that a step changes wide ones as much as narrow."""
    inner, inner_bias, outer, outer_bias = weights
    hidden = torch.addmm(inner_bias, x, inner).relu()
    return torch.addmm(outer_bias, hidden, outer, alpha=LEAST_WIDTH / len(outer))
