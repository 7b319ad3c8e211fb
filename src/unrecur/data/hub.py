"""Data sets from the Hugging Face hub."""

from collections.abc import Mapping
from typing import Any

from unrecur._check import InputError, extra

PREFIX = "hf://"
WAIT = 10.0  # seconds for an answer; `datasets` alone would try again and again


def load_hub(address: str) -> Mapping[str, Any]:
    """Load a data set by its address on the Hugging Face hub, or from the hub's cache.

    Args:
        address: "hf://name", "hf://owner/name", and with a configuration "hf://name/config" or
            "hf://owner/name/config".

    Returns:
        The data set's splits by their names.

    Raises:
        InputError: The address is malformed, `datasets` is not installed, there is no such data
            set, or the hub cannot be reached.
    """
    parts = address.removeprefix(PREFIX).split("/")
    if not all(parts) or len(parts) > 3:
        raise InputError(
            f"expected 'hf://name', 'hf://owner/name' or 'hf://owner/name/config', got '{address}'."
        )
    datasets, hub = extra("datasets", "hub"), extra("huggingface_hub", "hub")
    errors = []
    for name, *config in _readings(parts):
        try:
            if not hub.constants.HF_HUB_OFFLINE:
                hub.HfApi().dataset_info(name, timeout=WAIT)
            return dict(datasets.load_dataset(name, *config))
        # No network, no such name, no right to read, a file of another format: all its own kinds.
        except Exception as error:
            errors.append(f"{name}: {_first_line(error)}")
    raise InputError(
        f"expected to load {address}, got no data set ({'; '.join(errors)}). Where there is a "
        f"network: datasets.load_dataset('{'/'.join(parts[:2])}').save_to_disk(FOLDER); here: give "
        "datasets.load_from_disk(FOLDER) in place of the address, or lists of pairs. What is in "
        "the cache already is found with HF_HUB_OFFLINE=1."
    )


def _readings(parts: list[str]) -> list[list[str]]:
    """Give the names, and configurations, that an address can mean."""
    if len(parts) == 2:
        return [["/".join(parts)], parts]
    return [["/".join(parts[:2]), *parts[2:]]]


def _first_line(error: Exception) -> str:
    """Say what went wrong, in short."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
