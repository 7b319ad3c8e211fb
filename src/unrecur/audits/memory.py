"""The memory curve: what a model keeps of its metric when it sees only the last k inputs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur.audits.places import Place, places_in, windowed_outputs
from unrecur.certificates.certificate import Certificate
from unrecur.certificates.contraction import certify
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.running import predictions
from unrecur.data.sequences import Split
from unrecur.data.task import Task
from unrecur.train.evaluate import Scores
from unrecur.truncation.bound import output_bound

LOOKED_AT = 2**17  # steps of a split among which the places of a memory curve are chosen,
GIVEN = 2**29  # and outputs there
VISITS = 2**21  # steps of the model for the longest window of a memory curve
NUMBERS = 2**26  # outputs of the model that are held
LONGEST_WINDOW = 2**10  # of a stream, which has no end


@dataclass(frozen=True)
class MemoryPoint:
    """A model on its last k inputs, beside the same model on all of them.

    Attributes:
        k: The length of the window.
        scores: The losses of the truncated model, for each sequence that was looked at.
        error_median: The median over steps of the largest difference of any output.
        error_max: The largest difference of any output at any step.
        bound: The proved bound on that; None where nothing is proved.
    """

    k: int
    scores: Scores
    error_median: float
    error_max: float
    bound: float | None


def windows_of(longest: int) -> list[int]:
    """List the windows of a memory curve: powers of 2, the last one as long as any sequence.

    Args:
        longest: The length of the longest sequence.

    Returns:
        The window lengths.

    Example:
        >>> windows_of(5)
        [1, 2, 4, 8]
    """
    return [2**power for power in range((longest - 1).bit_length() + 1)]


@dataclass(frozen=True)
class Sight:
    """A model's outputs at some places of a split, ready to be compared with those of its windows.

    Attributes:
        model: The model.
        task: The task.
        split: The split.
        places: The places.
        full: The model's outputs there, one a row, on the CPU.
    """

    model: AbstractSequenceModel
    task: Task
    split: Split
    places: list[Place]
    full: Tensor

    @property
    def longest(self) -> int:
        """The most inputs that there are before any place, the one at the place included."""
        if self.task.continuous:
            return LONGEST_WINDOW
        return max(int(place.steps[-1]) + 1 for place in self.places)

    @property
    def scores(self) -> Scores:
        """The losses of the model itself."""
        return scores_at(self.task, self.places, iter([self.full]))

    def certify(self) -> Certificate:
        """Prove what can be proved of the model, for the inputs of training and of the split.

        Returns:
            The certificate.
        """
        return certify(self.model, self.task.box("train", self.split))

    @torch.no_grad()
    def point(self, k: int, certificate: Certificate | None = None) -> MemoryPoint:
        """Measure the model on windows of k inputs.

        Args:
            k: The length of the window.
            certificate: The model's certificate, for the bound beside the error.

        Returns:
            The point.
        """
        short = torch.cat(
            [y.cpu() for y in windowed_outputs(self.model, self.task, self.split, self.places, k)]
        )
        error = (short - self.full).abs().amax(-1)
        bound = math.inf if certificate is None else output_bound(self.model, certificate, k)
        return MemoryPoint(
            k,
            scores_at(self.task, self.places, iter([short])),
            float(error.median()),
            float(error.max()),
            bound if math.isfinite(bound) else None,
        )


def sight(model: AbstractSequenceModel, task: Task, split: Split) -> Sight:
    """Run a model over a split, or over as much of it as is cheap to look at through windows.

    Args:
        model: A causal model, in evaluation mode.
        task: The task.
        split: The split.

    Returns:
        The model with its outputs at the steps that count; where they are many, at evenly spaced
        ones.
    """
    part = task.part(split, min(LOOKED_AT, GIVEN // task.out_features))
    longest = LONGEST_WINDOW if task.continuous else int(part.lengths(split).max())
    places = places_in(part, split, min(VISITS // longest, NUMBERS // task.out_features))
    steps = {place.number: place.steps for place in places}
    full = {
        number: y[steps[number]].clone()
        for number, y in predictions(model, part, split, streams=1)
        if number in steps
    }
    return Sight(model, part, split, places, torch.cat([full[p.number] for p in places]))


def windowed_scores(model: AbstractSequenceModel, task: Task, split: Split, k: int) -> Scores:
    """Score a model that sees only the last k inputs on all of a split.

    Args:
        model: A causal model, in evaluation mode.
        task: The task.
        split: The split.
        k: The length of the window.

    Returns:
        The losses of each sequence of the split.
    """
    places = places_in(task, split)
    found = scores_at(task, places, windowed_outputs(model, task, split, places, k))
    number = torch.tensor([place.number for place in places])
    loss, steps = (
        torch.zeros(len(task.splits[split]), dtype=n.dtype) for n in (found.loss, found.steps)
    )
    loss[number], steps[number] = found.loss, found.steps
    return Scores(loss, steps)


def scores_at(task: Task, places: list[Place], outputs: Iterator[Tensor]) -> Scores:
    """Sum the losses of outputs at places, sequence by sequence.

    Args:
        task: The task.
        places: The places.
        outputs: The outputs there, in order, in parts.

    Returns:
        The losses of each sequence.
    """
    target = torch.cat([place.target for place in places])
    counts = torch.tensor([len(place.steps) for place in places])
    owner = torch.arange(len(places)).repeat_interleave(counts)
    loss, start = torch.zeros(len(places), dtype=torch.float64), 0
    for y in outputs:
        part = slice(start, start + len(y))
        losses = task.step_loss(y[None], target[None, part].to(y.device))[0]
        loss.index_add_(0, owner[part], losses.double().cpu())
        start += len(y)
    return Scores(loss, counts)


def memory_curve(
    model: AbstractSequenceModel,
    task: Task,
    split: Split = "test",
    certificate: Certificate | None = None,
) -> Iterator[MemoryPoint]:
    """Measure a model on windows of k = 1, 2, 4, ... inputs, up to the longest sequence.

    Where the split is large, it is measured at evenly spaced steps of a part of it; of a stream,
    which has no end, on windows up to 1,024.

    Args:
        model: A causal model, in evaluation mode.
        task: The task it was trained on.
        split: The split to measure on.
        certificate: The model's certificate, for the bound beside the error.

    Yields:
        One point for each k.
    """
    seen = sight(model, task, split)
    for k in windows_of(seen.longest):
        yield seen.point(k, certificate)
