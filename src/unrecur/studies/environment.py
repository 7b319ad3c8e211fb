"""Where a measurement was made."""

import platform
import subprocess
from pathlib import Path
from typing import Any

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
    """Name the commit of the package's checkout, if it is one, with a plus for local changes."""
    folder = Path(__file__).parent
    try:
        commit = _output(folder, "rev-parse", "--short=12", "HEAD")
        tracked = _output(folder, "ls-files", "--error-unmatch", __file__)
        changed = _output(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "") if tracked else None


def _output(folder: Path, *arguments: str) -> str:
    """Run git and give what it prints."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()
