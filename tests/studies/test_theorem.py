"""The theorem's experiment: its parts against made-up curves, and a small run of the whole."""

import json
import math
from dataclasses import replace

import pytest
import torch

from unrecur.cells import Elman
from unrecur.certificates.theory import gradient_gap, training_gap
from unrecur.studies import theorem as module
from unrecur.studies.listener import Listener
from unrecur.studies.theorem import theorem
from unrecur.studies.theorem_constants import constants
from unrecur.studies.theorem_data import CASES, SMOKE, TheoremConfig, draw
from unrecur.studies.theorem_fit import anchored, decades, fit
from unrecur.studies.theorem_runs import Runs
from unrecur.studies.theorem_trial import run_trial
from unrecur.studies.theorem_verdict import conclude

STABLE, UNSTABLE, WIDE, GATED = CASES
WINDOWS = (1, 2, 4, 8, 12, 16, 20, 24)
SMALL = TheoremConfig(
    seeds=1,
    windows=(1, 5, 9, 13, 17),
    checkpoints=(1, 15),
    rate=0.5,
    sequences=4,
    counted=6,
)


def test_an_exact_curve_has_its_slope():
    gaps = [5 * k * 0.8**k for k in WINDOWS]
    beside = fit(WINDOWS, gaps, 0.8, 0.0, [float(k) for k in WINDOWS])
    assert beside.slope == pytest.approx(math.log(0.8))
    assert beside.difference == pytest.approx(0.0, abs=1e-12)
    assert beside.plain_slope > beside.slope + 0.05
    assert (beside.first, beside.last, beside.points) == (8, 24, 5)  # from 1 / log(1 / 0.8) on
    faster = fit(WINDOWS, [0.64**k for k in WINDOWS], 0.8, 0.0, [1.0] * 8)
    assert faster.difference == pytest.approx(1.0)


def test_a_fit_ends_where_rounding_begins():
    """Also where a later gap happens to be above it."""
    gaps = [0.5**k for k in WINDOWS]
    gaps[-2:] = [1e-9, 1e-3]
    line = fit(WINDOWS, gaps, 0.5, 1e-8, [1.0] * 8)
    assert line.last == 16
    assert line.slope == pytest.approx(math.log(0.5))
    assert fit(WINDOWS, gaps, 0.5, 1e-3, [1.0] * 8) is None


def test_a_shape_is_moved_to_the_gaps():
    gaps = [3 * 0.7**k for k in WINDOWS]
    line = fit(WINDOWS, gaps, 0.7, 0.0, [1.0] * 8)
    moved = anchored(WINDOWS, gaps, [100 * 0.7**k for k in WINDOWS], line)
    assert moved == pytest.approx(gaps)


def test_decades_are_those_to_the_least_gap():
    assert decades([1.0, 100.0]) == 0
    assert decades([1.0, 1e-6, 0.5]) == pytest.approx(6)
    assert decades([1.0, 0.0, 1.0]) == math.inf


