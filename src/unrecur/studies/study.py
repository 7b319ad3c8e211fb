"""The study: all trials of a task, then the least window and the verdict."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import unrecur
from unrecur._check import InputError
from unrecur._files import write_atomic
from unrecur.data.sequences import SPLITS
from unrecur.data.task import Task
from unrecur.data.tasks import load_task
from unrecur.studies.claims import Standing
from unrecur.studies.conclude import comparable, conclude
from unrecur.studies.config import Match, StudyConfig, Workplace
from unrecur.studies.environment import environment
from unrecur.studies.estimate import estimate
from unrecur.studies.feasible import Plan, budget_of, check_limits, planned
from unrecur.studies.jobs import Job, final_jobs
from unrecur.studies.listener import Listener
from unrecur.studies.listing import Entry
from unrecur.studies.matched import match_reasons, matched_verdicts
from unrecur.studies.matching import match_plan, settle_match
from unrecur.studies.plan import plan_trial
from unrecur.studies.recipes import Recipe, recipes_for
from unrecur.studies.store import FINAL, Store
from unrecur.studies.tables import write_parquet
from unrecur.studies.tuning import tried, tuned, tuning_jobs, unsteady
from unrecur.studies.watch import Deadline
from unrecur.studies.worker import Work, run_round
from unrecur.train.devices import fabric_on

Row = dict[str, Any]


def study(
    task: Task | str,
    out: str | Path,
    config: StudyConfig | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    listener: Listener | None = None,
    command: str = "",
    workplace: Workplace | None = None,
) -> dict[str, Any]:
    """Compare recurrent and feed-forward models on a task at a matched budget, and give a verdict.

    Finished trials are kept in the folder; the same call goes on where the last one ended, however
    it ended, and gives the same results as one that was not interrupted (times aside). So do any
    number of processes that make the same call on the same folder at once: each takes trials that
    no other has taken, and all give the results when the last trial has ended.

    Args:
        task: The task, or the name of one whose data come with the package.
        out: The study's folder.
        config: The settings; the default ones where left out.
        recipes: What is compared, at least one recurrent recipe; where left out, those of
            `recipes_for`.
        listener: Hears how it goes.
        command: What to type to do it again, for the report.
        workplace: Where trials run and are kept; in this process and the folder if left out.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see docs/study.md.

    Raises:
        InputError: The folder holds another study, there is no recurrent recipe, no recipe of a
            family can have so many parameters, a recipe's model does not fit the task, the task is
            too small, the limits contradict each other, or every trial failed.
        CorruptFileError: A file of the study is damaged.
        OSError: The folder cannot be written, or the database not be reached.

    Example:
        >>> import tempfile, unrecur
        >>> small = unrecur.StudyConfig(seeds=1, parameters=20_000, epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = unrecur.study("chorales", folder, small)
        >>> results["verdict"]["answer"] in ("needed", "not needed", "undecided")
        True
    """
    task = load_task(task) if isinstance(task, str) else task
    config, listener, folder = config or StudyConfig(), listener or Listener(), Path(out)
    place = workplace or Workplace()
    fabric_on(config.device)
    chosen = dict(recipes or recipes_for(task))
    config = replace(config, parameters=budget_of(task, chosen, config))
    plan, skipped = planned(task, chosen, config)
    check_limits(chosen, plan, config)
    for entry in skipped:
        listener.failed(entry["model"], f"left out: {entry['reason']}")
    name = "unrecur" if place.storage is None else f"unrecur {task.name}"
    work = Work(task, config, folder, place, _identity(task, config, plan), name)
    store = work.open()
    trials, start = _run(work, store, chosen, plan, listener), time.monotonic()
    store.export([FINAL, *config.match])
    write_parquet(trials["rows"], folder / "rows.parquet")
    listener.stage("least window and verdict")
    conclusion = conclude(task, trials["rows"], config, folder)
    matches = matched_verdicts(task, trials["rows"], trials["matches"], config)
    conclusion["verdict"]["reasons"] += match_reasons(matches)
    conclusion["verdict"]["reasons"] += unsteady(
        trials["tuning"], comparable(trials["rows"]), config.margin
    )
    if trials["stopped"]:
        conclusion["verdict"]["reasons"].append(trials["stopped"])
    spent = [*(row["wall_seconds"] for row in trials["rows"])]
    spent += [found["seconds"] for found in trials["tuning"]]
    results = {
        "version": unrecur.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seconds": time.monotonic() - start + sum(spent),
        "task": describe(task),
        "settings": asdict(config),
        **conclusion,
        "skipped": skipped,
        **trials,
        "matches": matches,
        "environment": environment(config.device),
    }
    write_atomic(folder / "results.json", json.dumps(results, indent=1))
    return results


def _run(
    work: Work,
    store: Store,
    recipes: dict[str, Recipe],
    plan: Plan,
    listener: Listener,
) -> dict[str, Any]:
    """Run all trials, and gather what came of them as the results have it."""
    config, task = work.config, work.task
    deadline = Deadline(config.max_seconds)
    run = run_round if work.place.ray is None else _on_cluster()
    names = {name: recipes[name] for name in plan}
    draws = tuning_jobs(task, names, config) if config.trials else []
    wanted = final_jobs(names, plan, config.seeds)
    room = None if config.max_trials is None else config.max_trials - len(draws)
    finals = wanted[:room]
    settled = work.claims(store, [*draws, *finals]).standing().ended
    listener.start(len(draws) + len(finals), len(settled))
    took = store.settled("estimate", lambda: estimate(task, [*draws, *finals], config))
    _announce(took, draws, finals, settled, listener)
    tuning: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    whole = True
    if draws:
        found = run(work, store, draws, listener, deadline)
        ended = _ended(found, draws)
        tuning = [tried(job, entry) for job, entry in ended]
        failures = _failures(ended)
        whole = len(tuning) == len(draws)
        if whole:
            names = tuned(names, tuning)
            plan = {name: plan_trial(task, recipe, config) for name, recipe in names.items()}
            wanted = final_jobs(names, plan, config.seeds)
    rows: list[Row] = []
    matches: dict[str, Any] = {}
    if whole:
        matches = _settled_matches(work, store, names, plan, took["by_model"])
        for kind, settled_match in matches.items():
            wanted += final_jobs(names, match_plan(settled_match, plan), config.seeds, kind)
        finals = wanted[:room]
        if matches:
            settled = work.claims(store, [*draws, *finals]).standing().ended
            listener.start(len(draws) + len(finals), len(settled))
        found = run(work, store, finals, listener, deadline, len(draws))
        ended = _ended(found, finals)
        failures += _failures(ended)
        rows = store.rows_of([entry.id for _, entry in ended if "reason" not in entry.ended])
        whole = len(ended) == len(finals)
        if whole and not any(row["family"] != "floor" for row in rows):
            raise InputError(f"every trial failed. The first: {failures[0]['reason']}")
    return {
        "tuning": tuning,
        "failures": failures,
        "estimate": took,
        "stopped": _stopped(config, len(rows), len(finals), len(wanted), whole),
        "matches": matches,
        "rows": rows,
    }


def _settled_matches(
    work: Work, store: Store, recipes: dict[str, Recipe], plan: Plan, seconds: dict[str, float]
) -> dict[str, Any]:
    """Settle, or look up, what else is made equal."""
    config = work.config

    def settle(kind: Match) -> dict[str, Any]:
        return settle_match(kind, work.task, recipes, plan, seconds, config.device)

    return {kind: store.settled(f"match {kind}", partial(settle, kind)) for kind in config.match}


def _on_cluster() -> Any:
    """Give what runs a round on a cluster; Ray is imported by those who use it."""
    from unrecur.studies.cluster import run_round_on_cluster

    return run_round_on_cluster


def _announce(
    took: dict[str, Any],
    draws: list[Job],
    finals: list[Job],
    settled: Collection[tuple[str, str]],
    listener: Listener,
) -> None:
    """Say how long what is left will take."""
    left = [[job for job in jobs if (job.part, job.key) not in settled] for jobs in (draws, finals)]
    seconds = sum(took["by_model"].get(job.name, 0.0) for jobs in left for job in jobs)
    if any(left):
        listener.estimate(seconds, *map(len, left))


def _ended(found: Standing, jobs: list[Job]) -> list[tuple[Job, Entry]]:
    """Give the trials of a round that have ended, in the order of the plan."""
    pairs = [(job, found.ended.get((job.part, job.key))) for job in jobs]
    return [(job, entry) for job, entry in pairs if entry is not None]


def _failures(ended: list[tuple[Job, Entry]]) -> list[dict[str, Any]]:
    """Say what failed."""
    return [
        {
            "model": job.name,
            "seed": None if job.number is not None else job.seed,
            "stage": "training" if job.number is None else "tuning",
            "reason": entry.ended["reason"],
        }
        for job, entry in ended
        if "reason" in entry.ended
    ]


def _stopped(
    config: StudyConfig, finished: int, planned: int, wanted: int, whole: bool
) -> str | None:
    """Say that a limit ended the study before it was through."""
    if not whole:
        return (
            f"Stopped after {config.max_seconds:g} s, with {finished} of {planned} final trials "
            "finished; the same command goes on."
        )
    if planned < wanted:
        return (
            f"At most {config.max_trials} trials were asked for: {planned} of {wanted} final ones "
            "were run."
        )
    return None


def _identity(task: Task, config: StudyConfig, plan: Plan) -> dict[str, Any]:
    """Say what makes two studies the same; more seeds may be added to one."""
    free = ("seeds", "match", "max_trials", "max_seconds")
    settings = {key: value for key, value in asdict(config).items() if key not in free}
    return {
        "task": task.name,
        "version": unrecur.__version__,
        **settings,
        "models": {
            name: [asdict(spec), training.describe()] for name, (spec, training) in plan.items()
        },
        "data": dict(task.hashes),
        "input_box": None if task.input_box is None else list(task.input_box),
    }


def describe(task: Task) -> dict[str, Any]:
    """Describe a task as JSON values.

    Args:
        task: The task.

    Returns:
        What the results of a study say of it.
    """
    return {
        "name": task.name,
        "title": task.title,
        "metric": task.metric,
        "unit": task.unit,
        "lower_is_better": True,
        "chance_level": task.chance_level,
        "scores": {
            name: {"title": score.title, "unit": score.unit, "better": score.better}
            for name, score in task.scores.items()
        },
        "longest_dependency": task.longest_dependency,
        "published": [asdict(figure) for figure in task.published],
        "notes": list(task.notes),
        "splits": {
            split: {
                "sequences": len(task.splits[split]),
                "steps": task.steps(split),
                "hash": task.hashes.get(split),
            }
            for split in SPLITS
        },
    }
