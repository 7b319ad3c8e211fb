"""Streams against the model's answer to the whole sequence."""

import functools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unrecur
from unrecur import InputError
from unrecur._check import CorruptFileError
from unrecur.cells import GRU, LSTM
from unrecur.core.compose import Parallel, Pointwise, Residual, Serial
from unrecur.layers.convolution import Convolution
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.layers.transposed import TransposedConvolution

TIME = 24
SMALL = {"in_features": 3, "out_features": 2}


def gru():
    return unrecur.build("gru", **SMALL, hidden=4, layers=2).eval()


MODELS = {
    "lstm": lambda: unrecur.build("lstm", **SMALL, hidden=4),
    "gru-stack": gru,
    "elman-relu": lambda: unrecur.build("elman", **SMALL, hidden=4, activation="relu"),
    "affine": lambda: unrecur.build("lru", **SMALL, hidden=4),
    "tcn": lambda: unrecur.build("tcn", **SMALL, hidden=4, levels=2, kernel_size=3),
    "wavenet": lambda: unrecur.build("wavenet", **SMALL, hidden=4, layers=2, stacks=2),
    "transformer": lambda: unrecur.build(
        "transformer", **SMALL, hidden=4, layers=1, heads=2, context=5, positions="rotary"
    ),
    "tokens": lambda: Serial(Embedding(6, 3), Recurrent([GRU(3, 4)]), readout(4, 6)),
    "ahead": lambda: Serial(Convolution(3, 4, 4, 2), Pointwise(torch.nn.Tanh(), 4)),
    "lagged": lambda: unrecur.Lagged(Serial(Convolution(3, 4, 4), Convolution(4, 2, 3))),
    "strided": lambda: Serial(Convolution(3, 4, 3, stride=2), Convolution(4, 2, 4, stride=3)),
    "full": lambda: Convolution(3, 2, 3, stride=2, padding="full"),
    "valid": lambda: Convolution(3, 2, 4, stride=2, padding="valid"),
    "up": lambda: TransposedConvolution(3, 2, kernel_size=5, stride=2),
    "up-and-ahead": lambda: Serial(
        TransposedConvolution(3, 4, kernel_size=2, stride=3), Convolution(4, 2, 2, 3)
    ),
    "down-and-up": lambda: Serial(
        Convolution(3, 4, 4, stride=2), TransposedConvolution(4, 2, kernel_size=3, stride=2)
    ),
    "recurrent-then-ahead": lambda: Serial(Recurrent([LSTM(3, 4)]), Convolution(4, 2, 5)),
    "residual-ahead": lambda: Residual(Convolution(3, 3, 5)),
    "parallel-ahead": lambda: Parallel(Convolution(3, 2, 3), Convolution(3, 1, 5)),
    "window": lambda: unrecur.truncate(gru(), k=4),
    "chunked": lambda: unrecur.truncate(gru(), k=4, form="chunked"),
    "chunked-of-one": lambda: unrecur.truncate(gru(), k=1, form="chunked"),
}


@functools.cache
def made(name):
    """The model in float64, inputs [2, TIME, ...], and the answer to the whole."""
    torch.manual_seed(3)
    model = MODELS[name]().double().eval()
    x = torch.randn(2, TIME, 3, dtype=torch.float64)
    x = torch.randint(6, (2, TIME)) if model.takes_tokens else x
    with torch.no_grad():
        whole, _ = (model.model if name == "lagged" else model)(x)
    return model, x, whole


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=6)
@given(lengths=st.lists(st.sampled_from([0, 1, 1, 1, 2, 5, 9]), max_size=12))
def test_any_cut_gives_the_whole(name, lengths):
    model, x, whole = made(name)
    stream = unrecur.stream(model, batch=2)
    pieces, at = [], 0
    for length in [*lengths, TIME]:
        pieces.append(stream.feed(x[:, at : at + length]))
        at = min(at + length, TIME)
    assert stream.come == TIME
    together = torch.cat([*pieces, stream.close()], 1)
    torch.testing.assert_close(together, whole, rtol=0, atol=1e-9)


