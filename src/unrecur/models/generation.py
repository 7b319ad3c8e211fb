"""Generating samples with WaveNet, one by one, at a cost of O(layers) for each."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrecur import _check
from unrecur.core.state import State
from unrecur.layers.wavenet import WaveNet
from unrecur.models.wavenet_queues import WaveNetQueues


def generate(
    model: WaveNet,
    steps: int,
    conditions: Float[Tensor, "B T C"] | None = None,
    prompt: Float[Tensor, "B P"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B N"]:
    """Draw the continuation of a waveform, sample by sample, each from all before it.

    The convolutions' pasts are kept in queues, so that a sample costs one step of each layer, and
    not a receptive field (Le Paine et al. 2016, arXiv 1611.09482).

    Args:
        model: A WaveNet with one column of signal; it runs without dropout.
        steps: The number N of samples to draw.
        conditions: Those beside the inputs: the prompt's P samples and the samples drawn, all but
            the last, [batch, P + N - 1, conditions]; None for a model without conditions.
        prompt: The samples to continue, in [-1, 1]; one sample of silence where left out.
        generator: Where the randomness comes from; torch's own where left out.

    Returns:
        The samples drawn, without the prompt.

    Raises:
        InputError: The model has another kind of signal, or conditions or prompt do not fit.

    Example:
        >>> from unrecur.models.wavenet import wavenet
        >>> model = wavenet(in_features=1, out_features=256, hidden=8, layers=4, quantized=True)
        >>> generate(model, steps=100).shape
        torch.Size([1, 100])
    """
    with torch.inference_mode():
        drawn = _drawn(model, _inputs(model, steps, conditions, prompt), steps, generator)
    return drawn.clone()  # out here it is a tensor like any other, fit for training


def _drawn(model: WaveNet, x: Tensor, steps: int, generator: torch.Generator | None) -> Tensor:
    """Run the prompt as one block, then draw."""
    given = x.shape[1] - steps  # inputs before the one that the first draw follows
    shape = (steps, len(x), model.distribution.uniforms)
    uniforms = torch.rand(shape, generator=generator, dtype=x.dtype, device=x.device)
    state = _state_after(model, x[:, :given]) if given else model.init_state(len(x))
    queues = WaveNetQueues(model, state)
    drawn = x.new_empty(len(x), steps)
    for number, (x_t, uniform) in enumerate(zip(x[:, given:].unbind(1), uniforms, strict=True)):
        if number:
            x_t[:, 0] = drawn[:, number - 1]
        drawn[:, number] = model.distribution.at(queues.step(x_t), uniform)
    return drawn


def _state_after(model: WaveNet, x: Tensor) -> State:
    """Give the state after a block, without dropout."""
    training = model.training
    try:
        return model.eval()(x)[1]
    finally:
        model.train(training)


def _inputs(model: WaveNet, steps: int, conditions: Tensor | None, prompt: Tensor | None) -> Tensor:
    """Lay out the inputs, [batch, P + N - 1, 1 + conditions], with zeros for samples to come."""
    _check.positive_integer(steps, "steps")
    columns = model.in_features - model.columns
    if model.takes_tokens or model.columns != 1:
        raise _check.InputError(
            "generate draws waveforms: expected a model with one column of signal, got "
            + ("one of tokens." if model.takes_tokens else f"{model.columns} columns.")
        )
    if (conditions is None) != (columns == 0):
        raise _check.InputError(
            f"the model has {columns} conditions: "
            + (f"give them, [batch, time, {columns}]." if columns else "leave conditions out.")
        )
    given = [len(tensor) for tensor in (conditions, prompt) if tensor is not None]
    batch = given[0] if given else 1
    start = model.front.bias.new_zeros(batch, 1) if prompt is None else prompt
    if start.dim() != 2 or not start.numel():
        raise _check.InputError(f"expected a prompt [batch, samples], got {list(start.shape)}.")
    time = start.shape[1] + steps - 1
    if conditions is not None and list(conditions.shape) != [len(start), time, columns]:
        raise _check.InputError(
            f"expected conditions {[len(start), time, columns]}, one row for each sample of the "
            f"prompt and each drawn but the last, got {list(conditions.shape)}."
        )
    x = model.front.bias.new_zeros(batch, time, model.in_features)
    x[:, : start.shape[1], 0] = start
    if conditions is not None:
        x[:, :, 1:] = conditions
    return x
