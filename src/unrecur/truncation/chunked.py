"""The truncated model at the cost of the recurrent one: every output from at least k inputs."""

from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, map_state, where, zero_padding


class ChunkedWindow(AbstractSequenceModel):
    """Run a model in pieces of C steps, each afresh from zero k - 1 inputs before its first.

    Every output is made from the last k to k + C - 1 inputs (or all, where fewer have come), so a
    bound on the error of windows of k inputs holds for it; it costs 1 + (k - 1) / C steps of the
    model, where `Window` costs k. In a block all pieces run side by side. In a stream two runs go
    on at a time: one that is shown, and in the last k - 1 steps of a piece the next one. The state
    is theirs, and how many inputs have come.

    Args:
        model: A causal model with a step form.
        k: The least number of inputs of an output, at least 1.
        length: C, the steps of a piece, at least k; k if left out.
        bound: What is proved of its error; see `truncate`.

    Raises:
        InputError: k or C is malformed, or the model sees the future.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("gru", in_features=3, out_features=2, hidden=8).eval()
        >>> window = unrecur.truncate(model, k=64, form="chunked")
        >>> x = torch.randn(2, 500, 3)
        >>> bool((window(x)[0] - model(x)[0]).abs().max() < 1e-4)
        True
    """

    def __init__(
        self,
        model: AbstractSequenceModel,
        k: int,
        length: int | None = None,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        _check.positive_integer(k, "k")
        if not model.receptive_field.causal:
            raise _check.InputError("only a causal model can be truncated to its last k inputs.")
        self.length = k if length is None else length
        _check.positive_integer(self.length, "length")
        if self.length < k:
            raise _check.InputError(f"length must be at least k={k}, got {self.length}.")
        self.model, self.k, self.bound = model, k, bound
        self.in_features = model.in_features
        self.out_features = model.out_features
        self.takes_tokens = model.takes_tokens

    @property
    def cost(self) -> float:
        """Steps of the model for an output, on average."""
        return 1 + (self.k - 1) / self.length

    @property
    def receptive_field(self) -> Field:
        """The most that an output is made from: k + C - 1 inputs, or fewer where the model is."""
        return Field(past=min(self.k + self.length - 2, self.model.receptive_field.past))

    def init_state(self, batch: int) -> State:
        """Make the state before the first input."""
        zero = self.model.init_state(batch)
        device = next(self.model.parameters()).device
        return zero, zero, torch.zeros(batch, dtype=torch.long, device=device)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block, its pieces side by side; see `AbstractSequenceModel.forward`."""
        batch, time = x.shape[:2]
        x = zero_padding(x, lengths)
        shown, next_one, come = self.init_state(batch) if state is None else state
        ends = torch.full_like(come, time) if lengths is None else lengths.to(come.device)
        # Rows that are at different places of their pieces, or end apart, are run apart.
        groups = torch.stack([come, ends], 1)
        kinds = groups.unique(dim=0)
        if len(kinds) == 1:
            steps = int(kinds[0, 1])
            y, shown, next_one = self._block(x[:, :steps], shown, next_one, int(kinds[0, 0]))
            y = torch.cat([y, y.new_zeros(batch, time - steps, y.shape[2])], 1)
            return y, (shown, next_one, come + ends)
        y = torch.empty(0)
        for kind in kinds:
            rows = (groups == kind).all(1)
            part = map_state(lambda leaf, rows=rows: leaf[rows], (shown, next_one, come))
            some, after = self.forward(x[rows], part, None if lengths is None else lengths[rows])
            y = some.new_zeros(batch, time, some.shape[2]) if not len(y) else y
            y = y.index_put((rows,), some)
            shown, next_one = (
                map_state(lambda old, new, rows=rows: old.index_put((rows,), new), a, b)
                for a, b in zip((shown, next_one), after[:2], strict=True)
            )
        return y, (shown, next_one, come + ends)

    def _block(
        self, x: Tensor, shown: State, next_one: State, come: int
    ) -> tuple[Tensor, State, State]:
        """Map a block whose rows are all at the same place.

        Args:
            x: The inputs.
            shown: The state of the run that is shown.
            next_one: That of the run that is shown in the next piece.
            come: How many inputs have come.

        Returns:
            The outputs and both states after them.
        """
        time, length, early = x.shape[1], self.length, self.k - 1
        first = min(length - come % length, time)  # what is left of the piece
        y, shown = self.model(x[:, :first], shown)
        # Where the next piece's run begins, counted in the block; below 0 it has begun already.
        begin = length - come % length - early
        if time > (start := max(begin, 0)) and early and start < first:
            _, next_one = self.model(x[:, start:first], next_one)
        outputs = [y]
        if first == length - come % length:
            shown, next_one = next_one, self._zero(x)
            whole = max(0, (time - first) // length)
            if whole > 0:
                # The piece that begins here goes on from the run that has warmed up.
                y, shown, next_one = self._pieces(x, first, whole, shown)
                outputs.append(y)
            rest = first + whole * length
            if time > rest:
                y, shown, next_one = self._block(x[:, rest:], shown, next_one, 0)
                outputs.append(y)
        return torch.cat(outputs, 1), shown, next_one

    def _pieces(
        self, x: Tensor, first: int, count: int, state: State
    ) -> tuple[Tensor, State, State]:
        """Run whole pieces, the first from a state that is known, the others from zero before them.

        Args:
            x: The block.
            first: Where the first piece begins.
            count: How many there are.
            state: The state before the first.

        Returns:
            The outputs, the state of the run shown in the piece behind them, and zeros.
        """
        batch, length, early = x.shape[0], self.length, self.k - 1
        y, _ = self.model(x[:, first : first + length], state)
        outputs = [y]
        # The runs of the other pieces, and of the one behind, begin `early` steps before them.
        begins = [first + n * length - early for n in range(1, count + 1)]
        if count > 1:
            rows = torch.cat([x[:, at : at + early + length] for at in begins[:-1]])
            y, _ = self.model(rows, self._zero(rows))
            y = y[:, early:].unflatten(0, (count - 1, batch)).transpose(0, 1).flatten(1, 2)
            outputs.append(y)
        behind = self._zero(x)
        if early:
            _, behind = self.model(x[:, begins[-1] : begins[-1] + early], behind)
        return torch.cat(outputs, 1), behind, self._zero(x)

    def _zero(self, x: Tensor) -> State:
        return self.model.init_state(len(x))

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step, by one or two steps of the model; see `AbstractSequenceModel.step`."""
        shown, next_one, come = self.init_state(len(x_t)) if state is None else state
        y, shown = self.model.step(x_t, shown)
        place = come % self.length
        warms = place >= self.length - (self.k - 1)
        if bool(warms.any()):
            _, ahead = self.model.step(x_t, next_one)
            next_one = where(warms, ahead, next_one)
        turns = place == self.length - 1
        if bool(turns.any()):
            zero: Any = self.model.init_state(len(x_t))
            shown = where(turns, next_one, shown)
            next_one = where(turns, zero, next_one)
        return y, (shown, next_one, come + 1)
