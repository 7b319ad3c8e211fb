"""Which window is enough: the rules, on curves made by hand."""

import numpy as np
import pytest

from unrecur.studies.lookback_rules import (
    Curve,
    gaining,
    least,
    measurable,
    one_standard_error,
    unsettled,
    verdict,
    within,
)


def curve(metrics, own=0.0, shared=0.0, blocks=24, seed=0):
    """Blocks of 100 steps: a difficulty that all windows share, and noise of each window's own."""
    random = np.random.default_rng(seed)
    hard = shared * random.normal(size=blocks)
    sums = {
        k: 100 * (metric + hard + own * random.normal(size=blocks)) for k, metric in metrics.items()
    }
    return Curve(sums, np.full(blocks, 100))


FALLING = {0: 2.0, 1: 1.5, 2: 1.1, 4: 1.0, 8: 1.0, 16: 1.02}


def test_without_noise_every_gain_counts():
    found = curve(FALLING)
    assert least(found, 0.02) == {
        "measurable": 4,
        "one_standard_error": 4,
        "margin": 4,
        "best": 4,
    }
    assert within(found, 0.1) == 2
    assert gaining(found, 2) == [4, 8, 16]


def test_noise_that_windows_share_hides_no_gain_but_widens_one_standard_error():
    found = curve(FALLING, own=0.001, shared=1.0)
    assert measurable(found) == 4
    assert one_standard_error(found) == 2  # 1.1 is within 0.2 of 1.0
    assert found.standard_error(4) == pytest.approx(1.0 / 24**0.5, rel=0.4)
    assert found.standard_error(4, 8) < 0.001


def test_a_gain_below_its_noise_is_none():
    found = curve({1: 1.0, 2: 0.999, 4: 0.998}, own=0.05)
    assert measurable(found) == 1


def test_chance_seldom_makes_a_window_too_short():
    """All windows are as good: with 95 % confidence the least one is the first."""
    metrics = {2**power: 1.0 for power in range(8)}
    wrong = sum(measurable(curve(metrics, own=0.1, seed=seed)) != 1 for seed in range(400))
    assert wrong <= 32  # 5 % of 400, and three standard errors


def test_standard_errors_of_unequal_blocks_are_those_of_the_ratio():
    random = np.random.default_rng(1)
    draws = []
    counts = random.integers(20, 200, 24)
    for _ in range(400):
        sums = counts * (1 + 0.1 * random.normal(size=24) / (counts / 100) ** 0.5)
        draws.append((Curve({1: sums}, counts).metric(1), Curve({1: sums}, counts)))
    spread = np.std([metric for metric, _ in draws])
    assert np.mean([c.standard_error(1) for _, c in draws]) == pytest.approx(spread, rel=0.15)


def test_what_is_unsettled_lies_between_a_least_window_and_the_next_shorter():
    metrics = {0: 2.0, 1: 2.0, 2: 2.0, 4: 2.0, 8: 2.0, 16: 1.0, 32: 1.0}
    tried = []
    while (k := unsettled(curve(metrics), 0.02)) is not None:
        tried.append(k)
        metrics[k] = 2.0 if k < 12 else 1.0
    assert measurable(curve(metrics)) == 12
    assert tried == [12, 10, 11, 13]  # the last one so that the verdict can speak of it


def test_long_windows_are_known_to_three_percent():
    metrics = {0: 2.0, 128: 2.0, 256: 1.0}
    while (k := unsettled(curve(metrics), 0.02)) is not None:
        metrics[k] = 2.0 if k < 200 else 1.0
    assert 200 <= measurable(curve(metrics)) <= 206


@pytest.mark.parametrize(
    ("metrics", "headline"),
    [
        ({0: 2, 4: 1.5, 7: 1, 8: 1, 16: 1}, "The last 7 inputs do: an 8th adds nothing measurable"),
        ({0: 2, 1: 1, 2: 1, 4: 1}, "The last input does: a 2nd adds nothing measurable"),
        ({0: 2, 1: 1.5, 2: 1, 4: 1}, "The last 2 inputs do: 4 add nothing measurable"),
        ({0: 2, 10: 1, 11: 1}, "The last 10 inputs do: an 11th adds nothing measurable"),
        ({0: 2, 21: 1, 22: 1}, "The last 21 inputs do: a 22nd adds nothing measurable"),
        ({0: 1, 1: 1, 2: 1}, "No input helps: up to 2, they add nothing measurable"),
        (
            {0: 2, 1: 1.5, 2: 1},
            "The longest window tried, 2 inputs, is measurably better than 1: more may be needed",
        ),
    ],
)
def test_the_headline(metrics, headline):
    assert verdict(curve(metrics), 0.02)["headline"] == headline


def test_the_sentences_name_margin_standard_error_and_gain():
    found = verdict(curve({0: 2.0, 1: 1.5, 3: 1.01, 7: 1.0, 8: 1.0}), 0.02)
    assert found["sentences"] == [
        "Within your margin of 2 % of the best, 3 do.",
        "Within one standard error of the best, 7 do.",
        "With 7 inputs the metric is 50 % below that of the best guess without any.",
    ]
    none = verdict(curve({0: 1.0, 1: 1.0, 2: 1.0}), 0.02)["sentences"]
    assert none == [
        "Within your margin of 2 % of the best, none is needed.",
        "Within one standard error of the best, none is needed.",
    ]
