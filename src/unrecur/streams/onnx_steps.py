"""An exported step graph as a machine, run by onnxruntime."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur.core.state import State
from unrecur.streams.machine import AbstractHeld, AbstractMachine

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class OnnxSteps(AbstractMachine):
    """A graph of one step: `x` and `state.PATH` go in, `y` and `next_state.PATH` come out.

    A state that goes in is that which comes out under the same path, the name behind its first dot.
    The state is a dict of paths; it starts as the file's metadata say, or at zero. A block is run
    step by step.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: onnxruntime cannot read it.
        InputError: It is no step graph, or of sizes or types that are not known.
    """

    def __init__(self, path: Path) -> None:
        self._identity = hashlib.sha256(path.read_bytes()).hexdigest()
        self.session = _session(path)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        frames = [each for each in inputs if not _is_state(each.name)]
        shown = [each for each in outputs if not _is_state(each.name)]
        kept = self.session.get_modelmeta().custom_metadata_map
        form = kept.get("unrecur.form", "step")
        if form != "step" or len(frames) != 1 or len(frames[0].shape) > 2 or len(shown) != 1:
            raise InputError(
                f"{path}: expected the graph of one step, with inputs x [batch, features] and "
                f"state.*, got a {form} of {_signature(inputs)} to {_signature(outputs)}. Export "
                'it with unrecur.export(model, path, form="step").'
            )
        if "unrecur.source" in kept:
            raise InputError(
                f"{path}: the model starts from a source, a stream from nothing. Run the graph of "
                "form='encode' for its state, and this one step by step in onnxruntime."
            )
        self.frame, self.shown = frames[0], shown[0]
        self.after = {_leaf(each.name): each.name for each in outputs if each is not shown[0]}
        self.leaves = {_leaf(each.name): each for each in inputs if each is not frames[0]}
        if lost := sorted(self.leaves.keys() - self.after.keys()):
            raise InputError(f"{path}: what becomes of the state {', '.join(lost)} is no output.")
        self._first = {leaf: _first(each, kept, path) for leaf, each in self.leaves.items()}
        self.takes_tokens = len(frames[0].shape) == 1
        self.in_features = 0 if self.takes_tokens else _size(frames[0], -1, path)
        self.out_features = _size(shown[0], -1, path)
        if len(shown[0].shape) == 3:  # several outputs to an input
            self.output_ratio = Fraction(_size(shown[0], 1, path))
        frame = shown[0] if self.takes_tokens else frames[0]
        self.dtype = torch.from_numpy(np.zeros(0, _dtype(frame, path))).dtype
        self.rows = frames[0].shape[0] if isinstance(frames[0].shape[0], int) else None

    @property
    def identity(self) -> str:
        """See `AbstractMachine.identity`."""
        return self._identity

    def init_state(self, batch: int) -> State:
        """Make zeros; see `AbstractMachine.init_state`.

        Args:
            batch: The number of rows.

        Returns:
            The state.

        Raises:
            InputError: The graph was exported for another number of rows.
        """
        if self.rows not in (None, batch):
            raise InputError(
                f"this graph was exported for {self.rows} rows, got {batch}. Export it with a "
                "dynamic batch."
            )
        return {
            leaf: torch.from_numpy(np.repeat(row[None], batch, 0))
            for leaf, row in self._first.items()
        }

    def feed(
        self, x: Shaped[Tensor, "B T ..."], state: State
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """See `AbstractMachine.feed`."""
        steps = HeldSession(self, len(x))
        steps.load(state)
        outputs = [steps(x_t) for x_t in x.unbind(1)]
        if self.output_ratio == 1:
            return torch.stack(outputs, 1), steps.state()
        return torch.cat(outputs, 1), steps.state()

    def end(self, x: Shaped[Tensor, "B T ..."], state: State) -> Float[Tensor, "B N E"]:
        """See `AbstractMachine.end`."""
        return self.feed(x, state)[0] if x.shape[1] else self.no_outputs(len(x))

    def held(self, batch: int) -> AbstractHeld | None:
        """See `AbstractMachine.held`."""
        return HeldSession(self, batch) if self.output_ratio == 1 else None


class HeldSession(AbstractHeld):
    """The session on buffers of its own: the state goes from one set to the other and back.

    Args:
        graph: The graph.
        batch: The number of rows.
    """

    def __init__(self, graph: OnnxSteps, batch: int) -> None:
        self._run = graph.session.run_with_iobinding
        self._x, self._y = (_buffer(port, batch) for port in (graph.frame, graph.shown))
        self._sets = [
            {leaf: _buffer(port, batch) for leaf, port in graph.leaves.items()} for _ in range(2)
        ]
        self._turn = 0
        self._bound = []
        for before, after in (self._sets, self._sets[::-1]):
            bound = graph.session.io_binding()
            _bind(bound.bind_input, graph.frame.name, self._x)
            _bind(bound.bind_output, graph.shown.name, self._y)
            for leaf, port in graph.leaves.items():
                _bind(bound.bind_input, port.name, before[leaf])
                _bind(bound.bind_output, graph.after[leaf], after[leaf])
            self._bound.append(bound)

    def load(self, state: State) -> None:
        """See `AbstractHeld.load`."""
        for leaf, buffer in self._sets[self._turn].items():
            buffer.copy_(state[leaf])

    def __call__(self, x_t: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "B ..."]:
        """See `AbstractHeld.__call__`."""
        self._x.copy_(x_t)
        try:
            self._run(self._bound[self._turn])
        except Exception as error:  # see `_session`
            raise InputError(f"onnxruntime refuses a step: {error}") from error
        self._turn = 1 - self._turn
        return self._y.clone()

    def state(self) -> State:
        """See `AbstractHeld.state`."""
        return {leaf: buffer.clone() for leaf, buffer in self._sets[self._turn].items()}


def _buffer(port: Any, batch: int) -> Tensor:
    """Make a buffer for an input or output."""
    return torch.from_numpy(np.zeros((batch, *port.shape[1:]), _DTYPES[port.type]))


def _bind(bind: Any, name: str, buffer: Tensor) -> None:
    """Let the session read or write a buffer where it lies."""
    array = buffer.numpy()
    bind(name, "cpu", 0, array.dtype.type, list(array.shape), array.ctypes.data)


def _session(path: Path) -> Any:
    """Load a graph; a step is too small to be shared among threads."""
    onnxruntime = _check.extra("onnxruntime", "interop")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: they come as exceptions too
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, of many kinds without a common one
        raise CorruptFileError(
            f"{path}: expected an ONNX file that onnxruntime runs; it says: {error}"
        ) from error


def _is_state(name: str) -> bool:
    """Say whether a name is that of a part of the state, before or after the step."""
    return "state" in name.partition(".")[0]


def _leaf(name: str) -> str:
    """Give the path of a part of the state."""
    return name.partition(".")[2]


def _first(state: Any, kept: dict[str, str], path: Path) -> np.ndarray:
    """Give a row of the state before the first input: zeros, if the file does not say else."""
    shape = [_size(state, place, path) for place in range(1, len(state.shape))]
    if 0 in shape:  # JSON has no shape for that
        return np.zeros(shape, _dtype(state, path))
    try:
        value = json.loads(kept.get("unrecur.state", "{}")).get(state.name, 0)
        return np.broadcast_to(np.asarray(value, _dtype(state, path)), shape)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise CorruptFileError(
            f"{path}: what it says of its first state does not fit ({error}). Export it again."
        ) from error


def _size(value: Any, place: int, path: Path) -> int:
    """Give a size that has to be fixed."""
    if not value.shape or not isinstance(size := value.shape[place], int) or size < 0:
        raise InputError(
            f"{path}: expected fixed sizes but for the batch, got {_signature([value])}."
        )
    return size


def _dtype(value: Any, path: Path) -> Any:
    """Give numpy's type."""
    if value.type not in _DTYPES:
        raise InputError(f"{path}: {value.name} is of {value.type}, which no stream feeds.")
    return _DTYPES[value.type]


def _signature(values: Any) -> str:
    """Show names and shapes."""
    return ", ".join(f"{each.name} {each.shape}" for each in values)
