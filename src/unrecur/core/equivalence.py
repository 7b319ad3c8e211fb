"""Do the two forms of a model agree? The question asked before a model is streamed."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State, leaves


@dataclass(frozen=True)
class Equivalence:
    """How far the step form is from the block form.

    Attributes:
        per_step: The largest difference of the outputs at each step, shape [time].
        state: The largest difference of the final states.
    """

    per_step: Float[Tensor, " T"]
    state: float

    @property
    def largest(self) -> float:
        """The largest difference of any output."""
        return float(self.per_step.max())

    def __str__(self) -> str:
        worst = int(self.per_step.argmax())
        return (
            f"largest difference {self.largest:.3g} (at step {worst} of {len(self.per_step)}), "
            f"in the final state {self.state:.3g}"
        )


def fold_steps(
    model: AbstractSequenceModel, x: Shaped[Tensor, "B T ..."], state: State | None = None
) -> tuple[Float[Tensor, "B N E"], State]:
    """Run the step form over a block: the slow, obvious version of `forward`.

    Args:
        model: The model.
        x: A block.
        state: The state before it; None for the state before the first input.

    Returns:
        The outputs and the final state, as `forward` gives them.
    """
    outputs = []
    for x_t in x.unbind(1):
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    # A step of a model that upsamples gives several outputs.
    several = outputs[0].dim() == 3
    return torch.cat(outputs, 1) if several else torch.stack(outputs, 1), state


@torch.no_grad()
def check_equivalence(
    model: AbstractSequenceModel, x: Shaped[Tensor, "B T ..."], state: State | None = None
) -> Equivalence:
    """Measure how far a model's step form is from its block form on some input.

    Dropout must be off (`model.eval()`), as the two forms would draw differently.

    Args:
        model: Any model with both forms.
        x: A block of inputs.
        state: The state before it; None for the state before the first input.

    Returns:
        The difference at each step and in the final state.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("lstm", in_features=3, out_features=2, hidden=8)
        >>> report = unrecur.check_equivalence(model, torch.randn(2, 20, 3))
        >>> report.largest < 1e-5
        True
    """
    block, block_state = model(x, state)
    folded, folded_state = fold_steps(model, x, state)
    per_step = (block - folded).abs().amax(dim=(0, 2))
    gaps = [
        float((a - b).abs().max()) if a.numel() else 0.0
        for a, b in zip(leaves(block_state), leaves(folded_state), strict=True)
    ]
    return Equivalence(per_step, max(gaps, default=0.0))
