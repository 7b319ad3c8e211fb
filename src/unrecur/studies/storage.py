"""The database of a study: optuna's, opened with bounded waits and clear errors.

SQLite in the study's folder where nothing else is asked for. Every transaction on SQLite takes the
write lock when it begins: two workers that read a waiting trial before either writes would both
take it otherwise. A call to a database that is gone waits for it, for a while.
"""

import contextlib
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import URL, NullPool, column, literal_column, select, table
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError

from unrecur._check import CorruptFileError, InputError, extra
from unrecur.studies.owners import me

DATABASE = "study.db"
BUSY = 10.0  # seconds that SQLite waits for another's transaction
CONNECT = 10  # seconds that a connection to a server may take
PATIENCE = 90.0  # seconds that a call waits for a server that has gone
PAUSE = 0.5
HEARTBEAT, GRACE = 10, 60  # seconds between signs of life, and without one until a trial is retried

_CALLS = (
    "create_new_study",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "set_study_user_attr",
    "get_study_system_attrs",
    "_create_new_trial",
    "_get_trials",
    "get_trial",
    "set_trial_state_values",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_trial_intermediate_value",
    "_set_trial_param",
    "record_heartbeat",
    "_get_stale_trial_ids",
)


_READS = "unrecur_reads"
_VERSION = table("alembic_version", column("version_num"))
_TRIALS = table("trials", column("trial_id"), column("state"), column("datetime_start"))
_ATTRIBUTES = table("trial_user_attributes", *map(column, ("trial_id", "key", "value_json")))
_HEARTBEATS = table("trial_heartbeats", column("trial_id"), column("heartbeat"))


