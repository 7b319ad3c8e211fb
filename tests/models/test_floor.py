"""The floors against counting by hand."""

import math

import pytest
import torch

from unrecur.models import MODELS
from unrecur.models.fitted import Fitted
from unrecur.models.floor import Frequencies, Markov
from unrecur.models.spec import Spec

X = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
PAIRS = [(X[:-1], X[1:])]


def test_frequencies_are_counted_with_laplaces_rule():
    model = Frequencies(in_features=2)
    model.fit(PAIRS)
    # Targets of feature 0: 1, 0, 1; of feature 1: 1, 1, 0. (2 + 1) / (3 + 2) each.
    assert torch.sigmoid(model.logits[0]).tolist() == pytest.approx([0.6, 0.6])


def test_transitions_are_counted_by_the_last_value():
    model = Markov(in_features=2)
    model.fit(PAIRS)
    y, _ = model(X[None])
    after = {1.0: [2 / 4, 2 / 4], 0.0: [2 / 3, 2 / 3]}
    # Feature 0: 1 -> 1, 1 -> 0, 0 -> 1. Feature 1: 0 -> 1, 1 -> 1, 1 -> 0.
    for t in range(len(X)):
        for j in range(2):
            assert float(torch.sigmoid(y[0, t, j])) == pytest.approx(after[float(X[t, j])][j])


@pytest.mark.parametrize("name", MODELS)
def test_floors_and_no_others_are_fitted(name):
    model = Spec(name, MODELS[name].example).build
    with torch.device("meta"):
        assert isinstance(model(), Fitted) == (MODELS[name].family == "floor")


def test_the_floor_is_the_best_of_its_kind():
    torch.manual_seed(0)
    roll = (torch.rand(2000, 3) < torch.tensor([0.1, 0.5, 0.8])).float()
    model = Frequencies(in_features=3)
    model.fit([(roll[:-1], roll[1:])])
    p = torch.sigmoid(model.logits[0])
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        model(roll[None, :-1])[0], roll[None, 1:], reduction="none"
    )
    assert float(loss.sum(-1).mean()) == pytest.approx(float(entropy), rel=1e-3)
    assert math.isfinite(float(entropy))
