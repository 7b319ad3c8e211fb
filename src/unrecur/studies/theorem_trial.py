"""One trial of the theorem's experiment: the full recurrence against every window."""

import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from unrecur.cells import Elman
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.certificates.contraction import certify
from unrecur.certificates.theory import gradient_gap, window_for_training
from unrecur.studies.listener import Listener
from unrecur.studies.theorem_constants import constants
from unrecur.studies.theorem_data import Case, TheoremConfig
from unrecur.studies.theorem_fit import anchored, fit
from unrecur.studies.theorem_runs import Runs

# Gaps up to so many times what another order of the same sums makes may be rounding.
ABOVE_ROUNDING = 100.0
# The distance of the weights for which the theorem's own window is asked.
NEAR = 1e-3
Row = dict[str, Any]


def run_trial(case: Case, config: TheoremConfig, seed: int, listener: Listener) -> Row:
    """Train one case from one seed through the full recurrence and through every window.

    Args:
        case: The case.
        config: The settings.
        seed: The seed.
        listener: Hears how it goes.

    Returns:
        Its row, JSON values; see docs/theory/theorem.md.
    """
    begin = time.monotonic()
    listener.begin(case.name, seed)
    runs = Runs(case, config, seed)
    row: Row = {"model": case.name, "seed": seed, "windows": list(case.windows(config))}
    row["radius"] = {"start": _radius(runs)}
    first = float(runs.loss(None).detach())
    listener.stage("the full recurrence")
    full = runs.train(None)
    row["loss"] = {"start": first, "end": float(runs.loss(None).detach())}
    row["radius"]["end"] = _radius(runs)
    row["floor"] = _floors(runs, full)
    row["gaps"] = _training_gaps(runs, full, listener) | _gaps_at(runs, full)
    certificate = certify(runs.problem.cell, runs.box)
    proved = certificate.evidence is Evidence.PROVED
    row["certificate"] = {
        "evidence": certificate.evidence.name,
        "rule": certificate.rule,
        "rate": certificate.rate if proved else None,
    }
    row["proved"] = _proved(runs, certificate) if proved else {}
    row |= _fits(runs, row, certificate.rate) if proved else {"fits": {}, "shapes": {}}
    row["metric"] = {"valid": row["gaps"]["weights"][-1], "test": row["gaps"]["outputs"][-1]}
    row["parameters"] = len(runs.start)
    row["wall_seconds"] = time.monotonic() - begin
    listener.end(row)
    return row


def _radius(runs: Runs) -> float | None:
    """Give the spectral radius of an Elman network's recurrent weights."""
    cell = runs.problem.cell
    if not isinstance(cell, Elman):
        return None
    return float(torch.linalg.eigvals(cell.weight_hh_l0.detach()).abs().max())


def _floors(runs: Runs, full: dict[int, Tensor]) -> dict[str, float]:
    """Say which gaps may be rounding: those near what another order of the sequences makes."""
    last = runs.config.checkpoints[-1]
    runs.put(full[last])
    y, gradient = runs.outputs(None).detach(), runs.gradient(None)
    other = runs.train(None, backwards=True)[last]
    sizes = {
        "weights": (full[last].norm(), (full[last] - other).norm()),
        "outputs": (y.abs().max(), (y - runs.outputs(None).detach()).abs().max()),
        "same_outputs": (y.abs().max(),),
        "gradient": (gradient.norm(),),
    }
    eps = torch.finfo(torch.float64).eps
    return {
        name: ABOVE_ROUNDING * max(eps * float(size), *map(float, made), 0.0)
        for name, (size, *made) in sizes.items()
    }


def _training_gaps(runs: Runs, full: dict[int, Tensor], listener: Listener) -> dict[str, Any]:
    """Train through every window: the gaps at the end, and those at each checkpoint."""
    y_full = {}
    for n, weights in full.items():
        runs.put(weights)
        y_full[n] = runs.outputs(None).detach()
    weights_by_n, outputs_by_n = [], []
    for k in runs.windows:
        listener.stage(f"windows of {k}")
        found = runs.train(k)
        weights_by_n.append([float((full[n] - found[n]).norm()) for n in full])
        outputs = []
        for n in full:
            runs.put(found[n])
            outputs.append(float((y_full[n] - runs.outputs(k).detach()).abs().max()))
        outputs_by_n.append(outputs)
    return {
        "weights": [row[-1] for row in weights_by_n],
        "outputs": [row[-1] for row in outputs_by_n],
        "checkpoints": list(full),
        "weights_by_step": weights_by_n,
        "outputs_by_step": outputs_by_n,
    }


def _gaps_at(runs: Runs, full: dict[int, Tensor]) -> dict[str, list[float]]:
    """Measure the gaps of outputs and gradient at the weights of the full recurrence."""
    runs.put(full[runs.config.checkpoints[-1]])
    y, whole = runs.outputs(None).detach(), runs.gradient(None)
    windows = runs.windows
    return {
        "same_outputs": [float((runs.outputs(k).detach() - y).abs().max()) for k in windows],
        "gradient": [float((runs.gradient(k) - whole).norm()) for k in windows],
    }


def _proved(runs: Runs, certificate: Certificate) -> dict[str, Any]:
    """Give the proved bounds at the trained weights, and the window that the theorem asks for."""
    windows, config, cell = runs.windows, runs.config, runs.problem.cell
    steepness = float(runs.problem.readout.abs().sum())
    bounds: dict[str, Any] = {
        "same_outputs": [steepness * certificate.bound(k) for k in windows],
        "gradient": None,
        "training_window": None,
    }
    if isinstance(cell, Elman):
        own = constants(runs.problem, cell, runs.case.scale)
        ball = constants(runs.problem, cell, runs.case.scale, config.rate)
        steps = config.checkpoints[-1]
        asked = window_for_training(*ball, NEAR, steps, config.step_size)
        bounds["gradient"] = [gradient_gap(*own, k).gradient for k in windows]
        bounds["training_window"] = asked.k
    return bounds


def _fits(runs: Runs, row: Row, rate: float) -> dict[str, Row]:
    """Fit each gap: those of weights and gradient beside the theorem's k rate^k, others rate^k."""
    windows = row["windows"]
    grows = [float(k) for k in windows]
    if isinstance(runs.problem.cell, Elman):
        own = constants(runs.problem, runs.problem.cell, runs.case.scale)
        grows = [gradient_gap(*own, k).gradient / own[0].rate ** k for k in windows]
    level = [1.0] * len(windows)
    forms = {"weights": grows, "outputs": level, "same_outputs": level, "gradient": grows}
    found: dict[str, Row] = {"fits": {}, "shapes": {}}
    for name, form in forms.items():
        line = fit(windows, row["gaps"][name], rate, row["floor"][name], form)
        found["fits"][name] = line and asdict(line)
        shape = [factor * rate**k for factor, k in zip(form, windows, strict=True)]
        found["shapes"][name] = line and anchored(windows, row["gaps"][name], shape, line)
    return found
