"""A stack of transformer blocks, from vectors to vectors."""

from collections.abc import Callable, Sequence
from typing import cast

from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, zero_padding
from unrecur.layers.positions import Positions
from unrecur.layers.transformer_block import TransformerBlock


class TransformerStack(AbstractSequenceModel):
    """Positions, dropout, blocks one after the other, and in "pre" form a last normalisation.

    The state is the state of the positions, `()` where there are none, and the tuple of those of
    the blocks.

    Args:
        blocks: The blocks from the bottom up, at least one, all of one width.
        positions: What tells a step its position; None where the attention does, or nothing.
        dropout: The probability with which an input of the first block is dropped in training.

    Raises:
        InputError: There is no block, or the probability is out of range.
    """

    def __init__(
        self, blocks: Sequence[TransformerBlock], positions: Positions | None, dropout: float
    ) -> None:
        super().__init__()
        _check.fraction(dropout, "dropout")
        if not blocks:
            raise _check.InputError("a transformer needs at least one block, got none.")
        self.in_features = self.out_features = blocks[0].in_features
        self.positions = positions
        self.dropout = nn.Dropout(dropout)
        self.blocks = cast("Sequence[TransformerBlock]", nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(self.in_features) if blocks[0].pre else nn.Identity()

    @property
    def receptive_field(self) -> Field:
        """Those of the blocks, one after the other.

        With a table of positions no sequence is longer than the table, and a causal output sees no
        further back than the table is long.
        """
        field = Field()
        for block in self.blocks:
            field = field.then(block.receptive_field)
        if field.causal and self.positions is not None and self.positions.table is not None:
            return Field(past=min(field.past, self.positions.longest - 1))
        return field

    def init_state(self, batch: int) -> State:
        """Make the states of the positions and of the blocks."""
        return self._places(batch), tuple(block.init_state(batch) for block in self.blocks)

    def encode(
        self, memory: Float[Tensor, "B N D"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Make the state before the first step of a stack whose blocks look at a memory.

        Args:
            memory: What their cross-attention looks at.
            lengths: How many steps of each row are valid; None when all are.

        Returns:
            The state.
        """
        states = tuple(block.encode(memory, lengths) for block in self.blocks)
        return self._places(memory.shape[0]), states

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        x = zero_padding(x, lengths)
        return self._run(x, state, lambda model, y, before: model(y, before, lengths))

    def step(
        self, x_t: Float[Tensor, "B D"], state: State | None = None
    ) -> tuple[Float[Tensor, "B D"], State]:
        """Map one step; see `AbstractSequenceModel.step`."""
        return self._run(x_t, state, lambda model, y_t, before: model.step(y_t, before))

    def _places(self, batch: int) -> State:
        """Make the state of the positions."""
        return () if self.positions is None else self.positions.init_state(batch)

    def _run(
        self,
        x: Tensor,
        state: State | None,
        run: Callable[[AbstractSequenceModel, Tensor, State], tuple[Tensor, State]],
    ) -> tuple[Tensor, State]:
        """Run positions and blocks in either form."""
        place, states = (None, (None,) * len(self.blocks)) if state is None else state
        if self.positions is None:
            place = ()
        else:
            x, place = run(self.positions, x, place)
        x, after = self.dropout(x), []
        for block, before in zip(self.blocks, states, strict=True):
            x, new = run(block, x, before)
            after.append(new)
        return self.norm(x), (place, tuple(after))
