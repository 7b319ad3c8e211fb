"""What models have in common that are fitted at once, not trained by gradients."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Fitted(Protocol):
    """A model that sets its weights from data by itself: by counting, or in closed form."""

    def fit(self, sequences: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the weights; what was fitted before is forgotten.

        Args:
            sequences: Pairs of inputs and targets of the same length, time first.
        """
