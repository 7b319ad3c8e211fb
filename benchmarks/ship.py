"""What a step of a stream costs, alone and among many, and what a window of k inputs costs.

    python benchmarks/ship.py            # about 2 minutes on 2 cores
    python benchmarks/ship.py --quick    # 20 seconds: fewer calls
    python benchmarks/ship.py --write    # and keeps the rows

Three questions:

- "step": one step of one LSTM, 8 features in, H units out, batch 1: `torch.nn.LSTMCell`, the step
  module of our layer, its kernel alone, `unrecur.stream`, the step graph in onnxruntime, on bound
  buffers by hand and through `unrecur.stream`; the step compiled by AOTInductor; and
  continual-inference, where it is installed (`pip install --no-deps continual-inference`). Median
  and 99th percentile; `ratio` is to the LSTMCell's median.
- "many": 1,000 streams in a `StreamBatch` against one `Stream` each, cost of a stream-step.
- "window": by k, a step of the recurrence, of `Window` and of `ChunkedWindow`, and the exported
  feed-forward window in onnxruntime; `ratio` is to the recurrence's mean, as the chunked form runs
  one cell in some steps and two in others.
- "quantised": an LSTM trained for six epochs on the chorales, in int8: size, time, error, and the
  metric on the test split (at most 16 sequences).

Forms that are compared run in turns, in bursts of 100 calls, so that what else the machine does is
shared by all. `error` is the largest difference from the model's block form on the same inputs.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import rows
import torch
from torch import Tensor

import unrecur
from unrecur.cells import LSTM
from unrecur.data.tasks import load_task
from unrecur.exports.export import export
from unrecur.layers.recurrent import Recurrent
from unrecur.models.spec import Spec
from unrecur.streams.chain import Chain
from unrecur.streams.onnx_steps import HeldSession, OnnxSteps
from unrecur.train.config import TrainConfig
from unrecur.train.loop import train

FEATURES, TRIED, BURST = 8, 20, 100
MOST_EXPORTED = 64  # a graph of more steps takes minutes to write
Step = Callable[[Tensor], Tensor]


def latencies(forms: dict[str, Step], x: Tensor, calls: int) -> dict[str, list[float]]:
    """Time single calls of some forms, in microseconds, in bursts that take turns."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    while len(next(iter(taken.values()))) < calls:
        for name, form in forms.items():
            for call in range(-BURST // 10, BURST):  # the first find cold caches
                start = time.perf_counter()
                form(x)
                if call >= 0:
                    taken[name].append(1e6 * (time.perf_counter() - start))
    return taken


def summary(taken: list[float]) -> dict[str, float]:
    """Give the median and the 99th percentile."""
    last = statistics.quantiles(taken, n=100)[98]
    return {"p50_us": round(statistics.median(taken), 1), "p99_us": round(last, 1)}


def error(form: Step, model: torch.nn.Module) -> float:
    """Run a form over a sequence, and give its largest difference from the block form."""
    x = torch.randn(1, TRIED, FEATURES, generator=torch.Generator().manual_seed(1))
    y = torch.stack([form(x_t).clone() for x_t in x.unbind(1)], 1)
    return float((y - model(x)[0]).abs().max())


def torch_cell(layer: Recurrent, hidden: int) -> Step:
    """Step a `torch.nn.LSTMCell` of the same weights."""
    cell, state = torch.nn.LSTMCell(FEATURES, hidden), None
    own = layer.cells[0].state_dict()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in own.items()})

    def run(x_t: Tensor) -> Tensor:
        nonlocal state
        state = cell(x_t, state)
        return state[0]

    return run


def module(model: Any) -> Step:
    """Step a model by its step form."""
    state = model.init_state(1)

    def run(x_t: Tensor) -> Tensor:
        nonlocal state
        y, state = model.step(x_t, state)
        return y

    return run


def graph(path: Path, layer: Recurrent) -> Step:
    """Step a graph in onnxruntime on bound buffers: x is written there, and y read there."""
    steps = HeldSession(OnnxSteps(path), 1)
    steps.load({"0": layer.init_state(1)[0]})
    read, buffers = steps._x.numpy(), steps._y

    def run(x_t: Tensor) -> Tensor:
        read[:] = x_t.numpy()
        steps._run(steps._bound[steps._turn])
        steps._turn = 1 - steps._turn
        return buffers

    return run


def compiled(path: Path, layer: Recurrent) -> Step:
    """Step a package of native code that AOTInductor made."""
    package: Any = torch._inductor.aoti_load_package(str(path))
    state = layer.init_state(1)[0]

    def run(x_t: Tensor) -> Tensor:
        nonlocal state
        y, state = package(x_t, state)
        return y

    return run


def continual_cell(layer: Recurrent, hidden: int) -> Step:
    """The step of continual-inference's LSTM (Hedegaard and Iosifidis 2022), on our weights."""
    import continual

    cell = continual.LSTM(FEATURES, hidden, 1).eval()
    cell.load_state_dict(layer.cells[0].state_dict())
    return cell.forward_step


