"""Pretrained models as folders: exact round trips, cards, and hostile folders."""

import json
import os
import pickle

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

import unrecur
from small import small_task
from unrecur import CorruptFileError, InputError, Spec
from unrecur.exports.pretrained import from_pretrained, push_to_hub, save_pretrained

SPEC = Spec("gru", {"in_features": 3, "out_features": 2, "hidden": 4})
TCN = Spec("tcn", {"in_features": 1, "out_features": 1, "hidden": 4, "levels": 2})


def built(spec=SPEC):
    torch.manual_seed(0)
    return spec.build().eval()


@pytest.fixture
def folder(tmp_path):
    return save_pretrained(built(), SPEC, tmp_path / "tiny")


def test_the_round_trip_is_exact(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    spec, model = from_pretrained(folder)
    assert (spec, model.training) == (SPEC, False)
    x = torch.randn(2, 9, 3)
    assert torch.equal(model(x)[0], built()(x)[0])
    for name, value in built().state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert from_pretrained(str(folder))[0] == SPEC


def test_a_folder_is_written_anew_and_other_files_stay(folder):
    (folder / "notes.txt").write_text("mine")
    other = Spec("gru", SPEC.options | {"hidden": 5})
    save_pretrained(built(other), other, folder)
    assert from_pretrained(folder)[0] == other
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("model", "spec", "message"),
    [
        (built(), Spec("gru", SPEC.options | {"hidden": 5}), "does not belong"),
        (built(), Spec("lstm", SPEC.options), "does not belong"),
        (built(), Spec("grru", SPEC.options), "unknown model"),
        (built().double(), SPEC, "float64 and would come back as torch.float32"),
    ],
)
def test_a_spec_that_does_not_give_the_model_back_is_refused(model, spec, message, tmp_path):
    with pytest.raises(InputError, match=message):
        save_pretrained(model, spec, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "tiny").write_text("mine")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        save_pretrained(built(), SPEC, tmp_path / "tiny")
    with pytest.raises(FileNotFoundError):
        from_pretrained(tmp_path / "tiny")


def test_the_card_says_what_the_audit_found(tmp_path):
    model, task = built(), small_task()
    report = unrecur.audit(model, torch.randn(3, 40, 3), errors=(0.05,))
    folder = save_pretrained(model, SPEC, tmp_path / "tiny", audit=report, task=task)
    card = (folder / "README.md").read_text()
    front = card.split("---")[1]
    assert "library_name: unrecur" in front
    [found] = report.recurrences
    k = found.window("output", 0.05)
    [row] = [line for line in card.splitlines() if line.startswith("| output | 0.05")]
    assert row.split("|")[-2].strip() == str(k)
    assert "3 sequence(s), 120 steps" in card
    assert f"{SPEC.parameters:,} parameters" in card
    assert found.advice[0].say in card
    assert all(digest in card for digest in task.hashes.values())
    config = json.loads((folder / "config.json").read_text())
    assert config["task"] == {"name": task.name, "hashes": dict(task.hashes)}


def test_the_card_without_an_audit_and_with_a_finite_field(tmp_path):
    folder = save_pretrained(built(TCN), TCN, tmp_path / "tiny")
    card = (folder / "README.md").read_text()
    assert f"the last {built(TCN).receptive_field.past + 1} inputs" in card
    assert "Not audited" in card


