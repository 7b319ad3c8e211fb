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

    def estimate(self, seconds: float, tuning: int, final: int) -> None:
        """Hear about how long it will take, if one worker does it.

        Args:
            seconds: How long.
            tuning: How many trials are left that tune.
            final: How many final trials are left.
        """

    def count(self, finished: int, running: int) -> None:
        """Hear how many trials are finished and running, over all workers.

        Args:
            finished: All that are finished.
            running: All that run.
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

    def tuned(self, model: str, number: int, value: float | None) -> None:
        """Hear that a setting was tried.

        Args:
            model: Of which recipe.
            number: Which one, from 0.
            value: The validation metric; None where it was given up.
        """

    def failed(self, model: str, reason: str) -> None:
        """Hear that a trial has failed, or that a recipe is left out.

        Args:
            model: The name of the recipe.
            reason: Why.
        """
