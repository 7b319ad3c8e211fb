"""Every solver against the plain loop: outputs, last states, gradients, and its failure paths."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cases import CELLS, FEATURES
from unrecur import (
    Auto,
    Chunked,
    InputError,
    Newton,
    Picard,
    QuasiNewton,
    Scan,
    Sequential,
    Shooting,
    unroll,
)
from unrecur.cells import LSTM, Elman, MinGRU
from unrecur.core.state import zero_padding
from unrecur.solvers.sequential import sequential
from unrecur.solvers.solution import Result

pytestmark = pytest.mark.usefixtures("cheap_rows")

SOLVERS = {
    "chunked": Chunked(7, 9),
    "chunked-long": Chunked(16, 16),
    "chunked-chosen": Chunked(),
    "shooting": Shooting(3, 8),
    "shooting-jacobian": Shooting(3, 8, carry="jacobian"),
    "newton": Newton(),
    "quasi-newton": QuasiNewton(),
    "picard": Picard(),
    "sequential": Sequential(),
    "auto": Auto(),
}
AFFINE = ("min_gru", "min_lstm", "qrnn", "lru")
ROUNDING = 1e-9  # of gradients, relative; boundaries agree to 64 times less than the tolerance


def problem(kind, time, batch=2, seed=0):
    torch.manual_seed(seed)
    cell = CELLS[kind](FEATURES, 4).double()
    x = torch.randn(batch, time, FEATURES, dtype=torch.float64, requires_grad=True)
    h = torch.randn(batch, cell.state_size, dtype=torch.float64, requires_grad=True)
    return cell, x, h


def oracle(cell, x, h, lengths=None):
    x = zero_padding(x, lengths)
    states = sequential(cell, x, h, lengths)
    y = cell.readout(states)
    if lengths is not None:
        valid = torch.arange(x.shape[1]) < lengths[:, None]
        y = torch.where(valid[..., None], y, 0)
    return y, states[:, -1]


def gradients(y, last, tensors):
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum()
        for part in (y, last)
    )
    return torch.autograd.grad(loss, tensors)


def check(cell, x, h, solver, lengths=None, tol=1e-11, slab=None):
    tensors = [x, h, *cell.parameters()]
    solution = unroll(cell, x, h, solver, tol=tol, lengths=lengths, slab=slab)
    y, last = oracle(cell, x, h, lengths)
    assert float((solution.y - y).detach().abs().max()) <= tol
    torch.testing.assert_close(solution.last, last, atol=tol, rtol=tol)
    expected, found = gradients(y, last, tensors), gradients(solution.y, solution.last, tensors)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=ROUNDING, atol=ROUNDING)
    return solution


@pytest.mark.parametrize("time", [1, 2, 63])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", CELLS)
def test_a_solver_gives_the_sequential_run(kind, solver, time):
    check(*problem(kind, time), SOLVERS[solver])


@pytest.mark.parametrize("kind", ["lstm", "gru", "elman", "mgu"])
@pytest.mark.parametrize("solver", ["chunked", "chunked-chosen", "shooting", "auto"])
def test_a_long_block_too(kind, solver):
    solution = check(*problem(kind, 1000, batch=1), SOLVERS[solver])
    assert solution.result is Result.CONVERGED or solution.stats.reason


@pytest.mark.parametrize("lengths", [[50, 1], [17, 50], [49, 50]])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["lstm", "gru", "elman-relu", "min_gru"])
def test_rows_end_where_they_end(kind, solver, lengths):
    cell, x, h = problem(kind, 50)
    with torch.no_grad():
        x[0, lengths[0] :], x[1, lengths[1] :] = math.nan, math.nan
    check(cell, x, h, SOLVERS[solver], torch.tensor(lengths))


@pytest.mark.parametrize("kind", AFFINE)
@pytest.mark.parametrize("time", [1, 2, 3, 63, 100, 1000])
def test_a_scan_gives_the_sequential_run(kind, time):
    check(*problem(kind, time), Scan())


def test_a_scan_of_lengths():
    check(*problem("lru", 40), Scan(), torch.tensor([40, 7]))


@pytest.mark.parametrize("slab", [1, 2, 5, 100])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gradients_do_not_depend_on_how_many_pieces_are_held(kind, slab):
    check(*problem(kind, 100), Chunked(4, 6), slab=slab)


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["lstm", "gru", "elman", "mgu", "qrnn"]),
    time=st.integers(1, 70),
    batch=st.integers(1, 3),
    burn_in=st.integers(1, 12),
    more=st.integers(0, 9),
    scale=st.sampled_from([0.3, 1.0, 3.0]),
    seed=st.integers(0, 1000),
    shooting=st.booleans(),
)
def test_any_cut_of_any_cell_gives_the_sequential_run(
    kind, time, batch, burn_in, more, scale, seed, shooting
):
    cell, x, h = problem(kind, time, batch, seed)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(scale)
    solver = (Shooting if shooting else Chunked)(burn_in, burn_in + more)
    tensors = [x, h, *cell.parameters()]
    solution = unroll(cell, x, h, solver, tol=1e-11)
    y, last = oracle(cell, x, h)
    assert float((solution.y - y).detach().abs().max()) <= 1e-11
    found, expected = gradients(solution.y, solution.last, tensors), gradients(y, last, tensors)
    for one, other in zip(found, expected, strict=True):
        size = float(other.abs().max()) + 1
        assert float((one - other).abs().max()) <= 1e-8 * size


@pytest.mark.parametrize("kind", ["lstm", "gru", "lru"])
def test_gradients_against_differences(kind):
    cell, x, h = problem(kind, 9, batch=1)
    solver = Scan() if kind == "lru" else Chunked(2, 3)

    def run(x, h, *_):
        solution = unroll(cell, x, h, solver, tol=1e-12)
        return solution.y, solution.last

    assert torch.autograd.gradcheck(run, (x, h, *cell.parameters()))


@pytest.mark.parametrize("kind", ["lstm", "gru", "elman"])
def test_float32_is_within_the_tolerance(kind):
    torch.manual_seed(0)
    cell, x = CELLS[kind](FEATURES, 16), torch.randn(1, 3000, FEATURES)
    solution = unroll(cell, x, solver=Chunked(64, 100), tol=1e-5)
    y, _ = oracle(cell, x, cell.init_state(1))
    assert float((solution.y - y).detach().abs().max()) <= 1e-5
    assert solution.result is Result.CONVERGED
    assert solution.stats.depth < 0.1


def counter(bias=12.0):
    """An LSTM whose cell state adds up and never forgets, as trained ones do."""
    torch.manual_seed(0)
    cell = LSTM(FEATURES, 8).double()
    with torch.no_grad():
        cell.bias_ih_l0[8:12] = bias
        cell.weight_hh_l0[8:12] *= 0.01
        cell.weight_ih_l0[8:12] *= 0.01
    return cell


def test_shooting_meets_where_chunks_pass_errors_on_one_by_one():
    cell, x = counter(), torch.rand(1, 2000, FEATURES, dtype=torch.float64)
    y, _ = oracle(cell, x, cell.init_state(1))
    solutions = {
        solver: unroll(cell, x, solver=solver(50, 100), tol=1e-6) for solver in (Chunked, Shooting)
    }
    for solution in solutions.values():
        assert float((solution.y - y).detach().abs().max()) <= 1e-6
    assert solutions[Shooting].result is Result.CONVERGED
    assert solutions[Chunked].result is Result.FELL_BACK
    assert solutions[Shooting].stats.depth < 0.5


def test_what_is_left_at_a_boundary_is_followed_to_where_it_grows():
    """A unit that doubles what it holds: no boundary difference is small enough for long."""
    cell = Elman(1, 1, activation="relu", bias=False).double()
    with torch.no_grad():
        cell.weight_ih_l0.fill_(1.0)
        cell.weight_hh_l0.fill_(1.1)
    x = torch.rand(1, 200, 1, dtype=torch.float64) * 1e-3
    solution = unroll(cell, x, solver=Chunked(20, 50), tol=1e-6)
    y, _ = oracle(cell, x, cell.init_state(1))
    torch.testing.assert_close(solution.y, y, rtol=1e-9, atol=1e-6)


def test_chaos_is_run_in_sequence_and_says_so():
    torch.manual_seed(0)
    cell = Elman(FEATURES, 16)
    nn.init.normal_(cell.weight_hh_l0, std=1.5)
    x = 0.1 * torch.randn(1, 400, FEATURES)
    solution = unroll(cell, x, solver=Chunked(20, 40), tol=1e-5)
    y, _ = oracle(cell, x, cell.init_state(1))
    assert torch.equal(solution.y, cell.fused(x, cell.init_state(1))[0])
    assert solution.result is Result.FELL_BACK
    assert solution.stats.reason
    assert y.shape == solution.y.shape


@pytest.mark.parametrize(
    ("kind", "value"),
    [("lstm", math.nan), ("lstm", math.inf), ("gru", math.nan), ("elman-relu", math.nan)],
)
@pytest.mark.parametrize("solver", ["chunked", "shooting", "newton", "picard", "auto"])
def test_a_nan_reaches_what_comes_after_it_and_nothing_before(kind, solver, value):
    cell, x, h = problem(kind, 60)
    with torch.no_grad():
        x[1, 25, 0] = value
        solution = unroll(cell, x, h, SOLVERS[solver], tol=1e-9)
        y, _ = oracle(cell, x, h)
    torch.testing.assert_close(solution.y, y, equal_nan=True, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", [Newton(max_iterations=2), QuasiNewton(2), Picard(2)])
def test_an_iteration_that_does_not_converge_falls_back(solver):
    cell, x, h = problem("lstm", 80)
    solution = check(cell, x, h, solver)
    assert solution.result is Result.FELL_BACK
    assert type(solver).__name__ in solution.stats.reason


def test_newton_is_exact_in_one_step_for_an_affine_cell():
    cell, x, h = problem("min_gru", 100)
    assert unroll(cell, x, h, Newton(), tol=1e-11).stats.iterations == 1


def test_newton_needs_fewer_steps_than_its_diagonal_and_that_fewer_than_picard():
    cell, x, h = problem("gru", 200)
    steps = [
        unroll(cell, x, h, solver, tol=1e-10).stats.iterations
        for solver in (Newton(), QuasiNewton(), Picard())
    ]
    assert steps == sorted(steps)
    assert steps[0] < steps[2] / 4


def test_the_work_of_chunks_is_one_and_the_share_of_the_burn_in():
    cell, x, _ = problem("gru", 1000, batch=1)
    stats = unroll(cell, x, solver=Chunked(90, 100), tol=1e-6).stats
    assert stats.iterations == 0
    followed = 0.8  # eight of ten pieces at the most
    assert 1 + 90 * 9 / 1000 <= stats.work <= 1 + 90 * 9 / 1000 + followed
    assert 190 / 1000 <= stats.depth <= 290 / 1000
    assert (stats.burn_in, stats.length) == (90, 100)


def test_auto_refuses_what_cannot_gain_and_remembers():
    cell, x, _ = problem("lstm", 12, batch=1)
    auto = Auto()
    for _ in range(2):
        solution = unroll(cell, x, solver=auto, tol=1e-6)
        assert solution.result is Result.REFUSED
        assert solution.stats.reason
    assert len(auto.memory) == 1


def test_no_gradient_no_graph():
    cell, x, _ = problem("lstm", 50)
    with torch.no_grad():
        assert not unroll(cell, x, solver=Chunked(5, 10), tol=1e-9).y.requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Chunked(0), "burn_in must be a whole number"),
        (lambda: Chunked(10, 5), "length must be at least burn_in=10"),
        (lambda: Chunked(length=5), "needs a burn_in"),
        (lambda: Shooting(10, 5), "length must be at least burn_in=10"),
        (lambda: Shooting(carry="gate"), "unknown carry 'gate'. Did you mean 'gates'"),
        (lambda: unroll(LSTM(3, 4), torch.zeros(1, 9, 3), tol=1e-9), "use at least 4e-06"),
        (lambda: unroll(LSTM(3, 4), torch.zeros(1, 9, 3), tol=-1.0), "tol must be a finite"),
        (lambda: unroll(LSTM(3, 4), torch.zeros(1, 9, 2)), "3"),
        (lambda: unroll(LSTM(3, 4), torch.zeros(1, 9, 3), torch.zeros(1, 4)), r"h must be \[1, 8"),
        (lambda: unroll(LSTM(3, 4), torch.zeros(1, 9, 3), solver=Scan()), "Scan runs affine cells"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_bad_request_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_newton_refuses_jacobians_that_do_not_fit():
    with pytest.raises(InputError, match="GiB of Jacobians"), torch.no_grad():
        unroll(MinGRU(3, 600), torch.zeros(1, 1000, 3), solver=Newton())
