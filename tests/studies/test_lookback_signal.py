"""What the data alone say: held to closed forms and to slow, obvious versions."""

import numpy as np
import pytest
import torch

from unrecur.data.datasets import task_from
from unrecur.studies.lookback_data import steps_of
from unrecur.studies.lookback_processes import conditional_entropies, hidden_markov
from unrecur.studies.lookback_signal import partial_autocorrelation, predictive_information


def series(coefficients, steps=6000, seed=0):
    random = np.random.default_rng(seed)
    order, noise = len(coefficients), random.normal(size=steps)
    y = np.zeros(steps)
    for t in range(order, steps):
        y[t] = np.dot(coefficients, y[t - order : t][::-1]) + noise[t]
    return torch.from_numpy(y).float()[:, None]


def in_order(x, target, **options):
    """A task whose splits are parts of one series, in order."""
    parts = {"train": slice(0, -200), "valid": slice(-200, -20), "test": slice(-20, None)}
    return task_from({name: [(x[part], target[part])] for name, part in parts.items()}, **options)


def numbers(y):
    return in_order(y[:-1], y[1:])


def test_partial_autocorrelations_are_those_of_the_process():
    steps = steps_of(numbers(series([0.5, 0.3])), 20)
    found = partial_autocorrelation(steps)
    # Of AR(2): phi_1 / (1 - phi_2), phi_2, 0, 0, ...
    assert found["values"][:2] == pytest.approx([0.5 / 0.7, 0.3], abs=0.03)
    beyond = np.abs(found["values"][2:])
    assert found["band"] == pytest.approx(1.96 / found["n"] ** 0.5)
    assert (beyond > found["band"]).mean() < 0.3
    assert len(found["values"]) == 20


def test_partial_autocorrelations_do_not_join_sequences():
    """Sequences far from 0 at both ends: across their borders products would be negative."""
    pairs = []
    for seed in range(40):
        y = series([0.8], 40, seed) + torch.linspace(-3, 3, 40)[:, None]
        pairs.append((y[:-1], y[1:]))
    splits = {"train": pairs[:-2], "valid": pairs[-2:-1], "test": pairs[-1:]}
    found = partial_autocorrelation(steps_of(task_from(splits), 5))
    targets = torch.cat([y - torch.cat([y for _, y in pairs[:-1]]).mean() for _, y in pairs[:-1]])
    within = sum(float((y[1:] * y[:-1]).sum()) for y in targets.split(39)) / float(
        (targets**2).sum()
    )
    assert found["values"][0] == pytest.approx(within, rel=1e-4)


def test_information_of_numbers_is_that_of_a_gaussian():
    steps = steps_of(numbers(series([0.8])), 64)
    found = predictive_information(numbers(series([0.8])), steps, [1, 2, 8, 64])
    truth = -0.5 * np.log(1 - 0.8**2)
    assert [point["nats"] for point in found["points"]] == pytest.approx([truth] * 4, abs=0.03)
    bias = [point["bias"] for point in found["points"]]
    assert bias == sorted(bias)
    # Each coefficient takes about half a nat over the number of steps.
    assert bias[-1] == pytest.approx(64 / 2 / len(steps.targets), rel=0.1)


def test_information_of_noise_is_none_once_its_bias_is_taken_off():
    found = []
    for seed in range(20):
        task = numbers(series([], 600, seed))
        point = predictive_information(task, steps_of(task, 20), [20])["points"][0]
        found.append((point["nats"], point["bias"]))
    nats, bias = np.mean(found, 0)
    assert abs(nats) < 0.2 * bias


def test_information_of_tokens_is_that_of_the_process():
    drawn = hidden_markov(0)
    steps = steps_of(drawn.task, 16)
    found = predictive_information(drawn.task, steps, [1, 2, 4, 8, 16])
    assert found["estimator"] == "plug-in, Miller-Madow"
    random = np.random.default_rng([4, 0])
    stay, right = random.uniform(0.85, 0.97), random.uniform(0.75, 0.95)
    moves = np.array([[stay, 1 - stay], [1 - stay, stay]])
    shows = np.array([[right, 1 - right], [1 - right, right]])
    entropies = conditional_entropies(moves, shows, 8)
    for point in found["points"]:
        truth = entropies[0] - entropies[point["k"]]
        assert point["nats"] == pytest.approx(truth, abs=0.02)
        assert point["bias"] > 0
    # Windows of 16 are too many for any correction, and are left out.
    assert [point["k"] for point in found["points"]] == [1, 2, 4, 8]


def test_the_bias_of_independent_tokens_is_taken_off():
    found = []
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(5, (2000,), generator=generator)
        task = in_order(ids[:-1], ids[1:], token_ids=5)
        found += predictive_information(task, steps_of(task, 2), [2])["points"]
    nats, bias = (np.mean([point[key] for point in found]) for key in ("nats", "bias"))
    assert abs(nats) < 0.2 * bias  # the correction is of first order


def test_what_is_neither_has_no_information_but_no_error():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    task = in_order(x, (x[:, 0] > 0).long())
    steps = steps_of(task, 5)
    assert predictive_information(task, steps, [1, 2]) is None
    assert partial_autocorrelation(steps) is None
