"""Which models can be trained on a task."""

from unrecur._check import InputError
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.data.task import Task


def check_fits(name: str, model: AbstractSequenceModel, task: Task) -> None:
    """Refuse a model that cannot be trained on a task, or that could read its answers.

    Args:
        name: What the model is called, for the message.
        model: The model.
        task: The task.

    Raises:
        InputError: It sees inputs to come that the task asks for; or it reads tokens where there
            are numbers, or the other way round; or it needs a source where there is none.
    """
    if not (task.whole or model.receptive_field.causal):
        raise InputError(
            f"a {name} sees the inputs to come, which are what the task asks for. Take a causal "
            "model."
        )
    if model.takes_tokens is not task.tokens:
        given = "token ids" if task.tokens else "numbers"
        raise InputError(
            f"a {name} built so does not read {given}, which are the inputs of the task "
            f"'{task.name}'. Many models read tokens with the option tokens=True."
        )
    if isinstance(model, AbstractConditionalModel) is not bool(task.sources):
        raise InputError(
            f"the task '{task.name}' has a source to start from, and a {name} reads none."
            if task.sources
            else f"a {name} starts from a source, and the task '{task.name}' has none."
        )
