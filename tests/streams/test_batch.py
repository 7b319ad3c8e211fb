"""Streams that join and leave, each against the same stream alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unrecur
from unrecur import InputError
from unrecur.cells import GRU
from unrecur.core.compose import Serial
from unrecur.layers.convolution import Convolution
from unrecur.layers.embedding import Embedding
from unrecur.layers.recurrent import Recurrent

MODELS = {
    "gru": lambda: Recurrent([GRU(3, 4)]),
    "transformer": lambda: unrecur.build(
        "transformer",
        in_features=3,
        out_features=2,
        hidden=4,
        layers=1,
        heads=2,
        context=3,
        positions="rotary",
    ),
    # Positions by a table, which ends.
    "learned": lambda: unrecur.build(
        "transformer", in_features=3, out_features=2, hidden=4, layers=1, heads=2, context=70
    ),
    "chunked": lambda: unrecur.truncate(Recurrent([GRU(3, 4)]), k=3, form="chunked"),
    "strided": lambda: Serial(Recurrent([GRU(3, 4)]), Convolution(4, 2, 5, stride=2)),
    "tokens": lambda: Serial(Embedding(6, 3), Recurrent([GRU(3, 4)])),
}
# What happens next: a stream (by number) joins, leaves, or some are fed blocks of some lengths.
FED = st.dictionaries(st.integers(0, 4), st.sampled_from([0, 1, 1, 2, 5]), min_size=1)
EVENTS = st.lists(st.one_of(st.integers(0, 4), FED, FED), min_size=4, max_size=10)


def inputs(model, length):
    if model.takes_tokens:
        return torch.randint(6, (length,))
    return torch.randn(length, model.in_features, dtype=torch.float64)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "learned"])
@settings(max_examples=6)
@given(events=EVENTS)
def test_each_stream_gives_what_it_gives_alone(name, events):
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    together, alone = unrecur.StreamBatch(model), {}
    for event in [0, 1, *events]:
        if isinstance(event, int) and event in alone:
            torch.testing.assert_close(together.leave(event), alone.pop(event).close())
        elif isinstance(event, int):
            together.join(event)
            alone[event] = unrecur.stream(model)
        else:
            blocks = {n: inputs(model, length) for n, length in event.items() if n in alone}
            outputs = together.feed(blocks)
            assert list(outputs) == list(blocks)
            for n, x in blocks.items():
                torch.testing.assert_close(outputs[n], alone[n].feed(x), rtol=0, atol=1e-9)
        assert len(together) == len(alone)
        assert all((n in together) == (n in alone) for n in range(5))


def test_a_stream_moves_between_batches_and_alone(tmp_path):
    torch.manual_seed(0)
    model = MODELS["strided"]().eval()
    here, there = unrecur.StreamBatch(model), unrecur.StreamBatch(model)
    alone, x, path = unrecur.stream(model), torch.randn(9, 3), tmp_path / "state"
    for name in ("anna", "ben"):
        here.join(name)
    here.feed({"anna": torch.randn(2, 3), "ben": x[:4]})
    alone.feed(x[:4])
    here.save("ben", path)
    there.join("ben again", path)
    torch.testing.assert_close(there.feed({"ben again": x[4:]})["ben again"], alone.feed(x[4:]))
    torch.testing.assert_close(there.leave("ben again"), alone.close())
    alone.restore(path)
    assert alone.come == 4
    assert here.latency == alone.latency == 2


def test_a_bad_block_stops_all_before_any_is_run():
    torch.manual_seed(0)
    model = MODELS["gru"]().eval()
    streams, alone, x = unrecur.StreamBatch(model), unrecur.stream(model), torch.randn(2, 3)
    streams.join("anna")
    streams.join("ben")
    spoiled = torch.full((2, 3), float("nan"))
    for bad, message in ((spoiled, "stream 'ben': a block"), (x[:, :2], "stream 'ben': expected")):
        with pytest.raises(InputError, match=message):
            streams.feed({"anna": x, "ben": bad})
    with pytest.raises(InputError, match="no stream 'carl'"):
        streams.feed({"anna": x, "carl": x})
    torch.testing.assert_close(streams.feed({"anna": x})["anna"], alone.feed(x))
    assert streams.feed({}) == {}


def test_what_the_model_refuses_changes_no_stream():
    torch.manual_seed(0)
    model = MODELS["learned"]().eval()
    streams, alone, x = unrecur.StreamBatch(model), unrecur.stream(model), torch.randn(71, 3)
    streams.join("anna")
    streams.join("ben")
    with pytest.raises(InputError, match="ends after 70 steps"):
        streams.feed({"anna": x[:3], "ben": x})
    torch.testing.assert_close(streams.feed({"anna": x[:3]})["anna"], alone.feed(x[:3]))


def test_names_are_kept_apart(tmp_path):
    streams = unrecur.StreamBatch(MODELS["gru"]().eval())
    streams.join(7)
    with pytest.raises(InputError, match="there is a stream 7 already"):
        streams.join(7)
    for call in (streams.leave, lambda name: streams.save(name, tmp_path / "state")):
        with pytest.raises(InputError, match="no stream '7'"):
            call("7")
    assert streams.leave(7).shape == (0, 4)
    assert len(streams) == 0
    streams.join(7)
    assert streams.feed({7: torch.randn(1, 3)})[7].shape == (1, 4)
