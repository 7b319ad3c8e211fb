"""How tight the certificates are, which rule proves what, and what they cost.

    python benchmarks/certificates.py [--only looseness|rules|cost] [--data-dir DIR]
        [--silero FILE] [--write]

looseness: the certified window over the least window that an attack leaves, for cells trained
stable on chorales (inputs: a box) and on characters (inputs: a vocabulary); in float64, as the
worst case of float32's rounding has a floor of its own.
rules: which rule certifies which trained cell; published conditions have rows of their own.
cost: seconds of `certify`, by units.
"""

import contextlib
import copy
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rows
import torch
from matplotlib import pyplot
from stable_training import HIDDEN, PROBLEMS, Setting, certified_window, recurrence
from stable_training import trained as train_in_class

import unrecur
from unrecur.cells.from_torch import cells_of
from unrecur.certificates.attack import attack_curve
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.contraction import RULES
from unrecur.certificates.inputs import read_inputs
from unrecur.certificates.norms import Layer
from unrecur.certificates.published import check_published
from unrecur.certificates.reach import Reach
from unrecur.core.compose import in_series

EPS = (0.1, 0.01, 0.001)
BOX = (0.0, 1.0)
KS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
STEPS, BATCH, SEED = 300, 8, 0
PHI = 0.64  # the largest forget gate of the character model


def main() -> None:
    made = rows.parser(__doc__)
    made.add_argument("--only", choices=["looseness", "rules", "cost"])
    made.add_argument("--data-dir", type=Path, help="with text/, for a character model")
    made.add_argument("--silero", type=Path, help="silero_vad_16k.safetensors, a real LSTM")
    args = made.parse_args()
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "looseness": lambda: looseness(args.data_dir),
        "rules": lambda: rules(args.silero),
        "cost": cost,
    }
    names = [args.only] if args.only else list(parts)
    for name in names:
        rows.run(f"certificates_{name}", parts[name](), args.write)
        if name == "cost" and args.write:
            picture()


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


@dataclass(frozen=True)
class Subject:
    """A trained recurrence: its name, the inputs it is certified for, and some real ones."""

    name: dict[str, Any]
    model: Any
    box: Any
    x: torch.Tensor


def looseness(folder: Path | None) -> Iterator[dict[str, Any]]:
    """Certified against attacked windows."""
    task = unrecur.load_task("chorales")
    x = torch.stack([x[:60] for x, _ in task.splits["test"] if len(x) >= 60])[:4]
    for cell, hidden in (("elman", 32), ("lstm", 32), ("gru", 32), ("lstm", 128), ("gru", 128)):
        for rate in (0.8, 0.95):
            name = {"task": "chorales", "cell": cell, "hidden": hidden, "class": f"project_ {rate}"}
            model = unrecur.Serial(trained(cell, hidden, rate).models[0])
            yield from _looseness(Subject(name, model, BOX, x))
    if folder is not None:
        problem = PROBLEMS["characters"](folder)
        setting = Setting("characters", "paper", {"phi": PHI}, SEED, STEPS, folder)
        model = recurrence(train_in_class(problem, setting)[0])
        name = {"task": "characters", "cell": "lstm", "hidden": HIDDEN}
        name["class"] = f"published conditions {PHI}"
        x = problem.stream()[:240].view(4, 60)
        yield from _looseness(Subject(name, model, None, x))


def _looseness(subject: Subject) -> Iterator[dict[str, Any]]:
    model, box = subject.model, subject.box
    single, double = unrecur.certify(model, box), copy.deepcopy(model).double()
    x = subject.x.double() if subject.x.is_floating_point() else subject.x
    began = time.perf_counter()
    proof = unrecur.certify(double, box)
    seconds = time.perf_counter() - began
    windows = {eps: certified_window(proof, eps) for eps in EPS}
    longest = max((k for k in windows.values() if k is not None), default=KS[-1])
    ks = [k for k in KS if k < longest]  # beyond it the proof says that no attack can succeed
    attacks = attack_curve(double, [*ks, longest], box, start="zero", state_box=proof.state_box)
    found = [(0, 2.0), *((attack.k, attack.error) for attack in attacks)]
    # Signs cancel in an Elman cell, which only the zonotope sees.
    method: Any = "zonotope" if subject.name["cell"] == "elman" else "interval"
    known = unrecur.certify_on(double, x, 48, box, method=method)
    seen = _measured_on(double, x, 48, proof.state_box[0])
    for eps in EPS:
        certified, attacked = windows[eps], _between(found, eps)
        on_inputs, measured = known.steps(eps), _first(seen, eps)
        yield {
            **subject.name,
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
    model: Any, x: torch.Tensor, k: int, box: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Measure windows of known inputs from corners of the state box, the worst over all starts."""
    *below, layer = in_series(model)
    for part in below:
        x = part(x)[0]
    cell, generator = layer.cells[0], torch.Generator().manual_seed(SEED)
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
                model = trained(cell, hidden, rate).double().requires_grad_(False)
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
    """Seconds by units, one layer, and the aim of four layers of 1,024; proofs on inputs."""
    for cell in ("lstm", "gru"):
        yield {"cell": cell, "hidden": 128, **_cost_on_inputs(trained(cell, 128, 0.8).models[0])}
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


def picture() -> None:
    """Draw the seconds of one layer against its units, from the rows that were kept."""
    lines = (rows.RESULTS / "certificates_cost.jsonl").read_text().splitlines()
    kept = [row for row in map(json.loads, lines) if row.get("layers") == 1]
    units, seconds = [row["hidden"] for row in kept], [row["seconds"] for row in kept]
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.loglog(units, seconds, "o-", label="certify, one LSTM layer")
    guide = [seconds[-1] * (count / units[-1]) ** 2 for count in units]
    axes.loglog(units, guide, "--", color="gray", label="units squared")
    axes.set(xlabel="units", ylabel="seconds", title="What a certificate costs", xticks=units)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.legend()
    figure.tight_layout()
    figure.savefig(rows.RESULTS / "certificates_cost.svg")


@torch.no_grad()
def _cost_on_inputs(layer: Any, k: int = 50) -> dict[str, Any]:
    """Compare `certify_on` with a run of the truncated model on the same windows."""
    x = torch.rand(8, 300, layer.in_features)
    window = unrecur.truncate(layer, k)
    seconds = []
    for run in (lambda: window(x), lambda: unrecur.certify_on(layer, x, k, BOX)):
        run()
        began = time.perf_counter()
        run()
        seconds.append(round(time.perf_counter() - began, 3))
    return {
        "windows of": k,
        "truncated model seconds": seconds[0],
        "certify_on seconds": seconds[1],
        "ratio": round(seconds[1] / seconds[0], 2),
    }


if __name__ == "__main__":
    main()
