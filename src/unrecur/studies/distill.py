"""Distillation: a feed-forward student learns what a recurrent teacher says."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unrecur import _check
from unrecur._check import InputError
from unrecur.audits.memory import LONGEST_WINDOW, windowed_scores
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Task
from unrecur.models import MODELS
from unrecur.models.spec import Spec
from unrecur.studies.agreement import Agreement, agreement
from unrecur.studies.budget import common_budget, matched
from unrecur.studies.recipes import levels_for, recipes_for
from unrecur.studies.shorten import least_window
from unrecur.studies.speed import measure_speed
from unrecur.studies.taught import taught
from unrecur.studies.trial import can_be_truncated
from unrecur.train.config import TrainConfig
from unrecur.train.evaluate import evaluate
from unrecur.train.fits import check_fits
from unrecur.train.loop import train
from unrecur.train.windowed import Windowed

RECURRENT = ("recurrent", "linear recurrence")


@dataclass(frozen=True)
class Distilled:
    """A student and how well it says what its teacher says.

    Attributes:
        model: The student, in evaluation mode; a recurrent one runs on windows of k inputs.
        spec: What built it.
        k: The number of inputs it was to see.
        receptive_field: The number of inputs it sees.
        enough: Whether the teacher itself, on its last k inputs, stays within the tolerance of its
            metric on the validation split: if not, no student of k inputs can be expected to.
        agreement: With the teacher, on the test split.
        teacher_metric: The task's metric of the teacher on the test split.
        student_metric: The student's.
        windowed_metric: That of the teacher on its last k inputs.
        control_metric: That of the same student trained on the labels, where asked for.
        teacher_parameters: The size of the teacher.
        parameters: The size of the student.
        teacher_step_seconds: The time of one streaming step of the teacher.
        step_seconds: The student's.
    """

    model: AbstractSequenceModel
    spec: Spec
    k: int
    receptive_field: float
    enough: bool
    agreement: Agreement
    teacher_metric: float
    student_metric: float
    windowed_metric: float
    control_metric: float | None
    teacher_parameters: int
    parameters: int
    teacher_step_seconds: float
    step_seconds: float

    def describe(self) -> dict[str, Any]:
        """Give all but the model as JSON values.

        Returns:
            A dict of the attributes.
        """
        found = {name: value for name, value in vars(self).items() if name != "model"}
        return found | {"spec": asdict(self.spec), "agreement": asdict(self.agreement)}


def distill(
    teacher: AbstractSequenceModel,
    student: Spec | str,
    task: Task,
    config: TrainConfig | None = None,
    k: int | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    parameters: int | None = None,
    tolerance: float = 0.01,
    control: bool = False,
) -> Distilled:
    """Train a feed-forward student on what a recurrent teacher says, and report the agreement.

    The student sees the last k inputs: the least number with which the teacher itself stays within
    a tolerance of its metric on the validation split. Its targets are the teacher's outputs; see
    `unrecur.studies.taught.taught`.

    Args:
        teacher: A trained causal model; put into evaluation mode.
        student: A spec; or "tcn", with as many levels as see k inputs; or the name of a recurrent
            model, which is then trained and run on windows of k inputs. Named students have the
            teacher's size.
        task: The task that the teacher was trained on.
        config: How the student is trained; where left out, as the recipe of its name for the task,
            or by default.
        k: The number of inputs; that of the audit where left out.
        seed: Decides the student's first weights and the order of the data.
        checkpoint: The file to go on from if it exists, and to write to.
        parameters: The size of a named student; the teacher's where left out.
        tolerance: How much of its metric the teacher may lose on k inputs, relative.
        control: Whether to train the same student on the labels too.

    Returns:
        The student and the report.

    Raises:
        InputError: The teacher looks ahead or starts from a source, no window is enough for it, or
            the student or the config does not fit.
        CorruptFileError: The checkpoint is damaged.
        OSError: The checkpoint cannot be written.

    Example:
        >>> import unrecur
        >>> from unrecur.data.recall import delayed_recall
        >>> task = delayed_recall(length=8, delay=1, sequences=(40, 20, 20))
        >>> sizes = {"in_features": 8, "out_features": 8, "tokens": True}
        >>> teacher = unrecur.build("lstm", hidden=12, **sizes)
        >>> quick = unrecur.TrainConfig(epochs=2)
        >>> found = unrecur.distill(teacher, "tcn", task, quick, k=3)
        >>> found.receptive_field, abs(found.parameters / found.teacher_parameters - 1) < 0.1
        (3, True)
    """
    if not can_be_truncated(teacher):
        raise InputError(
            "a student that sees the last k inputs cannot learn from a model that looks ahead or "
            "starts from a source. Give a causal teacher."
        )
    check_fits("teacher like this", teacher.eval(), task)
    size = sum(weight.numel() for weight in teacher.parameters())
    k = _inputs(teacher, task, tolerance) if k is None else k
    _check.positive_integer(k, "k")
    spec, training = _student(student, task, k, size if parameters is None else parameters, config)
    device = str(next(teacher.parameters()).device)

    def learn(from_task: Task, to: Path | None) -> AbstractSequenceModel:
        model = train(spec, from_task, training, seed, to, device).model
        return training.objective.form(model).eval()

    model = learn(taught(teacher, task), checkpoint)
    labels = checkpoint and checkpoint.with_name(f"{checkpoint.name}.control")
    limit = (1 + tolerance) * evaluate(teacher, task, "valid").metric
    return Distilled(
        model=model,
        spec=spec,
        k=k,
        receptive_field=model.receptive_field.length,
        enough=windowed_scores(teacher, task, "valid", k).metric <= limit,
        agreement=agreement(teacher, model, task),
        teacher_metric=evaluate(teacher, task, "test").metric,
        student_metric=evaluate(model, task, "test").metric,
        windowed_metric=windowed_scores(teacher, task, "test", k).metric,
        control_metric=evaluate(learn(task, labels), task, "test").metric if control else None,
        teacher_parameters=size,
        parameters=spec.parameters,
        teacher_step_seconds=measure_speed(teacher, task, training.batch_size)["step_seconds"],
        step_seconds=measure_speed(model, task, training.batch_size)["step_seconds"],
    )


def _inputs(teacher: AbstractSequenceModel, task: Task, tolerance: float) -> int:
    """Find the least window of the teacher."""
    k = least_window([teacher], task, tolerance)
    if k is None:
        raise InputError(
            f"the teacher on its last {LONGEST_WINDOW} inputs is more than {tolerance:.2%} worse "
            "than on all: it remembers more than a window holds. Give a larger tolerance, or k, "
            "the inputs that the student is to see."
        )
    # The last window tried is a power of 2, which may be more than any sequence has.
    return k if task.continuous else min(k, int(task.lengths("train").max()))


def _student(
    student: Spec | str, task: Task, k: int, parameters: int, config: TrainConfig | None
) -> tuple[Spec, TrainConfig]:
    """Settle the student's model and training."""
    if isinstance(student, Spec):
        training, recurrent = config or TrainConfig(), MODELS[student.name].family in RECURRENT
        return student, replace(training, objective=Windowed(k)) if recurrent else training
    recurrent = MODELS[_check.known_name(student, MODELS, "model")].family in RECURRENT
    options: dict[str, Any] = {"in_features": task.in_features, "out_features": task.out_features}
    if student == "tcn":
        options |= {"levels": levels_for(k), "kernel_size": 2}
    elif not recurrent:
        raise InputError(
            f"how a {student} is to see {k} inputs is not known. Give a Spec, 'tcn' or a recurrent "
            "model, which is run on windows."
        )
    if task.tokens:
        options["tokens"] = True
    recipes = recipes_for(task)
    training = config or (recipes[student].training if student in recipes else TrainConfig())
    if recurrent:
        training = replace(training, objective=Windowed(k))
    return matched(student, options, common_budget([(student, options)], parameters)), training