AHEAD = [name for name in MODELS if name.endswith(("ahead", "ed", "full", "valid", "up"))]


@pytest.mark.parametrize("name", AHEAD)
def test_outputs_come_as_soon_as_they_exist(name):
    """As many outputs are given as no later input can change."""
    model, x, _ = made(name)
    inner = model.model if name == "lagged" else model
    stream, count, late = unrecur.stream(model, batch=2), 0, 0
    for come in range(1, 14):
        new = stream.feed(x[:, come - 1 : come]).shape[1]
        for output in range(count, count + new):
            late = max(late, come - 1 - int(output / inner.output_ratio))
        count += new
        other = torch.cat([x[:, :come], x[:, come:] + 1], 1)
        with torch.no_grad():
            changed = (inner(x)[0] != inner(other)[0]).any(2).any(0).nonzero()
        assert count == int(changed[0])
    assert stream.latency == late


@pytest.mark.parametrize("name", ["lstm", "strided", "chunked", "transformer", "tokens"])
@pytest.mark.parametrize("step", [1, 4])
def test_a_saved_stream_goes_on_exactly(name, step, tmp_path):
    model, x, _ = made(name)
    first, path = unrecur.stream(model), tmp_path / "Zustand ü.safetensors"
    for at in range(0, 12, step):
        first.feed(x[0, at : at + step])
    first.save(path)
    second = unrecur.stream(model)
    second.restore(path)
    assert second.come == first.come == 12
    for at in range(12, TIME, step):
        one, other = (stream.feed(x[0, at : at + step]) for stream in (first, second))
        assert torch.equal(one, other)
    assert torch.equal(first.close(), second.close())
    first.restore(path)  # a closed stream is open again
    assert first.come == 12


def test_another_model_or_a_damaged_file_is_refused(tmp_path):
    model, x, _ = made("lstm")
    stream, path = unrecur.stream(model), tmp_path / "state"
    stream.feed(x[0, :5])
    before = stream.feed(x[0, 5:6])
    stream.save(path)
    changed = MODELS["lstm"]().double().eval()
    with pytest.raises(InputError, match="another model"):
        unrecur.stream(changed).restore(path)
    wider = unrecur.truncate(model, k=5, form="chunked")
    unrecur.stream(wider).save(tmp_path / "wide")
    with pytest.raises(InputError, match="another model"):
        unrecur.stream(unrecur.truncate(model, k=6, form="chunked")).restore(tmp_path / "wide")
    with pytest.raises(InputError, match="of 1 rows, got a stream of 2"):
        unrecur.stream(model, batch=2).restore(path)
    content = path.read_bytes()
    for damaged in (b"", content[:-3], content[:40], content.replace(b'"come', b'"gone')):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match="no whole state"):
            stream.restore(path)
    with pytest.raises(FileNotFoundError):
        stream.restore(tmp_path / "nowhere")
    assert stream.come == 6
    assert not torch.equal(stream.feed(x[0, 5:6]), before)  # it stands where it stood


