"""Slow, obvious versions that the fast ones are held to."""

import torch


def measured_field(model, x, t, place=None):
    """Which inputs the output at step t depends on: the non-zeros of the Jacobian.

    Returns the largest number of steps back and ahead of its place (its own step, if the model has
    one output to an input) at which some input matters.
    """
    place = t if place is None else place
    x = x.clone().requires_grad_()
    y, _ = model(x)
    seen = torch.zeros(x.shape[1], dtype=torch.bool)
    for j in range(y.shape[-1]):
        if y.requires_grad:
            (gradient,) = torch.autograd.grad(
                y[0, t, j], x, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            seen |= (gradient[0] != 0).any(-1)
    steps = seen.nonzero().flatten()
    if len(steps) == 0:
        return 0, 0
    return max(0, place - int(steps[0])), max(0, int(steps[-1]) - place)


def windowed(model, x, k):
    """The truncated model, one window at a time: run the model afresh on the last k inputs."""
    rows = []
    for t in range(x.shape[1]):
        y, _ = model(x[:, max(0, t - k + 1) : t + 1])
        rows.append(y[:, -1])
    return torch.stack(rows, 1)
