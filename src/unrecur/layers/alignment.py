"""Alignment: how much of each step of a memory a query reads."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.state import valid_steps
from unrecur.layers import attention_maps


def read(
    module: nn.Module,
    scores: Float[Tensor, "B T N"],
    values: Float[Tensor, "B N M"],
    counts: Integer[Tensor, " B"],
) -> tuple[Float[Tensor, "B T M"], Float[Tensor, "B T N"]]:
    """Read the mean of the values, weighted by the softmax of the scores.

    The weights are there for `unrecur.attention_maps`.

    Args:
        module: Whose weights these are.
        scores: What each query gives to each step of the memory.
        values: What the steps hold; zeros in the padding.
        counts: How many steps of each row are valid, at least one.

    Returns:
        The contexts, and the weights: zero in the padding, one in sum.
    """
    valid = valid_steps(counts, scores.shape[2])[:, None]
    weights = scores.masked_fill(~valid, -torch.inf).softmax(-1)
    attention_maps.record(module, weights[:, None])
    return weights @ values, weights


class AbstractAlignment(nn.Module, ABC):
    """Attention by learned scores over the steps of a memory.

    Args:
        query_features: The number of features Q of a query.
        memory_features: The number of features M of a step of the memory.

    Raises:
        InputError: A size is below 1.
    """

    def __init__(self, query_features: int, memory_features: int) -> None:
        super().__init__()
        _check.positive_integer(query_features, "query_features")
        _check.positive_integer(memory_features, "memory_features")

    @abstractmethod
    def keys(self, memory: Float[Tensor, "B N M"]) -> Float[Tensor, "B N A"]:
        """Compute what the scores need of the memory, once for all queries.

        Args:
            memory: The memory.

        Returns:
            The keys.
        """

    @abstractmethod
    def scores(
        self, query: Float[Tensor, "B T Q"], keys: Float[Tensor, "B N A"]
    ) -> Float[Tensor, "B T N"]:
        """Score every step of the memory for every query.

        Args:
            query: The queries.
            keys: The keys.

        Returns:
            The scores.
        """

    def forward(
        self,
        query: Float[Tensor, "B T Q"],
        memory: Float[Tensor, "B N M"],
        keys: Float[Tensor, "B N A"],
        counts: Integer[Tensor, " B"],
    ) -> tuple[Float[Tensor, "B T M"], Float[Tensor, "B T N"]]:
        """Read the memory for every query.

        Args:
            query: The queries.
            memory: The memory; zeros in the padding.
            keys: Its keys.
            counts: How many of its steps are valid in each row.

        Returns:
            The contexts and the weights.
        """
        return read(self, self.scores(query, keys), memory, counts)


class AdditiveAlignment(AbstractAlignment):
    """score(q, m) = v^T tanh(W q + U m) (Bahdanau, Cho, Bengio 2015, arXiv 1409.0473, A.1.2).

    It holds a block of [batch, queries, steps, units] numbers.

    Args:
        query_features: The number of features Q of a query.
        memory_features: The number of features M of a step of the memory.
        units: The number of hidden units A.

    Raises:
        InputError: A size is below 1.

    Example:
        >>> import torch
        >>> alignment = AdditiveAlignment(query_features=3, memory_features=5, units=4)
        >>> memory, counts = torch.randn(2, 7, 5), torch.tensor([7, 4])
        >>> context, weights = alignment(
        ...     torch.randn(2, 6, 3), memory, alignment.keys(memory), counts
        ... )
        >>> context.shape, weights[1, 0, 4:].tolist()
        (torch.Size([2, 6, 5]), [0.0, 0.0, 0.0])
    """

    def __init__(self, query_features: int, memory_features: int, units: int) -> None:
        super().__init__(query_features, memory_features)
        _check.positive_integer(units, "units")
        self.of_query = nn.Linear(query_features, units, bias=False)
        self.of_memory = nn.Linear(memory_features, units, bias=False)
        self.of_units = nn.Linear(units, 1, bias=False)

    def keys(self, memory: Float[Tensor, "B N M"]) -> Float[Tensor, "B N A"]:
        """Give U m; see `AbstractAlignment.keys`."""
        return self.of_memory(memory)

    def scores(
        self, query: Float[Tensor, "B T Q"], keys: Float[Tensor, "B N A"]
    ) -> Float[Tensor, "B T N"]:
        """Score; see `AbstractAlignment.scores`."""
        return self.of_units(torch.tanh(self.of_query(query)[:, :, None] + keys[:, None]))[..., 0]


class DotAlignment(AbstractAlignment):
    """score(q, m) = q^T W m (Luong, Pham, Manning 2015, arXiv 1508.04025, eq. 8, "general").

    Args:
        query_features: The number of features Q of a query.
        memory_features: The number of features M of a step of the memory.

    Raises:
        InputError: A size is below 1.
    """

    def __init__(self, query_features: int, memory_features: int) -> None:
        super().__init__(query_features, memory_features)
        self.weight = nn.Parameter(torch.empty(query_features, memory_features))
        nn.init.xavier_uniform_(self.weight)

    def keys(self, memory: Float[Tensor, "B N M"]) -> Float[Tensor, "B N A"]:
        """Give W m; see `AbstractAlignment.keys`."""
        return functional.linear(memory, self.weight)

    def scores(
        self, query: Float[Tensor, "B T Q"], keys: Float[Tensor, "B N A"]
    ) -> Float[Tensor, "B T N"]:
        """Score; see `AbstractAlignment.scores`."""
        return query @ keys.mT
