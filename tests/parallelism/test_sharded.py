"""One sequence over two and four processes against one process."""

import pytest
import torch
import torch.multiprocessing as mp

from processes import TOL, problem, work
from unrecur import InputError, Sequential
from unrecur.cells import GRU, LSTM
from unrecur.parallelism.sharded import unroll_sharded
from unrecur.solvers.unroll import unroll


@pytest.mark.parametrize(
    ("size", "make", "remembering"), [(2, GRU, False), (4, LSTM, False), (4, LSTM, True)]
)
def test_processes_give_what_one_gives(size, make, remembering, tmp_path):
    mp.spawn(work, (size, str(tmp_path), make, remembering), nprocs=size)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(size)]
    cell, x, h = problem(make, remembering)
    x.requires_grad_()
    h.requires_grad_()
    solution = unroll(cell, x, h, Sequential(), tol=TOL)
    ((solution.y**2).sum() + (solution.last**3).sum()).backward()
    near = {"rtol": 1e-8, "atol": 1e-8}
    y = torch.cat([part["y"] for part in parts], 1)
    torch.testing.assert_close(y, solution.y.detach(), atol=TOL, rtol=0)
    torch.testing.assert_close(parts[-1]["last"], solution.last.detach(), **near)
    torch.testing.assert_close(torch.cat([part["by_x"] for part in parts], 1), x.grad, **near)
    torch.testing.assert_close(parts[0]["by_h"], h.grad, **near)
    for part in parts:
        for one, weight in zip(part["by_weight"], cell.parameters(), strict=True):
            torch.testing.assert_close(one, weight.grad, **near)
    assert len({part["iterations"] for part in parts}) == 1
    iterations = parts[0]["iterations"]
    assert iterations == size - 1 if remembering else iterations <= 2


def test_it_says_that_nothing_is_distributed():
    with pytest.raises(InputError, match="start with torchrun"):
        unroll_sharded(LSTM(3, 4), torch.zeros(1, 50, 3), burn_in=10)
