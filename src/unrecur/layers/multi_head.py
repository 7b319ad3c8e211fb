"""What every attention shares: projections into heads, the weighted mean, and the way back."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.layers.attention_maps import record, recording


class AbstractMultiHead(AbstractSequenceModel):
    """Scaled dot-product attention of several heads, with torch's parameters.

    Head h gives softmax(q_h k_h' / sqrt(D/H) + bias) v_h, with q = W_q x + b_q and so on; the heads
    side by side go through a last linear map (Vaswani et al., Attention Is All You Need, 2017). The
    `state_dict` of a `torch.nn.MultiheadAttention` of the same size loads as it is.

    Args:
        features: The width D of inputs and outputs.
        heads: The number of heads H; it divides the width.
        dropout: The probability with which a weight is dropped in training.

    Raises:
        InputError: A size is below 1, the heads do not divide the width, or the probability is out
            of range.
    """

    def __init__(self, features: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        _check.positive_integer(features, "the width")
        _check.positive_integer(heads, "heads")
        _check.fraction(dropout, "dropout")
        if features % heads:
            raise _check.InputError(
                f"the heads must divide the width, got {heads} heads for a width of {features}. "
                f"Take a width of {heads * math.ceil(features / heads)}, or other heads."
            )
        self.in_features = self.out_features = features
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * features, features))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * features))
        self.out_proj = nn.Linear(features, features)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def query(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Project steps to what they look for.

        Args:
            x: The steps.

        Returns:
            The queries, the heads side by side.
        """
        size = self.in_features
        return functional.linear(x, self.in_proj_weight[:size], self.in_proj_bias[:size])

    def key_value(
        self, x: Float[Tensor, "B N D"]
    ) -> tuple[Float[Tensor, "B N D"], Float[Tensor, "B N D"]]:
        """Project steps to what they are found by and what they tell.

        Args:
            x: The steps.

        Returns:
            The keys and the values, the heads side by side.
        """
        size = self.in_features
        both = functional.linear(x, self.in_proj_weight[size:], self.in_proj_bias[size:])
        key, value = both.chunk(2, -1)
        return key, value

    def project(self, x: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor, Tensor]:
        """Project the same steps to queries, keys and values.

        Args:
            x: The steps.

        Returns:
            Queries, keys and values, each of x's shape.
        """
        q, k, v = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        return q, k, v

    def split(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T F"]:
        """Take the heads apart.

        Args:
            x: Queries, keys or values, the heads side by side.

        Returns:
            F = D / H features of each head.
        """
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def attend(
        self,
        query: Float[Tensor, "B T D"],
        key: Float[Tensor, "B N D"],
        value: Float[Tensor, "B N D"],
        mask: Bool[Tensor, "#B #H T N"] | Float[Tensor, "#B #H T N"] | None = None,
        causal: bool = False,
        part: str = "",
        groups: int = 1,
    ) -> Float[Tensor, "B T D"]:
        """Take, for each query, the weighted mean of the values, and map it back.

        Args:
            query: What is looked for.
            key: Where.
            value: What is told there.
            mask: True where a query sees a key, or numbers added to the scores; None where it sees
                them all.
            causal: Whether, in place of a mask, query t sees the keys up to key t.
            part: Which of the layer's attentions this is, for `attention_maps`.
            groups: How many rows, one after the other, are pieces of the same sequence.

        Returns:
            One vector for each query.
        """
        q, k, v = self.split(query), self.split(key), self.split(value)
        if recording():
            weights = _weights(q, k, mask, causal).unflatten(0, (-1, groups))
            record(self, weights.transpose(1, 2).flatten(2, 3), part)
        dropout = self.dropout if self.training else 0.0
        told = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal
        )
        return self.out_proj(told.transpose(1, 2).flatten(2))


def _weights(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Give the weights that stay inside of the fused kernel."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        mask = torch.ones_like(scores, dtype=torch.bool).tril()
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype != torch.bool:
        return (scores + mask).softmax(-1)
    return scores.masked_fill(~mask, -math.inf).softmax(-1)
