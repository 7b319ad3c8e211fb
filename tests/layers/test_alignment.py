"""Alignments against the papers' formulas, written out number by number."""

import math

import pytest
import torch

from unrecur import InputError
from unrecur.layers.alignment import AdditiveAlignment, DotAlignment


def softmax(scores):
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def additive_score(alignment, q, m):
    """v^T tanh(W q + U m), one unit at a time."""
    total = 0.0
    for v, w, u in zip(
        alignment.of_units.weight[0],
        alignment.of_query.weight,
        alignment.of_memory.weight,
        strict=True,
    ):
        total += float(v) * math.tanh(float(w @ q) + float(u @ m))
    return total


def dot_score(alignment, q, m):
    return float(q @ alignment.weight @ m)


@pytest.mark.parametrize(
    ("alignment", "score"),
    [(AdditiveAlignment(3, 5, 4), additive_score), (DotAlignment(3, 5), dot_score)],
    ids=["additive", "dot"],
)
@torch.no_grad()
def test_weights_are_the_papers(alignment, score):
    torch.manual_seed(0)
    alignment = alignment.double()
    for parameter in alignment.parameters():
        torch.nn.init.normal_(parameter.data)
    query, memory = torch.randn(2, 6, 3).double(), torch.randn(2, 7, 5).double()
    counts = torch.tensor([7, 4])
    context, weights = alignment(query, memory, alignment.keys(memory), counts)
    for row, count in enumerate(counts):
        for t in range(6):
            expected = softmax([score(alignment, query[row, t], m) for m in memory[row, :count]])
            expected = torch.tensor(expected, dtype=torch.float64)
            torch.testing.assert_close(weights[row, t, :count], expected)
            torch.testing.assert_close(context[row, t], expected @ memory[row, :count])
        assert not weights[row, :, count:].any()


def test_a_memory_of_one_step_is_read_as_it_is():
    alignment = AdditiveAlignment(3, 5, 4)
    memory = torch.randn(2, 1, 5)
    context, _ = alignment(
        torch.randn(2, 6, 3), memory, alignment.keys(memory), torch.tensor([1, 1])
    )
    assert torch.equal(context, memory.expand(2, 6, 5))


def test_sizes_are_checked():
    with pytest.raises(InputError, match="memory_features"):
        DotAlignment(3, 0)
    with pytest.raises(InputError, match="units"):
        AdditiveAlignment(3, 5, 0)
