"""What the processes of tests/parallelism/test_sharded.py run; they import it by name."""

import torch
import torch.distributed as dist

from unrecur import Chunked, Sequential
from unrecur.parallelism.sharded import unroll_sharded

TIME, TOL = 120, 1e-10


def problem(make, remembering):
    torch.manual_seed(0)
    cell = make(3, 4).double()
    if remembering:  # nothing is forgotten within a part: the states are handed on one by one
        with torch.no_grad():
            cell.bias_ih_l0[4:8] += 6.0
    x = torch.randn(2, TIME, 3, dtype=torch.float64)
    h = torch.randn(2, cell.state_size, dtype=torch.float64)
    return cell, x, h


def work(rank, size, folder, make, remembering):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size
    )
    cell, x, h = problem(make, remembering)
    part = x.chunk(size, 1)[rank].clone().requires_grad_()
    h.requires_grad_()
    inner = Chunked(5, 10) if rank % 2 else Sequential()
    solution = unroll_sharded(cell, part, h, burn_in=20, tol=TOL, solver=inner)
    loss = (solution.y**2).sum()
    if rank == size - 1:
        loss = loss + (solution.last**3).sum()
    loss.backward()
    found = {
        "y": solution.y.detach(),
        "last": solution.last.detach(),
        "by_x": part.grad,
        "by_h": h.grad,
        "by_weight": [weight.grad for weight in cell.parameters()],
        "iterations": solution.stats.iterations,
    }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
