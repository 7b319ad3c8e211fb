"""A model's outputs beside those of its truncated form: errors, changed decisions, the metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrecur import _check
from unrecur._check import InputError
from unrecur.audits.blocks import Reference
from unrecur.audits.subject import Decision, Metric, Subject


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a model on all of its inputs, and how others are compared with them.

    Attributes:
        subject: The model.
        full: Its outputs, one tensor a sequence.
        decided: What is decided by them; None where nothing is.
        pointwise: Whether each output depends on the recurrence's output of its own step alone.
        decision: How it is decided.
        metric: The task's score of all outputs.
    """

    subject: Subject
    full: list[Tensor]
    decided: list[Tensor] | None
    pointwise: bool
    decision: Decision | None = None
    metric: Metric | None = None

    @property
    def spread(self) -> float:
        """The standard deviation of the outputs around their means."""
        values = [y if self.subject.per_step else y[None] for y in self.full]
        flat = torch.cat([y.double().reshape(len(y), -1) for y in values])
        return float(flat.std(0, unbiased=False).square().mean().sqrt())

    def errors(self, outputs: Sequence[Tensor]) -> Tensor:
        """Give the largest difference of any output.

        Args:
            outputs: Other outputs.

        Returns:
            One number for each step of every sequence, [N], or for each sequence, [Q].
        """
        found = []
        for y, full in zip(outputs, self.full, strict=True):
            gap = (y.double() - full.double()).abs()
            found.append(
                gap.reshape(len(gap), -1).amax(1) if self.subject.per_step else gap.amax()[None]
            )
        return torch.cat(found)

    def changed(self, outputs: Sequence[Tensor]) -> Tensor | None:
        """Say which decisions are others.

        Args:
            outputs: Other outputs.

        Returns:
            The share of changed decisions, [N] or [Q] as `errors`; None where nothing is decided.
        """
        if self.decided is None or self.decision is None:
            return None
        found = []
        for y, full in zip(outputs, self.decided, strict=True):
            other = (decide(y, self.decision) != full).double()
            found.append(
                other.reshape(len(other), -1).mean(1)
                if self._by_step(other, y)
                else other.mean()[None]
            )
        return torch.cat(found)

    def margins(self) -> Tensor | None:
        """Give how far each decision is from being another.

        Returns:
            The least move of an output that can change it, for each decision; None where it is
            made by a function, or none is.
        """
        if self.decision is None or callable(self.decision):
            return None
        if self.decision == "argmax":
            tops = [y.double().topk(2, -1).values for y in self.full]
            return torch.cat([((t[..., 0] - t[..., 1]) / 2).flatten() for t in tops])
        return torch.cat([(y.double() - self.decision).abs().flatten() for y in self.full])

    def _by_step(self, decided: Tensor, y: Tensor) -> bool:
        """Say whether there is a decision for each step."""
        return self.subject.per_step and decided.dim() > 0 and len(decided) == len(y)

    def score(self, outputs: list[Tensor]) -> float | None:
        """Give the task's score.

        Args:
            outputs: Outputs of all sequences.

        Returns:
            The metric of them, as a block where all have the same shape; None without a metric.
        """
        if self.metric is None:
            return None
        same = len({y.shape for y in outputs}) == 1
        return float(self.metric(torch.stack(outputs) if same else outputs))  # type: ignore[arg-type]


def decide(y: Tensor, decision: Decision) -> Tensor:
    """Decide by outputs.

    Args:
        y: The outputs of a sequence.
        decision: "argmax" over the last axis, a threshold that the outputs exceed or not, or a
            function of the outputs.

    Returns:
        The decisions.

    Raises:
        InputError: The decision is no known one, or there are not two outputs to choose among.
    """
    if callable(decision):
        return torch.as_tensor(decision(y))
    if isinstance(decision, (int, float)) and not isinstance(decision, bool):
        return y > decision
    _check.known_name(str(decision), ["argmax"], "decision")
    if y.dim() == 0 or y.shape[-1] < 2:
        raise InputError(
            f"expected two outputs or more to choose among, got the shape {list(y.shape)}. For one "
            "output give a threshold as decision."
        )
    return y.argmax(-1)


@torch.no_grad()
def see_outputs(
    subject: Subject,
    reference: Reference,
    decision: Decision | None = None,
    metric: Metric | None = None,
) -> Outputs:
    """Take a model's outputs on all of its inputs.

    Args:
        subject: The model.
        reference: Its run.
        decision: How it is decided by its outputs.
        metric: The task's score of all outputs.

    Returns:
        The outputs.

    Raises:
        InputError: An output is not finite, or the outputs are not as many as the steps.
    """
    full = subject.finish(reference)
    lengths = subject.sequences.lengths.tolist()
    if subject.per_step and [len(y) for y in full] != lengths:
        raise InputError(
            f"expected one output for each of {lengths[:3]} steps, got "
            f"{[len(y) for y in full[:3]]}."
        )
    for y in full:
        _check.finite(y, "the model's outputs")
    decided = None if decision is None else [decide(y, decision) for y in full]
    return Outputs(subject, full, decided, _pointwise(subject, reference, full), decision, metric)


def _pointwise(subject: Subject, reference: Reference, full: list[Tensor]) -> bool:
    """Move the recurrence's output at every other step: do outputs in between stay?"""
    if not subject.per_step:
        return False
    generator = torch.Generator().manual_seed(0)
    moved = torch.rand(len(reference.y), generator=generator).to(reference.y.device) < 0.5
    by = 0.1 * reference.y.std().clamp(min=1e-3)
    y = torch.where(moved[:, None], reference.y + by, reference.y)
    other = subject.finish(Reference(reference.states, y, reference.last, reference.lengths))
    # A recurrence that reads from the end has its outputs turned around.
    turned = subject.sequences.split(moved)
    if subject.recurrence.reverse:
        turned = [part.flip(0) for part in turned]
    gaps = [(a - b).abs().reshape(len(a), -1).amax(1) for a, b in zip(other, full, strict=True)]
    stayed = torch.cat(gaps)[~torch.cat(turned)]
    size = max(float(y.abs().max()) for y in full)
    return not len(stayed) or float(stayed.max()) <= 1e-5 * max(1.0, size)
