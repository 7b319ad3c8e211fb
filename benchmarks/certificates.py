"""How tight the certificates are, which rule proves what, and what they cost.

    python benchmarks/certificates.py [--only looseness|rules|cost] [--silero FILE] [--write]

looseness: the certified window over the least window that an attack leaves, for cells trained
stable on chorales; in float64, as the worst case of float32's rounding has a floor of its own.
rules: which rule certifies which trained cell; published conditions have rows of their own.
cost: seconds of `certify`, by units.
"""

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rows
import torch

import unrecur
from unrecur.cells.from_torch import cells_of
from unrecur.certificates.attack import attack_curve
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.contraction import RULES
from unrecur.certificates.inputs import read_inputs
from unrecur.certificates.norms import Layer
from unrecur.certificates.published import check_published
from unrecur.certificates.reach import Reach

EPS = (0.1, 0.01, 0.001)
BOX = (0.0, 1.0)
KS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
STEPS, BATCH, SEED = 300, 8, 0


def main() -> None:
    made = rows.parser(__doc__)
    made.add_argument("--only", choices=["looseness", "rules", "cost"])
    made.add_argument("--silero", type=Path, help="silero_vad_16k.safetensors, a real LSTM")
    args = made.parse_args()
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "looseness": looseness,
        "rules": lambda: rules(args.silero),
        "cost": cost,
    }
    names = [args.only] if args.only else list(parts)
    for name in names:
        rows.run(f"certificates_{name}", parts[name](), args.write)


