"""What recurrent models that ship in public packages remember: audits of them, on real data.

    python benchmarks/wild.py --data-dir DIR [--only silero ...] [--out FOLDER] [--write]

Each model is a file in benchmarks/wild that names the package, the file in it, and what is around
its recurrence. The packages are fetched from PyPI by pip, without what they depend on, into a
cache; nothing of them is run. With --out, the page of each audit is kept.

A row says: the least windows, measured and proved; what the state, the hidden state and the output
still lack after k inputs; and how fast `unrecur.parallel` runs the longest sequence of one model,
side by side with torch's own module in the same run, with the error.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import parser, run
from safetensors.torch import load_file
from torch import nn

import unrecur
from unrecur._files import write_atomic
from unrecur.audits.blocks import run_all
from unrecur.audits.curve import share_changed
from unrecur.audits.from_file import from_file
from unrecur.audits.levels import measure_level
from unrecur.audits.outputs import see_outputs
from unrecur.audits.record import to_record
from unrecur.interop.read import read_recurrences
from unrecur.report.audit_page import write_audit_page

HOOKS = Path(__file__).parent / "wild"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unrecur" / "wild"
REPEATS = 5
RECORDINGS, CHUNKS, LONG = 122, 2200, 512  # of the figures in THEORY.md
KINDS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}


def fetch(hook: Any) -> Path:
    """Give the model's file, out of the package that pip fetches."""
    folder = CACHE / hook.PACKAGE.replace("==", "-")
    path = folder / hook.FILE
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        subprocess.run([*command, "-d", str(folder), hook.PACKAGE], check=True)
        for archive in folder.glob("*.whl"):
            with zipfile.ZipFile(archive) as wheel:
                beside = [
                    name for name in wheel.namelist() if Path(name).parent == Path(hook.FILE).parent
                ]
                wheel.extractall(folder, beside)  # a hook may need what lies beside its file
    if mapping := getattr(hook, "MAPPING", None):
        path.with_suffix(".json").write_text(json.dumps(mapping))
    return path