def test_bad_blocks_are_refused_and_change_nothing():
    model = unrecur.build("gru", **SMALL, hidden=4).eval()
    stream, fresh = unrecur.stream(model), unrecur.stream(model)
    x = torch.randn(2, 3)
    spoiled = x.clone()
    spoiled[1, 2] = float("nan")
    bad = {
        "expected a block [time, 3], got the shape [2, 4]": torch.zeros(2, 4),
        "Give a single step as a block of one": torch.zeros(3),
        "unrecur.stream(model, batch=5)": torch.zeros(5, 2, 3),
        "x.to(torch.float32)": x.double(),
        "got torch.int64": torch.zeros(2, 3, dtype=torch.long),
        "1 NaN or infinite values, the first at [1, 2]": spoiled,
        "got 6 NaN or infinite": torch.full((2, 3), float("inf")),
    }
    for message, block in bad.items():
        with pytest.raises(InputError, match=re.escape(message)):
            stream.feed(block)
    large = torch.full((1, 3), 3e38)  # finite, though its sum is not
    assert stream.feed(large).isfinite().all()
    fresh.feed(large)
    assert torch.equal(stream.feed(x), fresh.feed(x))
    with pytest.raises(InputError, match="expected a block \\[2, time, 3\\]"):
        unrecur.stream(model, batch=2).feed(torch.zeros(3, 1, 3))
    with pytest.raises(InputError, match="batch must be"):
        unrecur.stream(model, batch=0)


def test_tokens_are_held_to_the_vocabulary():
    stream = unrecur.stream(made("tokens")[0])
    assert stream.feed(torch.tensor([], dtype=torch.long)).shape == (0, 6)
    with pytest.raises(InputError, match="from 0 to 5, got 2 to 6"):
        stream.feed(torch.tensor([2, 6]))
    with pytest.raises(InputError, match=re.escape("x.long()")):
        stream.feed(torch.zeros(2))
    assert stream.come == 0


def test_a_closed_stream_says_so():
    stream = unrecur.stream(made("ahead")[0])
    assert stream.latency == 3
    assert stream.close().shape == (0, 4)
    for call in (lambda: stream.feed(torch.zeros(1, 3)), stream.close):
        with pytest.raises(InputError, match="closed after 0 inputs"):
            call()


def test_arrays_are_fed_like_tensors_and_gradients_are_left_behind():
    model = unrecur.build("lstm", **SMALL, hidden=4).eval()
    one, other = unrecur.stream(model), unrecur.stream(model)
    x = torch.randn(3, 3, requires_grad=True)
    for piece in (x[:1], x[1:]):
        y = one.feed(piece)
        assert not y.requires_grad
        assert torch.equal(y, other.feed(piece.detach().numpy()))
    assert torch.is_grad_enabled()
    assert isinstance(np.asarray(y), np.ndarray)


def test_outputs_are_not_changed_by_later_steps():
    stream = unrecur.stream(Recurrent([LSTM(3, 4), GRU(4, 2)]).eval())
    x = torch.randn(4, 3)
    first = stream.feed(x[:1])
    kept = first.clone()
    stream.feed(x[1:2])
    stream.feed(x[2:])
    assert torch.equal(first, kept)


def test_models_that_cannot_be_streamed_say_why(tmp_path):
    both = unrecur.build("bidirectional_gru", **SMALL, hidden=4).eval()
    with pytest.raises(InputError, match="sees the whole sequence"):
        unrecur.stream(both)
    pair = unrecur.build("seq2seq", in_features=7, out_features=5, hidden=4).eval()
    with pytest.raises(InputError, match="starts from a source"):
        unrecur.stream(pair)
    mixed = Residual(Serial(Recurrent([GRU(3, 3)]), Convolution(3, 3, 3))).eval()
    with pytest.raises(InputError, match="whole past and 1 inputs ahead"):
        unrecur.stream(mixed)
    with pytest.raises(InputError, match=re.escape("model.eval()")):
        unrecur.stream(unrecur.build("gru", **SMALL, hidden=4))
    with pytest.raises(InputError, match="expected a model file"):
        unrecur.stream(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError):
        unrecur.stream(tmp_path / "model.safetensors")


def test_a_saved_model_is_streamed(tmp_path):
    spec = unrecur.Spec("gru", {**SMALL, "hidden": 4})
    model = spec.build().eval()
    unrecur.save_model(tmp_path / "m.safetensors", spec, model)
    x = torch.randn(5, 3)
    y = unrecur.stream(tmp_path / "m.safetensors").feed(x)
    torch.testing.assert_close(y, model(x[None])[0][0].detach())