def trained(cell: str, hidden: int, rate: float | None) -> unrecur.Serial:
    """Train a model on chorales for a few hundred steps, free or projected to a rate."""
    task = unrecur.load_task("chorales")
    torch.manual_seed(SEED)
    model = unrecur.build(
        cell, in_features=task.in_features, out_features=task.out_features, hidden=hidden
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator, done = torch.Generator().manual_seed(SEED), 0
    while done < STEPS:
        for batch in task.batches("train", BATCH, generator):
            y, _ = model(batch.x)
            loss = task.step_loss(y, batch.target).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if rate is not None:
                unrecur.project_(model, BOX, rate)
            done += 1
    return model.eval()


def looseness() -> Iterator[dict[str, Any]]:
    """Certified against attacked windows."""
    for cell in ("elman", "lstm", "gru", "mgu"):
        for hidden in (32, 128):
            for rate in (0.8, 0.95):
                model = trained(cell, hidden, rate)
                yield from _looseness(cell, hidden, rate, model)


def _looseness(cell: str, hidden: int, rate: float, model: Any) -> Iterator[dict[str, Any]]:
    single, double = unrecur.certify(model, BOX), copy.deepcopy(model).double()
    began = time.perf_counter()
    proof = unrecur.certify(double, BOX)
    seconds = time.perf_counter() - began
    attacks = attack_curve(double, KS, BOX, start="zero", state_box=proof.state_box)
    found = [(0, 2.0), *((attack.k, attack.error) for attack in attacks)]
    x = torch.stack(
        [x[:60] for x, _ in unrecur.load_task("chorales").splits["test"] if len(x) >= 60]
    )
    x = x[:4].double()
    recurrence = double.models[0]
    known = unrecur.certify_on(recurrence, x, 48, BOX)
    seen = _measured_on(recurrence, x, 48, proof.state_box[0])
    for eps in EPS:
        certified = next((k for k in range(1, 2000) if float(proof.output(k).max()) <= eps), None)
        attacked = _between(found, eps)
        on_inputs, measured = known.steps(eps), _first(seen, eps)
        yield {
            "cell": cell,
            "hidden": hidden,
            "trained to": rate,
            "eps": eps,
            "rate": round(proof.rate, 4),
            "rule": proof.rule,
            "certified k": certified,
            "attacked k": attacked,
            "looseness": round(certified / attacked, 2) if certified and attacked else None,
            "certified k on inputs": on_inputs,
            "measured k on inputs": measured,
            "looseness on inputs": round(on_inputs / measured, 2)
            if on_inputs and measured
            else None,
            "float32 floor": single.bound(2000) if single.rule else None,
            "seconds": round(seconds, 3),
        }


def _between(found: list[tuple[int, float]], eps: float) -> float | None:
    """Interpolate the window at which the attacked error falls to eps, in the logarithm."""
    for (k, error), (later, less) in itertools.pairwise(found):
        if less <= eps:
            if less <= 0 or error <= eps:
                return later
            share = math.log(error / eps) / math.log(error / less)
            return round(k + share * (later - k), 2)
    return None


def _first(curve: torch.Tensor, eps: float) -> int | None:
    """Find the least window from which on no error is above eps."""
    above = (curve > eps).nonzero()
    first = int(above[-1]) + 1 if len(above) else 0
    return first if first < len(curve) else None


@torch.no_grad()
def _measured_on(
    layer: Any, x: torch.Tensor, k: int, box: tuple[torch.Tensor, torch.Tensor]
) -> Any:
    """Measure windows of known inputs from corners of the state box, the worst over all starts."""
    generator = torch.Generator().manual_seed(SEED)
    cell = layer.cells[0]
    corners = torch.rand(256, len(box[0]), generator=generator).double().round()
    corners[0], corners[1] = 0, 1
    states = box[0] + (box[1] - box[0]) * corners
    worst = torch.zeros(k + 1, dtype=torch.float64)
    worst[0] = (cell.readout(states)).abs().max()
    for row in x:
        for first in range(0, len(row) - k + 1, 4):
            h, zero = states, torch.zeros_like(states[:1])
            for j in range(k):
                x_t = row[first + j][None]
                h, zero = cell.phi(h, x_t.expand(len(h), -1)), cell.phi(zero, x_t)
                gap = (cell.readout(h) - cell.readout(zero)).abs().max()
                worst[j + 1] = torch.maximum(worst[j + 1], gap)
    return worst


def rules(silero: Path | None) -> Iterator[dict[str, Any]]:
    """Which rule certifies which cell; a last row for each rule with its share."""
    counts: dict[str, list[bool]] = {}
    for name, cell, box in _population(silero):
        inputs = read_inputs(box, cell.input_size)
        verdicts: dict[str, Any] = {}
        for condition, outcome in check_published(cell, inputs).items():
            verdicts[f"published: {condition}"] = outcome.holds
        try:
            layer = Layer(Reach(cell, *inputs.ends))
        except NoRuleError:
            layer = None
        for rule in RULES:
            verdicts[rule.__name__] = False
            if layer is not None:
                with contextlib.suppress(NoRuleError):
                    verdicts[rule.__name__] = round(rule(layer).rate, 4)
        for rule, verdict in verdicts.items():
            counts.setdefault(rule, []).append(bool(verdict))
        yield {"cell": name, **verdicts}
    for rule, held in counts.items():
        yield {"rule": rule, "cells": len(held), "certified": sum(held)}


def _population(silero: Path | None) -> Iterator[tuple[str, Any, Any]]:
    """Cells trained here, free and stable, and a real one."""
    for cell in ("elman", "lstm", "gru", "mgu"):
        for hidden in (8, 64):
            for rate in (None, 0.8, 0.95):
                with torch.no_grad():
                    model = copy.deepcopy(trained(cell, hidden, rate)).double()
                name = f"{cell} {hidden} " + ("free" if rate is None else f"projected to {rate}")
                yield name, model.models[0].cells[0], BOX
    if silero is not None:
        from safetensors.torch import load_file

        weights = load_file(silero)
        key = next(name for name in weights if name.endswith("weight_hh"))
        lstm = torch.nn.LSTMCell(weights[key].shape[1], weights[key].shape[1])
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        lstm.load_state_dict({n: weights[key.removesuffix("weight_hh") + n] for n in names})
        yield "silero-vad, inputs in [-1, 1]", cells_of(lstm.double())[0][0], 1.0


def cost() -> Iterator[dict[str, Any]]:
    """Seconds by units, one layer, and the aim of four layers of 1,024."""
    times = []
    for layers, hidden in ((1, 128), (1, 256), (1, 512), (1, 1024), (4, 1024)):
        torch.manual_seed(SEED)
        model = torch.nn.LSTM(64, hidden, layers)
        unrecur.project_(model, 1.0, 0.9)
        began = time.perf_counter()
        proof = unrecur.certify(model, 1.0)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        steps = proof.steps(0.1)
        row = {
            "layers": layers,
            "hidden": hidden,
            "seconds": round(seconds, 2),
            "curve seconds": round(time.perf_counter() - began, 2),
            "certified k for 0.1": steps,
            "rate": proof.rate,
            "rule": proof.rule,
        }
        if layers == 1:
            times.append((hidden, seconds))
            if len(times) > 1:
                (small, before), (large, after) = times[-2:]
                row["growth exponent"] = round(
                    math.log(after / before) / math.log(large / small), 2
                )
        yield row


if __name__ == "__main__":
    main()
