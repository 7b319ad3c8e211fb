"""Projected gradient descent with steps alpha / n, as the theorem on training has it."""

from collections.abc import Callable, Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel


def projected_descent(
    model: nn.Module,
    loss: Callable[[], Float[Tensor, ""]],
    steps: int,
    step_size: float,
    project: Callable[[], None] | None = None,
    keep: Collection[int] = (),
) -> dict[int, Float[Tensor, " P"]]:
    """Train a model in place by projected gradient descent.

        w_(n+1) = P(w_n - (alpha / n) grad p(w_n)),  n = 1..N

    (Miller and Hardt 2019, section 3.3). The same weights, data and loss give the same run: there
    is no chance in it.

    Args:
        model: The model; weights that need no gradient stay as they are.
        loss: Gives p at the model's present weights; called once a step, in order.
        steps: N, the number of steps.
        step_size: alpha, the size of the first step.
        project: P, which changes the model in place, such as `partial(project_, model, box, rate)`;
            none where left out.
        keep: After which numbers of steps to keep the weights, besides the last.

    Returns:
        The weights after each of them, all trained weights as one vector.

    Raises:
        InputError: steps or an entry of keep is out of range, step_size is not above 0, no weight
            can be trained, or the descent diverges.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> found = projected_descent(model, lambda: (model.weight - 3).square().sum() / 2, 2, 1.0)
        >>> found[2]
        tensor([3.])
    """
    _check.positive_integer(steps, "steps")
    _check.positive(step_size, "step_size")
    for n in keep:
        _check.positive_integer(n, "an entry of keep")
        if n > steps:
            raise _check.InputError(f"keep asks for the weights after {n} of {steps} steps.")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise _check.InputError("the model has no weights to be trained: all are frozen.")
    kept = {}
    for n in range(1, steps + 1):
        _descend(weights, loss(), step_size / n)
        if project is not None:
            project()
        if n in {*keep, steps}:
            kept[n] = parameters_to_vector(weights).detach()
    return kept


def _descend(weights: list[nn.Parameter], loss: Tensor, size: float) -> None:
    """Make one step, unless it leads nowhere."""
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(gradient, alpha=size)
    if not all(weight.isfinite().all() for weight in weights):
        raise _check.InputError(
            f"gradient descent diverged: a weight is not finite after a step of size {size:.3g}. "
            "Choose a smaller step_size."
        )


def last_outputs(
    model: AbstractSequenceModel, x: Float[Tensor, "B T D"], count: int, k: int | None = None
) -> Float[Tensor, "B C E"]:
    """Give the outputs of the last steps, through the full recurrence or through windows.

    The windows of k inputs stand side by side as rows of one batch, which costs k steps of the
    model: what `unrecur.truncate(model, k=k)` gives, with its gradient.

    Args:
        model: A causal model.
        x: The inputs.
        count: C, the number of outputs, at least 1.
        k: The length of the windows; None for the full recurrence from the first input.

    Returns:
        The outputs of the last C steps.

    Raises:
        InputError: A number is below 1, or the sequences are too short for so many whole windows.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("gru", in_features=2, out_features=1, hidden=4)
        >>> last_outputs(model, torch.ones(3, 9, 2), 4, k=6).shape
        torch.Size([3, 4, 1])
    """
    _check.positive_integer(count, "count")
    _check.positive_integer(1 if k is None else k, "k")
    needed = count + (k or 1) - 1
    if x.shape[1] < needed:
        raise _check.InputError(
            f"{count} whole windows of {k or 1} inputs need sequences of at least {needed} steps, "
            f"got {x.shape[1]}."
        )
    if k is None:
        return model(x)[0][:, -count:]
    windows = x[:, x.shape[1] - needed :].unfold(1, k, 1).transpose(-1, -2)
    return model(windows.flatten(0, 1))[0][:, -1].unflatten(0, (len(x), count))
