"""Answers against trying every span, one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrecur import InputError
from unrecur.models.answers import answers, vote


def spans(probabilities, length, max_length):
    """Every span of one passage: (p_start p_end, start, end)."""
    for start in range(length):
        for end in range(start, min(start + max_length, length)):
            yield float(probabilities[start, 0] * probabilities[end, 1]), start, end


@given(
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 1000),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_the_best_span_is_found(time, max_length, seed, lengths):
    lengths = [min(length, time) for length in lengths]
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(len(lengths), time, 2, generator=generator, dtype=torch.float64)
    for row, length in enumerate(lengths):
        scores[row, length:] = torch.nan
    found = answers(scores, torch.tensor(lengths), max_length)
    for row, length in enumerate(lengths):
        best, start, end = max(spans(torch.sigmoid(scores[row]), length, max_length))
        assert (int(found.start[row]), int(found.end[row])) == (start, end)
        assert float(found.probability[row]) == pytest.approx(best)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_votes_are_counted_one_by_one(time, max_length, passages, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(passages, time, 2, generator=generator, dtype=torch.float64)
    ids = torch.randint(0, 2, (passages, time), generator=generator)  # few, so that answers recur
    lengths = torch.randint(1, time + 1, (passages,), generator=generator)
    best = {}
    for passage in range(passages):
        p = torch.sigmoid(scores[passage])
        for product, start, end in spans(p, int(lengths[passage]), max_length):
            if p[start, 0] > 0.1 and p[end, 1] > 0.1:
                answer = tuple(ids[passage, start : end + 1].tolist())
                here = best.setdefault(answer, {})
                here[passage] = max(here.get(passage, 0), product)
    expected = {
        answer: sum(p**2 for p in each.values()) / (1 + sum(each.values()))
        for answer, each in best.items()
    }
    weights = vote(scores, ids, lengths, max_length)
    assert weights == pytest.approx(expected)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)


def test_many_that_agree_outweigh_one_that_is_surer():
    scores = torch.full((4, 3, 2), -9.0)
    scores[:3, 1] = 1.0  # three passages point at token 7 with p = 0.73^2
    scores[3, 1] = 9.0  # one points at token 8 with p = 1
    passages = torch.tensor([[4, 7, 5], [2, 7, 1], [1, 7, 3], [1, 8, 1]])
    weights = vote(scores, passages)
    p = torch.sigmoid(torch.tensor(1.0)).item() ** 2
    assert weights[7,] == pytest.approx(3 * p * p / (1 + 3 * p), rel=1e-5)
    assert weights[8,] == pytest.approx(0.5, rel=1e-3)
    assert list(vote(scores[:3], passages[:3])) == [(7,)]


def test_passages_without_an_answer_have_none():
    assert vote(torch.full((2, 4, 2), -5.0), torch.zeros(2, 4, dtype=torch.long)) == {}


def test_bad_input_is_refused(unchecked):
    with pytest.raises(InputError, match="starts and ends"):
        answers(torch.zeros(1, 4, 3))
    with pytest.raises(InputError, match="max_length"):
        answers(torch.zeros(1, 4, 2), max_length=0)
    with pytest.raises(InputError, match="lengths between 1 and 4"):
        answers(torch.zeros(1, 4, 2), torch.tensor([0]))
    with pytest.raises(InputError, match="threshold"):
        vote(torch.zeros(1, 4, 2), torch.zeros(1, 4).long(), threshold=1.5)
    for shape in ((1, 4), (3, 4), (2, 3), (2, 5)):
        with pytest.raises(InputError, match=r"the \[2, 4\] tokens that have scores"):
            vote(torch.zeros(2, 4, 2), torch.zeros(shape).long())
