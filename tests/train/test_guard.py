"""The guard: it stops what diverges, names the place, and lets noise pass."""

import json
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from small import FEATURES, small_task
from unrecur import InputError, Spec
from unrecur.train.evaluate import summed_losses
from unrecur.train.guard import (
    PATIENCE,
    DivergedError,
    check_gradient,
    check_loss,
    first_non_finite,
    first_overflow,
)

IO = {"in_features": FEATURES, "out_features": FEATURES}


def stopped_at(losses, chance=1.0, batches=100, seen=None):
    """The number of the loss at which the guard stops; None where it lets all pass."""
    seen = [] if seen is None else seen
    for number, loss in enumerate(losses, 1):
        try:
            check_loss(loss, seen, chance, 1, number, batches)
        except DivergedError:
            return number
    return None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(value):
    with pytest.raises(DivergedError, match=r"epoch 3, batch 7\. Lower learning_rate") as caught:
        check_loss(value, [1.0, 0.0], 1.0, 3, 7, 100)
    error = caught.value
    assert isinstance(error, InputError)
    assert (error.what, error.epoch, error.batch, error.layer) == ("loss", 3, 7, None)


def test_the_error_can_be_sent_to_another_process():
    error = DivergedError("gradient", math.inf, 2, 5, "models.0.cells.0.weight_hh_l0")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert "gradient is inf in epoch 2, batch 5, in models.0.cells.0.weight_hh_l0." in str(again)
    assert vars(again) == vars(error)


def test_a_loss_that_stays_far_above_stops_the_run():
    assert stopped_at([1.0] * 50 + [10.1] * 100) == 50 + PATIENCE
    assert stopped_at([1.0] * 50 + [9.9] * 1000) is None
    assert stopped_at([1.0] + [1.5**n for n in range(100)]) == 1 + 6 + PATIENCE
    with pytest.raises(DivergedError, match="stayed far above the 1 it began with"):
        check_loss(11.0, [0.5, PATIENCE - 1.0], 1.0, 1, 1, 10)


def test_a_high_start_is_no_divergence_and_a_spike_neither():
    assert stopped_at([500.0] * 300) is None
    assert stopped_at(([1.0] * 25 + [1e30] * 19) * 20) is None


def test_densities_have_losses_below_zero():
    assert stopped_at([-2.0] * 300, chance=-1.0) is None
    assert stopped_at([-2.0] * 30 + [7.0] * 300, chance=-1.0) is None
    assert stopped_at([-2.0] * 30 + [9.0] * 300, chance=-1.0) == 30 + PATIENCE


@given(losses=st.lists(st.sampled_from([0.0, 1.0, 10.5, 20.0]), min_size=1, max_size=400))
def test_no_epoch_that_is_as_good_as_chance_is_stopped(losses):
    # A tenth of the losses above ten times the chance level would be worse than chance alone.
    chance = max(sum(losses) / len(losses), 1e-3)
    assert stopped_at(losses, chance, batches=len(losses)) is None


def test_noise_with_heavy_tails_passes():
    generator = torch.Generator().manual_seed(0)
    for spread in (0.5, 1.0, 2.0):  # the last: 1 in 100 is above 14 times the mean
        noise = (spread * torch.randn(3, 2000, generator=generator) - spread**2 / 2).exp()
        assert all(stopped_at(row) is None for row in noise.tolist())
    # Storms: a hundredth of a stream has nearly all of its squares.
    calm = [0.01] * 990 + [90.0] * 10
    assert stopped_at(calm * 3, batches=1000) is None


def test_its_memory_goes_through_json():
    losses = [1.0] * 30 + [11.0] * 12 + [1.0] * 3 + [11.0] * 40
    whole, seen = stopped_at(losses), []
    assert whole == 45 + PATIENCE - 9
    assert stopped_at(losses[:40], seen=seen) is None
    seen = json.loads(json.dumps(seen))
    assert seen == [1.0, 10.0]
    assert stopped_at(losses[40:], seen=seen) == whole - 40


@pytest.mark.parametrize(("rate", "diverges"), [(0.1, False), (100.0, True)])
def test_a_learning_rate_that_diverges_is_stopped(rate, diverges):
    torch.manual_seed(0)
    task = small_task(sequences=40)
    model = Spec("elman", {**IO, "hidden": 8}).build()
    optimizer = torch.optim.SGD(model.parameters(), rate)

    def losses():
        for epoch in range(3):
            for batch in task.batches("train", 4, torch.Generator().manual_seed(epoch)):
                sums, counts = summed_losses(task, model(batch.x)[0], batch.target, batch.lengths)
                loss = sums.sum() / counts.sum()
                optimizer.zero_grad()
                loss.backward()
                yield loss.item()
                optimizer.step()

    stop = stopped_at(losses(), task.chance_level, batches=10)
    assert (stop is not None and stop <= 30) if diverges else stop is None


def chain():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def test_a_bad_gradient_is_named_where_backpropagation_meets_it_first():
    model = chain()
    check_gradient(model, 4.2, 1, 1)
    assert first_non_finite(model) is None
    for layer in model[:2]:  # the middle one broke, the lowest one suffers
        layer.weight.grad[1, 0] = math.nan
        layer.bias.grad[0] = math.inf
    with pytest.raises(DivergedError, match=r"in epoch 2, batch 9, in 1\.bias") as caught:
        check_gradient(model, math.nan, 2, 9)
    assert caught.value.layer == "1.bias"
    model[1].bias.grad[0] = 1.0
    assert first_non_finite(model) == "1.weight"


def test_a_bad_weight_comes_before_gradients():
    model = chain()
    model[2].weight.grad[0, 0] = math.nan
    with torch.no_grad():
        model[1].weight[0, 1] = math.inf
        model[2].weight[0, 1] = math.nan
    assert first_non_finite(model) == "1.weight"


def test_a_norm_beyond_its_type_is_said_to_be_that():
    model = chain()
    model[0].weight.grad.fill_(1e30)
    with pytest.raises(DivergedError, match="finite numbers whose squares are beyond"):
        check_gradient(model, math.inf, 1, 1)


def test_the_layer_that_overflows_is_named():
    task = small_task()
    [batch, *_] = task.batches("train", 12)
    options = {**IO, "hidden": 4, "layers": 2, "activation": "relu"}
    torch.manual_seed(0)
    model = Spec("elman", options).build()
    assert first_overflow(model, batch, None) is None
    with torch.no_grad():
        model.models[0].cells[1].weight_hh_l0.fill_(1e20)
        model.models[0].cells[1].bias_ih_l0.fill_(1.0)
    assert first_overflow(model, batch, None) == "models.0"
    assert not any(module._forward_hooks for module in model.modules())
