"""Where a new file goes: checked before the work, so that no work is in vain."""

import tempfile
from pathlib import Path

from unrecur._check import InputError


def new_file(path: Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    """Check that a file can be written.

    Args:
        path: Where to; its folder is made.
        suffixes: The endings allowed.
        overwrite: Whether a file that is there may be replaced.

    Returns:
        The path.

    Raises:
        InputError: The ending is another, there is a file or folder of that name, or the folder
            cannot be written to.
    """
    if path.suffix not in suffixes:
        raise InputError(
            f"{path}: expected a name ending in {' or '.join(suffixes)}, got '{path.suffix}'."
        )
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(
            f"{path} is there already. Choose another name, or give overwrite=True (--overwrite) "
            "to replace a file."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}). Choose another folder.") from error
    return path