def test_cases_share_data_and_start():
    problems = [draw(case, SMOKE, 5) for case in CASES]
    for case, problem in zip(CASES, problems, strict=True):
        torch.testing.assert_close(problem.x / case.scale, problems[1].x, rtol=1e-12, atol=0)
        torch.testing.assert_close(problem.target / case.scale, problems[1].target)
    for one, other in zip(*(p.cell.parameters() for p in problems[:2]), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(draw(STABLE, SMOKE, 6).x, problems[0].x)
    problem = problems[0]
    sums = problem.x.cumsum(1)[:, -SMOKE.counted :] / math.sqrt(SMOKE.length)
    assert torch.equal(problem.target, sums)
    assert float(problem.readout.norm()) == pytest.approx(1.0)
    assert not torch.equal(problems[3].cell.weight_hh_l0, torch.zeros(16, 4).double())


@pytest.mark.parametrize("scale", [0.02, 0.5])
@pytest.mark.parametrize("seed", range(2))
def test_no_gap_is_above_what_the_constants_prove(seed, scale):
    """Also that of a training, with steps so small that its bound is finite."""
    config = replace(SMOKE, rate=0.5, step_size=1e-4 * scale**2)
    case = replace(STABLE, scale=scale)
    runs = Runs(case, config, seed)
    assert isinstance(runs.problem.cell, Elman)
    own = constants(runs.problem, runs.problem.cell, scale)
    ball = constants(runs.problem, runs.problem.cell, scale, config.rate)
    assert own[0].rate <= ball[0].rate
    whole = runs.gradient(None)
    for k in SMOKE.windows:
        runs.put(runs.start)
        gap = float((runs.gradient(k) - whole).norm())
        assert 0 < gap <= gradient_gap(*own, k).gradient <= gradient_gap(*ball, k).gradient
        apart = float((runs.train(k)[3] - runs.train(None)[3]).norm())
        bound = training_gap(*ball, k, 3, config.step_size).weights
        assert 0 < apart <= bound < math.inf


def test_gaps_of_a_stable_model_fall_at_its_rate_and_others_do_not():
    stable = run_trial(STABLE, SMALL, 0, Listener())
    assert stable["certificate"]["rate"] <= 0.5 * (1 + 1e-3)
    for gap in ("weights", "outputs"):
        assert abs(stable["fits"][gap]["difference"]) < 0.15
        assert stable["gaps"][gap][-1] < 1e-2 * stable["gaps"][gap][0]
    unstable = run_trial(UNSTABLE, SMALL, 0, Listener())
    assert unstable["fits"] == unstable["proved"] == {}
    assert unstable["radius"]["end"] > 1
    for gap in ("weights", "outputs"):
        assert unstable["gaps"][gap][-1] > 0.1 * unstable["gaps"][gap][0]
        assert unstable["gaps"][gap][-1] > unstable["floor"][gap]


def rows_of(stable=0.02, unstable=(1.0, 0.5)):
    """Rows of one seed, of which only what is judged is made up."""
    names = ("weights", "outputs", "same_outputs", "gradient")
    rows = []
    for case in CASES:
        flat = case is UNSTABLE
        row = {"model": case.name, "seed": 0, "parameters": 4, "wall_seconds": 1.0}
        row["gaps"] = {name: list(unstable) if flat else [1.0, 0.1] for name in names}
        row["floor"] = dict.fromkeys(names, 1e-12)
        row["fits"] = {} if flat else {name: {"difference": stable} for name in names}
        row["proved"] = {} if flat else {"same_outputs": [2.0, 2.0], "gradient": [2.0, 2.0]}
        row["metric"] = {"valid": 1.0, "test": 1.0}
        rows.append(row)
    return rows


def test_verdicts():
    assert conclude(rows_of())["holds"] is True
    found = conclude(rows_of(stable=0.11))
    assert found["holds"] is False
    assert "do not fall at the certified rate" in found["headline"]
    assert [case["holds"] for case in found["cases"]] == [False, True, True, True]
    found = conclude(rows_of(stable=-0.11))
    assert [case["holds"] for case in found["cases"]] == [False, True, False, False]
    found = conclude(rows_of(unstable=(1.0, 0.09)))
    assert found["holds"] is False
    assert "is not shown" in found["headline"]
    rows = rows_of()
    rows[1]["floor"]["weights"] = 0.6  # rounding alone makes the gap
    assert conclude(rows)["cases"][1]["holds"] is False
    rows = rows_of()
    rows[0]["gaps"]["gradient"][1] = 2.1
    found = conclude(rows)
    assert found["holds"] is False
    assert "1 measured gap" in found["headline"]
    rows = rows_of()
    rows[0]["fits"]["weights"] = None
    assert conclude(rows)["cases"][0]["holds"] is False


def test_a_run_is_kept_and_continued(tmp_path, monkeypatch):
    """Killed after three of four runs, the next call makes the fourth and gives the same."""
    made = iter(rows_of())
    trials = []

    def killed(case, config, seed, listener):
        if len(trials) == 3:
            raise KeyboardInterrupt
        trials.append((case.name, seed))
        return next(made)

    monkeypatch.setattr(module, "run_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        theorem(tmp_path, SMOKE)
    monkeypatch.setattr(module, "run_trial", lambda *_: next(made))
    results = theorem(tmp_path, SMOKE, command="again")
    assert results["rows"] == rows_of()
    assert results == json.loads((tmp_path / "results.json").read_text())
    with pytest.raises(ValueError, match="another study: its rate"):
        theorem(tmp_path, replace(SMOKE, rate=0.6))


def test_bad_settings():
    for options in ({"seeds": 0}, {"rate": 1.0}, {"rate": 0.0}, {"step_size": 0.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            TheoremConfig(**options)
    for windows in ((), (3, 2), (2, 2), (0, 1)):
        with pytest.raises(ValueError, match="windows"):
            TheoremConfig(windows=windows)
