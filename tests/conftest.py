"""What all tests share."""

import jaxtyping
import pytest
import torch
from hypothesis import settings

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
