"""Keras's layers, held to Keras itself on the torch backend."""

import contextlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch

from unrecur import CorruptFileError, InputError
from unrecur.interop.keras_config import MOST_LAYERS, settings_of
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")
FORMS = ["m.keras", "m.h5", "m.weights.h5"]


@pytest.fixture(scope="module")
def keras():
    """Imported here, since it takes seconds."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def saved(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


def randomized(model):
    """Biases start at zero, where nothing can be told apart."""
    random = np.random.default_rng(0)
    model.set_weights([0.5 * random.standard_normal(w.shape) for w in model.get_weights()])
    return model


def single(keras, make):
    return randomized(keras.Sequential([keras.Input((None, 3)), make(keras.layers)]))


LAYERS = {
    "lstm": lambda layers: layers.LSTM(4, return_sequences=True),
    "lstm without bias": lambda layers: layers.LSTM(4, return_sequences=True, use_bias=False),
    "gru": lambda layers: layers.GRU(4, return_sequences=True),
    "gru without bias": lambda layers: layers.GRU(4, return_sequences=True, use_bias=False),
    "gru reset first": lambda layers: layers.GRU(4, return_sequences=True, reset_after=False),
    "elman": lambda layers: layers.SimpleRNN(4, return_sequences=True),
    "both": lambda layers: layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
    "both, gru": lambda layers: layers.Bidirectional(
        layers.GRU(4, return_sequences=True, name="inner"), name="outer"
    ),
    "given cell": lambda layers: layers.RNN(layers.LSTMCell(4), return_sequences=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_read(name, form, keras, tmp_path):
    model = single(keras, LAYERS[name])
    [found] = read_recurrences(saved(model, tmp_path / form))
    x = torch.randn(2, 7, 3)
    expected = torch.as_tensor(model(x)).detach().cpu()
    torch.testing.assert_close(run(found, x)[0], expected, atol=1e-5, rtol=0)
    assert ("no config" in " ".join(found.notes)) == (form == "m.weights.h5")
    if form == "m.keras":
        assert found.name == model.layers[0].name


@pytest.mark.parametrize("form", FORMS[:2])
def test_activations_and_order_of_time_come_from_the_config(form, keras, tmp_path):
    options = {"activation": "relu", "return_sequences": True, "go_backwards": True}
    model = single(keras, lambda layers: layers.SimpleRNN(4, **options))
    [found] = read_recurrences(saved(model, tmp_path / form))
    assert found.reverse
    assert "last step first" in found.notes[0]
    x = torch.randn(2, 7, 3)
    expected = torch.as_tensor(model(x)).detach().cpu().flip(1)
    torch.testing.assert_close(run(found, x)[0], expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def several(keras, tmp_path_factory):
    """A model of many layers, one inside another model, in all forms."""
    layers = keras.layers
    inputs = keras.Input((None, 3), name="in")
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="encoder")(inputs)
    x = layers.GRU(4, return_sequences=True, name="first")(x)
    x = layers.GRU(4, return_sequences=True, reset_after=False, name="second")(x)
    inner = keras.Sequential(
        [layers.LSTM(4, return_sequences=True, name="deep"), layers.Dense(3)], name="inner"
    )
    cells = [layers.LSTMCell(3, name="low"), layers.GRUCell(4, name="high")]
    x = layers.RNN(cells, return_sequences=True, name="stack")(inner(x))
    model = randomized(keras.Model(inputs, layers.Dense(1)(x)))
    folder = tmp_path_factory.mktemp("keras")
    for form in FORMS:
        saved(model, folder / form)
    return model, folder


@pytest.mark.parametrize("form", FORMS)
def test_several_layers_are_listed(form, several):
    _, folder = several
    names = {one.name: one.kind for one in read_recurrences(folder / form)}
    if form == "m.weights.h5":  # named by their places, since there is no config
        assert names == {
            "bidirectional": "lstm",
            "gru": "gru",
            "gru_1": "reset_first_gru",
            "sequential/lstm": "lstm",
            "rnn/cell/cells/lstm_cell": "lstm",
            "rnn/cell/cells/gru_cell": "gru",
        }
    else:
        assert names == {
            "encoder": "lstm",
            "first": "gru",
            "second": "reset_first_gru",
            "inner/deep": "lstm",
            "stack/low": "lstm",
            "stack/high": "gru",
        }
    wrong = "secnd" if form != "m.weights.h5" else "gru_2"
    with pytest.raises(InputError, match="Did you mean"):
        read_recurrences(folder / form, select=wrong)


@pytest.mark.parametrize("form", FORMS[:2])
def test_all_layers_together_give_the_models_output(form, several):
    model, folder = several
    found = {one.name: one for one in read_recurrences(folder / form)}
    x = torch.randn(2, 5, 3)
    expected = torch.as_tensor(model(x)).detach().cpu()
    dense = [model.get_layer("inner").layers[1], model.layers[-1]]
    weights = [[torch.as_tensor(w) for w in layer.get_weights()] for layer in dense]
    for name in ("encoder", "first", "second", "inner/deep"):
        x, _ = run(found[name], x)
    x = x @ weights[0][0] + weights[0][1]
    for name in ("stack/low", "stack/high"):
        x, _ = run(found[name], x)
    torch.testing.assert_close(x @ weights[1][0] + weights[1][1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda layers: layers.LSTM(4, activation="relu"), "'relu' and 'sigmoid' of lstm"),
        (
            lambda layers: layers.GRU(4, recurrent_activation="hard_sigmoid"),
            "'hard_sigmoid' of gru",
        ),
        (lambda layers: layers.SimpleRNN(4, activation="elu"), "'elu'"),
    ],
)
def test_activations_that_our_cells_lack_are_named(make, message, keras, tmp_path):
    path = saved(single(keras, make), tmp_path / "m.keras")
    with pytest.raises(InputError, match=message):
        read_recurrences(path)


def test_a_recurrence_of_convolutions_is_refused(keras, tmp_path):
    model = keras.Sequential([keras.Input((None, 5, 5, 1)), keras.layers.ConvLSTM2D(2, 3)])
    path = saved(model, tmp_path / "m.keras")
    with pytest.raises(InputError, match="kernels of shape"):
        read_recurrences(path)


def test_a_model_without_recurrence_is_refused(keras, tmp_path):
    model = single(keras, lambda layers: layers.Dense(4))
    for form in FORMS:
        path = saved(model, tmp_path / form)
        with pytest.raises(InputError, match="got none"):
            read_recurrences(path)


def legacy(path, groups, config=None):
    """A file as Keras 2 wrote it."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for place, shapes in groups.items():
            for name, shape in shapes.items():
                file[f"model_weights/{place}/{name}:0"] = np.full(shape, 0.1, np.float32)
    return path


