"""What a study has found so far: an optuna storage, in the study's folder or elsewhere.

A study's trials are in several studies of optuna's: the final ones in one, those that tune a recipe
in one of their own, as each has its own search space. A row is added before its trial is complete;
a study killed at any moment has whole rows only. Optuna's own tools (its dashboard) read the same.
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.studies.listing import Listing, attributes_of
from unrecur.studies.storage import DATABASE, guarded, open_storage, place_of

__all__ = ["DATABASE", "FINAL", "LARGEST_SEED", "Store", "locked", "shared"]

LARGEST_SEED = 2**31
FINAL = "final"  # the part with the trials that make rows
WAIT = 120.0  # seconds for the folder, which each holds for moments


class Store:
    """The rows of a study.

    Args:
        folder: The study's folder.
        identity: What the study is; rows of another one are not mixed with its own.
        url: The database; None for a file in the folder.
        name: The name of the study in the database.

    Raises:
        InputError: The folder or the database holds another study.
        CorruptFileError: The database is damaged.
        OSError: The database cannot be reached or written.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        url: str | None = None,
        name: str = "unrecur",
    ) -> None:
        self.folder, self.url, self.name = folder, url, name
        self.place = place_of(folder, url)
        self._studies: dict[str, optuna.Study] = {}
        self._listings: dict[tuple[str, ...], Listing] = {}
        with shared(folder), guarded(self.place):
            self.storage = open_storage(folder, url)
            final = self.study(FINAL)
            written = final.user_attrs.get("identity")
            if written is not None:
                self._compare(written, json.loads(json.dumps(identity)))
            if url is not None:
                self._compare_folder(final)
            if written is None:
                final.set_user_attr("identity", identity)

    def _compare(self, written: dict[str, Any], identity: dict[str, Any]) -> None:
        """Refuse to mix the rows of two studies."""
        for key in identity:
            if written.get(key) != identity[key]:
                holds = f"the folder {self.folder}" if self.url is None else self.place
                cure = "Choose another folder with --out, or delete this one."
                if self.url is not None:
                    cure = "Choose another database with --storage."
                raise InputError(
                    f"{holds} holds another study: its {key} is "
                    f"{json.dumps(written.get(key))}, not {json.dumps(identity[key])}. {cure}"
                )

    def _compare_folder(self, final: optuna.Study) -> None:
        """Refuse a folder that is not the one of the other workers: models are passed in it."""
        path = self.folder / "folder.json"
        token = json.loads(path.read_text())["token"] if path.exists() else None
        written = final.user_attrs.get("folder")
        if written is not None and written != token:
            raise InputError(
                f"the study '{self.name}' in {self.place} belongs to another folder than "
                f"{self.folder}. All its workers must share one folder (on a network drive, for "
                "several machines): name that one with --out, or choose another --storage."
            )
        if written is None:
            token = token or uuid.uuid4().hex
            write_atomic(path, json.dumps({"token": token}))
            final.set_user_attr("folder", token)

    def study(self, part: str, pruner: optuna.pruners.BasePruner | None = None) -> optuna.Study:
        """Give the optuna study that holds a part of the trials; make it if it is new.

        Args:
            part: `FINAL`, or the name of another part.
            pruner: Ends trials early; none does where left out.

        Returns:
            The optuna study.
        """
        if part not in self._studies:
            name = self.name if part == FINAL else f"{self.name} {part}"
            self._studies[part] = optuna.create_study(
                storage=self.storage,
                study_name=name,
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(),  # draws are settled before
                pruner=pruner or optuna.pruners.NopPruner(),
            )
        return self._studies[part]

    def listing(self, *parts: str) -> Listing:
        """Give what lists the trials of some parts.

        Args:
            parts: The names of the parts.

        Returns:
            The listing; the same at each call.
        """
        if parts not in self._listings:
            studies = {self.study(part)._study_id: part for part in parts}
            self._listings[parts] = Listing(self.storage, studies)
        return self._listings[parts]

    def settled(self, name: str, settle: Callable[[], Any]) -> Any:
        """Give what the first worker has settled for all of them.

        Args:
            name: What it is called.
            settle: Settles it: JSON values, not None.

        Returns:
            What was settled.
        """
        with shared(self.folder), guarded(self.place):
            final = self.study(FINAL)
            found = final.user_attrs.get(name)
            if found is None:
                final.set_user_attr(name, settle())
                found = final.user_attrs[name]
        return found

    def rows(self, part: str = FINAL) -> list[dict[str, Any]]:
        """Give the rows of the finished trials, in the order in which they were begun.

        Args:
            part: Of which trials.

        Returns:
            The rows, one for each model and seed.
        """
        with guarded(self.place):
            done = [entry.id for entry in self.listing(part).read() if entry.state.is_finished()]
            held = attributes_of(self.storage, done, ("row",))
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for trial in done:
            row = held.get(trial, {}).get("row")
            if row is not None:
                found.setdefault((row["model"], row["seed"]), row)
        return list(found.values())

    def rows_of(self, trials: list[int]) -> list[dict[str, Any]]:
        """Give the rows of trials.

        Args:
            trials: Their ids in the storage.

        Returns:
            Their rows, in this order.
        """
        with guarded(self.place):
            held = attributes_of(self.storage, trials, ("row",))
        return [held[trial]["row"] for trial in trials]

    def add(self, row: dict[str, Any], names: list[str]) -> None:
        """Add a finished trial.

        Args:
            row: Its row: JSON values, with "model", "seed" and the validation metric; None for
                that of a trial that failed.
            names: The models of the study.
        """
        valid = row["metric"]["valid"]
        trial = optuna.trial.create_trial(
            state=TrialState.COMPLETE if valid is not None else TrialState.FAIL,
            params={"model": row["model"], "seed": row["seed"]},
            distributions={
                "model": CategoricalDistribution(names),
                "seed": IntDistribution(0, LARGEST_SEED),
            },
            value=valid,
            user_attrs={"row": row},
        )
        with guarded(self.place):
            self.study(FINAL).add_trial(trial)
        self.export()

    def export(self, parts: Sequence[str] = (FINAL,)) -> None:
        """Write all rows to `rows.jsonl`, for other programs.

        Args:
            parts: Of which trials.
        """
        lines = [json.dumps(row) + "\n" for part in parts for row in self.rows(part)]
        write_atomic(self.folder / "rows.jsonl", "".join(lines))


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Keep the other workers of a study out for a moment.

    Args:
        folder: The study's folder; made if there is none.

    Yields:
        Nothing.

    Raises:
        OSError: Another process has held it for minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".moment", timeout=WAIT, poll_interval=0.01):
            yield
    except Timeout as error:
        raise OSError(
            f"another process has held {folder / '.moment'} for {WAIT:.0f} s. See what it does; "
            "the same command goes on from here."
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of an experiment's folder.

    Args:
        folder: The folder; made if there is none.

    Yields:
        Nothing.

    Raises:
        InputError: Another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise InputError(
            f"another process runs a study in {folder}. Wait for it, or choose another folder "
            "with --out."
        ) from error
