"""What all tests share."""

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)  # tests run in parallel processes


@pytest.fixture
def unchecked():
    """Turn the checker of annotations off, so that our own errors answer to a wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
