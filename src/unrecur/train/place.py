"""A model in its place: on a device, in a precision, in one process or one of several."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import State
from unrecur.data.batches import Batch
from unrecur.train.clipping import clip_
from unrecur.train.config import TrainConfig
from unrecur.train.devices import Strategy, fabric_on, processes, share
from unrecur.train.full import Full

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


class Place:
    """Puts a model and its optimizer where they train, by lightning-fabric.

    Args:
        bare: The model.
        config: The settings.
        device: "cpu", "cuda", "cuda:1", ...
        strategy: What several processes share.

    Attributes:
        form: The model as the objective trains and scores it.
        model: The form as Fabric runs it.
        optimizer: The optimizer.
        processes: How many processes train together.
        parted: Whether each keeps a part of the weights.

    Raises:
        InputError: There is no such device, or it does not have the precision; or the weights
            cannot be kept in parts.
    """

    def __init__(
        self, bare: AbstractSequenceModel, config: TrainConfig, device: str, strategy: Strategy
    ) -> None:
        self.config, self.processes = config, processes()
        self.parted = self.processes > 1 and strategy == "fsdp"
        if self.parted:
            _check_parts(bare, config)
        self.fabric = fabric_on(device, config.precision, strategy)
        self.form = config.objective.form(bare)
        inner: Any = self.fabric.setup_module(self.form)
        self.optimizer = OPTIMIZERS[config.optimizer](bare.parameters(), lr=config.learning_rate)
        self._stepper: Any = self.fabric.setup_optimizers(self.optimizer)
        self._inner = inner
        # Fabric's wrappers cost a third of a step of a small model, and do nothing for a plain run.
        self._plain = self.processes == 1 and config.precision == "32-true"
        reads = self._plain or config.objective.reads_cells
        self.model = self.form if reads else Placed(self.form, inner)
        if config.compile:
            self.model = Placed(self.form, _compiled(inner))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.fabric.device

    @property
    def scales(self) -> bool:
        """Whether the loss is scaled; a step whose gradients overflow is then left out."""
        return self.config.precision == "16-mixed"

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.fabric.is_global_zero

    def wait(self) -> None:
        """Wait until every process has come this far."""
        self.fabric.barrier()

    def share(self, batch: Batch) -> Batch:
        """Take this process's rows of a batch, on its device.

        Args:
            batch: The batch of all processes.

        Returns:
            Its rows.
        """
        return share(batch, self.fabric.global_rank, self.processes).to(self.device)

    def seed(self, seed: int, epoch: int) -> None:
        """Let the processes draw differently, the same way each time an epoch is begun.

        Args:
            seed: The seed of the run.
            epoch: The epoch.
        """
        if self.processes > 1:
            torch.manual_seed((1_000_003 * seed + epoch) * self.processes + self.fabric.global_rank)

    def total(self, loss: float, steps: int) -> tuple[float, int]:
        """Sum a loss and a number of steps over the processes.

        Args:
            loss: This process's loss.
            steps: Its steps.

        Returns:
            Those of all.
        """
        if self.processes == 1:
            return loss, steps
        sums: Any = torch.tensor([loss, steps], dtype=torch.float64, device=self.device)
        sums = self.fabric.all_reduce(sums, reduce_op="sum")
        return float(sums[0]), round(float(sums[1]))

    def backward(self, loss: Tensor, steps: int, last: bool) -> None:
        """Add the gradient of loss / steps to those of the weights.

        Args:
            loss: A sum of step losses.
            steps: How many there are, over all processes.
            last: Whether a step of the optimizer follows; only then gradients are exchanged.
        """
        if self._plain:
            (loss / steps).backward()
            return
        # The exchange takes the mean over the processes; the losses are to be summed.
        loss = loss * (self.processes / steps)
        apart = self.processes > 1 and (not last or self.config.objective.reads_cells)
        with self.fabric.no_backward_sync(self._inner, enabled=apart):
            self.fabric.backward(loss)
        if last and apart:
            for parameter in self.form.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.fabric.all_reduce(parameter.grad)  # type: ignore[assignment]

    def clip(self) -> float:
        """Limit the gradients.

        Returns:
            Their global norm before.
        """
        if not (self.scales or self.parted):
            return clip_(self.form.parameters(), self.config.clip, self.config.clip_by)
        # Gradients that are scaled, or kept in parts, are Fabric's to bring together.
        norm = self.fabric.clip_gradients(
            self._inner, self._stepper, max_norm=self.config.clip, error_if_nonfinite=False
        )
        return float("nan") if norm is None else float(norm)

    def scale(self) -> dict[str, Any]:
        """Give the state of the loss scale; empty without one."""
        return self.fabric.strategy.precision.state_dict() if self.scales else {}

    def load_scale(self, state: dict[str, Any]) -> None:
        """Set the loss scale.

        Args:
            state: As `scale` gave it.
        """
        if self.scales and state:
            self.fabric.strategy.precision.load_state_dict(state)

    def learning_rate(self, value: float) -> None:
        """Set the step size.

        Args:
            value: It.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def step(self) -> None:
        """Take a step of the optimizer, and forget the gradients."""
        stepper = self.optimizer if self._plain else self._stepper
        stepper.step()
        stepper.zero_grad()


def _compiled(module: Any) -> Any:
    """Compile a module, all but torch's fused kernels in it."""
    # A compiler would take a kernel apart, step by step; that of torch 2.13 breaks on the LSTM's (a
    # TypeError from `mkldnn_rnn_layer`).
    for kernel in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu):
        torch._dynamo.disallow_in_graph(kernel)
    warnings.filterwarnings("ignore", "Dynamo does not know how to trace the builtin")
    return torch.compile(module)


class Placed(AbstractSequenceModel):
    """A model whose block form runs as Fabric says: in its precision, exchanging gradients.

    Args:
        model: The model.
        inner: What Fabric made of it.
    """

    def __init__(self, model: AbstractSequenceModel, inner: nn.Module) -> None:
        super().__init__()
        self.model, self.inner = model, inner
        self.in_features, self.out_features = model.in_features, model.out_features
        self.takes_tokens, self.output_ratio = model.takes_tokens, model.output_ratio

    @property
    def receptive_field(self) -> Field:
        """The model's."""
        return self.model.receptive_field

    def init_state(self, batch: int) -> State:
        """Make the model's state."""
        return self.model.init_state(batch)

    def forward(
        self,
        x: Shaped[Tensor, "B T ..."],
        state: State | None = None,
        lengths: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B N E"], State]:
        """Map a whole block; see `AbstractSequenceModel.forward`."""
        y, after = self.inner(x, state, lengths)
        return y, after

    def step(
        self, x_t: Shaped[Tensor, "B ..."], state: State | None = None
    ) -> tuple[Float[Tensor, "B E"], State]:
        """Map one step, as the model does."""
        return self.model.step(x_t, state)


def _check_parts(model: AbstractSequenceModel, config: TrainConfig) -> None:
    """Refuse what needs whole weights outside of the model's block form."""
    if (
        config.rate is not None
        or config.clip_by != "norm"
        or config.watch
        or config.objective != Full()
        or isinstance(model, AbstractConditionalModel)
    ):
        raise InputError(
            "strategy 'fsdp' keeps the weights in parts: projection, clipping by value or unit, "
            "watch, models with a source and objectives other than Full() need them whole. Take "
            "'ddp'."
        )
