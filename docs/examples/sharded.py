"""One sequence over the processes of a group, held to a run in one of them.

torchrun --nproc-per-node 2 docs/examples/sharded.py
"""

import torch
import torch.distributed as dist

from unrecur import unroll
from unrecur.cells import LSTM
from unrecur.parallelism.sharded import unroll_sharded

dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
cell, x = LSTM(8, 32), torch.randn(1, 20_000, 8)

part = x.chunk(size, 1)[rank]  # each process needs only its own part
solution = unroll_sharded(cell, part, burn_in=100, tol=1e-5)
solution.y.square().mean().backward()  # gradients of the weights are summed over the processes

whole = unroll(cell, x).y.chunk(size, 1)[rank]
error = float((solution.y - whole).detach().abs().max())
print(f"process {rank} of {size}: {part.shape[1]} steps, error {error:.1g}")
assert error < 1e-5
dist.destroy_process_group()