def test_the_names_of_keras_2_are_read(tmp_path):
    weights = {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
    relu = {"class_name": "SimpleRNN", "config": {"name": "r", "activation": "relu"}}
    half = {"class_name": "LSTM", "config": {"name": "lstm"}}
    both = {"class_name": "Bidirectional", "config": {"name": "enc", "layer": half}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [both, relu]}}
    groups = {
        "enc/enc/forward_lstm/lstm_cell": weights,
        "enc/enc/backward_lstm/lstm_cell_1": weights,
        "r/r": {"kernel": (8, 2), "recurrent_kernel": (2, 2)},
        "dense/dense": {"kernel": (2, 1), "bias": (1,)},
    }
    path = legacy(tmp_path / "m.h5", groups, config)
    found = {one.name: one for one in read_recurrences(path)}
    assert list(found) == ["enc", "r"]
    assert [len(layer) for layer in found["enc"].cells] == [2]
    assert found["r"].cells[0][0].activation == "relu"
    without = read_recurrences(legacy(tmp_path / "n.h5", groups))
    assert [one.name for one in without] == ["enc", "r"]


@pytest.mark.parametrize("make", [torch.nn.LSTM, torch.nn.GRU])
def test_the_weights_of_cudnn_layers_are_read(make, tmp_path):
    torch.manual_seed(0)
    module = make(3, 4, batch_first=True)
    w_ih, w_hh, b_ih, b_hh = (weight.detach().numpy() for weight in module.parameters())
    if make is torch.nn.GRU:  # Keras keeps z before r
        w_ih, w_hh, b_ih, b_hh = (
            np.concatenate([np.split(w, 3)[gate] for gate in (1, 0, 2)])
            for w in (w_ih, w_hh, b_ih, b_hh)
        )
    gates = len(w_hh) // 4
    # Each gate's matrix as torch has it, in the shape of its transpose.
    kernel = np.hstack([w.reshape(w.shape[::-1]) for w in np.split(w_ih, gates)])
    recurrent = np.hstack(np.split(w_hh, gates))
    bias = np.concatenate([b_ih, b_hh])
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = "2.1.5"  # whose CuDNN layers know the true sigmoid only
        for name, value in (("kernel", kernel), ("recurrent_kernel", recurrent), ("bias", bias)):
            file[f"model_weights/rnn/rnn/{name}:0"] = value
    [found] = read_recurrences(tmp_path / "m.h5")
    x = torch.randn(2, 7, 3)
    assert torch.allclose(run(found, x)[0], module(x)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("version", "refused"), [("2.2.4", True), ("2.3.1", False), ("3.0", False)]
)
def test_gates_of_an_old_keras_are_not_taken_for_todays(version, refused, tmp_path):
    weights = {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
    path = legacy(tmp_path / "m.h5", {"r/r": weights})
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = version.encode()
    if refused:
        with pytest.raises(InputError, match="hard_sigmoid"):
            read_recurrences(path)
    else:
        assert read_recurrences(path)[0].kind == "lstm"


BAD = {
    "rows": {"kernel": (3, 16), "recurrent_kernel": (4, 15)},
    "features": {"kernel": (3, 12), "recurrent_kernel": (4, 16)},
    "bias": {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (15,)},
    "reset": {"kernel": (3, 12), "recurrent_kernel": (4, 12), "bias": (3, 12)},
    "empty": {"kernel": (0, 16), "recurrent_kernel": (4, 16)},
    "scalar": {"kernel": (), "recurrent_kernel": (4, 16)},
}


@pytest.mark.parametrize("case", BAD)
def test_weights_that_do_not_fit_are_refused(case, tmp_path):
    with pytest.raises(InputError, match=r"recurrence 'a'"):
        read_recurrences(legacy(tmp_path / "m.h5", {"a/a": BAD[case]}))


@pytest.mark.parametrize("name", ["kernel:0", "model_weights"])
@pytest.mark.parametrize("kind", ["soft", "external"])
def test_links_are_not_followed(kind, name, tmp_path):
    outside = legacy(tmp_path / "o.h5", {"a": {"kernel": (3, 16)}})
    links = {"soft": h5py.SoftLink("/b"), "external": h5py.ExternalLink(str(outside), "/")}
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file[name] = links[kind]
    with pytest.raises(InputError, match=f"got a link at '{name}'"):
        read_recurrences(tmp_path / "m.h5")


def test_numbers_in_other_files_are_not_read(tmp_path):
    path = legacy(tmp_path / "m.h5", {"a": {"recurrent_kernel": (4, 16)}})
    (tmp_path / "secret").write_bytes(bytes(3 * 16 * 4))
    with h5py.File(path, "a") as file:
        part = (str(tmp_path / "secret"), 0, h5py.h5f.UNLIMITED)
        file.create_dataset("model_weights/a/kernel", (3, 16), "f4", external=[part])
    with pytest.raises(InputError, match="a reference to another"):
        read_recurrences(path)
    layout = h5py.VirtualLayout((3, 16), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 16))
    with h5py.File(path, "a") as file:
        del file["model_weights/a/kernel"]
        file.create_virtual_dataset("model_weights/a/kernel", layout)
    with pytest.raises(InputError, match="a reference to another"):
        read_recurrences(path)


