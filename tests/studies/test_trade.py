"""What one gives up and gains: sentences that follow from rows."""

import pytest

from unrecur.studies.trade import field_sentences, metric_sentences, pays_until, ratio_sentences
from unrecur.studies.verdict import Comparison


def entry(low, high, name="tcn"):
    return Comparison(name, "lstm", (low + high) / 2, low, high, 8.1, 8.0)


@pytest.mark.parametrize(
    ("low", "high", "given_up", "gained"),
    [
        (-0.03, -0.01, [], ["At least 1.00 % of the metric"]),
        (-0.01, 0.015, ["At most 1.50 % of the metric"], []),
        (0.01, 0.03, ["Between 1.00 % and 3.00 % of the metric"], []),
    ],
)
def test_the_metric_is_given_up_or_gained(low, high, given_up, gained):
    for found, start in zip(
        metric_sentences(entry(low, high), "nats"), (given_up, gained), strict=True
    ):
        assert [sentence.split(" (")[0] for sentence in found] == start
        assert all("8.1 against 8 nats" in sentence for sentence in found)


def row(train, step, state):
    return {
        "speed": {"train_steps_per_second": train, "step_seconds": step},
        "bytes": {"state": state},
    }


def test_ratios_are_of_medians_and_go_to_the_right_side():
    ours = [row(300.0, 3e-4, 50), row(310.0, 3e-4, 50), row(9e9, 3e-4, 50)]
    theirs = [row(100.0, 1e-4, 100)] * 3
    gives_up, gains = ratio_sentences(ours, theirs)
    assert gives_up == ["3 times the time of a streaming step."]
    assert gains == ["3.1 times steps of training a second.", "0.5 times the memory of a stream."]


def test_what_is_alike_or_unknown_is_not_said():
    assert ratio_sentences([row(100.0, 1e-4, None)], [row(105.0, 1.05e-4, 8)]) == ([], [])
    assert ratio_sentences([{}], [{"speed": {}}]) == ([], [])


def test_a_proof_is_a_gain_of_the_truncated_model_alone():
    gives_up, gains = field_sentences(7, {"bound": 0.0123, "output_error_max": 0.001})
    assert gives_up == ["Whatever stands more than 6 inputs back."]
    assert gains[-1] == (
        "Proved: no output differs by more than 0.012 from that on all inputs (measured: 0.001)."
    )
    assert len(field_sentences(7, {"bound": None, "output_error_max": 0.001})[1]) == 1
    assert len(field_sentences(7, None)[1]) == 1
    assert "the present input" in field_sentences(1, None)[1][0]
    assert field_sentences(2, None)[0] == ["Whatever stands more than one input back."]


def test_recurrence_pays_until_the_least_window_that_is_good_enough():
    entries = [
        entry(-0.01, 0.01, "a"),
        entry(-0.01, 0.01, "b"),
        entry(0.0, 0.05, "c"),
        entry(0, 0, "d"),
    ]
    assert pays_until({"a": 31, "b": 15, "c": 3}, entries, 0.02) == 15
    assert pays_until({"c": 3}, entries, 0.02) is None
