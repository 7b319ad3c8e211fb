"""The truncated model: y^k_t = f(h^k_t), h^k_t run from the zero state on the last k inputs."""

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from unrecur import _check
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State, last_steps, where, zero_padding


class Window(AbstractSequenceModel):
    """Run a model afresh on the last k inputs of every step: a feed-forward model of k inputs.

    The weights are the model's own. Where fewer than k inputs have come, all of them are used, so
    the first k outputs are the model's (Miller and Hardt 2019, section 3). Each output costs k
    steps of the model. The state is the last k - 1 inputs and how many of them are real.

    Args:
        model: A causal model with a step form.
        k: The length of the window, at least 1.
        bound: What is proved of its error; see `truncate`.

    Raises:
        InputError: k is no whole number of at least 1, or the model sees the future or starts from
            a source.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("gru", in_features=3, out_features=2, hidden=8).eval()
        >>> window = unrecur.truncate(model, k=4)
        >>> window.receptive_field
        Field(past=3, future=0)
        >>> x = torch.randn(2, 20, 3)
        >>> torch.allclose(window(x)[0][:, -1], model(x[:, -4:])[0][:, -1], atol=1e-6)
        True
    """

    def __init__(self, model: AbstractSequenceModel, k: int, bound: float | None = None) -> None:
        super().__init__()
        _check.positive_integer(k, "k")
        if isinstance(model, AbstractConditionalModel):
            raise _check.InputError(
                "a model that starts from a source cannot be truncated to its last k inputs."
            )
        if not model.receptive_field.causal:
            raise _check.InputError("only a causal model can be truncated to its last k inputs.")
        self.model = model
        self.k, self.bound = k, bound
        self.in_features = model.in_features
        self.out_features = model.out_features
        self.takes_tokens = model.takes_tokens

    @property
    def cost(self) -> float:
        """Steps of the model for an output."""
        return self.k

    @property
    def receptive_field(self) -> Field:
        """The last k inputs, or fewer where the model sees fewer."""
        return Field(past=min(self.k - 1, self.model.receptive_field.past))

    def init_state(self, batch: int) -> State:
        """Make an empty window."""
        weight = next(self.model.parameters())
        if self.takes_tokens:
            inputs = torch.zeros(batch, self.k - 1, dtype=torch.long, device=weight.device)
        else:
            inputs = weight.new_zeros(batch, self.k - 1, self.in_features)
        return inputs, torch.zeros(batch, dtype=torch.long, device=weight.device)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], State]:
        """Map a whole block, all its windows side by side; see `AbstractSequenceModel.forward`."""
        batch, time = x.shape[:2]
        inputs, known = self.init_state(batch) if state is None else state
        seen = torch.cat([inputs, zero_padding(x, lengths)], 1)
        # Before k inputs have come a window holds all of them: there the model itself is run.
        whole = min(self.k, time) if state is None else 0
        parts = [self.model(seen[:, self.k - 1 :][:, :whole])[0]] if whole else []
        if whole < time:
            parts.append(self._windows(seen[:, whole:], known + whole))
        return torch.cat(parts, 1), self._slide(seen, known, time, lengths)

    def _windows(self, seen: Tensor, known: Tensor) -> Tensor:
        """Run the model over all windows of k inputs side by side.

        Args:
            seen: The inputs [batch, k - 1 + windows, ...]; window t starts at seen[t].
            known: How many inputs of each row are real before the last one of the first window.

        Returns:
            The last output of each window.
        """
        batch, windows = len(seen), seen.shape[1] - self.k + 1
        begin = torch.arange(windows, device=seen.device).repeat(batch)
        blank = (self.k - 1 - known).repeat_interleave(windows)
        y, h = seen.new_empty(0), self.model.init_state(batch * windows)
        for offset in range(self.k):
            x_t = seen[:, offset : offset + windows].flatten(0, 1)
            y, after = self.model.step(x_t, h)
            h = where(begin + offset >= blank, after, h)
        return y.unflatten(0, (batch, windows))

    def _slide(self, seen: Tensor, known: Tensor, time: int, lengths: Tensor | None) -> State:
        """Keep the last k - 1 inputs of each row, counted from its own end."""
        steps = time if lengths is None else lengths.to(seen.device)
        kept = last_steps(seen, self.k - 1, lengths)
        return kept, (known + steps).clamp(max=self.k - 1)

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step, at the cost of k steps of the model; see `AbstractSequenceModel.step`."""
        y, state = self(x_t[:, None], state)
        return y[:, 0], state
