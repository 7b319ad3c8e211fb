"""The TCN against a plain version of the paper's code: padded convolutions, cut at the end."""

import torch
from torch.nn import functional

from unrecur.models.tcn import tcn


def plain_block(block, x, dilation):
    """One residual block on [batch, features, time], written out."""
    y = x
    for convolution in (block.first, block.second):
        magnitude, direction = convolution.magnitude, convolution.direction
        pad = (direction.shape[2] - 1) * dilation
        weight = magnitude * direction / direction.flatten(1).norm(dim=1)[:, None, None]
        y = functional.conv1d(y, weight, convolution.bias, padding=pad, dilation=dilation)
        y = functional.relu(y[..., : y.shape[-1] - pad])
    if block.shortcut is not None:
        x = functional.conv1d(x, block.shortcut.weight[..., None], block.shortcut.bias)
    return functional.relu(x + y)


def test_the_network_is_the_papers():
    torch.manual_seed(0)
    options = {"in_features": 3, "out_features": 2, "hidden": 5, "levels": 3, "kernel_size": 3}
    model = tcn(**options).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data, std=0.6)
    x = torch.randn(2, 30, 3, dtype=torch.float64)
    *blocks, head = model.models
    z = x.transpose(1, 2)
    for level, block in enumerate(blocks):
        z = plain_block(block, z, 2**level)
    expected = head.module(z.transpose(1, 2))
    torch.testing.assert_close(model(x)[0], expected)


def test_a_step_works_for_any_batch_and_dilation():
    torch.manual_seed(0)
    model = tcn(in_features=3, out_features=2, hidden=5, levels=4, kernel_size=2).eval()
    for batch in (1, 2, 7):
        x = torch.randn(batch, 40, 3)
        state, outputs = None, []
        for x_t in x.unbind(1):
            y_t, state = model.step(x_t, state)
            outputs.append(y_t)
        torch.testing.assert_close(torch.stack(outputs, 1), model(x)[0], atol=1e-5, rtol=1e-5)
