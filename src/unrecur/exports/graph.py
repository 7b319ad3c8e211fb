"""An exported graph run over whole sequences in onnxruntime, whatever its form."""

import json
from typing import Any

import numpy as np
import torch

from unrecur._check import CorruptFileError, InputError
from unrecur.data.sequences import known_steps
from unrecur.data.task import Task
from unrecur.exports.onnx_program import session_of
from unrecur.exports.timing import median_seconds

Feeds = dict[str, np.ndarray]
STEPS = 256  # of a sequence that are run over: enough for ranges and errors
SEQUENCES = 16  # of a task


class Graph:
    """An ONNX file of ours in onnxruntime.

    Args:
        content: The file's bytes.

    Attributes:
        content: The file's bytes.
        takes_tokens: Whether x holds token ids.

    Raises:
        CorruptFileError: The bytes are no ONNX model that `export` wrote.
        InputError: The model starts from a source.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        try:
            self._session: Any = session_of(content)
            notes = self._session.get_modelmeta().custom_metadata_map
            self.form: str = notes["unrecur.form"]
            self._start: dict[str, Any] = json.loads(notes.get("unrecur.state", "{}"))
        except (InputError, KeyError, ValueError) as error:
            raise CorruptFileError(f"expected an ONNX file of unrecur.export ({error}).") from error
        if "unrecur.source" in notes:
            raise InputError(
                "the graph's model starts from a source, without which it cannot be run and "
                "compared. Quantise a graph of a model that starts from nothing."
            )
        self._shapes = {item.name: item.shape for item in self._session.get_inputs()}
        types = {item.name: item.type for item in self._session.get_inputs()}
        self._types = {name: _TYPES.get(kind, "float32") for name, kind in types.items()}
        self.takes_tokens = self._types["x"] == "int64"

    def start(self, batch: int) -> Feeds:
        """Make the state before the first input.

        Args:
            batch: The number of rows.

        Returns:
            The inputs of the state by name.
        """
        return {
            name: np.broadcast_to(
                np.asarray(value, self._types[name]), (batch, *self._shapes[name][1:])
            ).copy()
            for name, value in self._start.items()
        }

    def blocks(self, samples: Any) -> list[np.ndarray]:
        """Read samples as blocks that the graph takes.

        Args:
            samples: A task, a block, a list of sequences, or None for standard normal numbers.

        Returns:
            Blocks [batch, time, ...].

        Raises:
            InputError: They do not fit, or none is long enough for the window.
        """
        width = self._shapes["x"][-1]
        window = self._shapes["x"][1] if self.form == "window" else None
        if samples is None:
            generator = np.random.default_rng(0)
            found = [generator.standard_normal((1, window or 64, width))]
        elif isinstance(samples, Task):
            count = min(SEQUENCES, len(samples.splits["train"]))
            found = [samples.pair("train", number)[0][None].numpy() for number in range(count)]
        elif isinstance(samples, (list, tuple)):
            found = [np.asarray(torch.as_tensor(one))[None] for one in samples]
        else:
            found = [np.asarray(torch.as_tensor(samples))]
        dimensions = 2 if self.takes_tokens else 3
        for block in found:
            if block.ndim != dimensions or (not self.takes_tokens and block.shape[2] != width):
                raise InputError(
                    f"samples: expected blocks with {dimensions} dimensions (features: {width}), "
                    f"got the shape {list(block.shape)}."
                )
        long = [block for block in found if block.shape[1] >= (window or 1) and len(block)]
        if not long:
            raise InputError(f"samples: expected at least one sequence of {window or 1} steps.")
        return (
            [block[:, :STEPS].astype(self._types["x"]) for block in long]
            if not window
            else [block[:, :window].astype(self._types["x"]) for block in long]
        )

    def run(self, block: np.ndarray) -> tuple[np.ndarray, list[Feeds]]:
        """Run over a block, step by step where the form is "step".

        Args:
            block: The inputs [batch, time, ...].

        Returns:
            The outputs, and what the graph was fed with each time.
        """
        state, fed, outputs = self.start(len(block)), [], []
        steps = np.moveaxis(block, 1, 0) if self.form == "step" else [block]
        for x in steps:
            fed.append({"x": x, **state})
            y, *after = self._session.run(None, fed[-1])
            state = dict(zip(state, after, strict=True))
            outputs.append(y)
        return (np.stack(outputs, 1) if self.form == "step" else outputs[0]), fed

    def metric(self, task: Task) -> float | None:
        """Score the graph on the test split of a task, or on a part of a large one.

        Args:
            task: The task.

        Returns:
            The task's metric, of a window at every step that has k inputs; None where no step of
            a sequence has, or the graph gives another number of scores than the task takes.
        """
        loss, steps = 0.0, 0
        if self._session.get_outputs()[0].shape[-1] != task.out_features:
            return None
        for number in range(min(SEQUENCES, len(task.splits["test"]))):
            x, target = (part[:STEPS] for part in task.pair("test", number))
            y = torch.from_numpy(self._over(x.numpy().astype(self._types["x"])))
            target = target[len(target) - len(y) :]
            if len(y):
                known = known_steps(target)
                loss += float(task.step_loss(y[None], target[None])[0, known].double().sum())
                steps += int(known.sum())
        return loss / steps if steps else None

    def _over(self, x: np.ndarray) -> np.ndarray:
        """Give the outputs over a sequence; of a window from the step on that has k inputs."""
        if self.form != "window":
            return self.run(x[None])[0][0]
        k = self._shapes["x"][1]
        if len(x) < k:
            return np.zeros((0, 1), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(x, k, axis=0)
        return self.run(np.ascontiguousarray(np.moveaxis(windows, -1, 1)))[0]

    def seconds(self, feed: Feeds) -> float:
        """Time a run.

        Args:
            feed: What to feed.

        Returns:
            The median, in seconds.
        """
        return median_seconds(lambda: self._session.run(None, feed))


_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
