"""Damaged files of every format: one of our errors, or a recurrence; nothing else.

The gate tries a few; `pytest --hypothesis-profile=search` thousands, and fuzz.py goes by coverage.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interop.seeds import seeds
from unrecur import InputError, read_recurrences
from unrecur.interop.recurrence import Recurrence

KINDS = ["h5", "keras", "nam", "npz", "onnx", "pt", "safetensors", "ts"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return {path.suffix[1:]: path for path in seeds(tmp_path_factory.mktemp("seeds"))}


def damaged(content, cuts, flips, inserted):
    """Flip bytes of a file, cut some out, put others in."""
    data = bytearray(content)
    for place, value in flips:
        data[place % len(data)] = value
    for place, length in cuts:
        begin = place % max(1, len(data))
        del data[begin : begin + length]
    for place, more in inserted:
        begin = place % max(1, len(data))
        data[begin:begin] = more
    return bytes(data)


PLACES = st.integers(0, 2**16)


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=6),
    cuts=st.lists(st.tuples(PLACES, st.integers(1, 400)), max_size=2),
    inserted=st.lists(st.tuples(PLACES, st.binary(min_size=1, max_size=20)), max_size=2),
)
def test_a_damaged_file_is_an_error_of_ours_or_a_recurrence(
    kind, flips, cuts, inserted, files, tmp_path
):
    path = tmp_path / f"m.{kind}"
    path.write_bytes(damaged(files[kind].read_bytes(), cuts, flips, inserted))
    try:
        found = read_recurrences(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert all(isinstance(each, Recurrence) for each in found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seeds_are_good(kind, files):
    assert read_recurrences(files[kind])
