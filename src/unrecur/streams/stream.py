"""`unrecur.stream`: a model fed block by block, its outputs given as soon as they exist."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.core.model import AbstractSequenceModel
from unrecur.core.state import State
from unrecur.models.spec import load_model
from unrecur.streams.blocks import refuse_values, shaped
from unrecur.streams.chain import machine_of
from unrecur.streams.machine import AbstractMachine
from unrecur.streams.onnx_steps import OnnxSteps
from unrecur.streams.saved import load_state, save_state


class Stream:
    """One stream, or several that are fed together, through a model.

    Blocks of any length go in, and each gives the outputs that exist by then: put end to end, with
    those of `close`, they are the model's answer to the whole sequence, however it is cut. A block
    of one step goes through the model's step form, a longer one through its block form. The weights
    are those at the time of opening.

    An input that is NaN or infinite is refused, as it would stay in the state for ever; after any
    block that is refused the stream stands where it stood.

    Args:
        machine: What is streamed; `unrecur.stream` makes it.
        batch: The number of rows fed together; None for one stream, without a batch dimension.

    Attributes:
        come: How many inputs have come.

    Raises:
        InputError: The batch is below 1.
    """

    def __init__(self, machine: AbstractMachine, batch: int | None = None) -> None:
        if batch is not None:
            _check.positive_integer(batch, "batch")
        self._machine, self._batch = machine, batch
        self._rows = 1 if batch is None else batch
        self._state = machine.init_state(self._rows)
        self._steps = machine.held(self._rows)
        self._in_steps = False  # whether the state is where single steps hold it
        self._closed = False
        self.come = 0

    @property
    def latency(self) -> int:
        """How many inputs after its own place an output comes."""
        return self._machine.latency

    @property
    def output_ratio(self) -> Fraction:
        """How many outputs there are to an input."""
        return self._machine.output_ratio

    @property
    def takes_tokens(self) -> bool:
        """Whether the inputs are token ids [time], not features."""
        return self._machine.takes_tokens

    @property
    def in_features(self) -> int:
        """How many features an input has."""
        return self._machine.in_features

    @property
    def out_features(self) -> int:
        """How many features an output has."""
        return self._machine.out_features

    def feed(self, x: Any) -> Shaped[Tensor, "*B N E"]:
        """Take a block, and give the outputs that exist by now.

        Args:
            x: The inputs, a tensor or an array [time, features], or [batch, time, features] of
                several streams; token ids without the features. It may be empty.

        Returns:
            The outputs, [outputs, features] or [batch, outputs, features]; perhaps none.

        Raises:
            InputError: The stream is closed, or the block has a wrong shape or type, or is not
                finite.
        """
        self._refuse_closed()
        block = shaped(self._machine, x, self._batch)
        refuse_values(self._machine, block)
        # The context manager of this would cost a sixth of a small cell's step.
        recorded = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        try:
            y = self._rows_fed(block) if self._batch is not None else self._fed(block)
        finally:
            torch.set_grad_enabled(recorded)
        return y

    def _fed(self, block: Tensor) -> Tensor:
        """Feed one stream; a block of one step is a step of one row, as it is."""
        return (
            self._step(block) if block.shape[0] == 1 and self._steps else self._run(block[None])[0]
        )

    def _rows_fed(self, block: Tensor) -> Tensor:
        """Feed several streams."""
        single = block.shape[1] == 1 and self._steps
        return self._step(block[:, 0])[:, None] if single else self._run(block)

    def _step(self, x_t: Tensor) -> Tensor:
        """Run the step form."""
        assert self._steps is not None
        if not self._in_steps:
            self._steps.load(self._state)
            self._in_steps = True
        y = self._steps(x_t)
        self.come += 1
        return y

    def _run(self, block: Tensor) -> Tensor:
        """Run the block form."""
        if not block.shape[1]:
            return self._machine.no_outputs(self._rows)
        y, self._state = self._machine.feed(block, self._here())
        self._in_steps = False
        self.come += block.shape[1]
        return y

    def close(self) -> Shaped[Tensor, "*B N E"]:
        """End the sequence here, and give the outputs that waited for more.

        Returns:
            The last outputs, as many as the latency holds back; perhaps none.

        Raises:
            InputError: The stream is closed.
        """
        self._refuse_closed()
        with torch.no_grad():
            y = self._machine.end(self._machine.no_inputs(self._rows), self._here())
        self._closed = True
        return y[0] if self._batch is None else y

    def save(self, path: str | Path) -> None:
        """Write the state to a safetensors file, from which `restore` goes on exactly.

        Args:
            path: Where to.

        Raises:
            OSError: The file cannot be written; what was there before stays.
        """
        save_state(Path(path), self._machine, self._here(), self.come)

    def restore(self, path: str | Path) -> None:
        """Go on where a stream was saved; a closed stream is open again.

        Args:
            path: The file; nothing in it is run.

        Raises:
            FileNotFoundError: There is no such file.
            InputError: It is damaged, or the state of another model or number of rows.
        """
        self._state, self.come = load_state(Path(path), self._machine, self._rows)
        self._in_steps = self._closed = False

    def _here(self) -> State:
        """Give the state, wherever it is held."""
        if self._in_steps and self._steps is not None:
            return self._steps.state()
        return self._state

    def _refuse_closed(self) -> None:
        if self._closed:
            raise InputError(
                f"this stream was closed after {self.come} inputs. Open another one with "
                "unrecur.stream(model)."
            )


def stream(model: AbstractSequenceModel | str | Path, batch: int | None = None) -> Stream:
    """Open a stream through a model, or through a file of one.

    Args:
        model: A model in evaluation mode, or the path of a `.safetensors` file of ours or of the
            `.onnx` graph of one step.
        batch: The number of streams that are fed together, all by blocks of one length; None for
            one. For streams that come and go there is `StreamBatch`.

    Returns:
        The stream.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: The file is damaged.
        InputError: The model is in training mode, starts from a source or sees the whole sequence;
            or the file is of another kind.

    Example:
        >>> import torch, unrecur
        >>> model = unrecur.build("gru", in_features=3, out_features=2, hidden=8).eval()
        >>> stream = unrecur.stream(model)
        >>> x = torch.randn(10, 3)
        >>> y = torch.cat([stream.feed(x[:1]), stream.feed(x[1:7]), stream.feed(x[7:])])
        >>> torch.allclose(y, model(x[None])[0][0], atol=1e-6), stream.close().shape
        (True, torch.Size([0, 2]))
    """
    return Stream(opened(model), batch)


def opened(model: AbstractSequenceModel | str | Path) -> AbstractMachine:
    """Bring a model or a file of one into the form in which it is streamed; see `stream`.

    Args:
        model: The model or the path.

    Returns:
        The machine.

    Raises:
        InputError: It cannot be streamed.
    """
    if isinstance(model, AbstractSequenceModel):
        # Wrappers such as `Window` come in training mode around a model that is not.
        if any(part.training for part in model.modules() if not any(part.children())):
            raise InputError("expected a model in evaluation mode. Call model.eval() first.")
        return machine_of(model)
    path = Path(model)
    if path.suffix.lower() == ".onnx":
        return OnnxSteps(path)
    if path.suffix.lower() == ".safetensors":
        return machine_of(load_model(path)[1])
    raise InputError(f"expected a model file, .safetensors or .onnx, got {path}.")
