"""Snips: spoken commands, with slots and an intent each (Coucke et al. 2018, arXiv 1805.10190)."""

from pathlib import Path

from unrecur.data.places import find
from unrecur.data.tagged_text import WORDS
from unrecur.data.tagging import intent_task, tagging_task
from unrecur.data.task import Published, Task

CHEN = "Chen, Zhuo, Wang 2019, arXiv 1902.10909, table 2"
GOO = "Goo et al. 2018, NAACL, aclanthology.org/N18-2118"


def snips(data_dir: Path | None = None) -> Task:
    """Load the slots of spoken commands.

    Args:
        data_dir: The folder with `train`, `dev` and `test`, or the one above it.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed.
    """
    published = (
        Published(0.970, "entity F1", "Joint BERT, pretrained", CHEN),
        Published(0.888, "entity F1", "slot-gated bidirectional LSTM with attention", GOO),
    )
    return tagging_task(
        "snips", "Snips, slots of spoken commands", *_snips(data_dir), published=published
    )


def snips_intent(data_dir: Path | None = None) -> Task:
    """Load the intents of spoken commands.

    Args:
        data_dir: The folder with `train`, `dev` and `test`, or the one above it.

    Returns:
        The task.

    Raises:
        InputError: A file is missing or malformed.
    """
    published = (
        Published(0.986, "accuracy", "Joint BERT, pretrained", CHEN),
        Published(0.970, "accuracy", "slot-gated bidirectional LSTM with attention", GOO),
    )
    return intent_task(
        "snips-intent", "Snips, intents of spoken commands", *_snips(data_dir), published=published
    )


def _snips(data_dir: Path | None) -> tuple[Path, Path, Path]:
    """Find the folders of the three splits."""
    train, valid, test = (
        find(data_dir, "snips", f"{folder}/{WORDS}").parent for folder in ("train", "dev", "test")
    )
    return train, valid, test
