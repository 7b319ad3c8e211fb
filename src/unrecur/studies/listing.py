"""The trials of a study as optuna's tables hold them, read in few queries.

Optuna's own `get_trials` makes an object of each trial with all its attributes, rows included: 6 s
for 10,000 trials. A listing reads numbers and states, and the small attributes of what is new.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy import column, select, table

from unrecur.studies.storage import PatientStorage, patient

CHUNK = 500  # ids in one query
SMALL = ("key", "owner", "ended")  # attributes that a listing reads

_TRIALS = table("trials", *map(column, ("trial_id", "number", "study_id", "state")))
_VALUES = table("trial_values", *map(column, ("trial_id", "value", "value_type")))
_ATTRIBUTES = table("trial_user_attributes", *map(column, ("trial_id", "key", "value_json")))
FINITE = "FINITE"


@dataclass(frozen=True)
class Entry:
    """A trial in the storage.

    Attributes:
        id: Its number in the whole storage.
        number: Its number in its optuna study.
        part: The part of the store that it belongs to.
        state: How far it is.
        key: Which planned trial it is; None for one that nobody planned.
        owner: The process that runs it, see `owners.me`.
        ended: What its worker said of its end.
        value: The validation metric.
    """

    id: int
    number: int
    part: str
    state: TrialState
    key: str | None = None
    owner: dict[str, Any] | None = None
    ended: dict[str, Any] = field(default_factory=dict)
    value: float | None = None


class Listing:
    """The trials of some optuna studies, read again at each call; what is finished is read once.

    Args:
        storage: The storage.
        studies: The part of the store that each study holds, by the study's id.
    """

    def __init__(self, storage: PatientStorage, studies: dict[int, str]) -> None:
        self.storage, self.studies = storage, studies
        self._finished: dict[int, Entry] = {}

    def read(self) -> list[Entry]:
        """Give all trials, by number.

        Returns:
            The trials.
        """
        found = _read(self.storage, self.studies, self._finished)
        self._finished |= {entry.id: entry for entry in found if entry.state.is_finished()}
        return found


@patient
def _read(
    storage: PatientStorage, studies: dict[int, str], finished: dict[int, Entry]
) -> list[Entry]:
    with storage.reading() as connection:
        rows = connection.execute(select(_TRIALS).where(_TRIALS.c.study_id.in_(studies))).all()
        new = [number for number, *_ in rows if number not in finished]
        attributes = _attributes(connection, new, SMALL)
        values: dict[int, float] = {}
        for part in _parts(new):
            query = select(_VALUES.c.trial_id, _VALUES.c.value, _VALUES.c.value_type)
            found = connection.execute(query.where(_VALUES.c.trial_id.in_(part)))
            values |= {trial: value for trial, value, kind in found if kind == FINITE}
    entries = []
    for trial, number, study, state in rows:
        small = attributes.get(trial, {})
        entries.append(
            finished.get(trial)
            or Entry(
                trial,
                number,
                studies[study],
                TrialState[state],
                small.get("key"),
                small.get("owner"),
                small.get("ended", {}),
                values.get(trial),
            )
        )
    return sorted(entries, key=lambda entry: entry.number)


@patient
def attributes_of(
    storage: PatientStorage, trials: Iterable[int], names: tuple[str, ...]
) -> dict[int, dict[str, Any]]:
    """Read attributes of trials.

    Args:
        storage: The storage.
        trials: The ids of the trials.
        names: Of which attributes.

    Returns:
        The attributes of each trial by name.
    """
    with storage.reading() as connection:
        return _attributes(connection, list(trials), names)


def _attributes(
    connection: sqlalchemy.Connection, trials: list[int], names: tuple[str, ...]
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for part in _parts(trials):
        query = select(_ATTRIBUTES.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json)
        chosen = query.where(_ATTRIBUTES.c.trial_id.in_(part), _ATTRIBUTES.c.key.in_(names))
        for trial, name, value in connection.execute(chosen):
            found.setdefault(trial, {})[name] = json.loads(value)
    return found


def _parts(ids: list[int]) -> Iterable[list[int]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
