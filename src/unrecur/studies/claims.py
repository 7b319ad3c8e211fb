"""Who runs which planned trial: workers claim them one by one through optuna's storage.

A planned trial waits in the storage with its key. A worker that dies leaves a trial that runs no
more; it is failed, and its key waits again. So a key may have several trials: the first complete
one counts. Only a few wait at a time: optuna reads all that wait at each claim.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import optuna
from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.trial import TrialState

from unrecur.studies.jobs import Finished, Job
from unrecur.studies.listing import Entry, attributes_of
from unrecur.studies.owners import is_dead
from unrecur.studies.storage import guarded, translated
from unrecur.studies.store import Store, shared

WINDOW = 16  # trials of a round that wait at a time
ROUND = 2.0  # seconds between two looks for dead workers
MOST_DEATHS = 3  # of the workers of one trial, until it counts as failed
Key = tuple[str, str]


class _FailedError(Exception):
    """A trial has failed for a reason of its own; the study goes on."""


@dataclass
class Standing:
    """How far the planned trials are.

    Attributes:
        ended: The trial that counts of each key that is done.
        waiting: How many wait, by part.
        running: How many run.
        missing: What is not in the storage yet, or no more.
    """

    ended: dict[Key, Entry] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    running: int = 0
    missing: list[Job] = field(default_factory=list)


class Claims:
    """The planned trials of a round, as the storage has them.

    Args:
        store: The store.
        jobs: What is planned; the first are begun first.
        pruner: Ends draws early; none does where left out.
        window: How many may wait at a time.
    """

    def __init__(
        self,
        store: Store,
        jobs: Iterable[Job],
        pruner: optuna.pruners.BasePruner | None = None,
        window: int = WINDOW,
    ) -> None:
        self.store, self.window = store, window
        self._next_round = 0.0
        self.jobs: dict[Key, Job] = {(job.part, job.key): job for job in jobs}
        self.studies: dict[str, optuna.Study] = {}
        with shared(store.folder), guarded(store.place):
            for job in self.jobs.values():
                if job.part not in self.studies:
                    self.studies[job.part] = store.study(job.part, pruner)

    def standing(self) -> Standing:
        """Read how far all are.

        Returns:
            The standing.
        """
        return self._standing(self._read())

    def _read(self) -> list[Entry]:
        with guarded(self.store.place):
            return self.store.listing(*self.studies).read()

    def _standing(self, listed: list[Entry]) -> Standing:
        """Sum up a listing."""
        by_key: dict[Key, list[Entry]] = {key: [] for key in self.jobs}
        for entry in listed:
            if entry.key is not None and (entry.part, entry.key) in by_key:
                by_key[entry.part, entry.key].append(entry)
        found = Standing()
        for key, entries in by_key.items():
            states = [entry.state for entry in entries]
            if (counted := _counted(entries)) is not None:
                found.ended[key] = counted
            elif TrialState.RUNNING in states:
                found.running += 1
            elif TrialState.WAITING in states:
                found.waiting[key[0]] = found.waiting.get(key[0], 0) + 1
            else:
                found.missing.append(self.jobs[key])
        return found

    def tend(self) -> Standing:
        """Fail the trials of dead workers, and let what is missing wait again.

        Returns:
            How far all are then.
        """
        listed = self._read()
        if time.monotonic() > self._next_round and self._bury(listed):
            listed = self._read()
        found = self._standing(listed)
        if not found.missing or sum(found.waiting.values()) > self.window // 2:
            return found
        with shared(self.store.folder), guarded(self.store.place):
            found = self.standing()  # another worker may have been here a moment ago
            room = self.window - sum(found.waiting.values())
            for job in found.missing[: max(room, 0)]:
                self.studies[job.part].add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.WAITING,
                        params=job.params,
                        distributions=job.distributions,
                        user_attrs={"key": job.key},
                    )
                )
                found.waiting[job.part] = found.waiting.get(job.part, 0) + 1
        return found

    def _bury(self, listed: list[Entry]) -> bool:
        """Fail the trials whose worker is dead, or has given no sign of life for too long."""
        self._next_round = time.monotonic() + ROUND
        running = [entry for entry in listed if entry.state is TrialState.RUNNING]
        with guarded(self.store.place), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for part in {entry.part for entry in running}:
                optuna.storages.fail_stale_trials(self.studies[part])
            for entry in running:
                if entry.owner is not None and is_dead(entry.owner):
                    with contextlib.suppress(UpdateFinishedTrialError):
                        self.store.storage.set_trial_state_values(entry.id, TrialState.FAIL)
        return bool(running)

    def claim(self, part: str, run: Callable[[Job, optuna.Trial], Finished]) -> None:
        """Run one waiting trial of a part, if there still is one.

        Args:
            part: Of which part.
            run: Runs it.

        Raises:
            BaseException: What `run` raised; the trial waits again.
            UpdateFinishedTrialError: What optuna raised, unless others took the trial away.
            ValueError: The same.
            AssertionError: The same.
        """
        held: list[int] = []

        def objective(trial: optuna.Trial) -> float:
            held.append(trial._trial_id)
            job = self._mine(part, trial)
            if job is None:
                raise TrialPruned
            try:
                found = run(job, trial)
            except BaseException:
                with contextlib.suppress(Exception):
                    trial.set_user_attr("ended", {"stopped": True})
                raise
            if found.row is not None:
                trial.set_user_attr("row", found.row)
            trial.set_user_attr("ended", found.ended)
            if found.pruned:
                raise TrialPruned
            if found.value is None:
                raise _FailedError
            return found.value

        try:
            with translated(self.store.place):
                self.studies[part].optimize(objective, n_trials=1, catch=(_FailedError,))
        except (UpdateFinishedTrialError, ValueError, AssertionError):
            # Others took this process for dead, and have what it has done done again.
            if not (held and self._taken_away(held[0])):
                raise

    def _mine(self, part: str, trial: optuna.Trial) -> Job | None:
        """Give what a claimed trial is to do; None for one that does what another does or did."""
        key = trial.user_attrs.get("key")
        job = self.jobs.get((part, key)) if key is not None else None
        others = [entry for entry in self.store.listing(part).read() if entry.key == key]
        before = [
            entry
            for entry in others
            if entry.number < trial.number and entry.state is TrialState.RUNNING
        ]
        if job is None or before or _counted(others) is not None:
            trial.set_user_attr("ended", {"double": True})
            return None
        return job

    def _taken_away(self, trial: int) -> bool:
        """Say whether others have failed a trial."""
        state = self.store.storage.get_trial(trial).state
        said = attributes_of(self.store.storage, [trial], ("ended",)).get(trial, {})
        return state is TrialState.FAIL and "ended" not in said


def _counted(entries: list[Entry]) -> Entry | None:
    """Choose the trial of a key that counts: the first that came to its end; None before that."""
    deaths = []
    for entry in entries:
        if entry.state is TrialState.COMPLETE:
            return entry
        if entry.state is TrialState.PRUNED and "double" not in entry.ended:
            return entry
        if entry.state is TrialState.FAIL:
            if "reason" in entry.ended:
                return entry
            if not entry.ended:
                deaths.append(entry)
    if len(deaths) < MOST_DEATHS:
        return None
    said = f"its worker died {len(deaths)} times"
    last = deaths[-1]
    return replace(last, ended={"reason": said})
