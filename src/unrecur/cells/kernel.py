"""Torch's fused recurrent kernels, one layer in one direction, for blocks and packed data."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def run_kernel(
    kernel: Callable[..., Any],
    weights: list[Tensor],
    x: Tensor,
    hidden: Any,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, ...]:
    """Call one of `torch.lstm`, `torch.gru`, `torch.rnn_tanh`, `torch.rnn_relu`.

    Args:
        kernel: The kernel.
        weights: Its weights: input, hidden, the two biases and the projection if there are any.
        x: A block [batch, time, features], or packed data [steps, features].
        hidden: What the kernel takes as its start: [1, batch, H], or a pair of them.
        batch_sizes: Those of the `PackedSequence`; None for a block.

    Returns:
        What the kernel gives: the outputs, then the last hidden states [1, batch, H].
    """
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # oneDNN has no mixed kernels for some shapes; the states stay in float32.
        kind = weights[0].dtype
        pair = isinstance(hidden, tuple)
        hidden = tuple(part.to(kind) for part in hidden) if pair else hidden.to(kind)
        with torch.autocast("cpu", enabled=False):
            return run_kernel(kernel, weights, x.to(kind), hidden, batch_sizes)
    has_biases = len(weights) >= 4
    # cuDNN keeps what a backward pass needs only when told that it is training.
    train = torch.is_grad_enabled()
    if batch_sizes is None:
        return kernel(x, hidden, weights, has_biases, 1, 0.0, train, False, True)
    return kernel(x, batch_sizes, hidden, weights, has_biases, 1, 0.0, train, False)
