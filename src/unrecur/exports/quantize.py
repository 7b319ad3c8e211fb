"""Exported graphs in eight-bit integers: how much smaller, how far off and how fast."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from unrecur import _check
from unrecur._check import InputError, extra
from unrecur._files import write_atomic
from unrecur.data.task import Task
from unrecur.exports.graph import Feeds, Graph
from unrecur.exports.target import new_file

Method = Literal["dynamic", "static"]
INTEGER_OPERATORS = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "QuantizeLinear"}
WEIGHTED = ["MatMul", "Gemm", "Conv"]  # what is worth it: pointwise functions only get slower


@dataclass(frozen=True)
class Quantized:
    """A quantised graph beside the one it was made of.

    Attributes:
        path: The file.
        method: "dynamic" (weights in int8, activations as they come) or "static" (both, by the
            ranges seen in calibration).
        bytes_before: The size of the float graph.
        bytes_after: The size of this one.
        largest: The largest difference of an output from the float graph's, each run from its own
            states.
        mean: The mean difference.
        seconds_before: The median time of a run of the float graph.
        seconds_after: The median time of a run of this one, on the same inputs.
        metric_before: The float graph's metric on the test split, where the samples are a task.
        metric_after: That of this one.
    """

    path: Path
    method: str
    bytes_before: int
    bytes_after: int
    largest: float
    mean: float
    seconds_before: float
    seconds_after: float
    metric_before: float | None = None
    metric_after: float | None = None

    def __str__(self) -> str:
        scored = (
            f", metric {self.metric_after:.4g} against {self.metric_before:.4g}"
            if self.metric_before is not None
            else ""
        )
        return (
            f"{self.path}: {self.method} int8, {self.bytes_after / self.bytes_before:.2f} of the "
            f"bytes, {self.seconds_after / self.seconds_before:.2f} of the time, largest "
            f"difference {self.largest:.2g}, mean {self.mean:.2g}{scored}"
        )


def quantize(
    path: str | Path,
    out: str | Path,
    samples: Any = None,
    method: Method = "dynamic",
    *,
    overwrite: bool = False,
) -> Quantized:
    """Quantise a graph that `export` wrote to int8, and say what that costs and gains.

    Both graphs are run over the samples, each from its own states, so that an error that grows
    from step to step is seen. An int8 graph is no exact one: whether the error will do is yours
    to say.

    Args:
        path: The ONNX file.
        out: Where to.
        samples: A task, on whose test split both graphs are scored too, a block [batch, time,
            features], or a list of sequences; "static" takes the ranges of the activations from
            them. Standard normal numbers if left out, which "dynamic" alone allows.
        method: "dynamic" or "static".
        overwrite: Whether a file that is there may be replaced.

    Returns:
        Sizes, errors and times of both.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: The file is none of ours, the samples are missing or do not fit, or no node of
            the graph can be quantised. No file is left.
    """
    _check.known_name(method, get_args(Method), "method")
    out = new_file(Path(out), (".onnx",), overwrite)
    before = Graph(Path(path).read_bytes())
    if samples is None and (method == "static" or before.takes_tokens):
        raise InputError("expected samples, for the ranges of activations or for token ids; none.")
    blocks = before.blocks(samples)
    expected = [before.run(block) for block in blocks]
    content = _quantized(before, [feed for _, feeds in expected for feed in feeds], method)
    after = Graph(content)
    gaps = [
        np.abs(after.run(block)[0] - y).ravel()
        for block, (y, _) in zip(blocks, expected, strict=True)
    ]
    task = samples if isinstance(samples, Task) else None
    together, feed = np.concatenate(gaps), expected[0][1][0]
    write_atomic(out, content)
    return Quantized(
        path=out,
        method=method,
        bytes_before=len(before.content),
        bytes_after=len(content),
        largest=float(together.max()),
        mean=float(together.mean()),
        seconds_before=before.seconds(feed),
        seconds_after=after.seconds(feed),
        metric_before=before.metric(task) if task else None,
        metric_after=after.metric(task) if task else None,
    )


def _quantized(graph: Graph, feeds: list[Feeds], method: Method) -> bytes:
    """Quantise a graph by onnxruntime's tools, the calibration on some inputs."""
    onnx = extra("onnx", "interop")
    tools = extra("onnxruntime.quantization", "interop")
    model = onnx.load_from_string(graph.content)
    _transpose_once(onnx, model.graph)
    model.graph.ClearField("value_info")  # the weights have other shapes now
    kept = {item.key: item.value for item in model.metadata_props}
    logging.disable(logging.WARNING)  # the tools advise on how to prepare a graph, on every call
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "quantized.onnx"
            if method == "dynamic":
                floats = {"DefaultTensorType": onnx.TensorProto.FLOAT}
                tools.quantize_dynamic(model, out, extra_options=floats)
            else:
                tools.quantize_static(
                    model, out, _reader(tools, feeds), op_types_to_quantize=WEIGHTED
                )
            made = onnx.load(out)
    except Exception as error:  # onnxruntime's errors share no other type
        raise InputError(f"onnxruntime cannot quantise the graph: {str(error)[:300]}") from error
    finally:
        logging.disable(logging.NOTSET)
    types = {node.op_type for node in made.graph.node}
    if not types & INTEGER_OPERATORS:
        raise InputError(
            f"no node of the graph can be quantised as {method}: it has "
            f"{', '.join(sorted(types))}. Export form='step' or 'window', which are made of matrix "
            "products."
        )
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, {**kept, "unrecur.quantized": f"{method} int8"})
    return made.SerializeToString()


def _transpose_once(onnx: Any, graph: Any) -> None:
    """Store the weights of products as they are multiplied with."""
    # Left to onnxruntime's tools, a weight that several products share is transposed by each.
    weights = {item.name: item for item in graph.initializer}
    for node in graph.node:
        turned = [item for item in node.attribute if item.name == "transB" and item.i]
        if node.op_type != "Gemm" or not turned or node.input[1] not in weights:
            continue
        name = f"{node.input[1]}/transposed"
        if name not in weights:
            value = onnx.numpy_helper.to_array(weights[node.input[1]]).T.copy()
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
            weights[name] = graph.initializer[-1]
        node.input[1] = name
        turned[0].i = 0
    read = {name for node in graph.node for name in node.input}
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _reader(tools: Any, feeds: list[Feeds]) -> Any:
    """Give inputs to onnxruntime's calibration."""

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        left: Iterator[Feeds] = iter(feeds)

        def get_next(self) -> Feeds | None:
            return next(self.left, None)

    return Reader()
