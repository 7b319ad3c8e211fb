"""WaveNet: gated, dilated, causal convolutions with residual and skip paths."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.distribution import AbstractSampleDistribution
from unrecur.layers.embedding import Embedding
from unrecur.layers.mu_law import mu_law_encode

Run = Callable[[AbstractSequenceModel, Tensor, State | None], tuple[Tensor, State]]
"""How a layer is run: over a block, or for a step."""


class GatedBlock(nn.Module):
    """Map h and conditions c to h + R z and S z, z = tanh(W * h + V c) sigmoid(W' * h + V' c).

    * is a dilated causal convolution; V, V', R and S act on each step by itself
    (van den Oord et al. 2016, arXiv 1609.03499, sections 2.3 to 2.5).

    Args:
        hidden: The number of residual channels, of h.
        skip: The number of skip channels, of S z.
        kernel_size: The number of taps of the convolution.
        dilation: The distance between taps, in steps.
        conditions: The number of features of c, which may be 0.
        dropout: The probability with which an input of the convolution is dropped in training.
        last: Whether no block follows, so that there is no h + R z to make.
    """

    def __init__(
        self,
        *,
        hidden: int,
        skip: int,
        kernel_size: int,
        dilation: int,
        conditions: int,
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.convolution = CausalConvolution(hidden, 2 * hidden, kernel_size, dilation)
        self.condition = nn.Linear(conditions, 2 * hidden, bias=False) if conditions else None
        self.skip = nn.Linear(hidden, skip)
        self.residual = None if last else nn.Linear(hidden, hidden)

    def forward(
        self,
        h: Float[Tensor, "*B H"],
        c: Float[Tensor, "*B C"] | None,
        state: State | None,
        run: Run,
    ) -> tuple[Float[Tensor, "*B H"], Float[Tensor, "*B S"], State]:
        """Map a block of a sequence, or one step of it.

        Args:
            h: What comes from the block below.
            c: The conditions, None where there are none.
            state: The convolution's state.
            run: How the convolution is run.

        Returns:
            What goes to the block above, the skip path, and the state after it.
        """
        a, state = run(self.convolution, functional.dropout(h, self.dropout, self.training), state)
        if self.condition is not None:
            a = a + self.condition(c)
        signal, gate = a.chunk(2, -1)
        z = torch.tanh(signal) * torch.sigmoid(gate)
        return (h if self.residual is None else h + self.residual(z)), self.skip(z), state


class WaveNet(AbstractSequenceModel):
    """The network that `models.wavenet.wavenet` builds; its arguments are explained there.

    The state is that of the front convolution and the tuple of the blocks' states.

    Attributes:
        distribution: What the scores say of a waveform's next sample: its
            `negative_log_likelihood(scores[:, :-1], x[:, 1:, 0])` is a loss in nats for each
            sample, and `unrecur.generate` draws from it.
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden: int,
        skip: int,
        dilations: list[int],
        kernel_size: int,
        conditions: int,
        quantized: bool,
        tokens: bool,
        dropout: float,
        distribution: AbstractSampleDistribution,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.takes_tokens, self.quantized = tokens, quantized
        self.columns = in_features - conditions
        self.distribution = distribution
        looked_up = tokens or quantized
        self.table = (
            Embedding(in_features if tokens else out_features, hidden) if looked_up else None
        )
        self.front = CausalConvolution(hidden if looked_up else self.columns, hidden, kernel_size)
        blocks = [
            GatedBlock(
                hidden=hidden,
                skip=skip,
                kernel_size=kernel_size,
                dilation=dilation,
                conditions=conditions,
                dropout=dropout,
                last=number == len(dilations),
            )
            for number, dilation in enumerate(dilations, 1)
        ]
        self.blocks = cast("Sequence[GatedBlock]", nn.ModuleList(blocks))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(skip, skip), nn.ReLU(), nn.Linear(skip, out_features)
        )

    @property
    def receptive_field(self) -> Field:
        """Those of the front and of all blocks, one after the other."""
        field = self.front.receptive_field
        for block in self.blocks:
            field = field.then(block.convolution.receptive_field)
        return field

    def init_state(self, batch: int) -> State:
        """Make the zeros that stand before the first input, in every convolution."""
        blocks = tuple(block.convolution.init_state(batch) for block in self.blocks)
        return self.front.init_state(batch), blocks

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        if not self.takes_tokens:
            _check.block(x, self.in_features)
        x = zero_padding(x, lengths)
        return self._mapped(x, state, lambda model, h, before: model(h, before, lengths))

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        if not self.takes_tokens:
            _check.frame(x_t, self.in_features)
        return self._mapped(x_t, state, lambda model, h, before: model.step(h, before))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Part the inputs.

        Args:
            x: A block of inputs, or one step.

        Returns:
            The signal, as the front reads it or as ids that are looked up for it; and the
            conditions, None where there are none.
        """
        if self.takes_tokens:
            return x, None
        signal = x[..., : self.columns]
        if self.quantized:
            signal = mu_law_encode(signal[..., 0], self.out_features)
        return signal, x[..., self.columns :] if self.columns < self.in_features else None

    def _mapped(self, x: Tensor, state: State | None, run: Run) -> tuple[Tensor, State]:
        """Run all, over a block or for a step."""
        before_front, before = (None, [None] * len(self.blocks)) if state is None else state
        h, conditions = self.split(x)
        if self.table is not None:
            h, _ = run(self.table, h, None)
        h, front = run(self.front, h, before_front)
        skips, after = [], []
        for block, kept in zip(self.blocks, before, strict=True):
            h, skip, new = block(h, conditions, kept, run)
            skips.append(skip)
            after.append(new)
        return self.head(sum(skips)), (front, tuple(after))
