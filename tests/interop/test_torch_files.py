"""Checkpoints and safetensors: recurrences by name and shape, and what a pickle may not do."""

import contextlib
import os
import pickle
import zipfile
from argparse import Namespace

import pytest
import safetensors.torch
import torch
from torch import nn

from unrecur import CorruptFileError, InputError, Spec, save_model
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run
from unrecur.interop.state_dicts import find_in_tensors

KINDS = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "encoder": nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True),
            "decoder": nn.Sequential(nn.Linear(8, 3), nn.GRU(3, 4, bias=False, batch_first=True)),
            "cell": nn.LSTMCell(4, 2),
            "head": nn.Linear(4, 1),
        }
    )


def written(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt", "m.pth", "m.bin", "m.ckpt"])
def test_all_recurrences_of_a_file_are_read(name, tmp_path):
    module = model()
    found = read_recurrences(written(tmp_path / name, module.state_dict()))
    kinds = {one.name: one.kind for one in found}
    assert kinds == {"encoder": "lstm", "decoder.1": "gru", "cell": "lstm"}
    x = torch.randn(2, 7, 3)
    for one in found:
        if one.name != "cell":
            expected, _ = module.get_submodule(one.name)(x)
            torch.testing.assert_close(run(one, x)[0], expected, atol=1e-5, rtol=0)
    [cell] = read_recurrences(tmp_path / name, select="cell")
    torch.testing.assert_close(
        cell.cells[0][0].phi(torch.zeros(2, 4), torch.ones(2, 4))[:, 2:],
        module["cell"](torch.ones(2, 4))[0],
    )


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_told_by_the_shapes(kind, layers, bidirectional, tmp_path):
    torch.manual_seed(0)
    module = KINDS[kind](3, 4, layers, bidirectional=bidirectional, batch_first=True)
    [found] = read_recurrences(written(tmp_path / "m.pt", module.state_dict()))
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(run(found, x)[0], module(x)[0], atol=1e-5, rtol=0)
    assert (found.name, found.kind) == (kind, kind)
    assert ("tanh was assumed" in " ".join(found.notes)) == (kind == "elman")


def test_a_checkpoint_is_looked_through(tmp_path):
    state = {f"module.{name}": value for name, value in model().state_dict().items()}
    checkpoint = {"epoch": 3, "model": state, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    found = read_recurrences(written(tmp_path / "m.pt", checkpoint))
    assert [one.name for one in found] == [
        "model.module.encoder",
        "model.module.decoder.1",
        "model.module.cell",
    ]


def test_the_old_format_of_checkpoints_is_read(tmp_path):
    torch.save(model().state_dict(), tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    assert len(read_recurrences(tmp_path / "m.pt")) == 3


def test_half_precision_becomes_single_exactly(tmp_path):
    module = nn.GRU(3, 4).to(torch.bfloat16)
    [found] = read_recurrences(written(tmp_path / "m.safetensors", module.state_dict()))
    weight = found.cells[0][0].weight_hh_l0
    assert weight.dtype == torch.float32
    assert torch.equal(weight.bfloat16(), module.weight_hh_l0)


def test_a_file_of_ours_is_read_as_its_model(tmp_path):
    options = {"in_features": 3, "out_features": 2, "hidden": 4, "layers": 2}
    spec = Spec("mgu", options)
    save_model(tmp_path / "m.safetensors", spec, spec.build())
    [found] = read_recurrences(tmp_path / "m.safetensors")
    assert (found.kind, len(found.cells)) == ("mgu", 2)


class Runs:
    """Would run a command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_needs_code_is_refused_and_not_run(zipped, tmp_path):
    mark = tmp_path / "was-run"
    hostile = {"weight_hh_l0": torch.ones(4, 1), "x": Runs(f"touch {mark}")}
    torch.save(hostile, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"needs code: (posix|nt|os)\.system.*Nothing of it") as e:
        read_recurrences(tmp_path / "m.pt")
    assert not isinstance(e.value, CorruptFileError)
    assert not mark.exists()


def test_a_whole_module_and_foreign_classes_are_refused(tmp_path):
    torch.save(nn.LSTM(3, 4), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"needs code: torch\.nn\.modules\.rnn\.LSTM.*state_dict"):
        read_recurrences(tmp_path / "m.pt")
    torch.save({"hyper": Namespace(a=1)}, tmp_path / "n.ckpt")
    with pytest.raises(InputError, match=r"needs code: argparse\.Namespace"):
        read_recurrences(tmp_path / "n.ckpt")


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
@pytest.mark.parametrize("keep", [0, 3, 8, 100, 1000, -300, -1])
def test_a_half_downloaded_file_is_refused(name, keep, tmp_path):
    path = written(tmp_path / name, model().state_dict())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match=r"m\.(pt|safetensors): .*damaged"):
        read_recurrences(path)


@pytest.mark.parametrize("content", [b"hello, world", b"\x80\x02}q\x00.", pickle.dumps([1, 2], 2)])
def test_another_kind_of_file_is_refused(content, tmp_path):
    for name in ("m.pt", "m.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_recurrences(tmp_path / name)


def test_flipped_bytes_give_weights_or_a_clear_error(tmp_path):
    path = written(tmp_path / "m.pt", nn.GRU(2, 2).state_dict())
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_recurrences(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(2**27))
    assert path.stat().st_size < 2**18
    with pytest.raises(InputError, match="a claim of 134217728 bytes once inflated"):
        read_recurrences(path)


def test_shapes_that_blow_up_are_refused(tmp_path):
    huge = torch.ones(1).expand(4 * 10**6, 10**6)
    state = {"weight_ih_l0": torch.ones(4, 1), "weight_hh_l0": huge}
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(CorruptFileError, match="to fit its storage"):
        read_recurrences(tmp_path / "m.pt")


def test_a_checkpoint_that_holds_itself_ends(tmp_path):
    state = {"rnn": nn.GRU(3, 4).state_dict()}
    state["again"] = state
    assert len(read_recurrences(written(tmp_path / "m.pt", state))) == 1


def changed(**changes):
    """The state dict of an LSTM with some weights put in the place of its own, or taken out."""
    state = dict(nn.LSTM(3, 4, num_layers=2).state_dict()) | changes
    return {name: value for name, value in state.items() if value is not None}


WRONG = {
    "rows": (changed(weight_hh_l0=torch.ones(20, 4)), r"got \[20, 4\]"),
    "mixed": (changed(weight_hh_l1=torch.ones(12, 4)), r"expected the weight_ih as \[12, 4\]"),
    "bias": (changed(bias_hh_l0=torch.ones(15)), r"expected the bias_hh as \[16\], got \[15\]"),
    "one bias": (changed(bias_hh_l0=None), "both biases or none"),
    "no input": (changed(weight_ih_l1=None), "expected weight_ih, weight_hh"),
    "no layer": (
        changed(**dict.fromkeys([f"{k}_l0" for k in ("weight_ih", "weight_hh", "bias_ih")])),
        "expected weight_ih, weight_hh",
    ),
    "a gap": (changed(weight_hh_l3=torch.ones(16, 4)), "missing or too many for l2"),
    "one way": (changed(weight_hh_l0_reverse=torch.ones(16, 4)), "for l1_reverse"),
    "stack": (changed(weight_ih_l1=torch.ones(16, 5)), "reads the 4 outputs of the one below"),
    "vector": (changed(weight_hh_l0=torch.ones(16)), r"got \[16\]"),
    "empty": (changed(weight_hh_l0=torch.ones(0, 0)), r"got \[0, 0\]"),
    "integers": (changed(weight_hh_l0=torch.ones(16, 4, dtype=torch.int8)), "Quantized"),
    "nan": (changed(weight_hh_l0=torch.full((16, 4), float("nan"))), "64 NaN or infinite"),
    "projection": (dict(nn.LSTM(3, 4, proj_size=2).state_dict()), "proj_size"),
    "weight norm": (
        dict(nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0").state_dict()),
        "expected the weight itself, got its parametrization",
    ),
    "none": (dict(nn.Linear(3, 4).state_dict()), "expected a recurrence .*, got none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_are_refused(case, tmp_path):
    state, message = WRONG[case]
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match=message):
        read_recurrences(tmp_path / "m.pt")


def test_a_quantized_or_sparse_weight_is_refused(tmp_path):
    state = changed(weight_hh_l0=torch.ones(16, 4).to_sparse())
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(InputError, match="dense tensor"):
        read_recurrences(tmp_path / "m.pt")


def test_a_known_activation_is_used():
    module = nn.RNN(3, 4, nonlinearity="relu", batch_first=True)
    found = find_in_tensors(module.state_dict(), {"": "relu"})["elman"]()
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(run(found, x)[0], module(x)[0])
    assert not found.notes
