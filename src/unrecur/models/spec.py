"""A model's name and options, enough to build it again; and models on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.core.model import AbstractSequenceModel
from unrecur.models import MODELS
from unrecur.models.architecture import Architecture

Result = TypeVar("Result")
# What reading a file raises whose bytes, or whose options, are not ours.
_DAMAGE = (
    safetensors.SafetensorError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
)


@dataclass(frozen=True)
class Spec:
    """The config of a model.

    Attributes:
        name: A name of `MODELS`.
        options: The keyword arguments of its builder.

    Example:
        >>> Spec("gru", {"in_features": 3, "out_features": 2, "hidden": 4}).parameters
        118
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> AbstractSequenceModel:
        """Build the model, with fresh weights from torch's random generator.

        Returns:
            The model.

        Raises:
            InputError: The name or an option is unknown, or an option is missing or out of range.
        """
        return self._called(self._architecture.build)

    @property
    def parameters(self) -> int:
        """The number of the model's parameters, counted without making any."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.build().parameters())

    @property
    def formula(self) -> int:
        """The number of the model's parameters by its formula, without building anything."""
        return self._called(self._architecture.parameters)

    @property
    def _architecture(self) -> Architecture:
        """The row of the table."""
        return MODELS[_check.known_name(self.name, MODELS, "model")]

    def _called(self, function: Callable[..., Result]) -> Result:
        """Call a function of the row with the options."""
        try:
            return function(**self.options)
        except TypeError as error:
            raise InputError(f"model '{self.name}': {error}.") from error


def build(name: str, **options: Any) -> AbstractSequenceModel:
    """Build a model of the table, with fresh weights from torch's random generator.

    Args:
        name: Its name: "lstm", "gru", "elman", "mgu", "tcn", ...
        **options: What its builder takes; in_features, out_features and hidden for most.

    Returns:
        The model.

    Raises:
        InputError: The name or an option is unknown, or an option is missing or out of range.
    """
    return Spec(name, options).build()


def save_model(path: str | Path, spec: Spec, model: AbstractSequenceModel) -> None:
    """Write a model to one safetensors file, its spec in the file's metadata, atomically.

    Args:
        path: Where to.
        spec: What built the model.
        model: The model.

    Raises:
        OSError: The file cannot be written; what was there before stays.
    """
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    metadata = {"unrecur": json.dumps({"model": spec.name, "options": spec.options})}
    write_atomic(Path(path), safetensors.torch.save(tensors, metadata))


def load_model(path: str | Path) -> tuple[Spec, AbstractSequenceModel]:
    """Read a model that `save_model` wrote. Nothing in the file is run.

    Args:
        path: The file.

    Returns:
        The spec and the model, in evaluation mode.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: The file is no whole safetensors file of ours, or its weights do not
            belong to its spec or are not finite.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            written = json.loads((file.metadata() or {}).get("unrecur", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        spec = Spec(written["model"], written["options"])
        _refuse_larger(spec, sum(value.numel() for value in tensors.values()))
        model = spec.build().eval()
        model.load_state_dict(tensors)
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise CorruptFileError(
            f"{path} is no whole model file of unrecur ({error}). Save it again, or train again."
        ) from error
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise CorruptFileError(f"{path}: the weight {name} holds NaN or infinite values.")
    return spec, model


def _refuse_larger(spec: Spec, numbers: int) -> None:
    """Refuse a spec that asks for more than its file holds, before anything is made for it."""
    # The formula first: the exact count builds all layers, if without weights. A size below 0 could
    # make up for an enormous one in it, and NaN for any: "not <=" holds for NaN too.
    negative = any(isinstance(v, int | float) and v < 0 for v in dict(spec.options).values())
    if negative or not spec.formula <= numbers or spec.parameters > numbers:
        raise InputError(f"its spec asks for other than the {numbers} numbers that it holds")