def load(path: Path) -> Any:
    """Run a hook."""
    spec = importlib.util.spec_from_file_location(f"wild_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def audit_one(name: str, folder: Path, out: Path | None) -> dict[str, Any]:
    """Audit one model."""
    hook = load(HOOKS / f"{name}.py")
    path = fetch(hook)
    x = [torch.as_tensor(part) for part in hook.inputs(folder, path)]
    begin = time.perf_counter()
    report = unrecur.audit(
        path,
        x,
        select=hook.SELECT,
        output=lambda y: hook.outputs(y, path),
        decision=getattr(hook, "decision", None),
    )
    seconds = time.perf_counter() - begin
    [found] = report.recurrences
    if out is not None:
        record = {**to_record(report), "source": f"{hook.PACKAGE}: {Path(hook.FILE).name}"}
        out.mkdir(parents=True, exist_ok=True)
        write_audit_page(record, out / f"{name}.html")
        write_atomic(out / f"{name}.json", json.dumps(record))
    subject, curve = found.subject, found.curve
    cells = [cell for layer in subject.layers for cell in layer]
    return {
        "model": name,
        "package": hook.PACKAGE,
        "file": hook.FILE,
        "licence": hook.LICENCE,
        "kind": subject.recurrence.kind,
        "layers": len(subject.layers),
        "two_sided": subject.two_sided,
        "units": cells[0].hidden_size,
        "weights": sum(w.numel() for cell in cells for w in cell.parameters()),
        "sequences": len(subject.sequences.lengths),
        "steps": int(subject.sequences.lengths.sum()),
        "longest": int(subject.sequences.lengths.max()),
        "limit": curve.state.limit,
        "output_spread": found.outputs.spread,
        "windows": [
            {"of": w.of, "eps": w.eps, "tier": str(w.evidence), "k": w.k}
            for w in found.windows
            if w.known
        ],
        "levels": [
            {
                "k": level.k,
                "state": float(level.state.max()),
                "hidden": float(level.hidden.max()),
                "output": float(level.output.max()),
                "changed": None if level.changed is None else share_changed(subject, level),
            }
            for level in curve.levels
        ],
        "never_forget": {
            kind: sum(len(cell.units.named(kind)) for cell in found.cells)
            for kind in ("counter", "latch", "saturated", "dead")
        },
        "gradient_reach": found.inputs.reach(),
        "proofs": {"from_weights": str(found.proofs.certificate.evidence), "why": found.proofs.why},
        "advice": [f"{each.say} {each.why}" for each in found.advice],
        "audit_seconds": round(seconds, 1),
    }


def as_module(path: Path, select: str | None) -> nn.Module | None:
    """Give the recurrence as torch's own module; None for cells that torch does not have."""
    [recurrence] = read_recurrences(path, select)
    cells = recurrence.cells
    if recurrence.kind not in KINDS or recurrence.initial is not None:
        return None
    first = cells[0][0]
    module = KINDS[recurrence.kind](
        first.input_size,
        first.hidden_size,
        len(cells),
        batch_first=True,
        bidirectional=len(cells[0]) == 2,
    )
    with torch.no_grad():
        for layer, row in enumerate(cells):
            for cell, end in zip(row, ("", "_reverse"), strict=False):
                for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(module, f"{weight}_l{layer}{end}").copy_(getattr(cell, f"{weight}_l0"))
    return module.eval()


@torch.no_grad()
def race(name: str, folder: Path) -> dict[str, Any] | None:
    """Run the longest sequence of a model by torch and by `unrecur.parallel`."""
    hook = load(HOOKS / f"{name}.py")
    path = fetch(hook)
    module = as_module(path, hook.SELECT)
    if module is None:
        return None
    parts = [torch.as_tensor(part) for part in hook.inputs(folder, path)]
    x = max(parts, key=len)[None]
    fast = unrecur.parallel(module, tol=1e-4)
    plain_seconds, fast_seconds = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        y, _ = module(x)
        middle = time.perf_counter()
        z, _ = fast(x)
        plain_seconds.append(middle - begin)
        fast_seconds.append(time.perf_counter() - middle)
    stats = [(str(each.result), each.stats.solver, each.stats.reason) for each in fast.reports]
    return {
        "model": name,
        "what": "parallel",
        "T": x.shape[1],
        "seconds": min(plain_seconds),
        "parallel_seconds": min(fast_seconds),
        "ratio": min(plain_seconds) / min(fast_seconds),
        "error": float((y - z).abs().max()),
        "tol": 1e-4,
        "solvers": stats,
    }


@torch.no_grad()
def silero_figures(folder: Path) -> dict[str, Any]:
    """Measure the figures of THEORY.md on the first 2,200 chunks of the digits, in file order.

    Windows of exactly k inputs, at the chunks that have 512 before them.
    """
    hook = load(HOOKS / "silero.py")
    path = fetch(hook)
    audio = np.concatenate(hook.spoken_digits(folder)[:RECORDINGS])
    x = hook.features(audio, load_file(path))[:CHUNKS]
    [recurrence] = read_recurrences(path, hook.SELECT)
    subject = from_file(recurrence, path, [x], lambda y: hook.outputs(y, path))
    reference = run_all(subject.layers, subject.sequences)
    outputs = see_outputs(subject, reference, hook.decision)
    changed, hidden = {}, {}
    for k in (8, 32, LONG):
        level = measure_level(subject, reference, outputs, k, 1)
        changed[k] = float(level.changed_at[LONG - k :].mean())
        hidden[k] = float(level.hidden_error[LONG - k :].max())
    return {
        "what": "figures of THEORY.md",
        "model": "silero",
        "chunks": len(x),
        "changed": changed,
        "hidden": hidden,
        "theory": {"changed": {8: 0.058, 32: 0.012, LONG: 0.003}, "hidden": {LONG: 0.8}},
    }


def rows(names: list[str], folder: Path, out: Path | None) -> Iterator[dict[str, Any]]:
    """Audit the models one after another."""
    for name in names:
        yield {"what": "audit", **audit_one(name, folder, out)}
        if (speed := race(name, folder)) is not None:
            yield speed
        if name == "silero":
            yield silero_figures(folder)


if __name__ == "__main__":
    known = sorted(path.stem for path in HOOKS.glob("*.py"))
    options = parser(__doc__)
    options.add_argument("--data-dir", type=Path, required=True)
    options.add_argument("--only", nargs="*", default=known, choices=known)
    options.add_argument("--out", type=Path)
    given = options.parse_args()
    run("wild", rows(given.only, given.data_dir, given.out), given.write)