def rewritten(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def linked(folder):
    outside = folder.parent / "outside.json"
    os.replace(folder / "config.json", outside)
    (folder / "config.json").symlink_to(outside)


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def weights(folder, **changes):
    """Other weights under the same config."""
    state = built().state_dict() | changes
    metadata = {"unrecur": json.dumps({"model": SPEC.name, "options": SPEC.options})}
    save_file(state, folder / "model.safetensors", metadata)


def config(text):
    return lambda folder: (folder / "config.json").write_bytes(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (linked, "a link that leads out of the folder"),
        (pickled, r"got README.md, config.json, pytorch_model.bin. Weights in pickles"),
        (lambda folder: (folder / "config.json").unlink(), "expected model.safetensors and config"),
        (config(b" " * (2**20 + 1)), "at most 1048576 bytes"),
        (config(b"[" * 200_000), "is no JSON"),
        (config(b"\xff\xfe\x00"), "is no JSON"),
        (config(b"[1]"), "an object of JSON"),
        (lambda folder: rewritten(folder, model="lstm"), "of different models"),
        (lambda folder: rewritten(folder, options={"hidden": 10**12}), "of different models"),
        (lambda folder: weights(folder, extra=torch.zeros(1)), "no whole model file"),
        (lambda folder: weights(folder, **first(torch.zeros(1, 1))), "no whole model file"),
        (lambda folder: weights(folder, **first(float("nan"))), "NaN or infinite"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(pickle.dumps({})),
            "no whole model file",
        ),
    ],
)
def test_a_hostile_folder_is_refused(damage, message, folder):
    damage(folder)
    with pytest.raises(CorruptFileError, match=message):
        from_pretrained(folder)


def first(value):
    """Another value for the first weight."""
    name, weight = next(iter(built().state_dict().items()))
    return {name: value if torch.is_tensor(value) else torch.full_like(weight, value)}


def test_an_unknown_model_is_refused(folder):
    metadata = {"unrecur": json.dumps({"model": "os.system", "options": {}})}
    save_file(built().state_dict(), folder / "model.safetensors", metadata)
    rewritten(folder, model="os.system", options={})
    with pytest.raises(CorruptFileError, match=r"unknown model 'os\.system'"):
        from_pretrained(folder)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that keeps its models in a folder as the real one's cache does."""
    calls = []

    class Api:
        def create_repo(self, name, private, exist_ok):
            calls.append(("create", name, private, exist_ok))
            return f"https://hub/{name}"

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            calls.append(("upload", repo_id, sorted(allow_patterns)))

    def download(name, revision, allow_patterns):
        calls.append(("download", name, revision))
        return str(tmp_path / "cache" / "snapshots" / "1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_name_on_the_hub_is_downloaded(hub, folder, tmp_path):
    """The hub's cache holds links to files beside its folders."""
    blobs, snapshot = tmp_path / "cache" / "blobs", tmp_path / "cache" / "snapshots" / "1"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        os.replace(path, blobs / path.name)
        (snapshot / path.name).symlink_to(blobs / path.name)
    assert from_pretrained("somebody/tiny", "v1")[0] == SPEC
    assert hub == [("download", "somebody/tiny", "v1")]


@pytest.mark.parametrize("source", ["tiny/wrong", "./somebody/tiny", "missing", "/a/b", "../a/b"])
def test_a_path_is_never_downloaded(source, hub, folder):
    with pytest.raises(FileNotFoundError):
        from_pretrained(source)
    assert hub == []


def test_three_files_are_uploaded(hub, folder):
    assert push_to_hub(folder, "me/tiny", private=True) == "https://hub/me/tiny"
    files = ["README.md", "config.json", "model.safetensors"]
    assert hub == [("create", "me/tiny", True, True), ("upload", "me/tiny", files)]
    with pytest.raises(InputError, match="like owner/model"):
        push_to_hub(folder, "tiny")
    with pytest.raises(FileNotFoundError):
        push_to_hub("me/other", "me/tiny")
    pickled(folder)
    with pytest.raises(CorruptFileError):
        push_to_hub(folder, "me/tiny")
    assert len(hub) == 2


def test_without_a_network_it_says_so(hub, folder, monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", offline)
    with pytest.raises(InputError, match=r"there is no folder me/tiny, .* \(offline\)"):
        from_pretrained("me/tiny")
    with pytest.raises(InputError, match=r"not uploaded \(offline\)"):
        push_to_hub(folder, "me/tiny")
