"""What a study has found so far: an optuna storage in the study's folder.

A trial is added in one transaction when it is complete, with its row in its attributes; a study
killed at any moment has whole trials only. Optuna's own tools (its dashboard) read the same file.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from sqlalchemy import URL, NullPool
from sqlalchemy.exc import DatabaseError

from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic

DATABASE = "study.db"
LARGEST_SEED = 2**31


class Store:
    """The rows of a study.

    Args:
        folder: The study's folder.
        identity: What the study is; rows of another one are not mixed with its own.

    Raises:
        InputError: The folder holds another study.
        CorruptFileError: The database is damaged.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._database():
            url = URL.create("sqlite", database=str(folder / DATABASE))
            storage = optuna.storages.RDBStorage(
                url.render_as_string(), engine_kwargs={"poolclass": NullPool}
            )
            self._study = optuna.create_study(
                storage=storage, study_name="unrecur", load_if_exists=True
            )
            written = self._study.user_attrs.get("identity")
            if written is None:
                self._study.set_user_attr("identity", identity)
        if written is not None:
            self._compare(written, json.loads(json.dumps(identity)))

    def _compare(self, written: dict[str, Any], identity: dict[str, Any]) -> None:
        """Refuse to mix the rows of two studies."""
        for key in identity:
            if written.get(key) != identity[key]:
                raise InputError(
                    f"the folder {self.folder} holds another study: its {key} is "
                    f"{json.dumps(written.get(key))}, not {json.dumps(identity[key])}. Choose "
                    "another folder with --out, or delete this one."
                )

    def rows(self) -> list[dict[str, Any]]:
        """Give the rows of the finished trials, in the order of seeds and recipes of the study.

        Returns:
            The rows.
        """
        with self._database():
            trials = self._study.get_trials(deepcopy=False)
        found = {}
        for trial in trials:
            row = trial.user_attrs.get("row")
            if row is not None:
                found[row["model"], row["seed"]] = row
        return list(found.values())

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
        with self._database():
            self._study.add_trial(trial)
        self.export()

    def export(self) -> None:
        """Write all rows to `rows.jsonl`, for other programs."""
        lines = [json.dumps(row) + "\n" for row in self.rows()]
        write_atomic(self.folder / "rows.jsonl", "".join(lines))

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        """Turn what SQLite says into one clear error."""
        path = self.folder / DATABASE
        try:
            yield
        except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
            reason = _reason(error)
            if any(word in reason for word in ("locked", "busy")):
                raise OSError(
                    f"another program is using {path}; try again when it is done"
                ) from error
            if any(word in reason for word in ("full", "unable to open", "readonly", "I/O")):
                raise OSError(f"cannot write {path}: {reason}") from error
            raise CorruptFileError(
                f"the study's database {path} is damaged ({reason}). Delete it and run again: the "
                "trained models beside it are kept and will not be trained again."
            ) from error
        except (KeyError, ValueError) as error:  # optuna's reading of a database not its own
            raise CorruptFileError(
                f"{path} is no database of a study ({error}). Delete it and run again."
            ) from error


def _reason(error: BaseException) -> str:
    """Find what SQLite itself said."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "orig", error))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a study's folder.

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
