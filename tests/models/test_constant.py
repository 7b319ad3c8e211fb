"""The constant floor against what is least in its loss, by hand and by torch's own optimiser."""

import math

import pytest
import torch

from unrecur import InputError, build
from unrecur.data.losses import absolute_error, bernoulli_nll, categorical_nll, squared_error

X = torch.zeros(6, 3)


def fitted(target, out_features, of):
    model = build("constant", in_features=3, out_features=out_features, of=of)
    model.fit([(X[:4], target[:4]), (X[4:], target[4:])])
    return model


def test_classes_are_counted_with_laplaces_rule():
    model = fitted(torch.tensor([0, 2, 2, -100, 2, 0]), 4, "classes")
    wanted = [3 / 9, 1 / 9, 4 / 9, 1 / 9]
    assert model(X[None])[0][0, 0].exp().tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("of", "loss"), [("median", absolute_error), ("mean", squared_error), ("odds", bernoulli_nll)]
)
def test_no_other_constant_costs_less(of, loss):
    numbers = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
    target = (numbers > 0.3).float() if of == "odds" else numbers
    target[2] = math.nan
    scores = fitted(target, 2, of)(X[None])[0][0]
    least = float(loss(scores, target).sum())
    if of == "odds":
        known = target[:, 1][~target[:, 1].isnan()]
        assert float(scores[0, 1].sigmoid()) == pytest.approx((known.sum() + 1) / (len(known) + 2))
        return
    for column in range(2):
        for move in (-0.05, 0.05):
            moved = scores.clone()
            moved[:, column] += move
            assert float(loss(moved, target).sum()) >= least


def test_tokens_are_not_looked_at():
    model = build("constant", in_features=5, out_features=2, tokens=True)
    model.fit([(torch.tensor([4, 0]), torch.tensor([1, 1]))])
    scores, _ = model(torch.tensor([[0, 4]]))
    assert torch.equal(scores[0, 0], scores[0, 1])
    assert categorical_nll(scores[0], torch.tensor([1, 1])).tolist() == pytest.approx(
        [-math.log(0.75)] * 2
    )


def test_a_column_without_a_known_target_is_refused():
    with pytest.raises(InputError, match="known targets in every column"):
        fitted(torch.full((6, 1), math.nan), 1, "mean")


def test_the_median_of_many_numbers_is_taken_of_evenly_spaced_ones(monkeypatch):
    monkeypatch.setattr("unrecur.models.constant.MOST_NUMBERS", 64)
    model = build("constant", in_features=3, out_features=1, of="median")
    drawn = torch.randn(40, 25, 1, generator=torch.Generator().manual_seed(0))
    model.fit((torch.zeros(25, 3), part) for part in drawn)
    assert abs(float(model.scores)) < 0.4
    model.fit((torch.zeros(1, 3), torch.full((1, 1), 5.0)) for _ in range(500))
    assert float(model.scores) == 5.0
