"""The theorem's experiment: does training on windows reach the weights of full training?"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import unrecur
from unrecur._files import write_atomic
from unrecur.studies.environment import environment
from unrecur.studies.listener import Listener
from unrecur.studies.store import Store, locked
from unrecur.studies.theorem_data import CASES, TheoremConfig
from unrecur.studies.theorem_trial import run_trial
from unrecur.studies.theorem_verdict import conclude


def theorem(
    folder: str | Path,
    config: TheoremConfig | None = None,
    listener: Listener | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Measure how far training on windows of k inputs ends from training on whole sequences.

    From the same start and on the same data, projected gradient descent with steps alpha / n runs
    through the full recurrence and through windows of each length k, for stable models and for an
    unstable one; |w_recurrent - w_truncated| and max |y_t - y^k_t| are held against k, against
    the number of steps, and against the theorem (Miller and Hardt 2019, section 3).

    Finished runs are kept in the folder; the same call goes on where the last one ended.

    Args:
        folder: Where the results go; made if new.
        config: The settings; the default ones where left out.
        listener: Hears how it goes.
        command: What to type to do it again, for the report.

    Returns:
        The results, as `results.json` in the folder has them: JSON values; see
        docs/theory/theorem.md.

    Raises:
        InputError: The folder holds another experiment or is in use.
        CorruptFileError: A file of the experiment is damaged.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from unrecur.studies.theorem_data import SMOKE
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = theorem(folder, SMOKE)
        >>> len(results["rows"])
        4
    """
    config, listener, folder = config or TheoremConfig(), listener or Listener(), Path(folder)
    settings = json.loads(json.dumps(asdict(config)))
    kept = {key: value for key, value in settings.items() if key != "seeds"}
    with locked(folder):
        cases = [asdict(case) for case in CASES]
        identity = {"task": "theorem", "version": unrecur.__version__, **kept, "cases": cases}
        store = Store(folder, identity)
        done = {(row["model"], row["seed"]): row for row in store.rows()}
        trials = [(case, seed) for seed in range(config.seeds) for case in CASES]
        listener.start(len(trials), sum((case.name, seed) in done for case, seed in trials))
        for case, seed in trials:
            if (case.name, seed) not in done:
                done[case.name, seed] = run_trial(case, config, seed, listener)
                store.add(done[case.name, seed], [case.name for case in CASES])
        store.export()  # a run that was killed may have added a row and not written it here
        rows = [done[case.name, seed] for case, seed in trials]
        results = {
            "version": unrecur.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": sum(row["wall_seconds"] for row in rows),
            "settings": settings,
            **conclude(rows),
            "rows": rows,
            "environment": environment(),
        }
        write_atomic(folder / "results.json", json.dumps(results, indent=1))
    return results
