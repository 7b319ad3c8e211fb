"""Distillation: students that agree where they can, and a report that says where they cannot."""

import dataclasses
import json

import pytest
import torch
from torch.nn import functional

from small import small_task, small_text
from unrecur import InputError, Spec, TrainConfig, build, distill, evaluate
from unrecur.core.compose import Serial
from unrecur.data.losses import squared_error
from unrecur.data.recall import delayed_recall
from unrecur.data.running import predictions
from unrecur.data.sequences import SPLITS, known_steps
from unrecur.data.sums import decay
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.embedding import Embedding
from unrecur.studies import taught as module
from unrecur.studies.agreement import agreement
from unrecur.studies.taught import bernoulli_divergence, categorical_divergence, taught
from unrecur.truncation.window import Window

QUICK = TrainConfig(epochs=1, batch_size=8)


@pytest.fixture(autouse=True)
def untimed(monkeypatch):
    """Measure speeds only once."""
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)


def recall(delay=1, count=24):
    return delayed_recall(length=6, delay=delay, sequences=(count, 12, 12))


def remembering(delay=1):
    """A teacher that says the symbol of `delay` steps ago, and knows of nothing before."""
    table, taps = Embedding(8, 8), CausalConvolution(8, 8, kernel_size=delay + 1)
    with torch.no_grad():
        table.table.weight.copy_(torch.eye(8))
        taps.weight.zero_()
        taps.weight[:, :, 0] = 6 * torch.eye(8)  # the oldest tap
        taps.bias.zero_()
    return Serial(table, taps).eval()


def gru(task, hidden=6, seed=0):
    torch.manual_seed(seed)
    sizes = {"in_features": task.in_features, "out_features": task.out_features}
    return build("gru", **sizes, hidden=hidden, tokens=task.tokens).eval()


def test_a_student_agrees_with_a_teacher_of_short_memory():
    task = recall(count=96)
    teacher = remembering()
    config = TrainConfig(epochs=6, batch_size=6, learning_rate=3e-2)
    found = distill(teacher, "tcn", task, config, parameters=1500, control=True)
    assert (found.k, found.receptive_field, found.enough) == (2, 3, True)
    assert found.agreement.decisions == 1.0
    assert found.agreement.root_mean_square < 0.05
    assert found.windowed_metric == pytest.approx(found.teacher_metric, abs=1e-5)
    assert found.student_metric == pytest.approx(found.teacher_metric, abs=0.05)
    assert found.control_metric < 0.1
    assert found.parameters == found.spec.parameters == pytest.approx(1500, rel=0.1)
    assert found.step_seconds > 0 < found.teacher_step_seconds
    json.dumps(found.describe(), allow_nan=False)


def test_a_teacher_that_needs_more_inputs_is_said_to():
    task = recall(delay=3)
    found = distill(remembering(3), "tcn", task, QUICK, k=2, parameters=1500)
    assert not found.enough
    assert found.windowed_metric > found.teacher_metric + 1
    assert found.receptive_field == 3  # two inputs take a level, which sees three
    assert distill(remembering(3), "tcn", task, QUICK, k=4, parameters=1500).enough


def test_a_recurrent_student_runs_on_windows_and_has_the_size_of_its_teacher():
    task = small_task()
    teacher = gru(task)
    found = distill(teacher, "lstm", task, QUICK, k=3)
    assert isinstance(found.model, Window)
    assert found.receptive_field == found.model.k == 3
    assert found.parameters == pytest.approx(found.teacher_parameters, rel=0.1)
    x = torch.rand(1, 9, task.in_features)
    first, late = found.model(x)[0][:, -1], found.model(x[:, -3:])[0][:, -1]
    assert torch.allclose(first, late, atol=1e-6)


def test_a_spec_is_taken_as_it_is_and_the_same_seed_gives_the_same():
    task = small_text()
    spec = Spec(
        "tcn", {"in_features": 7, "out_features": 7, "tokens": True, "hidden": 4, "levels": 2}
    )
    one, other = (distill(gru(task), spec, task, QUICK, k=4, seed=3) for _ in range(2))
    assert one.spec is spec
    assert one.receptive_field == 7
    timed = ("teacher_step_seconds", "step_seconds")
    said = [{k: v for k, v in found.describe().items() if k not in timed} for found in (one, other)]
    assert said[0] == said[1]


