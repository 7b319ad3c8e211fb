"""The adaptive softmax gives a distribution, and a loss that does not need all of it."""

import pytest
import torch

from unrecur import InputError
from unrecur.layers.adaptive_softmax import AdaptiveSoftmax, adaptive_softmax_parameters


@pytest.mark.parametrize("cutoffs", [[4], [2, 9], [1, 5, 19]])
def test_it_is_a_distribution_and_its_loss_the_same(cutoffs):
    torch.manual_seed(0)
    head = AdaptiveSoftmax(64, 20, cutoffs).double()
    x = torch.randn(2, 30, 64, dtype=torch.float64)
    log_probabilities = head(x)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(2, 30).double())
    targets = torch.randint(0, 20, (2, 30))
    picked = log_probabilities.gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(head.negative_log_likelihood(x, targets), -picked)
    counted = adaptive_softmax_parameters(64, 20, cutoffs)
    assert counted == sum(p.numel() for p in head.parameters())


@pytest.mark.parametrize("cutoffs", [[], [0], [20], [5, 5], [9, 2]])
def test_cutoffs_that_do_not_ascend_are_refused(cutoffs):
    with pytest.raises(InputError, match="cutoffs that ascend"):
        AdaptiveSoftmax(64, 20, cutoffs)


def test_too_many_clusters_and_unknown_targets_are_refused():
    with pytest.raises(InputError, match="at least 16 features"):
        AdaptiveSoftmax(15, 20, [2, 5])
    with pytest.raises(InputError, match="from 0 to 19"):
        AdaptiveSoftmax(4, 20, [2]).negative_log_likelihood(
            torch.zeros(1, 1, 4), torch.tensor([[20]])
        )
