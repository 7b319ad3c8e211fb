"""What the tests of exports share."""

import functools

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_registry():
    """Let torch read its table of ONNX functions once, not again for every export."""
    registration = pytest.importorskip("torch.onnx._internal.exporter._registration")
    registry = registration.ONNXRegistry
    once = functools.cache(registry.from_torchlib.__func__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "from_torchlib", classmethod(once))
        yield
