"""The convolutional encoder-decoder, with attention in every layer of the decoder."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur.core.compose import Pointwise, Serial
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.alignment import read
from unrecur.layers.convolution import CausalConvolution

HALF = math.sqrt(0.5)  # keeps the variance of a sum of two

Memory = tuple[Tensor, Tensor, Tensor]


class AttentiveBlock(nn.Module):
    """A gated causal convolution and a look at the source, each with a shortcut.

    With g the embedded target, keys z, values v of m valid source steps, and s = sqrt(1/2):
    u = s (x + glu(C x)), d = W u + b + g, y = s (u + sqrt(m) sum_j softmax_j(d z_j) v_j).

    Args:
        convolution: The convolution C, to twice as many features as it reads.
        query: The map W, b.
        dropout: The probability with which an input of the convolution is dropped in training.
    """

    def __init__(self, convolution: CausalConvolution, query: nn.Linear, dropout: float) -> None:
        super().__init__()
        self.convolution, self.query = convolution, query
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B T H"],
        target: Float[Tensor, "B T H"],
        memory: Memory,
        state: State,
        lengths: Integer[Tensor, " B"] | None,
    ) -> tuple[Float[Tensor, "B T H"], State]:
        """Map a whole block.

        Args:
            x: The outputs of the block below.
            target: The embedded target g.
            memory: Values and keys of the source, and how many of its steps are valid.
            state: The convolution's state.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            The outputs y, and the convolution's state after them.
        """
        values, keys, counts = memory
        gated, state = self.convolution(self.dropout(x), state, lengths)
        u = HALF * (x + functional.glu(gated))
        context, _ = read(self, (self.query(u) + target) @ keys.mT, values, counts)
        scale = counts.to(u.dtype).sqrt()[:, None, None]
        return HALF * (u + scale * context), state


class ConvS2S(AbstractConditionalModel):
    """Convolutions that read the source, and causal ones that write the target.

    Keys are the encoder's outputs z, values z + e, e the embedded source (Gehring et al. 2017,
    arXiv 1705.03122, section 3). The state holds values, keys and valid counts of the source, the
    position in the target, and the states of the convolutions.

    Args:
        source: Embeds the tokens of the source.
        encoder: Maps them to the keys.
        target: Embeds the tokens of the target.
        blocks: The layers of the decoder.
        scores: Maps the outputs of the last one to scores.
    """

    takes_tokens = True

    def __init__(
        self,
        source: Serial,
        encoder: Serial,
        target: Serial,
        blocks: list[AttentiveBlock],
        scores: Pointwise,
    ) -> None:
        super().__init__()
        self.source, self.encoder, self.target = source, encoder, target
        self.blocks = cast("Sequence[AttentiveBlock]", nn.ModuleList(blocks))
        self.scores = scores
        # Of the target, which is what the steps read.
        self.in_features, self.out_features = target.in_features, scores.out_features

    @property
    def receptive_field(self) -> Field:
        """The fields of the decoder's convolutions, over the target."""
        field = Field()
        for block in self.blocks:
            field = field.then(block.convolution.receptive_field)
        return field

    @property
    def source_features(self) -> int:
        """The number of tokens of the source."""
        return self.source.in_features

    def encode(
        self, source: Integer[Tensor, "B N"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the source; see `AbstractConditionalModel.encode`."""
        embedded, _ = self.source(source, None, lengths)
        batch, steps = embedded.shape[:2]
        keys, _ = self.encoder(embedded, None, lengths)
        counts = torch.full((batch,), steps, device=keys.device)
        counts = counts if lengths is None else lengths.to(counts)
        values = zero_padding(keys + embedded, lengths)
        pasts = tuple(block.convolution.init_state(batch) for block in self.blocks)
        return values, zero_padding(keys, lengths), counts, self.target.init_state(batch), pasts

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a block of target tokens; see `AbstractSequenceModel.forward`."""
        values, keys, counts, position, pasts = (
            self.init_state(x.shape[0]) if state is None else state
        )
        target, position = self.target(x, position, lengths)
        y, after = target, []
        for block, past in zip(self.blocks, pasts, strict=True):
            y, past = block(y, target, (values, keys, counts), past, lengths)
            after.append(past)
        return self.scores(y)[0], (values, keys, counts, position, tuple(after))

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one target token a row; see `AbstractSequenceModel.step`."""
        y, state = self(x_t[:, None], state)
        return y[:, 0], state
