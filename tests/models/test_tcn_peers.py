"""The TCN against pytorch-tcn and keras-tcn, the same weights copied in."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from pytorch_tcn import TCN

from unrecur.models.tcn import tcn

OPTIONS = {"in_features": 3, "out_features": 5, "hidden": 5, "levels": 4, "kernel_size": 3}


def drawn():
    """A TCN of large random weights without a readout, so that its last features are seen."""
    torch.manual_seed(0)
    model = tcn(**OPTIONS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
        head = model.models[-1].module
        head.weight.copy_(torch.eye(5))
        head.bias.zero_()
    return model


def blocks_of(model):
    return list(model.models)[:-1]


def test_it_is_pytorch_tcns():
    ours = drawn()
    theirs = TCN(
        num_inputs=3,
        num_channels=[5] * 4,
        kernel_size=3,
        causal=True,
        use_norm="weight_norm",
        activation="relu",
        input_shape="NLC",
    ).eval()
    with torch.no_grad():
        for mine, block in zip(blocks_of(ours), theirs.network, strict=True):
            for a, b in ((mine.first, block.conv1), (mine.second, block.conv2)):
                b.parametrizations.weight.original0.copy_(a.magnitude)
                b.parametrizations.weight.original1.copy_(a.direction)
                b.bias.copy_(a.bias)
            if mine.shortcut is not None:
                block.downsample.weight.copy_(mine.shortcut.weight[..., None])
                block.downsample.bias.copy_(mine.shortcut.bias)
        x = torch.randn(2, 50, 3)
        y, expected = ours(x)[0], theirs(x)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


# keras-tcn imports tensorflow, and uses of it the Keras that comes with it alone: here that name is
# given to Keras itself, on torch.
KERAS = """
import sys, types
import keras, numpy as np
alias = types.ModuleType("tensorflow")
alias.keras = keras
backend = types.ModuleType("tensorflow.keras.backend")
backend.name_scope = keras.name_scope
sys.modules.update({
    "tensorflow": alias, "tensorflow.keras": keras, "tensorflow.keras.backend": backend,
    "tensorflow.keras.layers": keras.layers,
})
keras.backend = backend
from tcn import TCN

given = np.load(sys.argv[1])
layer = TCN(5, 3, dilations=(1, 2, 4, 8), use_skip_connections=False, return_sequences=True)
layer.build(given["x"].shape)
for level, block in enumerate(layer.residual_blocks):
    convolutions = [part for part in block.layers if isinstance(part, keras.layers.Conv1D)]
    for name, part in zip(("first", "second"), convolutions):
        part.set_weights([given[f"{level}.{name}.weight"], given[f"{level}.{name}.bias"]])
    if f"{level}.shortcut.weight" in given:
        block.shape_match_conv.set_weights(
            [given[f"{level}.shortcut.weight"], given[f"{level}.shortcut.bias"]]
        )
np.save(sys.argv[2], keras.ops.convert_to_numpy(layer(given["x"])))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("tcn") is None,
    reason="keras-tcn asks for tensorflow, which is not needed here: "
    "pip install --no-deps keras-tcn==3.5.7",
)
def test_it_is_keras_tcns(tmp_path):
    ours = drawn()
    x = torch.randn(2, 50, 3)
    given = {"x": x}
    for level, block in enumerate(blocks_of(ours)):
        for name in ("first", "second"):
            part = getattr(block, name)
            given[f"{level}.{name}.weight"] = part.weight.permute(2, 1, 0)
            given[f"{level}.{name}.bias"] = part.bias
        if block.shortcut is not None:
            given[f"{level}.shortcut.weight"] = block.shortcut.weight.T[None]
            given[f"{level}.shortcut.bias"] = block.shortcut.bias
    arrays = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in given.items()}
    np.savez(tmp_path / "given.npz", **arrays)
    settings = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path)}
    files = [str(tmp_path / "given.npz"), str(tmp_path / "y.npy")]
    run = subprocess.run(
        [sys.executable, "-c", KERAS, *files], env=settings, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    expected = torch.as_tensor(np.load(tmp_path / "y.npy"))
    y = ours(x)[0].detach()
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
