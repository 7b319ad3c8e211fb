"""WaveNet step by step, for those who only go forward: its past in rings, changed in place."""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from unrecur.core.state import State
from unrecur.layers.wavenet import WaveNet


class WaveNetQueues:
    """A WaveNet that is stepped without gradients and owns its state; equal to `WaveNet.step`.

    What past inputs and conditions add to the layers is known before a step begins, so it is one
    product for all layers, and the sum of the skip paths is one at the end; between them each layer
    has two small ones. Nothing of a receptive field's size is copied.

    Args:
        model: The network; its weights are copied, dropout is left out.
        state: The network's state to begin with.

    Example:
        >>> from unrecur.models.wavenet import wavenet
        >>> model = wavenet(in_features=1, out_features=256, hidden=8, layers=4)
        >>> queues = WaveNetQueues(model, model.init_state(batch=2))
        >>> queues.step(torch.zeros(2, 1)).shape
        torch.Size([2, 256])
    """

    @torch.inference_mode()
    def __init__(self, model: WaveNet, state: State) -> None:
        (front, pasts), blocks = state, model.blocks
        batch, _, hidden = pasts[0].shape
        self.split = model.split
        self.table = None if model.table is None else model.table.table.weight.clone()
        self.recent = front.clone()
        self.front = _taps(model.front.weight).flatten(0, 1), model.front.bias.clone()

        taps = [_taps(block.convolution.weight) for block in blocks]
        self.from_before = torch.stack([tap[:-1].flatten(0, 1) for tap in taps])
        conditions = [block.condition.weight.T for block in blocks if block.condition is not None]
        if conditions:
            self.from_before = torch.cat([self.from_before, torch.stack(conditions)], 1)
        self.bias = torch.stack([block.convolution.bias[None] for block in blocks])
        self.to_skip = torch.cat([block.skip.weight.T for block in blocks])
        self.skip_bias = torch.stack([block.skip.bias for block in blocks]).sum(0)
        linear = [layer for layer in model.head if isinstance(layer, nn.Linear)]
        self.head = [(layer.weight.T.contiguous(), layer.bias.clone()) for layer in linear]

        self.rings = torch.cat([past.transpose(0, 1) for past in pasts])
        self.slots = _slots([past.shape[1] for past in pasts], len(taps[0]) - 1, self.rings.device)
        self.time = 0

        self.inputs = self.rings.new_empty(len(blocks), batch, hidden)
        self.before = self.rings.new_empty(len(blocks), batch, 2 * hidden)
        self.gated = self.rings.new_empty(batch, len(blocks) * hidden)
        gated = self.gated.split(hidden, 1)
        # What a layer reads and writes: h, W, W h + before, its two halves, z.
        self.layers = [
            (h, tap[-1], a, *a.chunk(2, -1), z)
            for h, tap, a, z in zip(self.inputs, taps, self.before, gated, strict=True)
        ]
        # What follows it: R, its bias, the next layer's h.
        self.links = [
            (block.residual.weight.T.contiguous(), block.residual.bias.clone(), after)
            for block, after in zip(blocks, self.inputs[1:], strict=False)
            if block.residual is not None
        ]

    @torch.inference_mode()
    def step(self, x_t: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B E"]:
        """Map one step, and keep what later ones need.

        Args:
            x_t: The inputs of one step, as `WaveNet.step` takes them; they are not checked.

        Returns:
            The outputs of the step, without gradients for good: clone them for use in training.
        """
        slots = self.slots[self.time % len(self.slots)]
        self.time += 1
        before = self.rings[slots].transpose(1, 2).flatten(2)
        signal, conditions = self.split(x_t)
        if self.table is not None:
            signal = self.table[signal]
        if conditions is not None:
            before = torch.cat([before, conditions.expand(len(before), -1, -1)], -1)
        torch.baddbmm(self.bias, before, self.from_before, out=self.before)
        seen = torch.cat([self.recent, signal[:, None]], 1)
        self.recent = seen[:, 1:]
        weight, bias = self.front
        torch.addmm(bias, seen.flatten(1), weight, out=self.inputs[0])
        for number, (h, tap, a, filtered, gate, z) in enumerate(self.layers):
            a.addmm_(h, tap)
            torch.mul(filtered.tanh_(), gate.sigmoid_(), out=z)
            if number < len(self.links):
                weight, bias, after = self.links[number]
                torch.add(h, bias, out=after).addmm_(z, weight)
        self.rings[slots[:, 0]] = self.inputs
        y = torch.addmm(self.skip_bias, self.gated, self.to_skip)
        for weight, bias in self.head:
            y = torch.addmm(bias, y.relu_(), weight)
        return y


def _taps(weight: Tensor) -> Tensor:
    """Copy a convolution's weight [out, in, taps] as [taps, in, out], the oldest tap first."""
    return weight.permute(2, 1, 0).contiguous()


def _slots(lengths: list[int], taps: int, device: torch.device) -> Tensor:
    """Say where the past inputs lie in the rings.

    A ring of (K-1) d slots holds the input of time s in slot s mod (K-1) d.

    Args:
        lengths: The lengths of the rings.
        taps: The number of past taps K - 1 of each layer.
        device: Where the rings live.

    Returns:
        Their places at each time of a period, [period, layers, taps]; the oldest comes first, and
        the present input takes its place.
    """
    length = torch.tensor(lengths)
    begin = length.cumsum(0) - length
    time = torch.arange(math.lcm(*lengths))[:, None, None]
    steps = torch.arange(taps) * (length // taps)[:, None]
    return ((time + steps) % length[:, None] + begin[:, None]).to(device)
