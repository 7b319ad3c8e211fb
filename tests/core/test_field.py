"""Fields compose as maps of sequences do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrecur import Field, InputError

REACH = st.integers(0, 50) | st.just(math.inf)
FIELDS = st.builds(Field, past=REACH, future=REACH)


@given(a=FIELDS, b=FIELDS, c=FIELDS)
def test_one_after_the_other_is_associative_and_starts_from_the_present(a, b, c):
    assert a.then(b).then(c) == a.then(b.then(c))
    assert a.then(Field()) == Field().then(a) == a


@given(a=FIELDS, b=FIELDS)
def test_a_union_holds_both(a, b):
    both = a.union(b)
    assert both == b.union(a)
    assert both.past == max(a.past, b.past)
    assert both.future == max(a.future, b.future)
    assert both.union(a) == both


@given(a=FIELDS)
def test_length_counts_the_present(a):
    assert a.length == a.past + a.future + 1
    assert a.causal is (a.future == 0)


@pytest.mark.parametrize("reach", [-1, math.nan])
def test_a_negative_reach_is_refused(reach):
    with pytest.raises(InputError):
        Field(past=reach)
