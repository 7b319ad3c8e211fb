"""The memory curve against running each window by itself."""

import pytest
import torch

from small import FEATURES, small_task
from unrecur import Spec, certify, memory_curve, output_bound, project_
from unrecur.audits.memory import windows_of
from unrecur.train.evaluate import evaluate

IO = {"in_features": FEATURES, "out_features": FEATURES}


def by_hand(model, task, k):
    """The summed losses and the largest output errors of windows of k inputs, one by one."""
    losses, errors = [], []
    for x, target in task.splits["test"]:
        full, _ = model(x[None])
        loss = 0.0
        for t in range(len(x)):
            short = model(x[None, max(0, t - k + 1) : t + 1])[0][0, -1]
            errors.append(float((short - full[0, t]).abs().max()))
            loss += float(task.step_loss(short, target[t]))
        losses.append(loss)
    return losses, errors


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_curve_is_that_of_windows_run_one_by_one(name):
    torch.manual_seed(0)
    model, task = Spec(name, {**IO, "hidden": 6}).build().eval(), small_task()
    points = list(memory_curve(model, task))
    assert [point.k for point in points] == [1, 2, 4, 8, 16]
    with torch.no_grad():
        for point in points:
            losses, errors = by_hand(model, task, point.k)
            assert point.scores.loss.tolist() == pytest.approx(losses, rel=1e-5)
            assert point.error_max == pytest.approx(max(errors), abs=1e-5)
            median = float(torch.tensor(errors).median())
            assert point.error_median == pytest.approx(median, abs=1e-5)
            assert point.bound is None
    assert points[-1].scores.metric == pytest.approx(evaluate(model, task, "test").metric)


def test_a_proved_model_has_its_bound_beside_the_error():
    torch.manual_seed(0)
    model, task = Spec("lstm", {**IO, "hidden": 6}).build().eval(), small_task()
    project_(model, task.input_box, 0.7)
    certificate = certify(model, task.input_box)
    for point in memory_curve(model, task, "test", certificate):
        assert point.bound == output_bound(model, certificate, point.k)
        assert point.error_max <= point.bound


@pytest.mark.parametrize("longest", [1, 2, 3, 8, 9, 100])
def test_the_last_window_holds_every_sequence(longest):
    windows = windows_of(longest)
    assert windows[0] == 1
    assert windows[-1] >= longest
    assert longest == 1 or windows[-2] < longest
