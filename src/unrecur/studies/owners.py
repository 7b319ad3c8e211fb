"""Which process runs a trial, and whether it still lives: known at once on the same machine."""

import os
import socket
from pathlib import Path
from typing import Any


def me() -> dict[str, Any]:
    """Describe this process so that no other one is taken for it.

    Returns:
        JSON values: the machine since its start, the process and when it began.
    """
    return {**_machine(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_dead(owner: dict[str, Any]) -> bool:
    """Say whether a process is known to be dead.

    Args:
        owner: What `me` gave in it.

    Returns:
        Whether it ran on this machine and does so no more; False of one on another machine.
    """
    if any(owner.get(key) != value for key, value in _machine().items()):
        return False
    return _began(owner["pid"]) != owner["began"]


def _machine() -> dict[str, Any]:
    """Describe the machine: a number of a process means something within one of these."""
    return {
        "host": socket.gethostname(),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "space": _link("/proc/self/ns/pid"),  # containers count processes on their own
    }


def _began(pid: int) -> str | None:
    """Say when a process began, in ticks since the machine did; None for one that has ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if fields:
        return None if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    try:  # not Linux: whether there is such a process is all that can be asked
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "running"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
