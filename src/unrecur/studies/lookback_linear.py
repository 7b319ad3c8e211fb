"""Linear models of a window, the same fit for every window: ridge regression, or its likeness.

Where the target is numbers that the scores are to come near to, this is ridge regression: the
products of all features are summed once, and every window, column and penalty is one small system
of equations. Of other losses (classes, piano rolls) the mean loss is minimised with the same
penalty, by L-BFGS.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from unrecur.data.losses import IGNORED
from unrecur.studies.lookback_data import MOST_CLASSES, Steps
from unrecur.studies.lookback_folds import Fold, Folds

RIDGE = (0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0)  # added to sums of squares over steps
CONVEX = (100.0, 10.0, 1.0)  # added to sums of losses; each starts from the one before
ITERATIONS = 25  # of L-BFGS, for each penalty
ENOUGH = 1e-6  # a change of the mean loss that ends them
SAME = 1e-6

Loss = Callable[[Tensor, Tensor], Tensor]


class AbstractLinear:
    """A linear model of chosen features of the windows.

    Attributes:
        steps: The steps.
        folds: How they are split.
        loss: The loss of each step.
        features: The features of all windows [steps, K * D], those of the last input first.
        outputs: The number of scores.
        learnt: Which scores depend on the features.
    """

    def __init__(self, steps: Steps, folds: Folds, loss: Loss, outputs: int) -> None:
        self.steps, self.folds, self.loss, self.outputs = steps, folds, loss, outputs
        self.features = steps.windows.flatten(1)
        self.learnt = torch.arange(outputs)
        self._chosen: dict[tuple[object, ...], tuple[float, Tensor]] = {}

    def scores(self, chosen: Int[Tensor, " F"], fold: Fold, rows: Int[Tensor, " N"]) -> Tensor:
        """Fit on the training parts of a split, with the penalty that its inner parts choose.

        Args:
            chosen: The features it sees.
            fold: The split.
            rows: Which steps it predicts.

        Returns:
            The scores [N, outputs].
        """
        weights = self.fit(chosen, fold.train, *self.choose(chosen, fold))
        return self.predict(chosen, weights, rows)

    def inner_scores(self, chosen: Int[Tensor, " F"], fold: Fold, rows: Tensor) -> Tensor:
        """Fit the model on the inner training parts of a split; see `scores`.

        Args:
            chosen: The features it sees.
            fold: The split.
            rows: Which steps it predicts.

        Returns:
            The scores [N, outputs].
        """
        _, weights = self.choose(chosen, fold)
        return self.predict(chosen, weights, rows)

    def choose(self, chosen: Int[Tensor, " F"], fold: Fold) -> tuple[float, Tensor]:
        """Choose the penalty whose inner model is best on the inner test part.

        Args:
            chosen: The features the model sees.
            fold: The split.

        Returns:
            The penalty, and the coefficients of that model.
        """
        key = (*chosen.tolist(), -1, *fold.inner_train, fold.inner_test)
        if key not in self._chosen:
            rows = self.folds.rows(fold.inner_test)
            targets = self.steps.targets[rows]
            fitted = self.fit_all(chosen, fold.inner_train)
            losses = [
                float(self.loss(self.predict(chosen, weights, rows), targets).double().mean())
                for weights in fitted
            ]
            best = losses.index(min(losses))
            self._chosen[key] = self.penalties[best], fitted[best]
        return self._chosen[key]

    def size(self, features: int) -> int:
        """Count the coefficients of a model.

        Args:
            features: How many features it sees.

        Returns:
            The number, intercepts included.
        """
        return (features + 1) * len(self.learnt)

    def predict(self, chosen: Int[Tensor, " F"], weights: Tensor, rows: Tensor) -> Tensor:
        """Give the scores of some steps.

        Args:
            chosen: The features the model sees.
            weights: What was fitted [F + 1, outputs], the intercepts last.
            rows: Which steps.

        Returns:
            The scores [N, outputs].
        """
        return self._inputs(chosen, rows) @ weights[:-1] + weights[-1]

    def _inputs(self, chosen: Tensor, rows: Tensor) -> Tensor:
        """Give the chosen features of some steps: as they lie where they are a whole window."""
        first = len(chosen)
        whole = first == 0 or (int(chosen[-1]) == first - 1 and int(chosen[0]) == 0)
        return self.features[rows][:, :first] if whole else self.features[rows][:, chosen]

    @property
    @abstractmethod
    def penalties(self) -> Sequence[float]:
        """What the penalty is chosen from."""

    @abstractmethod
    def fit(
        self, chosen: Int[Tensor, " F"], parts: tuple[int, ...], penalty: float, start: Tensor
    ) -> Tensor:
        """Fit the model.

        Args:
            chosen: The features it sees.
            parts: The parts it is fitted on.
            penalty: The penalty on all coefficients but intercepts.
            start: Coefficients that are near to the best.

        Returns:
            The coefficients [F + 1, outputs], the intercepts last.
        """

    @abstractmethod
    def fit_all(self, chosen: Int[Tensor, " F"], parts: tuple[int, ...]) -> list[Tensor]:
        """Fit the model with each of the penalties; see `fit`.

        Args:
            chosen: The features it sees.
            parts: The parts it is fitted on.

        Returns:
            The coefficients for each penalty.
        """


class Ridge(AbstractLinear):
    """Least squares with a penalty on the squares of the coefficients."""

    penalties = RIDGE

    @cached_property
    def _products(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Sum the products of features, and of features with targets, over each part."""
        found = {}
        answers = self.steps.targets.reshape(len(self.features), -1)
        for part in sorted({*self.folds.part.tolist()} - {-1}):
            rows = self.folds.rows(part)
            rows = rows[~answers[rows].isnan().any(1)]
            x = self.features[rows].double()
            x = torch.cat([x, x.new_ones(len(x), 1)], 1)
            found[part] = x.T @ x, x.T @ answers[rows].double()
        return found

    def fit(self, chosen: Tensor, parts: tuple[int, ...], penalty: float, start: Tensor) -> Tensor:
        """Solve the equations, which needs no start; see `AbstractLinear.fit`."""
        return self._solve(*self._sums(chosen, parts), penalty)

    def fit_all(self, chosen: Tensor, parts: tuple[int, ...]) -> list[Tensor]:
        """Solve the equations of each penalty; see `AbstractLinear.fit_all`."""
        sums = self._sums(chosen, parts)
        return [self._solve(*sums, penalty) for penalty in self.penalties]

    def _sums(self, chosen: Tensor, parts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Add up the products of the chosen features over some parts."""
        own = torch.cat([chosen, torch.tensor([self.features.shape[1]])])
        products = [self._products[part] for part in parts]
        squares = torch.stack([square[own][:, own] for square, _ in products]).sum(0)
        return squares, torch.stack([product[own] for _, product in products]).sum(0)

    def _solve(self, squares: Tensor, products: Tensor, penalty: float) -> Tensor:
        """Solve for the coefficients; a score of several quantiles starts at the mean for each."""
        system = squares.clone()
        system.diagonal()[:-1] += penalty
        system.diagonal()[-1] += SAME
        weights = torch.cholesky_solve(products, torch.linalg.cholesky(system)).float()
        return weights.repeat_interleave(self.outputs // weights.shape[1], 1)


class Convex(AbstractLinear):
    """The least mean loss with a penalty on the squares of the coefficients."""

    penalties = CONVEX

    def __init__(self, steps: Steps, folds: Folds, loss: Loss, outputs: int) -> None:
        super().__init__(steps, folds, loss, outputs)
        self.start = torch.zeros(outputs)
        targets = steps.targets
        if not targets.is_floating_point() and targets.dim() == 1:
            seen = targets[folds.rows(*folds.first.train)]
            counts = torch.bincount(seen[seen != IGNORED], minlength=outputs) + 0.5
            self.start = (counts / counts.sum()).log()
            self.learnt = counts.argsort(descending=True, stable=True)[:MOST_CLASSES].sort()[0]

    def fit(self, chosen: Tensor, parts: tuple[int, ...], penalty: float, start: Tensor) -> Tensor:
        """Minimise the loss; see `AbstractLinear.fit`."""
        begin = start[:, self.learnt].clone()
        begin[-1] -= self.start[self.learnt]
        return self._fitted(chosen, parts, [penalty], begin)[-1]

    def fit_all(self, chosen: Tensor, parts: tuple[int, ...]) -> list[Tensor]:
        """Minimise the loss with each penalty; see `AbstractLinear.fit_all`."""
        start = torch.zeros(len(chosen) + 1, len(self.learnt))
        return self._fitted(chosen, parts, self.penalties, start)

    def _fitted(
        self, chosen: Tensor, parts: tuple[int, ...], penalties: Sequence[float], start: Tensor
    ) -> list[Tensor]:
        """Minimise the loss with one penalty after the other."""
        rows = self.folds.rows(*parts)
        x, targets = self._inputs(chosen, rows), self.steps.targets[rows]
        learnt = start.requires_grad_()
        found = []
        for penalty in penalties:
            optimizer = torch.optim.LBFGS(
                [learnt],
                max_iter=ITERATIONS,
                tolerance_grad=ENOUGH,
                tolerance_change=ENOUGH,
                line_search_fn="strong_wolfe",
            )

            def closure(optimizer: torch.optim.LBFGS = optimizer, own: float = penalty) -> Tensor:
                optimizer.zero_grad()
                whole = self._whole(learnt)
                losses = self.loss(x @ whole[:-1] + whole[-1], targets)
                total = losses.mean() + own / 2 / len(rows) * learnt[:-1].square().sum()
                total.backward()
                return total

            optimizer.step(closure)
            found.append(self._whole(learnt.detach()).clone())
        return found

    def _whole(self, learnt: Float[Tensor, "G L"]) -> Float[Tensor, "G E"]:
        """Put the learnt coefficients among those of all scores."""
        whole = learnt.new_zeros(len(learnt), self.outputs).index_copy(1, self.learnt, learnt)
        return torch.cat([whole[:-1], whole[-1:] + self.start])


def linear_of(steps: Steps, folds: Folds, loss: Loss, outputs: int) -> AbstractLinear:
    """Choose the linear model that a loss calls for.

    Args:
        steps: The steps.
        folds: How they are split.
        loss: The loss of each step.
        outputs: The number of scores.

    Returns:
        Ridge regression where the loss is 0 for scores that equal the target, else the other.
    """
    regression = _is_error(loss, steps.targets, outputs)
    return (Ridge if regression else Convex)(steps, folds, loss, outputs)


def _is_error(loss: Loss, targets: Shaped[Tensor, "N ..."], outputs: int) -> bool:
    """Say whether a loss is the distance of scores from numbers."""
    if not targets.is_floating_point():
        return False
    numbers = targets[: min(len(targets), 1000)]
    flat = numbers.reshape(len(numbers), -1)
    if flat.shape[1] == 0 or outputs % flat.shape[1]:
        return False
    scores = flat.nan_to_num().repeat_interleave(outputs // flat.shape[1], 1)
    return float(loss(scores, numbers).abs().max()) < SAME