def patient(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call wait for a server that is gone, as one that starts again.

    Args:
        call: What reads or writes the database; its first argument is the storage.

    Returns:
        The call, which is made again for up to `PATIENCE` seconds.
    """

    @functools.wraps(call)
    def waiting(storage: "PatientStorage", *args: Any, **kwargs: Any) -> Any:
        end, again = time.monotonic() + PATIENCE, False
        while True:
            try:
                return call(storage, *args, **kwargs)
            except (optuna.exceptions.StorageInternalError, OperationalError):
                if storage.is_file or time.monotonic() > end:
                    raise
                again = True
                time.sleep(PAUSE)
            except optuna.exceptions.UpdateFinishedTrialError:
                # The server may have gone after it had committed and before it could say so.
                asked = kwargs.get("state", args[1] if len(args) > 1 else None)
                if not (again and isinstance(asked, TrialState)):
                    raise
                return storage.get_trial(args[0]).state == asked

    return waiting


class PatientStorage(RDBStorage):
    """Optuna's storage, that waits for a server which is gone for a while."""

    @property
    def is_file(self) -> bool:
        """Whether the database is a file: that does not come back by waiting."""
        return self.engine.name == "sqlite"

    def reading(self) -> contextlib.AbstractContextManager[sqlalchemy.Connection]:
        """Begin a transaction that only reads, and keeps nobody from writing.

        Returns:
            The connection, to be used in a with statement.
        """
        return self.engine.execution_options(**{_READS: True}).begin()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change the state of a trial; see optuna's `RDBStorage.set_trial_state_values`.

        One that begins to run has its owner and a first sign of life from the same transaction:
        a worker that dies at any moment leaves no trial that seems to run for ever.

        Args:
            trial_id: The trial.
            state: Its new state.
            values: Its metric.

        Returns:
            Whether it was changed; not, if another worker was first.
        """
        if state is not TrialState.RUNNING:
            return super().set_trial_state_values(trial_id, state, values)
        running = {"state": literal_column("'RUNNING'"), "datetime_start": datetime.now()}
        waits = (_TRIALS.c.trial_id == trial_id, _TRIALS.c.state == literal_column("'WAITING'"))
        owner = {"trial_id": trial_id, "key": "owner", "value_json": json.dumps(me())}
        with self.engine.begin() as connection:
            if connection.execute(_TRIALS.update().where(*waits).values(running)).rowcount != 1:
                return False
            connection.execute(_ATTRIBUTES.insert().values(owner))
            beat = {"trial_id": trial_id, "heartbeat": sqlalchemy.func.now()}
            connection.execute(_HEARTBEATS.insert().values(beat))
        return True


for _name in _CALLS:
    setattr(PatientStorage, _name, patient(getattr(PatientStorage, _name)))


def open_storage(folder: Path, url: str | None = None) -> PatientStorage:
    """Open the database of a study; make its tables if it is new, migrate them if they are old.

    Args:
        folder: The study's folder.
        url: The database, as SQLAlchemy names it; None for a SQLite file in the folder.

    Returns:
        The storage.

    Raises:
        InputError: The URL names no database that is known, or one that a newer optuna made.
        CorruptFileError: The database is damaged.
        OSError: It cannot be reached, or not be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    address = _address(folder, url)
    is_file = address.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT}}
    if is_file:
        options = {"poolclass": NullPool, "connect_args": {"timeout": BUSY}}
    written = address.render_as_string(hide_password=False)
    with guarded(place_of(folder, url)):
        known = _has_tables(address, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = PatientStorage(
                written.replace("{", "{{").replace("}", "}}"),  # optuna fills a template
                options,
                skip_compatibility_check=True,
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
                skip_table_creation=known,
            )
        if is_file:
            sqlalchemy.event.listen(storage.engine, "connect", _by_hand)
            sqlalchemy.event.listen(storage.engine, "begin", _immediately)
        _migrate(storage, place_of(folder, url))
    return storage


def _has_tables(address: URL, options: dict[str, Any]) -> bool:
    """Say whether a database has all of optuna's tables: their version is written last."""
    engine = sqlalchemy.create_engine(address, **options)
    try:
        if not sqlalchemy.inspect(engine).has_table("alembic_version"):
            return False
        with engine.connect() as connection:
            return connection.execute(select(_VERSION)).first() is not None
    finally:
        engine.dispose()


def place_of(folder: Path, url: str | None) -> str:
    """Name the database of a study, without its password.

    Args:
        folder: The study's folder.
        url: The database; None for the file in the folder.

    Returns:
        Its path or URL.
    """
    return str(folder / DATABASE) if url is None else _address(folder, url).render_as_string()


def _address(folder: Path, url: str | None) -> URL:
    """Read a URL."""
    if url is None:
        return URL.create("sqlite", database=str(folder / DATABASE))
    try:
        address = sqlalchemy.make_url(url)
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
            extra("psycopg", "postgres")
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise InputError(
            f"'{url.partition('@')[2] or url}' names no database: expected sqlite:///study.db or "
            "postgresql://user:password@host/database."
        ) from error
    if address.get_backend_name() not in ("sqlite", "postgresql") or not address.database:
        raise InputError(
            f"a study's storage is a SQLite file or a PostgreSQL database, got "
            f"{address.render_as_string()}. Write sqlite:///study.db or "
            "postgresql://user:password@host/database."
        )
    return address


def _by_hand(connection: Any, _: Any) -> None:
    """Keep Python from beginning transactions on its own."""
    connection.isolation_level = None


def _immediately(connection: sqlalchemy.Connection) -> None:
    """Begin a transaction with the write lock, unless it only reads."""
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _migrate(storage: PatientStorage, place: str) -> None:
    """Bring the tables of an older optuna up to date; refuse those of a newer one."""
    current, head = storage.get_current_version(), storage.get_head_version()
    if current == head:
        return
    if current not in storage.get_all_versions():
        raise InputError(
            f"{place} was made by a newer optuna (tables {current}; optuna {optuna.__version__} "
            f"knows up to {head}). Update it: pip install -U optuna, or choose another --storage."
        )
    storage.upgrade()


@contextlib.contextmanager
def guarded(place: str) -> Iterator[None]:
    """Turn what a database and optuna's reading of it say into one clear error.

    Args:
        place: Its path or URL, for the message.

    Yields:
        Nothing.

    Raises:
        CorruptFileError: It is damaged, or no database of a study.
        InputError: Any of ours.
        OSError: It cannot be reached or written, or is in use.
    """
    try:
        with translated(place):
            yield
    except InputError:
        raise
    except (KeyError, ValueError) as error:  # optuna's reading of a database not its own
        raise CorruptFileError(
            f"{place} is no database of a study ({error}). Delete it and run again."
        ) from error


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what a database says into one clear error, and leave all other errors as they are.

    Args:
        place: Its path or URL, for the message.

    Yields:
        Nothing.

    Raises:
        CorruptFileError: It is damaged.
        OSError: It cannot be reached or written, or is in use.
    """
    try:
        yield
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        reason = _reason(error)
        if "://" in place and not place.startswith("sqlite"):
            raise OSError(
                f"cannot work with the database {place}: {reason}. Check that it runs and that "
                "its address and password are right; what is finished is kept."
            ) from error
        if any(word in reason for word in ("locked", "busy")):
            raise OSError(f"another program is using {place}; try again when it is done") from error
        if any(word in reason for word in ("full", "unable to open", "readonly", "I/O")):
            raise OSError(f"cannot write {place}: {reason}") from error
        raise CorruptFileError(
            f"the study's database {place} is damaged ({reason}). Delete it and run again: the "
            "trained models beside it are kept and will not be trained again."
        ) from error


def _reason(error: BaseException) -> str:
    """Find what the database itself said."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "orig", error)).strip()
