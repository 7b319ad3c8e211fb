"""Matched budgets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import InputError, Spec
from unrecur.studies.budget import MATCHED, matched

IO = {"in_features": 7, "out_features": 5}
OPTIONS = {
    "lstm": IO,
    "gru": {**IO, "layers": 2},
    "elman": IO,
    "mgu": IO,
    "min_gru": IO,
    "min_lstm": {**IO, "layers": 2},
    "qrnn": IO,
    "lru": IO,
    "tcn": {**IO, "levels": 3, "kernel_size": 3},
}


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(OPTIONS)), parameters=st.integers(60_000, 2_000_000))
def test_the_nearest_width_is_found(name, parameters):
    # From 60,000 on these have 50 units or more, so that one unit is at most 4 % of the parameters.
    spec = matched(name, OPTIONS[name], parameters)
    off = abs(spec.parameters - parameters)
    assert off <= MATCHED * parameters
    for step in (-1, 1):
        other = Spec(name, {**spec.options, "hidden": spec.options["hidden"] + step})
        assert abs(other.parameters - parameters) >= off


@pytest.mark.parametrize(
    ("name", "parameters"), [("lstm", 1), ("lstm", 20), ("lstm", 100), ("tcn", 22_696)]
)
def test_a_number_between_two_widths_is_refused(name, parameters):
    with pytest.raises(InputError, match="the nearest"):
        matched(name, OPTIONS[name], parameters)
