"""What all tests share."""

import jaxtyping
import pytest
import torch
from hypothesis import settings

from unrecur.solvers.costs import Cost

torch.set_num_threads(1)  # tests run in parallel processes
# The same examples in every run: what is found once is found again. Look further with
# `pytest --hypothesis-profile=search`.
settings.register_profile("search", deadline=None)
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture
def unchecked():
    """Turn the checker of annotations off, so that our own errors answer to a wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def cheap_rows(monkeypatch):
    """Let rows side by side cost next to nothing, so that no choice hangs on how busy we are."""
    cost = Cost((1, 256), (1e-3, 1.1e-3))
    monkeypatch.setattr("unrecur.solvers.chunked.cost_of", lambda _: cost)
    monkeypatch.setattr("unrecur.solvers.auto.cost_of", lambda _: cost)
