"""Neural Amp Modeler's files, held to torch's LSTM and to the published way of running them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from unrecur import CorruptFileError, InputError
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run


def exported(lstm, head, start):
    """A `.nam` as neural-amp-modeler exports it."""
    parts = []
    for layer in range(lstm.num_layers):
        w_ih, w_hh, b_ih, b_hh = (w.detach() for w in lstm.all_weights[layer])
        hidden, cell = start[layer]
        parts += [torch.cat([w_ih, w_hh], 1).flatten(), b_ih + b_hh, hidden, cell]
    parts += [head.weight.detach().flatten(), head.bias.detach()]
    config = {
        "input_size": lstm.input_size,
        "hidden_size": lstm.hidden_size,
        "num_layers": lstm.num_layers,
    }
    return {
        "version": "0.5.4",
        "architecture": "LSTM",
        "config": config,
        "weights": torch.cat(parts).tolist(),
        "sample_rate": 48000,
    }


def example(layers=2, features=1, outputs=1):
    torch.manual_seed(0)
    lstm, head = nn.LSTM(features, 4, layers, batch_first=True), nn.Linear(4, outputs)
    return lstm, head, torch.randn(layers, 2, 4)


def saved(model, tmp_path):
    path = tmp_path / "m.nam"
    path.write_text(model if isinstance(model, str) else json.dumps(model))
    return path


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_an_lstm_is_read_with_the_state_it_starts_from(layers, features, tmp_path):
    lstm, head, start = example(layers, features)
    [found] = read_recurrences(saved(exported(lstm, head, start), tmp_path))
    assert (found.name, found.kind, len(found.cells)) == ("lstm", "lstm", layers)
    x = torch.randn(3, 20, features)
    states = tuple(part.contiguous() for part in start.unsqueeze(2).expand(-1, -1, 3, -1).unbind(1))
    expected, _ = lstm(x, states)
    torch.testing.assert_close(run(found, x)[0], expected, atol=1e-5, rtol=0)


def core(weights, x, hidden, layers):
    """NeuralAmpModelerCore's loop, number by number."""
    place = 0

    def take(count):
        nonlocal place
        place += count
        return np.array(weights[place - count : place])

    cells = []
    for layer in range(layers):
        width = hidden if layer else 1
        w, b = take(4 * hidden * (width + hidden)).reshape(4 * hidden, -1), take(4 * hidden)
        cells.append([w, b, take(hidden), take(hidden)])
    head, bias = take(hidden), take(1)
    outputs = []
    for sample in x:
        signal = np.array([sample])
        for cell in cells:
            w, b, h, c = cell
            i, f, g, o = np.split(w @ np.concatenate([signal, h]) + b, 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            cell[2:] = signal, _ = np.tanh(c) / (1 + np.exp(-o)), c
        outputs.append(head @ signal + bias[0])
    return np.array(outputs)


def test_it_sounds_as_in_the_plugin(tmp_path):
    lstm, head, start = example()
    model = exported(lstm, head, start)
    [found] = read_recurrences(saved(model, tmp_path))
    x = np.sin(np.arange(50) / 3)
    y, _ = run(found, torch.tensor(x, dtype=torch.float32)[None, :, None])
    expected = core(model["weights"], x, 4, 2)
    np.testing.assert_allclose(head(y)[0, :, 0].detach(), expected, atol=1e-5)


def test_several_outputs_and_models_in_a_row(tmp_path):
    lstm, head, start = example(outputs=2)
    model = exported(lstm, head, start)
    model["config"]["out_channels"] = 2
    linear = {"architecture": "Linear", "config": {"receptive_field": 8}, "weights": [1.0] * 8}
    row = {"architecture": "Sequential", "config": {"models": [model, linear, model]}}
    found = read_recurrences(saved(row, tmp_path))
    assert [one.name for one in found] == ["lstm", "lstm#2"]
    [one] = read_recurrences(tmp_path / "m.nam", select="lstm#2")
    assert one.name == "lstm#2"


def wavenet(**config):
    array = {"dilations": [1, 2, 4, 8], "kernel_size": 3, "head_size": 8, "channels": 16}
    return {"architecture": "WaveNet", "config": {"layers": [array, array]} | config, "weights": []}


def test_the_receptive_field_of_a_wavenet_is_the_measured_one(tmp_path):
    """Two stacks of causal convolutions, the field measured by the gradient."""
    with pytest.raises(InputError, match="receptive field is 61 samples") as error:
        read_recurrences(saved(wavenet(), tmp_path))
    assert "WaveNet, which is not recurrent" in str(error.value)
    x = torch.zeros(1, 1, 100, requires_grad=True)
    y = x
    for dilation in [1, 2, 4, 8] * 2:
        y = nn.functional.conv1d(y, torch.ones(1, 1, 3), dilation=dilation)
    y[0, 0, -1].backward()
    first = int(x.grad[0, 0].nonzero()[0])
    assert 100 - first == 61


def test_other_models_without_recurrence_tell_their_field_too(tmp_path):
    newer = {"dilations": [1, 5], "kernel_sizes": [3, 4], "head": {"kernel_size": 16}}
    cases = {
        1 + 2 + 15 + 15: wavenet(layers=[newer]),
        61 + 2 + 3: wavenet(head={"kernel_sizes": [3, 4]}),
        61 + 8 - 1: wavenet(
            condition_dsp={"architecture": "Linear", "config": {"receptive_field": 8}}
        ),
        1 + 7: {"architecture": "ConvNet", "config": {"dilations": [1, 2, 4]}},
    }
    for field, model in cases.items():
        with pytest.raises(InputError, match=f"receptive field is {field} samples"):
            read_recurrences(saved(model, tmp_path))


def test_a_recurrence_that_conditions_a_wavenet_is_read(tmp_path):
    inner = exported(*example())
    [found] = read_recurrences(saved(wavenet(condition_dsp=inner), tmp_path))
    assert found.kind == "lstm"


def changed(**changes):
    model = exported(*example())
    model["config"] |= changes.pop("config", {})
    return model | changes


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "config in JSON"),
        ("[1, 2", "config in JSON"),
        ("[" * 10**6, "config in JSON"),
        ("[]", "expected a model with 'architecture'"),
        ({"architecture": "LSTM"}, "expected a model with 'architecture'"),
        (changed(architecture="Magic"), "got 'Magic'"),
        (changed(weights=[1.0, 2.0]), r"expected 261 weights for 2 layer\(s\) of 4 units, got 2"),
        (changed(weights="1 2 3"), "list of numbers"),
        (changed(weights=[1.0, "2"]), "list of numbers"),
        (changed(weights=[float("nan")] * 261), "NaN or infinite"),
        (changed(weights=[1e300] * 261), "NaN or infinite"),
        (changed(weights=[10**400] * 261), "that are floats"),
        (changed(config={"hidden_size": 0}), "at least 1 as 'hidden_size', got 0"),
        (changed(config={"hidden_size": "4"}), "at least 1 as 'hidden_size'"),
        (changed(config={"hidden_size": True}), "at least 1 as 'hidden_size'"),
        (changed(config={"num_layers": 10**15}), "expected 1519+57 weights"),
        ({"architecture": "Sequential", "config": {}}, "expected a list 'models'"),
        ({"architecture": "Sequential", "config": {"models": []}}, "Sequential, which is not"),
        (wavenet(layers=[3]), "an object of JSON"),
        (wavenet(layers=[{"dilations": [1]}]), "'kernel_size'"),
        (wavenet(layers=[{"dilations": [1], "kernel_sizes": [1, 2]}]), "as many kernel sizes"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(model, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_recurrences(saved(model, tmp_path))


@pytest.mark.parametrize("keep", [0, 1, 50, 1000, -1])
def test_a_half_downloaded_file_is_refused(keep, tmp_path):
    path = saved(exported(*example()), tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match=r"m\.nam: "):
        read_recurrences(path)