@pytest.mark.parametrize("make", [small_task, small_text, recall], ids=["rolls", "text", "symbols"])
def test_targets_are_what_the_teacher_says_held_or_read(make, monkeypatch):
    task = make()
    teacher = gru(task)
    held = taught(teacher, task)
    monkeypatch.setattr(module, "HELD", 0)
    read = taught(teacher, task)
    assert held.hashes == read.hashes != task.hashes
    for split in SPLITS:
        said = dict(predictions(teacher, task, split, streams=1))
        assert held.lengths(split).tolist() == read.lengths(split).tolist()
        for number in reversed(range(len(task.splits[split]))):  # in any order
            x, labels = task.pair(split, number)
            known = known_steps(labels)
            for relabelled in (held, read):
                seen, target = relabelled.pair(split, number)
                assert torch.equal(seen, x)
                assert torch.equal(known_steps(target), known)
                assert torch.allclose(target[known], said[number][known], atol=1e-5)


def test_who_says_the_same_has_no_loss_and_a_teacher_another_hash():
    for task in (small_task(), small_text(), recall()):
        teacher = gru(task)
        relabelled = taught(teacher, task)
        assert evaluate(teacher, relabelled, "test").metric == pytest.approx(0, abs=1e-3)
        assert evaluate(gru(task, seed=1), relabelled, "test").metric > 1e-3
        assert taught(gru(task, seed=1), task).hashes["train"] != relabelled.hashes["train"]
    assert taught(
        gru(decay(10, sequences=(4, 4, 4))), decay(10, sequences=(4, 4, 4))
    ).step_loss is (squared_error)


def test_divergences_are_those_of_torch():
    torch.manual_seed(0)
    ours, theirs = torch.randn(3, 4, 5), 3 * torch.randn(3, 4, 5)
    logs = [functional.log_softmax(scores, -1) for scores in (ours, theirs)]
    expected = functional.kl_div(*logs, log_target=True, reduction="none").sum(-1)
    assert torch.allclose(categorical_divergence(ours, theirs), expected, atol=1e-5)
    of = torch.distributions.Bernoulli
    expected = torch.distributions.kl_divergence(of(logits=theirs), of(logits=ours)).sum(-1)
    assert torch.allclose(bernoulli_divergence(ours, theirs), expected, atol=1e-4)


@pytest.mark.parametrize("loss", [categorical_divergence, bernoulli_divergence, squared_error])
def test_steps_that_are_not_asked_give_no_loss_and_no_gradient(loss):
    scores = torch.randn(2, 3, requires_grad=True)
    target = torch.tensor([[0.1, 0.2, 0.3], [float("nan")] * 3])
    losses = loss(scores, target)
    assert losses[1] == 0
    losses.sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[1] == 0).all()


def test_agreement_is_that_of_an_obvious_loop():
    task = small_task()
    one, other = gru(task), gru(task, seed=1)
    gaps, equal = [], []
    for x, _ in task.splits["test"]:
        a, b = (model(x[None])[0][0].detach().sigmoid() for model in (one, other))
        gaps.append((a - b).abs().flatten())
        equal.append(((a > 0.5) == (b > 0.5)).flatten())
    gaps, equal = torch.cat(gaps), torch.cat(equal)
    found = agreement(one, other, task)
    assert found.largest == pytest.approx(float(gaps.max()), rel=1e-4)
    assert found.root_mean_square == pytest.approx(float(gaps.square().mean().sqrt()), rel=1e-4)
    assert found.decisions == pytest.approx(float(equal.float().mean()))
    assert dataclasses.astuple(agreement(one, one, task)) == (1.0, 0.0, 0.0)


def test_bad_input_is_refused():
    task = small_task()
    teacher = gru(task)
    ahead = build("bidirectional_gru", in_features=5, out_features=5, hidden=4)
    with pytest.raises(InputError, match="causal teacher"):
        distill(ahead, "tcn", task, QUICK)
    with pytest.raises(InputError, match="how a transformer is to see"):
        distill(teacher, "transformer", task, QUICK, k=2)
    with pytest.raises(InputError, match="k must be a whole number"):
        distill(teacher, "tcn", task, QUICK, k=0)
    with pytest.raises(InputError, match="does not read token ids"):
        distill(teacher, "tcn", small_text(), QUICK, k=2)


def test_a_teacher_no_window_is_enough_for_is_refused(monkeypatch):
    monkeypatch.setattr("unrecur.studies.distill.least_window", lambda *_: None)
    with pytest.raises(InputError, match="remembers more than a window holds"):
        distill(gru(small_text()), "tcn", small_text(), QUICK)
