"""A study's trials on a Ray cluster: each call takes one waiting trial from the storage.

Ray places the calls and starts them again when a worker or a node dies; who runs what is settled in
the storage, as for workers that are started by hand.
"""

import contextlib
import functools
import socket
import time
from collections.abc import Sequence
from typing import Any

import torch

from unrecur._check import InputError, extra
from unrecur.studies.claims import Standing
from unrecur.studies.jobs import Job
from unrecur.studies.listener import Listener
from unrecur.studies.listing import Entry, attributes_of
from unrecur.studies.storage import guarded
from unrecur.studies.store import Store
from unrecur.studies.watch import Deadline
from unrecur.studies.worker import POLL, Work, run_job
from unrecur.train.loop import StoppedError

REACH = 10.0  # seconds for the first connection to a cluster
RETRIES = 3  # of a call whose worker or node has died
AHEAD = 64  # calls that wait for a place in the cluster at a time

_STORES: dict[tuple[str, str | None], Store] = {}  # of this process: opening one takes a while


def connect(address: str) -> Any:
    """Connect to a cluster, once for this process.

    Args:
        address: "auto", "host:port" or "ray://host:port".

    Returns:
        The module `ray`.

    Raises:
        InputError: Ray is not installed, or nothing answers at the address.
    """
    ray = extra("ray", "ray")
    if ray.is_initialized():
        return ray
    try:
        if address != "auto":
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), REACH).close()
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise InputError(
            f"no Ray cluster answers at '{address}' ({said}). Start one with: ray start --head, "
            "and name it as host:port, or auto on its own machine."
        ) from error
    return ray


def run_round_on_cluster(
    work: Work,
    store: Store,
    jobs: Sequence[Job],
    listener: Listener,
    deadline: Deadline,
    before: int = 0,
) -> Standing:
    """Run planned trials on a cluster; the arguments are those of `run_round`.

    Args:
        work: What a worker needs to know.
        store: The store.
        jobs: What is planned.
        listener: Hears what has ended.
        deadline: When to stop.
        before: How many trials of the study ended in earlier rounds.

    Returns:
        How far all are: ended, unless time was up.
    """
    assert work.place.ray is not None  # whoever calls has looked
    ray = connect(work.place.ray)
    place = work.place
    call = ray.remote(
        num_cpus=place.cpus_per_trial, num_gpus=place.gpus_per_trial, max_retries=RETRIES
    )(_take_one)
    given = ray.put((work, list(jobs)))
    claims = work.claims(store, jobs, AHEAD)
    flying: list[Any] = []
    told: set[tuple[str, str]] = set(claims.standing().ended)
    while True:
        found = claims.tend()
        for key in found.ended.keys() - told:
            _tell(store, claims.jobs[key], found.ended[key], listener)
            told.add(key)
        listener.count(before + len(found.ended), found.running)
        done, flying = ray.wait(flying, num_returns=len(flying), timeout=0) if flying else ([], [])
        for result in done:
            _look(ray, result)
        if len(found.ended) == len(claims.jobs) or deadline.over:
            if flying and deadline.over:  # they stop by themselves, with a checkpoint
                ray.wait(flying, num_returns=len(flying), timeout=REACH)
            return claims.standing()
        # One call for each that waits: a call that dies is made again by Ray.
        for _ in range(sum(found.waiting.values()) + found.running - len(flying)):
            left = deadline.left
            flying.append(call.remote(given, None if left is None else time.time() + left))
        time.sleep(POLL)


def _look(ray: Any, result: Any) -> None:
    """Pass on what a call has raised, but that its worker died: its trial waits again by then."""
    try:
        ray.get(result)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, (InputError, OSError)) else error) from error
    except ray.exceptions.RayError:
        pass


def _take_one(given: tuple[Work, list[Job]], end: float | None) -> None:
    """Run one waiting trial, in a process of the cluster, until a time of day at the latest."""
    work, jobs = given
    torch.set_num_threads(max(1, int(work.place.cpus_per_trial)))
    key = (str(work.folder), work.place.storage)
    store = _STORES.get(key) or _STORES.setdefault(key, work.open())
    claims, deadline = (
        work.claims(store, jobs),
        Deadline(None if end is None else end - time.time()),
    )
    waiting = claims.standing().waiting
    if waiting and not deadline.over:
        run = functools.partial(run_job, work, listener=Listener(), deadline=deadline)
        with contextlib.suppress(StoppedError):
            claims.claim(next(iter(waiting)), run)


def _tell(store: Store, job: Job, entry: Entry, listener: Listener) -> None:
    """Tell what came of a trial that another process has run."""
    if "reason" in entry.ended:
        listener.failed(job.name, entry.ended["reason"])
    elif job.number is not None:
        listener.tuned(job.name, job.number, entry.value)
    else:
        listener.begin(job.name, job.seed)
        with guarded(store.place):
            row = attributes_of(store.storage, [entry.id], ("row",))[entry.id]["row"]
        listener.end(row)
