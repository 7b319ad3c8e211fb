"""The adaptive softmax: scores of a large vocabulary, cheaper for rare tokens."""

from itertools import pairwise

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from unrecur import _check

_SHRINK = 4  # how much narrower each cluster is than the one before, as in the paper


class AdaptiveSoftmax(nn.Module):
    """Give the log-probabilities of all tokens, by torch's adaptive softmax.

    Tokens are numbered from frequent to rare. Those below the first cutoff share a softmax with the
    clusters of the others; cluster i has its own, of features // 4^i of the features
    (Grave et al. 2016, arXiv 1609.04309). Training does not need all of them: see
    `negative_log_likelihood`.

    Args:
        in_features: The number of features D.
        vocabulary: The number of tokens E.
        cutoffs: Where the clusters begin, in ascending order.

    Raises:
        InputError: A size is below 1, the cutoffs are not ascending within the vocabulary, or there
            are more clusters than features to share.

    Example:
        >>> head = AdaptiveSoftmax(16, vocabulary=1000, cutoffs=[100, 500])
        >>> bool(head(torch.randn(1, 2, 16)).exp().sum(-1).allclose(torch.ones(1, 2)))
        True
    """

    def __init__(self, in_features: int, vocabulary: int, cutoffs: list[int]) -> None:
        super().__init__()
        _check.positive_integer(in_features, "in_features")
        _check.positive_integer(vocabulary, "vocabulary")
        ends = [0, *cutoffs, vocabulary]
        if len(ends) < 3 or any(low >= high for low, high in pairwise(ends)):
            raise _check.InputError(
                f"expected cutoffs that ascend between 1 and {vocabulary - 1}, got {cutoffs}."
            )
        if in_features < _SHRINK ** len(cutoffs):
            raise _check.InputError(
                f"{len(cutoffs)} cutoffs need at least {_SHRINK ** len(cutoffs)} features, got "
                f"{in_features}. Take fewer cutoffs, or more features."
            )
        self.vocabulary = vocabulary
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(in_features, vocabulary, cutoffs, _SHRINK)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B E"]:
        """Give the log-probabilities of all tokens.

        Args:
            x: The features.

        Returns:
            log P of each token.
        """
        return self.softmax.log_prob(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

    def negative_log_likelihood(
        self, x: Float[Tensor, "*B D"], targets: Integer[Tensor, "*B"]
    ) -> Float[Tensor, "*B"]:
        """Measure the targets, at the cost of their own clusters only.

        Args:
            x: The features.
            targets: A token for each.

        Returns:
            -log P(target), in nats.

        Raises:
            InputError: A target lies outside of the vocabulary.
        """
        _check.tokens(targets, self.vocabulary, targets.dim())
        return -self.softmax(x.flatten(0, -2), targets.flatten()).output.view(targets.shape)


def adaptive_softmax_parameters(in_features: int, vocabulary: int, cutoffs: list[int]) -> int:
    """Count the parameters of an `AdaptiveSoftmax`.

    D (c_1 + n) for the first c_1 tokens and the n clusters, and for cluster i of m tokens and
    d = D // 4^i features d (D + m).

    Args:
        in_features: The number of features D.
        vocabulary: The number of tokens.
        cutoffs: Where the clusters begin.

    Returns:
        The number of parameters.
    """
    sizes = torch.diff(torch.tensor([*cutoffs, vocabulary])).tolist()
    widths = [in_features // _SHRINK**number for number in range(1, len(cutoffs) + 1)]
    clusters = sum(w * (in_features + m) for w, m in zip(widths, sizes, strict=True))
    return in_features * (cutoffs[0] + len(cutoffs)) + clusters
