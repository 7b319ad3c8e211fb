"""The table of comparisons: sound as it stands, no task's name, arms matched."""

import pytest

from unrecur import InputError, TrainConfig
from unrecur.cli import study
from unrecur.data.sequences import SPLITS
from unrecur.data.sums import adding
from unrecur.data.tasks import TASKS
from unrecur.studies.arms import SMOKE_SEQUENCES, Arm, Comparison, smoke
from unrecur.studies.comparison import plan
from unrecur.studies.comparisons import COMPARISONS


def test_the_command_line_knows_every_comparison_and_shadows_no_task():
    assert tuple(COMPARISONS) == study.COMPARISONS
    assert not {study.THEOREM, *COMPARISONS} & set(TASKS)
    assert all(make().name == name for name, make in COMPARISONS.items())


@pytest.mark.parametrize("name", COMPARISONS)
def test_arms_are_matched_and_trained_alike(name):
    comparison = COMPARISONS[name]()
    planned = plan(comparison, comparison.task())
    sizes = [spec.parameters for spec, _ in planned.values()]
    assert list(planned) == list(comparison.arms)
    assert max(sizes) <= 1.04 * min(sizes)
    assert max(sizes) == pytest.approx(comparison.parameters, rel=0.05)
    shared = {(t.epochs, t.batch_size, t.patience, t.schedule) for _, t in planned.values()}
    assert len(shared) == 1
    described = {(spec.name, repr(spec.options), repr(t)) for spec, t in planned.values()}
    assert len(described) == len(sizes)  # each arm is another


def test_smoke_is_small():
    small = smoke(COMPARISONS["stability"]())
    task = small.task()
    assert all(1 <= len(task.splits[split]) <= SMOKE_SEQUENCES for split in SPLITS)
    assert small.training.epochs == 2
    assert small.training_of("stable").rate == 0.95


BASE = {
    "name": "x",
    "title": "",
    "question": "",
    "task": adding,
    "level": 1.0,
    "training": TrainConfig(),
    "parameters": 100,
}


@pytest.mark.parametrize(
    ("arms", "reference", "said"),
    [
        ({"a": Arm("lstm")}, "a", "two arms or more"),
        ({"a": Arm("lstm"), "b": Arm("gru")}, "c", "the reference 'c'"),
        ({"a": Arm("lstm"), "b": Arm("gru", {}, {"epochs": 3})}, "a", "'b' has its own epochs"),
    ],
)
def test_bad_comparisons_are_refused(arms, reference, said):
    with pytest.raises(InputError, match=said):
        Comparison(arms=arms, reference=reference, **BASE)