def test_what_is_huge_or_endless_is_refused(tmp_path):
    path = legacy(tmp_path / "m.h5", {"a": {"recurrent_kernel": (4, 16)}})
    with h5py.File(path, "a") as file:  # 4 TB claimed, nothing stored
        file.create_dataset("model_weights/a/kernel", (10**6, 10**6), "f4", chunks=(10, 10))
    with pytest.raises(InputError, match="at most"):
        read_recurrences(path)
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file.create_group("a")["again"] = file["/"]
    with pytest.raises(InputError, match="64 deep"):
        read_recurrences(tmp_path / "n.h5")


def test_a_config_that_is_no_text_is_refused(tmp_path):
    path = legacy(tmp_path / "m.h5", {})
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = 3.5
    with pytest.raises(CorruptFileError, match="a config in JSON"):
        read_recurrences(path)


def test_text_in_the_place_of_numbers_is_refused(tmp_path):
    path = legacy(tmp_path / "m.h5", {"a": {"recurrent_kernel": (4, 16)}})
    with h5py.File(path, "a") as file:
        file["model_weights/a/kernel"] = "text"
    with pytest.raises(InputError, match="floating-point numbers"):
        read_recurrences(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keep", [0, 7, 600, 5000, -20])
def test_a_half_downloaded_file_is_refused(form, keep, several, tmp_path):
    path = tmp_path / form
    path.write_bytes((several[1] / form).read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match="damaged"):
        read_recurrences(path)


def archive(path, several, changes):
    """The `.keras` archive with members changed or left out."""
    with (
        zipfile.ZipFile(several[1] / "m.keras") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": None}, "the member 'config.json'"),
        ({"config.json": b"{"}, "a config in JSON"),
        ({"config.json": b'{"config":' * 100_000}, "RecursionError"),
        ({"config.json": b"\xff\xfe"}, "a config in JSON"),
        ({"model.weights.h5": None}, "the member 'model.weights.h5'"),
        ({"model.weights.h5": b"no HDF5"}, "whole HDF5 file"),
        ({"model.weights.h5": bytes(2**28)}, "once inflated"),
    ],
)
def test_a_hostile_archive_is_refused(changes, message, several, tmp_path):
    with pytest.raises(InputError, match=message):
        read_recurrences(archive(tmp_path / "m.keras", several, changes))


def test_any_json_is_a_config(several, tmp_path):
    for config in (b"1", b"[]", b'{"config": {"layers": 3, "cells": [1, {}], "layer": []}}'):
        path = archive(tmp_path / "m.keras", several, {"config.json": config})
        assert len(read_recurrences(path)) == 6
    item = {"class_name": "Dense", "config": {}}
    with pytest.raises(InputError, match="layers"):
        settings_of({"config": {"layers": [item] * (MOST_LAYERS + 1)}})


def test_flipped_bytes_in_an_archive_are_seen(several, tmp_path):
    content = (several[1] / "m.keras").read_bytes()
    path = tmp_path / "m.keras"
    for place in range(0, len(content), 4001):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_recurrences(path)


def test_the_file_is_only_read(several):
    before = io.BytesIO((several[1] / "m.h5").read_bytes()).getvalue()
    read_recurrences(several[1] / "m.h5")
    assert (several[1] / "m.h5").read_bytes() == before
