"""Power: the seeds that are asked for do decide, about as often as is said."""

import math

import numpy as np
import pytest

from unrecur.studies.power import MOST_SEEDS, PROBABILITY, power_sentence, seeds_to_decide
from unrecur.studies.spread import Spread, spread_of
from unrecur.studies.verdict import decide

STEPS = np.full(30, 20.0)


def draw(random, seeds, ratio, spread):
    """Two models' losses: seeds differ, sequences differ alike for both."""
    by_sequence = random.normal(0, 0.05, (1, len(STEPS)))
    return [
        mean * np.exp(random.normal(0, spread, (seeds, 1)) + by_sequence) * STEPS
        for mean in (ratio, 1.0)
    ]


def test_the_count_is_the_least():
    spread = Spread(from_seeds=1e-3, rest=1e-6, seeds=3, sequences=50)
    found = seeds_to_decide(0.0, math.log(1.02), spread, 0.95)
    from scipy.special import stdtrit

    def decides(seeds):
        error, freedom = spread.with_seeds(seeds)
        reach = stdtrit(freedom, 0.975) + stdtrit(freedom, PROBABILITY)
        return error * reach <= math.log(1.02)

    assert found == next(n for n in range(2, MOST_SEEDS) if decides(n))
    assert found > 3


@pytest.mark.parametrize("distance", [0.0, 1e-9])
def test_no_number_tells_what_is_the_same_apart(distance):
    spread = Spread(1e-3, 0.0, 3, 50)
    edge = math.log(1.02)
    assert seeds_to_decide(edge + distance, edge, spread, 0.95) is None


def test_seeds_do_not_mend_a_spread_over_sequences():
    assert seeds_to_decide(0.0, math.log(1.02), Spread(1e-6, 1e-2, 3, 50), 0.95) is None


def test_two_seeds_do_where_nothing_varies():
    assert seeds_to_decide(0.0, 0.02, Spread(0.0, 0.0, 3, 50), 0.95) == 2


def test_the_seeds_asked_for_decide_four_times_in_five():
    """The variance is that of the truth, as no draw of three seeds knows it well."""
    random = np.random.default_rng(0)
    true = 2 * 0.02**2
    needed = seeds_to_decide(0.0, math.log(1.02), Spread(true / 3, 0.0, 3, len(STEPS)), 0.95)
    answers = []
    for _ in range(150):
        ours, theirs = draw(random, needed, 1.0, 0.02)
        answers.append(decide({"a": ours}, ("b", theirs), {}, STEPS, 0.02, 0.95).answer)
    share = answers.count("not needed") / len(answers)
    assert 0.7 < share < 0.95
    assert answers.count("needed") <= 5


def test_the_spread_over_seeds_is_found():
    random = np.random.default_rng(1)
    ours, theirs = draw(random, 400, 1.1, 0.02)
    found = spread_of(ours, theirs)
    assert 400 * found.from_seeds == pytest.approx(2 * 0.02**2, rel=0.25)
    assert found.rest < found.from_seeds


@pytest.mark.parametrize(
    ("counts", "seeds", "number"),
    [
        ([(True, 9), (True, 5), (False, 4)], 3, 5),
        ([(True, None), (True, 5)], 3, 5),
        ([(False, 7), (False, 12)], 3, 12),
        ([(False, 7), (False, None)], 3, None),
        ([(True, None), (False, 4)], 3, None),
        # What would decide with a probability of 80 % has not: at least one more.
        ([(True, 3)], 3, 4),
    ],
)
def test_the_sentence_follows_the_rules_of_the_verdict(counts, seeds, number):
    sentence, found = power_sentence(counts, seeds)
    assert found == number
    if number is None:
        assert "test sequences" in sentence
    else:
        assert f"{number} seeds ({number - seeds} more)" in sentence


def test_an_undecided_verdict_says_what_would_decide():
    random = np.random.default_rng(3)
    ours, theirs = draw(random, 3, 1.0, 0.03)
    found = decide({"a": ours}, ("b", theirs), {}, STEPS, 0.02, 0.95)
    assert found.answer == "undecided"
    assert found.power["seeds"] > 3
    assert str(found.power["seeds"]) in found.power["sentence"]


def test_a_decided_or_hindered_verdict_has_no_power():
    random = np.random.default_rng(3)
    ours, theirs = draw(random, 3, 2.0, 0.001)
    assert decide({"a": ours}, ("b", theirs), {}, STEPS, 0.02, 0.95).power is None
    floors = {"constant": 0.1}
    assert decide({"a": ours}, ("b", theirs), floors, STEPS, 0.02, 0.95).power is None
