"""Pretrained models as folders: weights in safetensors, a config in JSON, a model card."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from unrecur._check import CorruptFileError, InputError, extra
from unrecur._files import write_atomic
from unrecur._version import __version__
from unrecur.audits.audit import Audit
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Task
from unrecur.exports.card import model_card
from unrecur.models.spec import Spec, load_model, save_model

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (WEIGHTS, CONFIG, CARD)
LARGEST_CONFIG = 2**20  # bytes
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def save_pretrained(
    model: AbstractSequenceModel,
    spec: Spec,
    folder: str | Path,
    audit: Audit | None = None,
    task: Task | None = None,
) -> Path:
    """Write a model as a folder: `model.safetensors`, `config.json` and a card, `README.md`.

    What was written is read back first, and must give the same weights bit for bit.

    Args:
        model: The model.
        spec: What built it.
        folder: Where to; files of these names are replaced, others stay.
        audit: What its audit found, for the card.
        task: What it was trained on, for the card and the config.

    Returns:
        The folder.

    Raises:
        InputError: The spec does not give this model back: another architecture, other options,
            or other numbers than single precision.
        OSError: The folder cannot be written.

    Example:
        >>> spec = Spec("gru", {"in_features": 3, "out_features": 2, "hidden": 4})
        >>> with tempfile.TemporaryDirectory() as place:
        ...     folder = save_pretrained(spec.build(), spec, f"{place}/tiny")
        ...     sorted(path.name for path in folder.iterdir()), from_pretrained(folder)[0] == spec
        (['README.md', 'config.json', 'model.safetensors'], True)
    """
    folder = Path(folder)
    config: dict[str, Any] = {
        "unrecur": __version__,
        "model": spec.name,
        "options": spec.options,
        "task": None if task is None else {"name": task.name, "hashes": dict(task.hashes)},
    }
    text = json.dumps(config, indent=1, allow_nan=False)
    card = model_card(spec, model.receptive_field, audit, task)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / WEIGHTS
        save_model(path, spec, model)
        _check_same(model, path)
        weights = path.read_bytes()
    for name, content in ((WEIGHTS, weights), (CONFIG, text), (CARD, card)):
        write_atomic(folder / name, content)
    return folder


def from_pretrained(
    source: str | Path, revision: str | None = None
) -> tuple[Spec, AbstractSequenceModel]:
    """Read a model from a folder that `save_pretrained` wrote, or from the Hugging Face Hub.

    Nothing in the folder is run or unpickled. Nothing is downloaded but for a name "owner/model"
    in whose place there is no folder.

    Args:
        source: The folder, or a name on the hub.
        revision: The branch, tag or commit on the hub.

    Returns:
        The spec and the model, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such folder.
        InputError: The hub cannot be reached or has no such model.
        CorruptFileError: The folder is not whole, its weights do not belong to its config, or a
            file in it is a link that leads out of it.
    """
    folder, root = Path(source), Path(source)
    if not folder.is_dir():
        if not _is_hub_id(source):
            raise FileNotFoundError(2, "No such folder of a pretrained model", str(source))
        folder = _download(str(source), revision)
        root = folder.parent.parent  # the hub's cache keeps files beside and links to them
    for name in (WEIGHTS, CONFIG):
        _check_file(folder, name, root)
    config = _read_config(folder / CONFIG)
    spec, model = load_model(folder / WEIGHTS)
    if (config.get("model"), config.get("options")) != (spec.name, spec.options):
        raise CorruptFileError(
            f"{folder}: {CONFIG} and {WEIGHTS} are of different models. Save both again."
        )
    return spec, model


def push_to_hub(folder: str | Path, name: str, private: bool = False) -> str:
    """Upload a folder that `save_pretrained` wrote to the Hugging Face Hub.

    Its three files are uploaded, no others, once they have been read back. The token is that of
    `hf auth login`.

    Args:
        folder: The folder.
        name: "owner/model"; made where it is not there yet.
        private: Whether only the owner sees it, if it is made.

    Returns:
        The address of the model.

    Raises:
        FileNotFoundError: There is no such folder.
        InputError: The name is no "owner/model", or the hub cannot be reached or refuses.
        CorruptFileError: As for `from_pretrained`.
    """
    if not HUB_ID.fullmatch(name):
        raise InputError(f"expected a name like owner/model, got '{name}'.")
    if not Path(folder).is_dir():
        raise FileNotFoundError(2, "No such folder of a pretrained model", str(folder))
    from_pretrained(folder)
    hub = extra("huggingface_hub", "hub")
    try:
        api = hub.HfApi()
        address = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=[*FILES])
    except Exception as error:  # the hub's errors share no other type
        raise InputError(
            f"{name} was not uploaded ({error}). Log in with 'hf auth login', and check the "
            "network; HF_HUB_OFFLINE must not be set."
        ) from error
    return str(address)


def _is_hub_id(source: str | Path) -> bool:
    """Say whether this can only be a name on the hub: a path into a folder of ours is none."""
    if isinstance(source, Path) or not HUB_ID.fullmatch(source):
        return False
    return not Path(source).parent.exists()


def _download(name: str, revision: str | None) -> Path:
    """Bring the files of a model on the hub into the hub's cache."""
    hub = extra("huggingface_hub", "hub")
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=[*FILES]))
    except Exception as error:  # the hub's errors share no other type
        raise InputError(
            f"there is no folder {name}, and from the Hugging Face Hub it cannot be had ({error}). "
            "Check the name and the network, or give a folder."
        ) from error


def _check_file(folder: Path, name: str, root: Path) -> None:
    """Check that a file is there, and that it is no link out of the folder."""
    path = folder / name
    if not path.is_file():
        other = [each.name for each in sorted(folder.iterdir())][:5]
        raise CorruptFileError(
            f"{folder}: expected {WEIGHTS} and {CONFIG}, got {', '.join(other) or 'nothing'}. "
            "Weights in pickles (.bin, .pt) are not read here: see unrecur.read_recurrences."
        )
    if not path.resolve().is_relative_to(root.resolve()):
        raise CorruptFileError(f"{path} is a link that leads out of the folder: not read.")


def _read_config(path: Path) -> dict[str, Any]:
    """Read a config of ours."""
    if path.stat().st_size > LARGEST_CONFIG:
        raise CorruptFileError(f"{path}: expected at most {LARGEST_CONFIG} bytes, got more.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"{path} is no JSON ({error}). Save the model again.") from error
    if not isinstance(config, dict):
        raise CorruptFileError(f"{path}: expected an object of JSON, got {type(config).__name__}.")
    return config


def _check_same(model: AbstractSequenceModel, path: Path) -> None:
    """Check that a file gives a model back, bit for bit."""
    try:
        read = load_model(path)[1].state_dict()
    except CorruptFileError as error:
        raise InputError(
            f"the spec does not belong to the model: it cannot be built again from it ({error})."
        ) from error
    for name, value in model.state_dict().items():
        if read[name].dtype != value.dtype or not torch.equal(read[name], value.cpu()):
            raise InputError(
                f"the model is not given back as it is: {name} is {value.dtype} and would come "
                f"back as {read[name].dtype}. Convert it with model.float()."
            )
