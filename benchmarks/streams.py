"""The forms in which a model is streamed: eager, traced, exported. Each runs a whole stream."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State

Run = Callable[[Tensor], Tensor]


class Flat(nn.Module):
    """A model's step with its state as plain tensors, as tracers and exporters want it."""

    def __init__(self, model: AbstractSequenceModel, state: State) -> None:
        super().__init__()
        self.model = model
        tensors, self.tree = _pytree.tree_flatten(state)
        self.tensors = [tensor.detach() for tensor in tensors]

    def forward(self, x_t: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run one step."""
        y_t, state = self.model.step(x_t, _pytree.tree_unflatten(list(tensors), self.tree))
        return y_t, *_pytree.tree_leaves(state)


def eager(model: AbstractSequenceModel, x: Tensor, state: State) -> Run:
    """Call `step` as it is."""

    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        outputs, after = [], state
        for x_t in x.unbind(1):
            y_t, after = model.step(x_t, after)
            outputs.append(y_t)
        return torch.stack(outputs, 1)

    return run


@torch.no_grad()
def traced(model: AbstractSequenceModel, x: Tensor, state: State) -> Run:
    """Trace `step` by torch.jit and freeze it."""
    flat = Flat(model, state).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.freeze(torch.jit.trace(flat, (x[:, 0], *flat.tensors)))

    @torch.inference_mode()
    def run(x: Tensor) -> Tensor:
        outputs, tensors = [], flat.tensors
        for x_t in x.unbind(1):
            y_t, *tensors = graph(x_t, *tensors)
            outputs.append(y_t)
        return torch.stack(outputs, 1)

    return run


def exported(model: AbstractSequenceModel, x: Tensor, state: State) -> Run:
    """Export `step` to ONNX and run it by onnxruntime."""
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    flat, content = Flat(model, state).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(flat, (x[:, 0], *flat.tensors), dynamo=True, verbose=False)
    program.save(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a step is too small to be shared
    session = onnxruntime.InferenceSession(content.getvalue(), options)
    # What a step does not read (a first layer's unused state) is no input of the graph.
    read = {name: place for place, name in enumerate(_names(program))}
    wanted = [(each.name, read[each.name]) for each in session.get_inputs()]
    first = [tensor.numpy() for tensor in flat.tensors]

    def run(x: Tensor) -> Tensor:
        outputs, arrays = [], first
        for x_t in x.unbind(1):
            values: list[Any] = [x_t.numpy(), *arrays]
            y_t, *arrays = session.run(None, {name: values[place] for name, place in wanted})
            outputs.append(torch.from_numpy(y_t))
        return torch.stack(outputs, 1)

    return run


def _names(program: Any) -> list[str]:
    """List the inputs of an exported program in the order of the call."""
    return [value.name for value in program.model.graph.inputs]


FORMS: dict[str, Callable[[AbstractSequenceModel, Tensor, State], Run]] = {
    "eager": eager,
    "traced": traced,
    "exported": exported,
}


def possible(
    model: AbstractSequenceModel, x: Tensor, state: State, forms: tuple[str, ...]
) -> tuple[dict[str, Run], dict[str, str]]:
    """Make the forms that can be made of a model, and say why the others cannot."""
    runs, failed = {}, {}
    for form in forms:
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # exporters tell their whole story
                runs[form] = FORMS[form](model, x, state)
                runs[form](x)
        except Exception as error:  # an exporter's own, of any kind
            runs.pop(form, None)
            failed[form] = f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
    return runs, failed
