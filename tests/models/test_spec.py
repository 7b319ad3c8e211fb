"""Building models by name, and models on disk."""

import json
import os
import time

import pytest
import safetensors.torch
import torch

from cases import FEATURES, SPECS
from unrecur import CorruptFileError, InputError, build, load_model, save_model


@pytest.mark.parametrize("name", SPECS)
def test_a_saved_model_is_loaded_exactly(name, tmp_path):
    torch.manual_seed(0)
    model = SPECS[name].build().eval()
    save_model(tmp_path / "m.safetensors", SPECS[name], model)
    spec, again = load_model(tmp_path / "m.safetensors")
    x = torch.rand(2, 5, FEATURES)
    assert spec == SPECS[name]
    assert torch.equal(again(x)[0], model(x)[0])
    assert not again.training


def test_parameters_are_counted_as_built():
    for spec in SPECS.values():
        assert spec.parameters == sum(p.numel() for p in spec.build().parameters())


def test_an_unknown_model_is_told_its_nearest():
    with pytest.raises(InputError, match="Did you mean 'lstm'"):
        build("lsmt", in_features=1, out_features=1, hidden=1)


def test_unknown_and_missing_options_are_named():
    with pytest.raises(InputError, match="hiden"):
        build("lstm", in_features=1, out_features=1, hidden=1, hiden=1)
    with pytest.raises(InputError, match="hidden"):
        build("lstm", in_features=1, out_features=1)


def written(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, SPECS["lstm"], SPECS["lstm"].build())
    return path


@pytest.mark.parametrize("keep", [0, 3, 8, 100, -1])
def test_a_truncated_file_is_refused(keep, tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match="no whole model file"):
        load_model(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"unrecur": "not json"},
        {"unrecur": "null"},
        {"unrecur": json.dumps({"model": "lstm"})},
        {"unrecur": json.dumps({"model": "os.system", "options": {}})},
        {"unrecur": json.dumps({"model": "lstm", "options": [1]})},
        {"unrecur": json.dumps({"model": "gru", "options": SPECS["gru"].options})},
    ],
)
def test_a_foreign_or_forged_file_is_refused(metadata, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors.torch.save(SPECS["lstm"].build().state_dict(), metadata))
    with pytest.raises(CorruptFileError):
        load_model(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ngram", {"in_features": 2, "order": 10**9}),
        ("wavenet", {"in_features": 1, "out_features": 2, "hidden": 1, "layers": 10**6}),
        ("wavenet", {"in_features": 1, "out_features": 2, "hidden": 0, "stacks": 10**9}),
        ("lstm", {"in_features": 3, "out_features": 2, "hidden": 10**9}),
        ("lstm", {"in_features": 3, "out_features": -(10**13), "hidden": 4, "layers": 10**9}),
        ("lstm", {"in_features": 3, "out_features": float("nan"), "hidden": 4, "layers": 10**9}),
        ("lstm", {"in_features": 3, "out_features": 2, "hidden": 10**400}),
        ("hidden_markov", {"in_features": 3, "hidden": float("inf")}),
        ("transformer", {"in_features": 3, "out_features": 2, "hidden": 4, "heads": 0}),
        ("convs2s", {"in_features": 3, "out_features": 0, "hidden": 4, "layers": 1}),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_spec_that_asks_for_more_than_the_file_holds_builds_nothing(name, options, tmp_path):
    path = tmp_path / "m.safetensors"
    metadata = {"unrecur": json.dumps({"model": name, "options": options})}
    path.write_bytes(safetensors.torch.save({"weight": torch.ones(3)}, metadata))
    begin = time.monotonic()
    with pytest.raises(CorruptFileError, match="no whole model file"):
        load_model(path)
    assert time.monotonic() - begin < 5


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    def full(_):
        raise MemoryError

    path = written(tmp_path)
    monkeypatch.setattr("unrecur.models.spec.Spec.build", full)
    with pytest.raises(CorruptFileError, match="no whole model file"):
        load_model(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = SPECS["lstm"].build()
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
    save_model(tmp_path / "m.safetensors", SPECS["lstm"], model)
    with pytest.raises(CorruptFileError, match="NaN"):
        load_model(tmp_path / "m.safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = written(tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_model(path, SPECS["lstm"], SPECS["lstm"].build())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.safetensors")
