"""What each way to make a gradient through time costs, and how good the gradient is.

    python benchmarks/training.py            # about 8 minutes on 2 cores
    python benchmarks/training.py --quick    # 1 minute: small sizes
    python benchmarks/training.py --write    # and keeps the rows

Five questions, each answered side by side in one run:

- "truncated": truncated backpropagation (k1 = k2 = 100) and segments against full backpropagation,
  on one sequence of T steps: seconds, peak memory of a process that does nothing else, and the
  relative error of the gradient (of all parts together, without steps between them);
- "parallel": backpropagation in parallel over time against torch's GRU: the burn-in and the length
  of the pieces that are fastest among nine, with a gradient off by 1e-5 at the most;
- "online": RTRL and its cheap kin: milliseconds a step, bytes carried, cosine with the gradient of
  backpropagation on the cell's weights;
- "loop": steps of the training loop per second against a bare torch loop that reads the same
  batches through the same DataLoader, and the largest difference of the weights at their ends;
- "compile": steps of the training loop with torch.compile against without, the seconds of the first
  step, and after how many steps they are won back.

Weights are freshly drawn, not trained; those of "parallel" are moved to a contraction of 0.95
(`unrecur.stabilize`'s aim), as weights that never forget do not run in parallel.
"""

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import rows
import torch
import torch._inductor.config
from torch import Tensor

import unrecur
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import leaves
from unrecur.data.batches import Batch
from unrecur.data.losses import squared_error
from unrecur.data.task import Task
from unrecur.train.config import TrainConfig
from unrecur.train.full import Full
from unrecur.train.in_parallel import InParallel
from unrecur.train.loop import train
from unrecur.train.objective import AbstractObjective
from unrecur.train.online.eprop import EProp
from unrecur.train.online.rtrl import RTRL
from unrecur.train.online.snap import SnAp1
from unrecur.train.online.uoro import UORO
from unrecur.train.truncated import Truncated

FEATURES, RATE = 8, 0.95
ALLOWED = 1e-5  # of a gradient in parallel, relative
LONG = 10.0  # seconds of a call that is not repeated
ONLINE: dict[str, AbstractObjective] = {
    "rtrl": RTRL(),
    "snap1": SnAp1(),
    "eprop": EProp(),
    "uoro": UORO(),
}


def task_of(time: int, sequences: int = 1, seed: int = 0) -> Task:
    """Make a task: the mean of the last eight inputs, of uniform noise in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for _ in range(sequences):
        x = 2 * torch.rand(time, FEATURES, generator=generator) - 1
        padded = torch.cat([torch.zeros(7, FEATURES), x])
        pairs.append((x, padded.unfold(0, 8, 1).mean(-1)))
    small = [(x[:50], y[:50]) for x, y in pairs[:4]]
    return Task(
        name="mean",
        title="The mean of eight inputs",
        metric="squared error",
        unit="",
        in_features=FEATURES,
        out_features=FEATURES,
        step_loss=squared_error,
        chance_level=1 / 24,
        input_box=(-1.0, 1.0),
        splits={"train": pairs, "valid": small, "test": small},
    )


def model_of(cell: str, hidden: int, stable: bool = False) -> AbstractSequenceModel:
    """Build a model with fresh weights."""
    torch.manual_seed(0)
    model = unrecur.build(cell, in_features=FEATURES, out_features=FEATURES, hidden=hidden)
    if stable:
        unrecur.project_(model, (-1, 1), rate=RATE)
    return model


def gradient(
    objective: AbstractObjective, model: AbstractSequenceModel, task: Task, batch: Batch
) -> Tensor:
    """Give the mean gradient of all parts of a batch, without steps between them."""
    model.zero_grad()
    steps = 0
    for part in objective.parts(objective.form(model), task, batch, None):
        part.loss.backward()
        steps += part.steps
    return torch.cat([weight.grad.flatten() for weight in model.parameters()]) / steps


def seconds(call: Callable[[], Any], least: float = 0.5, most: int = 20) -> float:
    """Give the median seconds of some calls, after one that does not count unless it is long."""
    start = time.perf_counter()
    call()
    if (first := time.perf_counter() - start) > LONG:
        return first
    taken: list[float] = []
    while len(taken) < 3 or (sum(taken) < least and len(taken) < most):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def alone(queue: Any, steps: int, objective: AbstractObjective) -> None:
    """Run one gradient in a process of its own, and say how much memory that took."""
    torch.set_num_threads(2)
    model, task = model_of("gru", 64), task_of(steps)
    batch = next(task.batches("train", 1))
    # What one short run takes, kernels and buffers, is not the sequence's.
    gradient(Truncated(50), model, task_of(50), next(task_of(50).batches("train", 1)))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    gradient(objective, model, task, batch)
    queue.put((status("VmHWM") - before) / 1024)


def status(entry: str) -> int:
    """Read an entry of this process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1])


