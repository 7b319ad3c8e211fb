"""The quadratic rule as a semidefinite program: the oracle that the descent is held to."""

import warnings

import cvxpy as cp
import numpy as np
import torch

from unrecur.certificates.metric import proved_rate

WORST = 1e6  # the condition number of P


def least_rate(unknown, solves=9):
    """Bisect on the rate with an interior-point solver; what it finds is checked as in the rule."""
    program = make_program(unknown)
    best, low, target = np.inf, 0.0, 1.0
    for _ in range(solves):
        metric, multipliers = program(target)
        root, failed = torch.linalg.cholesky_ex(metric)
        proved = np.inf if failed else proved_rate(unknown, root.T.contiguous(), multipliers)
        best = min(best, proved)
        if proved > target:
            low = target
        if best > 1:
            break
        target = (low + best) / 2
    return best


def make_program(unknown):
    """Maximise t with the matrix of `metric.py` >= t, 1 / WORST <= P <= 1."""
    center, forms, rows = unknown.center.numpy(), unknown.forms.numpy(), unknown.rows.numpy()
    states = len(center)
    metric = cp.Variable((states, states), symmetric=True)
    multipliers, strengths = cp.Variable(len(forms)), cp.Variable(len(rows))
    shares, margin = cp.Variable(len(forms)), cp.Variable()
    squared = cp.Parameter(nonneg=True)
    whole = squared * metric - center.T @ metric @ center - forms.T @ cp.diag(multipliers) @ forms
    edge = -(metric @ center)[rows].T
    corner = cp.diag(strengths) - metric[rows][:, rows]
    table = cp.bmat([[whole, edge], [edge.T, corner]])
    # tau_r s_r >= mu_i^2 and sum_r s_r <= mu_i say that mu_i sum_r 1 / tau_r <= 1
    belongs = (rows[:, None] == unknown.places.numpy()).astype(float)
    cones = cp.vstack([2 * (belongs.T @ strengths), multipliers - shares])
    limits = [
        table >> margin * np.eye(states + len(rows)),
        metric << np.eye(states),
        metric >> np.eye(states) / WORST,
        cp.SOC(multipliers + shares, cones, axis=0),
        belongs @ shares <= strengths,
    ]
    problem = cp.Problem(cp.Maximize(margin), limits)

    def solve(rate):
        squared.value = rate**2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an inaccurate solution: what it proves is computed
            problem.solve(solver=cp.CLARABEL)
        found = torch.from_numpy(metric.value)
        return (found + found.T) / 2, torch.from_numpy(multipliers.value)

    return solve
