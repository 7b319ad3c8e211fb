"""Make a virtual environment with pip from a bare Python: `python3 tools/make_venv.py .venv`.

Debian's Python comes without `ensurepip` unless python3-venv is installed. Then pip's own wheel is
fetched from PyPI, checked against the digest given there, and used to install itself.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

OLDEST = (3, 11)
PIP = "https://pypi.org/pypi/pip/json"


def main(folder: Path) -> None:
    """Make the environment, or leave nothing behind."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"Python 3.11 or later is needed, this is {found}. Try: make PYTHON=python3.12")
    try:
        venv.create(folder, with_pip=has_ensurepip(), clear=True)
        python = folder / "bin" / "python"
        if not has_ensurepip():
            install_pip(python)
        subprocess.run([python, "-m", "pip", "--version"], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(
            f"no virtual environment could be made in {folder}: {error}. On Debian or Ubuntu, "
            "`apt install python3-venv` is another way."
        )


def has_ensurepip() -> bool:
    """Say whether this Python can install pip by itself."""
    try:
        import ensurepip

        return bool(ensurepip.version())
    except (ImportError, OSError, IndexError):
        return False


def install_pip(python: Path) -> None:
    """Install pip from its wheel on PyPI."""
    with urllib.request.urlopen(PIP, timeout=60) as answer:
        files = json.load(answer)["urls"]
    wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
    # A mirror may give its addresses relative to its own.
    with urllib.request.urlopen(urljoin(PIP, wheel["url"]), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
        raise ValueError(f"{wheel['url']} is not the file that PyPI lists")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / wheel["filename"]
        path.write_bytes(content)
        subprocess.run([python, path / "pip", "install", "--no-index", path], check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python3 tools/make_venv.py FOLDER")
    main(Path(sys.argv[1]))