def peak_memory(steps: int, objective: AbstractObjective) -> float:
    """Measure how many MiB a gradient adds to the peak of a process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=alone, args=(queue, steps, objective))
    process.start()
    found: float = queue.get()
    process.join()
    return found


def truncated(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare truncated backpropagation with full, at three lengths."""
    objectives: dict[str, AbstractObjective] = {
        "full": Full(),
        "full in segments": Full(0),
        "truncated 100, 100": Truncated(100),
        "truncated 50, 100": Truncated(50, 100),
    }
    for steps in (500, 1000) if quick else (1000, 10_000, 100_000):
        model, task = model_of("gru", 64), task_of(steps)
        batch = next(task.batches("train", 1))
        exact = gradient(Full(), model, task, batch)
        base = 0.0  # set by the first, which is the full one
        for name, objective in objectives.items():
            found = gradient(objective, model, task, batch)
            taken = seconds(partial(gradient, objective, model, task, batch))
            base = base or taken
            yield {
                "question": "truncated",
                "objective": name,
                "cell": "gru",
                "hidden": 64,
                "steps": steps,
                "seconds": round(taken, 4),
                "times_full": round(taken / base, 2),
                "peak_mib": round(peak_memory(steps, objective), 1),
                "gradient_error": float((found - exact).norm() / exact.norm()),
            }


