"""Where a measurement was made."""

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch

import unrecur


def environment(device: str = "cpu") -> dict[str, Any]:
    """Describe the machine and the software, as far as it bears on speeds and values.

    Args:
        device: Where the models run.

    Returns:
        JSON values.
    """
    on_gpu = torch.device(device).type == "cuda"
    return {
        "unrecur": unrecur.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "git": _git(),
    }


def _processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git() -> str | None:
    """Name the commit of the running code, if it is known, with a plus for local changes."""
    package = Path(unrecur.__file__).parent
    checkout = _installed_from()
    # An installed copy is its checkout's only as long as the two are equal.
    if checkout is not None and _code(checkout / "src" / "unrecur") == _code(package):
        package = checkout / "src" / "unrecur"
    try:
        if not _output(package, "ls-files", "--error-unmatch", str(package / "__init__.py")):
            return None
        commit = _output(package, "rev-parse", "--short=12", "HEAD")
        changed = _output(package, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def _installed_from() -> Path | None:
    """Find the folder that `pip install FOLDER` was given (PEP 610)."""
    try:
        written = metadata.distribution("unrecur").read_text("direct_url.json")
        url = urlsplit(json.loads(written or "{}").get("url", ""))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    return Path(url2pathname(url.path)) if url.scheme == "file" else None


def _code(package: Path) -> str:
    """Give the SHA-256 of all Python files of a package."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _output(folder: Path, *arguments: str) -> str:
    """Run git and give what it prints."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()
