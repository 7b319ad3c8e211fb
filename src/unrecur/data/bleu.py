"""BLEU: how much of a translation stands in the reference."""

from typing import Any

import torch

from unrecur import _check
from unrecur.core.model import AbstractSequenceModel
from unrecur.data.running import evaluation_batches, start_state
from unrecur.data.sequences import Split
from unrecur.data.task import Task
from unrecur.data.tokenizer import AbstractTokenizer
from unrecur.models.decoding import greedy

MORE = 10  # tokens that a translation may have beyond twice those of its source


class Bleu:
    """Corpus BLEU (Papineni et al. 2002) of greedy translations, by sacrebleu (Post 2018).

    The references are the targets of the task, as text: byte pairs give back what they were made
    of. A translation is cut where it has twice as many tokens as its source and 10 more. A model
    that reads no source (an n-gram) translates every one alike, for comparison.

    Args:
        tokenizer: That of the target; <s> and </s> have the two ids behind its own.

    Attributes:
        signature: How sacrebleu computes it: number of references, case, tokens, smoothing,
            version.
    """

    def __init__(self, tokenizer: AbstractTokenizer) -> None:
        self.tokenizer = tokenizer
        self.start, self.end = tokenizer.size, tokenizer.size + 1
        _, self.signature = corpus_bleu(["a"], ["a"])

    def __call__(
        self, model: AbstractSequenceModel, task: Task, split: Split, metric: float
    ) -> float:
        """Give BLEU, from 0 to 100; see `Score`."""
        pairs = self.translations(model, task, split)
        score, _ = corpus_bleu([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
        return score

    @torch.no_grad()
    def translations(
        self, model: AbstractSequenceModel, task: Task, split: Split
    ) -> list[tuple[str, str]]:
        """Translate a split.

        Args:
            model: The model; put into evaluation mode.
            task: The task.
            split: Which split.

        Returns:
            Each translation with its reference, in the order of the split.

        Raises:
            InputError: The task has no sources.
        """
        model.eval()
        found: dict[int, tuple[str, str]] = {}
        for batch in evaluation_batches(model, task, split):
            if batch.source_lengths is None:
                raise _check.InputError(f"task '{task.name}' has nothing to translate.")
            most = 2 * batch.source_lengths + MORE
            decoded = greedy(
                model,
                start_state(model, batch, None),
                start=batch.x[:, :1],
                end=self.end,
                max_length=int(most.max()),
            )
            # Each row by its own bound, so that its neighbours in the batch do not matter.
            lengths = torch.minimum(decoded.lengths.cpu(), most)
            for row, number in enumerate(batch.index.tolist()):
                _, target = task.pair(split, number)
                ours = decoded.tokens[row, : int(lengths[row])].tolist()
                found[number] = self._text(ours), self._text(target.tolist())
        return [found[number] for number in sorted(found)]

    def _text(self, ids: list[int]) -> str:
        """Give the text of ids, without marks."""
        return self.tokenizer.decode([i for i in ids if i < self.tokenizer.size]).strip()


def corpus_bleu(translations: list[str], references: list[str]) -> tuple[float, str]:
    """Compute corpus BLEU with sacrebleu's standard settings.

    Args:
        translations: What a model gave.
        references: What was to be given, one for each.

    Returns:
        BLEU from 0 to 100, and the signature that says how it was computed.

    Raises:
        InputError: sacrebleu is not installed.
    """
    metric: Any = _check.extra("sacrebleu.metrics", "text").BLEU()
    score = metric.corpus_score(translations, [references]).score
    return float(score), str(metric.get_signature())
