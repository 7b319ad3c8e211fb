"""The chunked window: at least k inputs, in a block, in blocks, and in a stream."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import FEATURES, SPECS, TOKEN_LAYERS
from unrecur import InputError, certify, output_bound, project_, truncate
from unrecur.cells import LSTM
from unrecur.core.compose import Serial
from unrecur.core.equivalence import fold_steps
from unrecur.layers.embedding import readout
from unrecur.layers.recurrent import Recurrent
from unrecur.truncation.chunked import ChunkedWindow
from unrecur.truncation.window import Window


def one_by_one(model, x, k, length):
    """Each output from the run that began k - 1 inputs before its piece."""
    outputs = []
    for t in range(x.shape[1]):
        begin = max(0, t // length * length - (k - 1)) if t >= length else 0
        outputs.append(model(x[:, begin : t + 1])[0][:, -1])
    return torch.stack(outputs, 1)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    name=st.sampled_from(["lstm", "gru", "elman", "min_gru", "tcn"]),
    k=st.integers(1, 7),
    more=st.integers(0, 5),
    time=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
def test_every_output_is_made_from_at_least_k_inputs(name, k, more, time, cuts):
    torch.manual_seed(0)
    model = SPECS[name].build().double().eval()
    window, x = ChunkedWindow(model, k, k + more), torch.randn(2, time, FEATURES).double()
    expected = one_by_one(model, x, k, k + more)
    whole, last = window(x)
    torch.testing.assert_close(whole, expected)
    steps, stepped = fold_steps(window, x)
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(stepped, last)
    state, parts, ends = None, [], sorted({0, time, *(c for c in cuts if c < time)})
    for begin, end in pairwise(ends):
        y, state = window(x[:, begin:end], state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), expected)
    torch.testing.assert_close(state, last)


def test_rows_end_where_they_end_and_go_on_from_there():
    torch.manual_seed(0)
    model = SPECS["lstm"].build().double().eval()
    window, x = ChunkedWindow(model, 3, 4), torch.randn(3, 20, FEATURES).double()
    lengths = torch.tensor([20, 7, 1])
    y, state = window(x, lengths=lengths)
    more, _ = window(x, state)
    for row, steps in enumerate(lengths.tolist()):
        alone, after = window(x[row : row + 1, :steps])
        torch.testing.assert_close(y[row : row + 1, :steps], alone)
        torch.testing.assert_close(more[row : row + 1], window(x[row : row + 1], after)[0])


def test_tokens_and_gradients():
    torch.manual_seed(0)
    model = TOKEN_LAYERS["embedding-lstm"]().double()
    window, x = ChunkedWindow(model, 3), torch.randint(0, 6, (2, 17))
    y, _ = window(x)
    expected = one_by_one(model, x, 3, 3)
    slopes = [
        torch.autograd.grad((out**2).sum(), list(model.parameters())) for out in (y, expected)
    ]
    torch.testing.assert_close(*slopes)


def test_the_bound_is_attached_and_holds_for_both_forms():
    torch.manual_seed(0)
    model = Serial(Recurrent([LSTM(FEATURES, 6)]), readout(6, 2)).eval()
    project_(model, 1.0, 0.8)
    x = torch.rand(4, 300, FEATURES) * 2 - 1
    y, _ = model(x)
    for form, kind in (("exact", Window), ("chunked", ChunkedWindow), ("cheaper", ChunkedWindow)):
        short = truncate(model, k=12, input_box=1.0, form=form)
        assert type(short) is kind
        assert short.bound == output_bound(model, certify(model, 1.0), 12)
        assert float((short(x)[0] - y).detach().abs().max()) <= short.bound
    assert truncate(model, k=12).bound is None
    assert truncate(model, k=12).cost == 12
    assert truncate(model, k=12, form="chunked").cost < 2
    assert isinstance(truncate(model, k=1, form="cheaper"), Window)
    assert truncate(model, eps=1e-2, input_box=1.0, form="chunked").bound <= 1e-2


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: ChunkedWindow(m, 0), "k must be"),
        (lambda m: ChunkedWindow(m, 5, 4), "length must be at least k=5"),
        (lambda m: truncate(m, k=3, form="chunks"), "Did you mean 'chunked'"),
        (lambda m: truncate(m), "give either k"),
        (lambda m: truncate(m, eps=0.1), "eps needs input_box"),
    ],
)
def test_a_bad_request_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(SPECS["lstm"].build())