def parallel(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare backpropagation in parallel over time with torch's GRU."""
    steps = 2000 if quick else 10_000
    for hidden in (64,) if quick else (64, 128, 256):
        model, task = model_of("gru", hidden, stable=True), task_of(steps)
        batch = next(task.batches("train", 1))
        exact = gradient(Full(), model, task, batch)
        one = seconds(partial(gradient, Full(), model, task, batch))
        best: dict[str, Any] = {}
        for burn_in, length in product((12, 24, 32), (32, 64, 128)):
            objective = InParallel(burn_in=burn_in, length=length)
            found = gradient(objective, model, task, batch)
            error = float((found - exact).norm() / exact.norm())
            taken = seconds(partial(gradient, objective, model, task, batch))
            if error <= ALLOWED and (not best or taken < best["seconds"]):
                best = {"burn_in": burn_in, "length": length, "seconds": round(taken, 4)}
                best["gradient_error"] = error
        yield {
            "question": "parallel",
            "cell": "gru",
            "hidden": hidden,
            "steps": steps,
            "weights": f"drawn, moved to rate {RATE}",
            **best,
            "torch_seconds": round(one, 4),
            "ratio": round(one / best["seconds"], 1),
        }


def online(quick: bool) -> Iterator[dict[str, Any]]:
    """Measure learning forward in time, by the size of the state."""
    task = task_of(50, 4)
    batch = next(task.batches("train", 4))
    for cell in ("gru", "lstm"):
        for hidden in (8, 16) if quick else (8, 16, 32, 64, 128):
            model = model_of(cell, hidden)
            recurrent = model.models[0]
            exact = cell_gradient(Full(), model, task, batch)
            parameters = sum(weight.numel() for weight in recurrent.parameters())
            size = recurrent.cells[0].state_size
            for name, objective in ONLINE.items():
                if name == "rtrl" and cell == "lstm" and hidden > 64:
                    continue  # 34 GFLOP a step and row
                found = cell_gradient(objective, model, task, batch)
                taken = seconds(partial(gradient, objective, model, task, batch))
                yield {
                    "question": "online",
                    "objective": name,
                    "cell": cell,
                    "hidden": hidden,
                    "state": size,
                    "parameters": parameters,
                    "rows": 4,
                    "milliseconds_a_step": round(1e3 * taken / 50, 3),
                    "carried_bytes": sum(x.nbytes for x in leaves(objective.init_state(model, 4))),
                    "cosine": float(torch.cosine_similarity(found, exact, dim=0)),
                }


def cell_gradient(
    objective: AbstractObjective, model: AbstractSequenceModel, task: Task, batch: Batch
) -> Tensor:
    """Give the part of a gradient that is the cell's."""
    count = sum(weight.numel() for weight in model.models[0].parameters())
    return gradient(objective, model, task, batch)[:count]


def loop(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare the training loop with a bare one."""
    for hidden in (32,) if quick else (32, 128, 512):
        task = task_of(100, 200)
        spec = unrecur.Spec(
            "lstm", {"in_features": FEATURES, "out_features": FEATURES, "hidden": hidden}
        )
        # Validation and the ends of epochs are not the loop's.
        config = TrainConfig(epochs=1, batch_size=4, learning_rate=1e-3, schedule="inverse")
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(3 if quick else 9):
            ends: list[float] = []

            def report(progress: Any, batches: int, ends: list[float] = ends) -> None:
                ends.append(time.perf_counter())

            trained = train(spec, task, config, 0, report=report)
            ours += differences(ends[:-1])  # the last is the end of the epoch
            ends, model = bare_loop(spec, task, config)
            bare += differences(ends)
            weights = [
                float((one - other).detach().abs().max())
                for one, other in zip(trained.model.parameters(), model.parameters(), strict=True)
            ]
        yield {
            "question": "loop",
            "model": "lstm",
            "hidden": hidden,
            "parameters": spec.parameters,
            "steps_a_second": round(1 / statistics.median(ours), 2),
            "bare_steps_a_second": round(1 / statistics.median(bare), 2),
            "ratio": round(statistics.median(bare) / statistics.median(ours), 3),
            "weights_apart": max(weights),
        }


def differences(ends: list[float]) -> list[float]:
    """Give the seconds of each step but the first."""
    return [after - before for before, after in pairwise(ends)]


def bare_loop(
    spec: unrecur.Spec, task: Task, config: TrainConfig
) -> tuple[list[float], AbstractSequenceModel]:
    """Train as one would by hand: no checks, no checkpoints, nothing to resume."""
    torch.manual_seed(0)
    model = spec.build().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    count = -(-len(task.splits["train"]) // config.batch_size)
    ends = []
    # The batches are read as the loop reads them: through torch's DataLoader, padded.
    batches = task.batches("train", config.batch_size, torch.Generator().manual_seed(0))
    for number, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate / (1 + number / count)
        loss = (model(batch.x)[0] - batch.target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        ends.append(time.perf_counter())
    return ends, model


COMPILED = {
    "tcn": {"hidden": 64, "levels": 4},
    "transformer": {"hidden": 64, "layers": 2, "heads": 4, "context": 100},
    "min_gru": {"hidden": 64},
    "lstm": {"hidden": 64},
    "gru": {"hidden": 64},
}


def compiled(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare the training loop with and without torch.compile."""
    torch._inductor.config.force_disable_caches = True  # what earlier runs compiled does not count
    task = task_of(100, 32)
    for name in ("min_gru",) if quick else COMPILED:
        spec = unrecur.Spec(
            name, {"in_features": FEATURES, "out_features": FEATURES, **COMPILED[name]}
        )
        found = {}
        for compile_it in (False, True):
            config = TrainConfig(epochs=4, batch_size=4, learning_rate=1e-3, compile=compile_it)
            ends = [time.perf_counter()]
            trained = train(
                spec, task, config, 0, report=lambda *_, ends=ends: ends.append(time.perf_counter())
            )
            # Each epoch ends with a report of its own, after validation.
            taken = [each for n, each in enumerate(differences(ends)) if n % 9 not in (0, 8)]
            found[compile_it] = statistics.median(taken[7:]), ends[1] - ends[0], trained.model
        plain, after = found[False], found[True]
        pairs = zip(plain[2].parameters(), after[2].parameters(), strict=True)
        yield {
            "question": "compile",
            "model": name,
            "parameters": spec.parameters,
            "first_step_seconds": round(after[1], 1),
            "plain_step_ms": round(1e3 * plain[0], 2),
            "compiled_step_ms": round(1e3 * after[0], 2),
            "ratio": round(plain[0] / after[0], 2),
            "steps_to_pay": math.ceil((after[1] - plain[1]) / (plain[0] - after[0]))
            if after[0] < plain[0]
            else None,
            "weights_apart": max(float((a - b).detach().abs().max()) for a, b in pairs),
        }


QUESTIONS = {
    "truncated": truncated,
    "parallel": parallel,
    "online": online,
    "loop": loop,
    "compile": compiled,
}


def main() -> None:
    """Run the benchmark."""
    parser: argparse.ArgumentParser = rows.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--only", choices=QUESTIONS, help="one question")
    given = parser.parse_args()
    asked = [given.only] if given.only else list(QUESTIONS)
    found = (row for name in asked for row in QUESTIONS[name](given.quick))
    rows.run("training", found, given.write, rows.others("question", given.only))


if __name__ == "__main__":
    main()
