"""Training runs of the theorem's experiment: one start, one data set, many windows."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from unrecur.certificates.project import project_
from unrecur.studies.theorem_data import Case, Problem, TheoremConfig, draw
from unrecur.train.projected import last_outputs, projected_descent


class Runs:
    """The training runs of one case and seed, all from the same start on the same data.

    Args:
        case: The case.
        config: The settings.
        seed: The seed.
    """

    def __init__(self, case: Case, config: TheoremConfig, seed: int) -> None:
        self.case, self.config = case, config
        self.windows = case.windows(config)
        self.problem: Problem = draw(case, config, seed)
        self.model = self.problem.model
        self.trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        if case.stable:
            self.project()
        self.start = parameters_to_vector(self.trained).detach().clone()

    @property
    def box(self) -> tuple[float, float]:
        """Where the inputs lie."""
        return -self.case.scale, self.case.scale

    def project(self) -> None:
        """Move the weights to the nearest stable ones."""
        project_(self.model, self.box, self.config.rate)

    def put(self, weights: Tensor) -> None:
        """Put weights into the model.

        Args:
            weights: All trained weights as one vector.
        """
        with torch.no_grad():
            vector_to_parameters(weights.clone(), self.trained)

    def outputs(self, k: int | None) -> Tensor:
        """Give the outputs that count, at the present weights.

        Args:
            k: The window; None for the full recurrence.

        Returns:
            The outputs.
        """
        return last_outputs(self.model, self.problem.x, self.config.counted, k)

    def loss(self, k: int | None, backwards: bool = False) -> Tensor:
        """Give half the mean squared error, in units of the squared scale.

        Args:
            k: The window; None for the full recurrence.
            backwards: Whether to take the sequences in reverse order, for other rounding.

        Returns:
            The loss.
        """
        x, target = self.problem.x, self.problem.target
        if backwards:
            x, target = x.flip(0), target.flip(0)
        error = last_outputs(self.model, x, self.config.counted, k) - target
        return error.square().mean() / (2 * self.case.scale**2)

    def gradient(self, k: int | None) -> Tensor:
        """Give the loss's gradient at the present weights, as one vector.

        Args:
            k: The window; None for the full recurrence.

        Returns:
            The gradient.
        """
        parts = torch.autograd.grad(self.loss(k), self.trained)
        return torch.cat([part.flatten() for part in parts])

    def train(self, k: int | None, backwards: bool = False) -> dict[int, Tensor]:
        """Train from the start.

        Args:
            k: The window; None for the full recurrence.
            backwards: Whether to take the sequences in reverse order.

        Returns:
            The weights at each checkpoint.
        """
        self.put(self.start)
        return projected_descent(
            self.model,
            partial(self.loss, k, backwards),
            self.config.checkpoints[-1],
            self.config.step_size * self.case.step_share,
            self.project if self.case.stable else None,
            self.config.checkpoints,
        )
