"""What `unrecur audit` is about: the model, its inputs, and what the user knows around it."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from unrecur._check import CorruptFileError, InputError

PARTS = ("inputs", "outputs", "decision", "load", "metric")


@dataclass(frozen=True, eq=False)
class Audited:
    """What is audited.

    Attributes:
        model: The module, or the file.
        x: Its inputs.
        output: Makes the model's outputs of the recurrence's.
        decision: What is decided by them.
        metric: The task's score.
        box: The inputs to prove it for.
        select: The recurrence to look at.
    """

    model: nn.Module | Path
    x: Any
    output: Callable[[Any], Tensor] | None = None
    decision: Any = None
    metric: Any = None
    box: Any = None
    select: str | None = None


def read_audited(
    model: Path,
    task: str | None,
    data: Path | None,
    hook: Path | None,
    data_dir: Path | None,
    device: str,
) -> Audited:
    """Read the model and its inputs from what stands on the command line.

    Args:
        model: The model's file.
        task: The task of a model of ours.
        data: The inputs.
        hook: The user's own file around the model.
        data_dir: The folder of the task's data.
        device: Where to run.

    Returns:
        What is audited.

    Raises:
        InputError: Not exactly one of task and data is given, or the hook lacks what is needed.
    """
    if (task is None) == (data is None):
        raise InputError(
            "give either a TASK, for a model of ours, or --data FILE, the inputs of a model of "
            "anybody's."
        )
    if task is not None:
        return _of_task(model, task, data_dir, device)
    assert data is not None
    with model.open("rb"):
        pass
    if hook is not None:
        return _by_hook(model, data, hook, device)
    from unrecur.data.inputs import read_inputs, sequences_in

    x = read_inputs(data)
    ours = _ours(model, device)
    if isinstance(x, dict) and model.suffix.lower() != ".onnx":
        x = [part for array in x.values() for part in sequences_in(array, data)]
    return Audited(model if ours is None else ours, x)


def _ours(path: Path, device: str) -> nn.Module | None:
    """Load a model that this package wrote; None for other files."""
    if path.suffix.lower() != ".safetensors":
        return None
    from unrecur.models.spec import load_model
    from unrecur.train.devices import fabric_on

    try:
        return load_model(path)[1].to(fabric_on(device).device)
    except CorruptFileError:  # weights of somebody else's, or damaged: its reader will say
        return None


def _of_task(path: Path, name: str, data_dir: Path | None, device: str) -> Audited:
    """Take a model of ours with the test split of its task."""
    import torch

    from unrecur.data.sequences import known_steps
    from unrecur.data.task import Task
    from unrecur.data.tasks import load_task
    from unrecur.models.spec import load_model
    from unrecur.train.devices import fabric_on

    task: Task = load_task(name, data_dir)
    _, trained = load_model(path)
    if (trained.in_features, trained.out_features) != (task.in_features, task.out_features):
        raise InputError(
            f"{path} maps {trained.in_features} features to {trained.out_features}; the task "
            f"'{task.name}' needs {task.in_features} and {task.out_features}."
        )
    trained = trained.to(fabric_on(device).device)
    pairs = [task.pair("test", number) for number in range(len(task.splits["test"]))]
    pairs = [pair for pair in pairs if len(pair[0]) > 1]
    place = next(trained.parameters()).device

    def metric(outputs: Any) -> float:
        losses = [
            task.step_loss(y, target.to(y.device))[known_steps(target).to(y.device)].double()
            for y, (_, target) in zip(outputs, pairs, strict=True)
        ]
        return float(torch.cat(losses).mean())

    x = [x.to(place) for x, _ in pairs]
    return Audited(trained, x, metric=metric, box=task.box("test"))


def _by_hook(model: Path, data: Path, path: Path, device: str) -> Audited:
    """Take a model with the user's own file around it."""
    import torch

    hook = _run(path)
    known = [part for part in PARTS if callable(getattr(hook, part, None))]
    if "inputs" not in known:
        raise InputError(
            f"{path}: expected a function inputs(data, model) that gives the sequences, got "
            f"{', '.join(known) or 'none of ' + ', '.join(PARTS)}."
        )
    given = hook.inputs(data, model)
    if isinstance(given, (list, tuple)):
        x: Any = [torch.as_tensor(part) for part in given]
    else:
        x = given if isinstance(given, dict) else torch.as_tensor(given)
    if "load" in known:
        loaded = hook.load(model)
        if not isinstance(loaded, nn.Module):
            raise InputError(f"{path}: load(model) must give a torch module, got {type(loaded)}.")
        source: nn.Module | Path = loaded.to(device)
    else:
        source = model
    output = (lambda y: hook.outputs(y, model)) if "outputs" in known else None
    return Audited(
        source,
        x,
        output=output,
        decision=hook.decision if "decision" in known else None,
        metric=hook.metric if "metric" in known else None,
        select=getattr(hook, "SELECT", None),
    )


def _run(path: Path) -> ModuleType:
    """Run the user's hook."""
    spec = importlib.util.spec_from_file_location("unrecur_hook", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path}: expected a Python file, *.py, as hook.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