def step(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare forms of one step."""
    for hidden in (32, 128, 512):
        torch.manual_seed(0)
        layer = Recurrent([LSTM(FEATURES, hidden)]).eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "step.onnx"
            export(layer, path, form="step")
            export(layer, path.with_suffix(".pt2"), form="step", aot=True)
            held = Chain(layer).held(1)
            assert held is not None
            forms: dict[str, Step] = {
                "torch.nn.LSTMCell": torch_cell(layer, hidden),
                "step module": module(layer),
                "kernel": held,
                "stream": unrecur.stream(layer).feed,
                "onnxruntime": graph(path, layer),
                "stream over onnxruntime": unrecur.stream(path).feed,
                "AOTInductor": compiled(path.with_suffix(".pt2"), layer),
            }
            if importlib.util.find_spec("continual"):
                forms["continual-inference"] = continual_cell(layer, hidden)
            errors = {name: error(form, layer) for name, form in forms.items()}
            x = torch.randn(1, FEATURES)
            taken = latencies(forms, x, 300 if quick else 3000)
        base = statistics.median(taken["torch.nn.LSTMCell"])
        for name, each in taken.items():
            yield {
                "question": "step",
                "form": name,
                "cell": "lstm",
                "hidden": hidden,
                **summary(each),
                "ratio": round(statistics.median(each) / base, 2),
                "error": errors[name],
            }


def many(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare a batch of streams with streams one by one."""
    count = 100 if quick else 1000
    for hidden in (32, 128, 512):
        torch.manual_seed(0)
        model = Recurrent([LSTM(FEATURES, hidden)]).eval()
        x = torch.randn(count, TRIED, FEATURES)
        together, alone = unrecur.StreamBatch(model), [unrecur.stream(model) for _ in range(count)]
        for name in range(count):
            together.join(name)
        taken: dict[str, list[float]] = {"batched": [], "one by one": []}
        worst, whole = 0.0, model(x)[0]
        for at in range(TRIED):
            blocks = {name: x[name, at : at + 1] for name in range(count)}
            start = time.perf_counter()
            outputs = together.feed(blocks)
            middle = time.perf_counter()
            for name, stream in enumerate(alone):
                stream.feed(blocks[name])
            taken["batched"].append(1e6 * (middle - start) / count)
            taken["one by one"].append(1e6 * (time.perf_counter() - middle) / count)
            y = torch.stack([outputs[name][0] for name in range(count)])
            worst = max(worst, float((y - whole[:, at]).abs().max()))
        base = statistics.median(taken["one by one"])
        for name, each in taken.items():
            yield {
                "question": "many",
                "form": name,
                "cell": "lstm",
                "hidden": hidden,
                "streams": count,
                "us_a_stream_step": round(statistics.median(each), 2),
                "ratio": round(statistics.median(each) / base, 2),
                "error": worst if name == "batched" else None,
            }


def exported(model: Recurrent, k: int) -> tuple[Step, float]:
    """Export the feed-forward form; give what runs it, whatever it is fed, and its error."""
    x = torch.randn(1, k, FEATURES, generator=torch.Generator().manual_seed(2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "window.onnx"
        export(unrecur.truncate(model, k=k), path, form="window")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options)
    fed = {session.get_inputs()[0].name: x.numpy()}

    def run(x_t: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, fed)[0])

    return run, float((run(x) - model(x)[0][:, -1]).abs().max())


def window(quick: bool) -> Iterator[dict[str, Any]]:
    """Compare windows of k inputs, step by step, with the recurrence."""
    torch.manual_seed(0)
    model = Recurrent([LSTM(FEATURES, 128)]).eval()
    for k in (4, 64) if quick else (1, 4, 16, 64, 256):
        windows = {
            "recurrence": model,
            "Window": unrecur.truncate(model, k=k),
            "ChunkedWindow": unrecur.truncate(model, k=k, form="chunked"),
        }
        forms: dict[str, Step] = {name: unrecur.stream(each).feed for name, each in windows.items()}
        errors = {name: error(form, windows[name]) for name, form in forms.items()}
        if k <= MOST_EXPORTED:
            forms["onnxruntime window"], errors["onnxruntime window"] = exported(model, k)
        x = torch.randn(1, FEATURES)
        taken = latencies(forms, x, 2 * k if quick else max(4 * k, 500))
        base = statistics.fmean(taken["recurrence"])
        for name, each in taken.items():
            yield {
                "question": "window",
                "form": name,
                "cell": "lstm",
                "hidden": 128,
                "k": k,
                **summary(each),
                "ratio": round(statistics.fmean(each) / base, 2),
                "error": errors[name],
            }


def quantised(quick: bool) -> Iterator[dict[str, Any]]:
    """Quantise a model that was trained on the chorales, and score it on their test split."""
    task = load_task("chorales")
    options = {"in_features": 88, "out_features": 88, "hidden": 126, "dropout": 0.1}
    training = TrainConfig(epochs=1 if quick else 6)
    with torch.enable_grad():
        trained = train(Spec("lstm", options), task, training, 0, None).model.eval()
    for form, k in (("step", None), ("window", 8)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            export(trained, path, form=form, k=k)
            for method in ("dynamic", "static"):
                done = unrecur.quantize(path, Path(folder) / f"{method}.onnx", task, method)
                yield {
                    "question": "quantised",
                    "task": task.name,
                    "model": "lstm",
                    "form": form,
                    "k": k,
                    "method": method,
                    "bytes_ratio": round(done.bytes_after / done.bytes_before, 3),
                    "seconds_ratio": round(done.seconds_after / done.seconds_before, 3),
                    "error": done.largest,
                    "error_mean": done.mean,
                    "metric": done.metric_after,
                    "metric_before": done.metric_before,
                }


QUESTIONS = {"step": step, "many": many, "window": window, "quantised": quantised}


def main() -> None:
    """Run the benchmark."""
    parser: argparse.ArgumentParser = rows.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    parser.add_argument("--only", choices=QUESTIONS, help="one question")
    given = parser.parse_args()
    torch.set_num_threads(1)  # a step is too small to be shared
    torch.set_grad_enabled(False)
    asked = [given.only] if given.only else list(QUESTIONS)
    found = (row for name in asked for row in QUESTIONS[name](given.quick))
    rows.run("ship", found, given.write, rows.others("question", given.only))


if __name__ == "__main__":
    main()
