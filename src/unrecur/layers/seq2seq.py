"""The recurrent encoder-decoder with attention."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, valid_steps, where, zero_padding
from unrecur.layers.alignment import AbstractAlignment
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent


class Seq2Seq(AbstractConditionalModel):
    """A decoder that looks at the encoder's outputs at every step.

    With e_t the embedded target token and m the encoder's outputs:
    h_t = lower(e_t, f_{t-1}), c_t = attention(h_t, m), y_t = upper(h_t, c_t). What is fed back,
    f_t, is the attentional vector tanh(W [h_t; c_t]), which is then all that the upper part reads
    (input feeding of Luong, Pham, Manning 2015, arXiv 1508.04025, section 3.3); or, without the
    matrix W, the context c_t (as in GNMT, Wu et al. 2016, arXiv 1609.08144, section 3). The lower
    part starts from tanh(B mean(m) + b) (Sennrich et al. 2017, arXiv 1703.04357), f from zeros.

    The state holds the memory, its keys, its valid counts, the states of the lower and the upper
    part, f, and the coverage.

    Args:
        encoder: Maps the source to the memory.
        embedding: Looks up the target tokens.
        lower: The recurrent layers below the attention.
        alignment: The attention.
        combine: The matrix W; None to feed the context.
        upper: From the attentional vector, or [h; c] where there is none, to the scores.
        bridge: The map B from the mean of the memory to the states of the lower part.
        input_feeding: Whether the lower part reads f.
    """

    takes_tokens = True

    def __init__(
        self,
        encoder: AbstractSequenceModel,
        embedding: Embedding,
        lower: Recurrent,
        alignment: AbstractAlignment,
        combine: nn.Linear | None,
        upper: AbstractSequenceModel,
        bridge: nn.Linear,
        input_feeding: bool,
    ) -> None:
        super().__init__()
        self.encoder, self.embedding, self.lower = encoder, embedding, lower
        self.alignment, self.combine, self.upper = alignment, combine, upper
        self.bridge, self.input_feeding = bridge, input_feeding
        # Of the target, which is what the steps read.
        self.in_features, self.out_features = embedding.in_features, upper.out_features

    @property
    def receptive_field(self) -> Field:
        """The whole past of the target."""
        return Field(past=float("inf"))

    @property
    def source_features(self) -> int:
        """The number of tokens of the source."""
        return self.encoder.in_features

    def encode(
        self, source: Integer[Tensor, "B N"], lengths: Integer[Tensor, " B"] | None = None
    ) -> State:
        """Read the source; see `AbstractConditionalModel.encode`."""
        memory = zero_padding(self.encoder(source, None, lengths)[0], lengths)
        batch, steps = memory.shape[:2]
        counts = torch.full((batch,), steps, device=memory.device)
        counts = counts if lengths is None else lengths.to(counts)
        started = torch.tanh(self.bridge(memory.sum(1) / counts[:, None]))
        sizes = [cell.state_size for cell in self.lower.cells]
        lower = tuple(part.contiguous() for part in started.split(sizes, -1))  # as cuDNN needs
        fed = memory.new_zeros(batch, self.lower.in_features - self.embedding.out_features)
        coverage = (~valid_steps(counts, steps)).to(memory.dtype)
        upper = self.upper.init_state(batch)
        return memory, self.alignment.keys(memory), counts, lower, upper, fed, coverage

    def coverage(self, state: State) -> Float[Tensor, "B N"]:
        """Give the summed attention; see `AbstractConditionalModel.coverage`."""
        return state[-1]

    def forward(
        self,
        x: Integer[Tensor, "B T"],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a block of target tokens; see `AbstractSequenceModel.forward`."""
        state = self.init_state(x.shape[0]) if state is None else state
        *memory, lower, upper, fed, coverage = state
        embedded, _ = self.embedding(x, None, lengths)
        run = self._in_steps if self.input_feeding else self._in_parallel
        seen, held = run(embedded, (lower, fed, coverage), memory, lengths)
        y, upper = self.upper(seen, upper, lengths)
        lower, fed, coverage = held
        return y, (*memory, lower, upper, fed, coverage)

    def step(
        self, x_t: Integer[Tensor, " B"], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one target token a row; see `AbstractSequenceModel.step`."""
        y, state = self(x_t[:, None], state)
        return y[:, 0], state

    def _in_parallel(
        self, embedded: Tensor, held: State, memory: list[Tensor], lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run the recurrence over the block, then look at the memory from all steps at once."""
        lower, fed, coverage = held
        h, lower = self.lower(embedded, lower, lengths)
        seen, _, weights = self._look(h, memory)
        return seen, (lower, fed, coverage + zero_padding(weights, lengths).sum(1))

    def _in_steps(
        self, embedded: Tensor, held: State, memory: list[Tensor], lengths: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run the recurrence and the attention in turn, as each feeds the other."""
        outputs = []
        for t, embedded_t in enumerate(embedded.unbind(1)):
            moved, seen = self.fed_step(embedded_t, held, memory)
            held = moved if lengths is None else where(t < lengths.to(seen.device), moved, held)
            outputs.append(seen)
        return torch.stack(outputs, 1), held

    def fed_step(
        self, embedded_t: Tensor, held: State, memory: Sequence[Tensor]
    ) -> tuple[State, Tensor]:
        """Take one step of the recurrence, which reads what was fed back, and look at the memory.

        Args:
            embedded_t: The embedded tokens, [batch, features].
            held: The states of the lower part, what is fed back, and the coverage.
            memory: The memory, its keys and its valid counts.

        Returns:
            What is held then, and what the upper part reads.
        """
        lower, fed, coverage = held
        h, lower = self.lower.step(torch.cat([embedded_t, fed], -1), lower)
        seen, fed, weights = self._look(h[:, None], memory)
        return (lower, fed[:, 0], coverage + weights[:, 0]), seen[:, 0]

    def _look(self, h: Tensor, memory: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Attend: what the upper part reads, what is fed back, and the weights."""
        context, weights = self.alignment(h, *memory)
        both = torch.cat([h, context], -1)
        if self.combine is None:
            return both, context, weights
        vector = torch.tanh(self.combine(both))
        return vector, vector, weights
