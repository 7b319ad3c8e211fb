"""The packages that only some formats need, imported when a file of that format is read."""

import importlib
from typing import Any

from unrecur._check import InputError


def needed(module: str) -> Any:
    """Import a module of the extra `interop`.

    Args:
        module: Its name: "onnx", "onnxruntime", "h5py", ...

    Returns:
        The module.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"this needs the package {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Install it with: pip install 'unrecur[interop]'"
        ) from error
