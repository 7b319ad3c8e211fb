"""Bare arrays and their mappings."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from unrecur import CorruptFileError, InputError
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run


def saved(tmp_path, mapping=None, **arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    if mapping is not None:
        text = mapping if isinstance(mapping, str) else json.dumps(mapping)
        (tmp_path / "m.json").write_text(text)
    return tmp_path / "m.npz"


def lstm():
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, batch_first=True)
    return module, {name: weight.detach().numpy() for name, weight in module.named_parameters()}


def test_names_of_a_state_dict_need_no_mapping(tmp_path):
    module, arrays = lstm()
    renamed = {f"encoder.{name}": array for name, array in arrays.items()}
    [found] = read_recurrences(saved(tmp_path, **renamed))
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(run(found, x)[0], module(x)[0], atol=1e-5, rtol=0)
    assert found.name == "encoder"


def cells(*layer):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [[dict(zip(names, each, strict=False)) for each in layer]]


def test_a_mapping_gives_names_order_and_layout(tmp_path):
    module, arrays = lstm()
    order = [2, 0, 3, 1]  # g, i, o, f of torch's i, f, g, o

    def moved(array):
        return np.concatenate([np.split(array, 4)[place] for place in order])

    arrays = {
        "W": moved(arrays["weight_ih_l0"]).T,
        "U": moved(arrays["weight_hh_l0"]).T,
        "b": moved(arrays["bias_ih_l0"] + arrays["bias_hh_l0"]),
        "unused": np.arange(3),
    }
    entry = {"name": "mine", "kind": "lstm", "gates": "giof", "transposed": True}
    entry["layers"] = cells(("W", "U", "b"))
    [found] = read_recurrences(saved(tmp_path, {"recurrences": [entry]}, **arrays))
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(run(found, x)[0], module(x)[0], atol=1e-5, rtol=0)
    assert (found.name, found.kind) == ("mine", "lstm")


def test_a_mapping_may_hold_stacks_directions_and_several(tmp_path):
    torch.manual_seed(0)
    module = nn.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True, batch_first=True)
    arrays = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    whats = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = [
        cells(*([f"{what}_l{layer}{end}" for what in whats] for end in ("", "_reverse")))[0]
        for layer in range(2)
    ]
    entry = {"name": "rnn", "kind": "elman", "activation": "relu", "layers": layers}
    arrays |= {"w": np.ones((3, 2)), "u": np.ones((3, 1)), "b": np.ones(3, ">f8")}
    other = {"kind": "reset_first_gru", "layers": cells(("w", "u", None, "b"))}
    found = read_recurrences(saved(tmp_path, {"recurrences": [entry, other]}, **arrays))
    assert [(one.name, one.kind) for one in found] == [
        ("rnn", "elman"),
        ("recurrence", "reset_first_gru"),
    ]
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(run(found[0], x)[0], module(x)[0], atol=1e-5, rtol=0)
    assert torch.equal(found[1].cells[0][0].bias_hh_l0, torch.ones(3, dtype=torch.float64))


def entry(**changes):
    whole = {"name": "a", "kind": "lstm", "layers": cells(("W", "U"))} | changes
    return {"recurrences": [{key: value for key, value in whole.items() if value is not None}]}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (None, r"or the mapping m\.json.*got the arrays U, W"),
        ("{", "config in JSON"),
        ({}, "expected a mapping"),
        ({"recurrences": [1]}, "expected a mapping"),
        ({"recurrences": []}, "got none"),
        (entry(kind="lsmt"), "Did you mean 'lstm'"),
        (entry(kind="gru"), "expected the weight_ih as"),
        (entry(gates="ifgg"), "expected gates in an order of ifgo"),
        (entry(gates=3), "expected gates in an order of ifgo"),
        (entry(layers=None), "expected layers as a list"),
        (entry(layers=[[]]), "a layer's cells as a list"),
        (entry(layers=[[3]]), "expected a cell as"),
        (entry(layers=cells(("W", "V"))), "unknown array 'V'.*Known: U, W"),
        (entry(layers=cells(("W",))), "unknown array 'None'"),
        (entry(layers=[[{"weight_hi": "W"}]]), "Did you mean 'weight_ih'"),
        (entry(layer=1), "Did you mean 'layers'"),
        (entry(activation="tan", kind="elman", layers=cells(("S", "S"))), "Did you mean 'tanh'"),
        (entry(transposed=True), "expected the weight_ih as"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(mapping, message, tmp_path):
    arrays = {"W": np.ones((16, 3)), "U": np.ones((16, 4))}
    if mapping and "S" in json.dumps(mapping):
        arrays["S"] = np.ones((4, 4))
    with pytest.raises(InputError, match=message):
        read_recurrences(saved(tmp_path, mapping, **arrays))


def test_objects_are_not_unpickled(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    np.savez(tmp_path / "m.npz", a=np.array([Runs()], dtype=object))
    with pytest.raises(CorruptFileError, match="Python objects"):
        read_recurrences(tmp_path / "m.npz")
    assert not (tmp_path / "was-run").exists()


def header(shape, dtype="<f4", version=b"\x01\x00"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text


@pytest.mark.parametrize(
    "content",
    [
        header((10**12,)),
        header((4,)) + bytes(15),
        header((4,)) + bytes(17),
        header((2,), "|O") + bytes(16),
        header((1,), "<U4") + bytes(16),
        header((-1,)) + bytes(16),
        header("x") + bytes(16),
        header("__import__('os').getcwd()") + bytes(16),
        header("(" * 5000) + bytes(16),
        header((4,), version=b"\x09\x00") + bytes(16),
        b"",
        b"\x93NUMPY",
    ],
)
def test_a_damaged_array_is_refused(content, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("weight_hh_l0.npy", content)
    with pytest.raises(CorruptFileError, match=r"weight_hh_l0\.npy"):
        read_recurrences(tmp_path / "m.npz")


def test_bombs_and_broken_archives_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", weight_hh_l0=np.zeros(2**25, np.float32))
    with pytest.raises(InputError, match="once inflated"):
        read_recurrences(tmp_path / "m.npz")
    path = saved(tmp_path, **lstm()[1])
    content = path.read_bytes()
    for keep in (0, 10, -1):
        path.write_bytes(content[:keep])
        with pytest.raises(CorruptFileError, match="whole zip"):
            read_recurrences(path)
    damaged = bytearray(content)
    damaged[200] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptFileError, match="damaged"):
        read_recurrences(path)


def test_encrypted_and_crowded_archives_are_refused(tmp_path, monkeypatch):
    path = saved(tmp_path, **lstm()[1])
    monkeypatch.setattr("unrecur.interop.zips.MOST_MEMBERS", 3)
    with pytest.raises(InputError, match="got 4 members"):
        read_recurrences(path)
    monkeypatch.undo()
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption in the directory
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        read_recurrences(path)
