"""What a plan takes a step to cost."""

import pytest
import torch

from unrecur.cells import GRU
from unrecur.solvers import costs
from unrecur.solvers.costs import LEAST, Cost, cost_of
from unrecur.solvers.plan import plan
from unrecur.solvers.solution import Problem


def test_costs_are_linear_between_and_beyond_what_was_measured():
    cost = Cost((1, 4, 16), (1.0, 2.0, 8.0))
    assert [cost.of(rows) for rows in (1, 4, 10, 16, 28)] == [1.0, 2.0, 5.0, 8.0, 14.0]
    assert Cost((1, 4), (2.0, 1.0)).of(100) == 2.0  # noise: more rows never cost less than one


def test_slow_cells_are_measured_at_several_numbers_of_rows(monkeypatch):
    """Else rows side by side would seem to cost nothing."""
    monkeypatch.setattr(costs, "_MEASURED", {})
    monkeypatch.setattr(costs, "_timed", lambda _, x, *__: 1e-3 * x.shape[0] * x.shape[1])
    cell = GRU(3, 4)
    cost = cost_of(cell)
    assert len(cost.rows) == LEAST
    assert cost.of(256) == pytest.approx(0.256)
    problem = Problem(cell, torch.zeros(1, 10_000, 3), cell.init_state(1))
    assert plan(problem, 20, cost).gain < 1.05  # the work is the same, side by side or not
