"""Early warnings: before the loss is NaN, of the right layer, and none of a healthy run."""

import math
from dataclasses import replace

import pytest
import torch

from small import FEATURES, small_task
from unrecur import Spec
from unrecur.data.losses import squared_error
from unrecur.layers.initialize import chrono_
from unrecur.train.clipping import clip_
from unrecur.train.early_warning import warnings_of
from unrecur.train.evaluate import summed_losses
from unrecur.train.monitor import Measurement, measure

IO = {"in_features": FEATURES, "out_features": FEATURES}
LOWER, UPPER, READOUT = "models.0.cells.0", "models.0.cells.1", "models.2.module"


def long_sequences(time=60):
    generator = torch.Generator().manual_seed(0)
    rolls = [(torch.rand(time + 1, FEATURES, generator=generator) < 0.3).float() for _ in range(8)]
    pairs = [(roll[:-1], roll[1:]) for roll in rolls]
    return replace(small_task(), splits=dict.fromkeys(("train", "valid", "test"), pairs), hashes={})


def watched(model, task, rate, epochs, clip=None, optimizer=torch.optim.SGD):
    """Train, measuring at each batch, to the end or a loss that is not finite."""
    steps, history = optimizer(model.parameters(), rate), []
    for epoch in range(1, epochs + 1):
        order = torch.Generator().manual_seed(epoch)
        for number, batch in enumerate(task.batches("train", 4, order), 1):
            sums, counts = summed_losses(task, model(batch.x)[0], batch.target, batch.lengths)
            loss = sums.sum() / counts.sum()
            if not loss.isfinite():
                return history, False
            steps.zero_grad()
            loss.backward()
            history.append(measure(model, task, batch, epoch, number))
            if clip is not None:
                clip_(model.parameters(), clip)
            steps.step()
    return history, True


def elman(radii):
    """A stack of rectifiers with recurrent weights of these spectral radii."""
    torch.manual_seed(0)
    options = {"hidden": 8, "layers": len(radii), "activation": "relu"}
    model = Spec("elman", {**IO, **options}).build()
    with torch.no_grad():
        for cell, radius in zip(model.models[0].cells, radii, strict=True):
            cell.weight_hh_l0.copy_(radius * torch.eye(8))
    return model


@pytest.mark.parametrize(
    ("radii", "layers"),
    [((1.3, 0.5), [LOWER]), ((0.5, 1.3), [UPPER]), ((1.9, 1.2), [UPPER, LOWER])],
)
def test_an_explosion_names_the_layer_that_makes_it(radii, layers):
    model, task = elman(radii), replace(long_sequences(), step_loss=squared_error)
    history, finished = watched(model, task, 1e-8, 1)
    assert not finished  # the first step has lost it: only what is seen before is of use
    found = warnings_of(history, model)
    assert [warning.layer for warning in found if warning.kind == "explodes"] == layers
    for warning, radius in zip(found, [radii[layer == UPPER] for layer in layers], strict=False):
        assert (warning.epoch, warning.batch) == (1, 1)
        assert warning.lag == pytest.approx(math.log(100) / math.log(radius), abs=4)
        assert f"{warning.layer} (Elman)" in warning.proposal
        assert f"a look_back below {warning.lag}" in warning.proposal


def test_an_explosion_is_seen_before_the_loss_is_lost():
    task = replace(long_sequences(), step_loss=squared_error)
    model = elman((1.05, 0.5))
    history, finished = watched(model, task, 1e-2, 4)
    assert not finished
    first = warnings_of(history, model)[0]
    assert (first.layer, first.kind) == (LOWER, "explodes")
    assert (first.epoch, first.batch) < (history[-1].epoch, history[-1].batch)
    assert warnings_of(history[:1], model) == []  # as it was in order
    # What is proposed helps: with clipping nothing is lost.
    assert watched(elman((1.05, 0.5)), task, 1e-2, 2, clip=0.1)[1]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("task", "epochs"), [(small_task(), 4), (long_sequences(40), 2)], ids=["short", "long"]
)
def test_a_healthy_run_is_silent(cell, task, epochs):
    torch.manual_seed(0)
    model = Spec(cell, {**IO, "hidden": 8}).build()
    history, finished = watched(model, task, 1e-2, epochs, clip=1.0, optimizer=torch.optim.Adam)
    assert finished
    assert warnings_of(history, model) == []


def test_memory_that_is_needed_must_be_reached():
    torch.manual_seed(0)
    task = long_sequences(40)
    model = Spec("lstm", {**IO, "hidden": 8}).build()
    [batch] = task.batches("train", 8)
    history = [measure(model, task, batch, 1, 1)]
    [warning] = warnings_of(history, model, needed=35)
    assert (warning.layer, warning.kind) == (LOWER, "vanishes")
    norms = history[0].lags[LOWER]
    start = max(norms[:2])
    assert norms[warning.lag - 1] >= start / 1e3 > max(norms[warning.lag :])
    assert "initialization='chrono'" in warning.proposal
    assert "'longest': 35" in warning.proposal
    assert warnings_of(history, model, needed=warning.lag - 1) == []
    chrono_(model, longest=400)  # what was proposed helps
    assert warnings_of([measure(model, task, batch, 1, 1)], model, needed=35) == []


def one(lags, batch=1, norm=1.0, relative=0.1):
    norms = {LOWER: norm / 2, UPPER: norm, READOUT: norm / 3}
    return Measurement(1, batch, norms, dict.fromkeys(norms, relative), lags)


def falling(rate):
    return [rate**lag for lag in range(20)]


def test_an_unknown_need_warns_of_next_to_no_memory_if_it_lasts():
    model = elman((0.5, 0.5))
    short, long = {LOWER: falling(0.05), UPPER: falling(0.9)}, {LOWER: falling(0.2)}
    assert warnings_of([one(short, 1), one(short, 2), one(long, 3), one(short, 4)], model) == []
    [warning] = warnings_of([one(short, number) for number in (1, 2, 3, 4)], model)
    assert (warning.layer, warning.lag, warning.batch) == (LOWER, 3, 3)
    assert "take an lstm" in warning.proposal
    nothing = {LOWER: [0.0] * 20}  # no gradient at the output either
    assert warnings_of([one(nothing)] * 3, model) == []
    cut = {LOWER: falling(0.05)[:2]}  # not seen far enough
    assert warnings_of([one(cut)] * 3, model) == []


@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e4])
def test_a_gradient_that_does_not_stay_small_is_an_explosion(bad):
    model = elman((0.5, 0.5))
    lags = {LOWER: [1.0, 1.0, bad]}
    [warning] = warnings_of([one(lags)], model)
    assert (warning.layer, warning.kind, warning.lag) == (LOWER, "explodes", 2)


def test_a_rise_names_the_layer_that_rose_most():
    model = elman((0.5, 0.5))
    calm = [one({}, number) for number in range(1, 8)]
    assert warnings_of([*calm, one({}, 8, norm=90.0, relative=5.0)], model) == []
    assert warnings_of([*calm, one({}, 8, norm=900.0, relative=0.5)], model) == []
    assert warnings_of([*calm[:3], one({}, 8, norm=900.0, relative=5.0)], model) == []
    risen = one({}, 8, norm=900.0, relative=5.0)
    risen.norms[UPPER] = 9000.0
    [warning] = warnings_of([*calm, risen, risen], model)
    assert (warning.layer, warning.lag, warning.batch) == (UPPER, None, 8)
    assert "9000 times its median" in warning.proposal
    [warning] = warnings_of([one({}, 1, norm=math.nan)], model)
    assert (warning.layer, "not finite" in warning.proposal) == (READOUT, True)
