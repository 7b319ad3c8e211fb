"""Who wants to know how a study goes."""

from typing import Any

from unrecur.train.checkpoint import Progress


class Listener:
    """Hears what a study does; this one keeps it to itself."""

    def start(self, trials: int, finished: int) -> None:
        """Hear how many trials there are.

        Args:
            trials: All of them.
            finished: Those that an earlier run of the study has finished.
        """

    def begin(self, model: str, seed: int) -> None:
        """Hear that a trial begins.

        Args:
            model: Its model.
            seed: Its seed.
        """

    def train(self, progress: Progress, batches: int, epochs: int) -> None:
        """Hear how far a model's training has come.

        Args:
            progress: How far.
            batches: The number of batches in an epoch.
            epochs: The largest number of epochs.
        """

    def stage(self, what: str) -> None:
        """Hear what is done after training.

        Args:
            what: In a few words.
        """

    def end(self, row: dict[str, Any]) -> None:
        """Hear that a trial is finished.

        Args:
            row: What it found.
        """
