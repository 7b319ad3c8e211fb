"""Context as a factor: is it the recurrence that helps, or the inputs that only it sees?

At the k inputs that a feed-forward model sees, two differences are told apart: its own from the
recurrent model truncated to the same k (the architecture), and that of the truncated from the full
recurrent model (the context beyond k).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from unrecur.core.model import AbstractSequenceModel
from unrecur.data.task import Task
from unrecur.studies.shorten import left_out, windowed_losses
from unrecur.studies.verdict import compare


def contexts(
    task: Task,
    windows: Mapping[str, tuple[int, np.ndarray]],
    recurrent: tuple[str, np.ndarray],
    models: Sequence[AbstractSequenceModel],
    confidence: float,
) -> list[dict[str, Any]]:
    """Compare feed-forward models with a recurrent one that sees as many inputs, and that with all.

    Args:
        task: The task.
        windows: For each feed-forward model how many inputs it sees, and the sums of its losses
            by seed and test sequence.
        recurrent: The recurrent model's name and losses.
        models: The recurrent model, by seed.
        confidence: Of all intervals together.

    Returns:
        One entry a feed-forward model whose k inputs are not all at every step, by k: JSON values.
    """
    name, full = recurrent
    steps = task.counted("test").astype(float)
    chosen = {
        ours: (k, losses)
        for ours, (k, losses) in sorted(windows.items(), key=lambda item: (item[1][0], item[0]))
        if left_out(task, "test", k) > 0
    }
    shared = 1 - (1 - confidence) / max(2 * len(chosen), 1)
    short = {k: windowed_losses(models, task, k) for k in {k for k, _ in chosen.values()}}
    entries = []
    for ours, (k, losses) in chosen.items():
        truncated, part = short[k]
        other = (f"{name} on {k} inputs", truncated)
        architecture = compare((ours, losses[:, part]), other, steps[part], shared)
        context = compare(other, (name, full[:, part]), steps[part], shared)
        keys = ("relative_difference", "low", "high")
        entries.append(
            {
                "k": k,
                "feed_forward": ours,
                "recurrent": name,
                "feed_forward_metric": architecture.feed_forward_metric,
                "truncated_metric": context.feed_forward_metric,
                "full_metric": context.recurrent_metric,
                "architecture": {key: asdict(architecture)[key] for key in keys},
                "context": {key: asdict(context)[key] for key in keys},
            }
        )
    return entries
