"""How a model is trained."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from unrecur import _check
from unrecur._check import InputError
from unrecur.train.clipping import Clipping
from unrecur.train.full import Full
from unrecur.train.objective import AbstractObjective

Schedule = Literal["cosine", "inverse"]
Optimizer = Literal["adam", "sgd"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

_NAMED: dict[str, Any] = {
    "schedule": Schedule,
    "optimizer": Optimizer,
    "clip_by": Clipping,
    "precision": Precision,
}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Attributes:
        epochs: The largest number of passes over the training split.
        batch_size: The number of sequences in a batch, over all processes.
        learning_rate: The optimizer's step size at the start.
        schedule: How it falls: "cosine", to zero along half a cosine over `epochs` (Loshchilov and
            Hutter 2017), or "inverse", as alpha / t with t = 1 + epochs done, as for projected
            gradient descent (Miller and Hardt 2019, section 3).
        clip: The limit of a gradient.
        clip_by: What it limits: "norm", the global norm (Pascanu et al. 2013), "value", each
            number, or "adaptive", the norm of each unit's gradient over that of its weights (Brock
            et al. 2021, section 4).
        patience: Stop after so many epochs without a better validation metric.
        rate: Keep the model stable: after each step, project it to this contraction. None trains
            it freely.
        workers: The number of processes that read the data; 0 reads between the steps.
        objective: How the gradient through time is made: `Full`, `Truncated`, `Windowed`,
            `InParallel`, `RTRL`, `SnAp1`, `UORO`, `EProp`.
        optimizer: "adam" (Kingma and Ba 2015) or "sgd", plain gradient descent.
        accumulate: Add up the gradients of so many batches for one step.
        precision: "32-true", or mixed: "bf16-mixed", or "16-mixed" with a loss scale (CUDA only).
        watch: Measure the gradient layer by layer and lag by lag, and warn early.
        compile: Run the model through `torch.compile`, torch's fused recurrent kernels left as they
            are: it pays where many small operations dominate, as in a scan, and needs a C++
            compiler on a CPU.

    Raises:
        InputError: A number is out of range, a name unknown, or the gradients of several batches
            shall be added up where a batch takes several steps.
    """

    epochs: int = 12
    batch_size: int = 4
    learning_rate: float = 1e-2
    clip: float = 1.0
    patience: int = 5
    rate: float | None = None
    schedule: Schedule = "cosine"
    workers: int = 0
    objective: AbstractObjective = field(default_factory=Full)
    optimizer: Optimizer = "adam"
    clip_by: Clipping = "norm"
    accumulate: int = 1
    precision: Precision = "32-true"
    watch: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "accumulate"):
            _check.positive_integer(getattr(self, name), name)
        for name in ("learning_rate", "clip"):
            _check.positive(getattr(self, name), name)
        _check.count(self.workers, "workers")
        for name, known in _NAMED.items():
            _check.known_name(getattr(self, name), get_args(known), name)
        if self.accumulate > 1 and not self.objective.one_step:
            raise InputError(
                f"accumulate={self.accumulate} adds up the gradients of whole batches, and "
                f"{self.objective} takes several steps in one. Leave one of them out."
            )
        if self.precision == "16-mixed" and (self.clip_by != "norm" or self.watch):
            raise InputError(
                "precision '16-mixed' clips by norm and is not watched: its gradients are scaled. "
                "Leave clip_by and watch out, or take 'bf16-mixed'."
            )
        if self.precision != "32-true" and self.objective.in_float32:
            raise InputError(
                f"{self.objective} runs in the precision of the weights; leave precision out."
            )
        if self.compile and self.objective.reads_cells:
            raise InputError(f"{self.objective} runs cells one by one; leave compile out.")
        if self.rate is not None:
            _check.fraction(self.rate, "rate")

    def describe(self) -> dict[str, Any]:
        """Give the settings as JSON values."""
        return {**asdict(self), "objective": self.objective.describe()}
