"""TorchScript archives: tensors out of data.pkl or the constants, and no code run."""

import contextlib
import io
import pickle
import pickletools
import zipfile

import pytest
import torch
from torch import nn

from unrecur import CorruptFileError, InputError
from unrecur.interop import pickles
from unrecur.interop.pickles import read_pickle
from unrecur.interop.read import read_recurrences
from unrecur.interop.recurrence import run

# torch.jit warns that it is deprecated; the files that it wrote are still there.
pytestmark = pytest.mark.filterwarnings("ignore")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.decoder = nn.GRU(8, 3, bias=False, batch_first=True)
        self.relu = nn.RNN(3, 2, nonlinearity="relu", batch_first=True)
        self.register_buffer("steps", torch.arange(3))

    def forward(self, x):
        x, _ = self.encoder(x)
        x, _ = self.decoder(x)
        return self.relu(x)[0]


def script(model):
    return torch.jit.script(model)


def trace(model):
    return torch.jit.trace(model, torch.zeros(2, 5, 3))


FORMS = {
    "scripted": script,
    "traced": trace,
    "scripted and frozen": lambda model: torch.jit.freeze(script(model)),
    "traced and frozen": lambda model: torch.jit.freeze(trace(model)),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    torch.manual_seed(0)
    model = Model().eval()
    folder = tmp_path_factory.mktemp("archives")
    paths = {}
    for name, form in FORMS.items():
        paths[name] = folder / f"{name}.pt"
        torch.jit.save(form(model), paths[name])
    return model, paths


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_is_read(form, archives):
    model, paths = archives
    found = read_recurrences(paths[form])
    assert [one.kind for one in found] == ["lstm", "gru", "elman"]
    if "frozen" not in form:  # freezing may forget the names
        assert [one.name for one in found] == ["encoder", "decoder", "relu"]
    assert not any(one.notes for one in found)
    x = torch.randn(2, 6, 3)
    expected = model(x)
    for one in found:
        x, _ = run(one, x)
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)


def test_a_single_recurrence_and_a_single_cell(tmp_path):
    torch.manual_seed(0)
    for module, kind in ((nn.LSTM(3, 4), "lstm"), (nn.GRUCell(3, 4), "gru")):
        torch.jit.save(script(module), tmp_path / "m.ts")
        [found] = read_recurrences(tmp_path / "m.ts")
        assert found.kind == found.name == kind


def rewritten(path, changes, to):
    """The archive with some members put in the place of its own, or taken out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            inside = name.partition("/")[2]
            content = changes.get(inside, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return to


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.pkl": b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."}, "needs code: os.system"),
        ({"data.pkl": b"\x80\x02cbuiltins\neval\n."}, "needs code: builtins.eval"),
        ({"data.pkl": b"\x80\x02X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93."}, "STACK_GLOBAL"),
        ({"data.pkl": b"\x80\x02]q\x00h\x00b."}, "malformed"),
        ({"data.pkl": b"\x80\x02}"}, "malformed"),
        ({"data.pkl": b""}, "malformed"),
        ({"data.pkl": None}, "damaged"),
        ({"data/1": b"\0" * 8}, "do not hold it"),
        ({"data/1": None}, "damaged"),
        ({"byteorder": b"big"}, "little-endian"),
        ({"data.pkl": pickle.dumps({"a": 1}, 2)}, "expected a recurrence"),
    ],
)
def test_a_hostile_archive_is_refused(changes, message, archives, tmp_path):
    path = rewritten(archives[1]["scripted"], changes, tmp_path / "m.pt")
    with pytest.raises(InputError, match=message):
        read_recurrences(path)


def test_a_missing_or_wrong_constant_is_refused(archives, tmp_path):
    for content in (b"\x80\x02).", b"\x80\x02K\x01\x85.", b"\x80\x02K\x01."):
        changes = {"constants.pkl": content}
        path = rewritten(archives[1]["scripted and frozen"], changes, tmp_path / "m.pt")
        with pytest.raises(CorruptFileError, match="constant 0"):
            read_recurrences(path)


@pytest.mark.parametrize("keep", [10, 1000, -400, -1])
def test_a_half_downloaded_archive_is_refused(keep, archives, tmp_path):
    path = tmp_path / "m.pt"
    path.write_bytes(archives[1]["scripted"].read_bytes()[:keep])
    with pytest.raises(CorruptFileError, match="truncated or damaged"):
        read_recurrences(path)


def test_flipped_bytes_in_the_pickle_give_weights_or_a_clear_error(archives, tmp_path):
    with zipfile.ZipFile(archives[1]["scripted"]) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        content = archive.read(name)
    for place in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path = rewritten(archives[1]["scripted"], {"data.pkl": bytes(damaged)}, tmp_path / "m.pt")
        with contextlib.suppress(InputError):
            read_recurrences(path)


def tensor(offset=0, shape=(4, 1), strides=(1, 1)):
    """A module with one tensor, as torch pickles it."""

    def numbers(values):
        return b"(" + b"".join(b"J" + v.to_bytes(4, "little", signed=True) for v in values) + b"t"

    return (
        b"\x80\x02c__torch__\nM\n)\x81}(X\x0c\x00\x00\x00weight_hh_l0"
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x001X\x03\x00\x00\x00cpuK\x04tQ"
        + b"J"
        + offset.to_bytes(4, "little", signed=True)
        + numbers(shape)
        + numbers(strides)
        + b"\x89}tRub."
    )


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"offset": 10**9}, "do not hold it"),
        ({"offset": -1}, "malformed"),
        ({"shape": (2**30, 2**30), "strides": (0, 0)}, "fits its storage"),
        ({"shape": (2**30, 2**30)}, "do not hold it"),
        ({"shape": (-4, 1)}, "malformed"),
        ({"strides": (1,)}, "do not hold it"),
    ],
)
def test_a_tensor_that_lies_about_its_shape_is_refused(lie, message, archives, tmp_path):
    pickletools.dis(tensor(**lie), io.StringIO())  # is a pickle
    path = rewritten(archives[1]["scripted"], {"data.pkl": tensor(**lie)}, tmp_path / "m.pt")
    with pytest.raises(CorruptFileError, match=message):
        read_recurrences(path)


def test_deep_nesting_is_read_or_refused_but_never_overflows(monkeypatch):
    deep = 50_000
    assert isinstance(read_pickle(b"\x80\x02" + b")" + b"\x85" * deep + b"."), tuple)
    with pytest.raises(CorruptFileError, match="a key of type tuple"):
        read_pickle(b"\x80\x02}" + b")" + b"\x85" * deep + b"K\x01s.")
    monkeypatch.setattr(pickles, "MOST_OPCODES", 1000)
    with pytest.raises(InputError, match="at most 1000 steps"):
        read_pickle(b"\x80\x02" + b")" * deep + b".")
    monkeypatch.setattr(pickles, "LARGEST_PICKLE", 100)
    with pytest.raises(InputError, match="at most 100 bytes"):
        read_pickle(b")" * 101)


def test_a_record_that_holds_itself_ends(archives, tmp_path):
    loop = b"\x80\x02c__torch__\nM\n)\x81q\x00}(X\x04\x00\x00\x00selfh\x00ub."
    path = rewritten(archives[1]["scripted"], {"data.pkl": loop}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="expected a recurrence"):
        read_recurrences(path)


def test_quantized_weights_are_refused(archives, tmp_path):
    content = tensor().replace(b"FloatStorage", b"QInt8Storage")
    path = rewritten(archives[1]["scripted"], {"data.pkl": content}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="QInt8Storage"):
        read_recurrences(path)
