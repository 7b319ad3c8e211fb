"""A small good file of each format, to be damaged."""

import json

import h5py
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn


def seeds(folder):
    """Write one file of each format.

    Args:
        folder: Where to.

    Returns:
        The paths.
    """
    torch.manual_seed(0)
    module = nn.GRU(2, 3, 2)
    torch.save(module.state_dict(), folder / "m.pt")
    save_file(module.state_dict(), folder / "m.safetensors")
    torch.jit.script(module).save(str(folder / "m.ts"))
    weights = {name: weight.detach().numpy() for name, weight in module.named_parameters()}
    np.savez(folder / "m.npz", **weights)
    _onnx(folder / "m.onnx")
    _nam(folder / "m.nam")
    with h5py.File(folder / "m.h5", "w") as file:
        for name, shape in {"kernel": (2, 12), "recurrent_kernel": (3, 12), "bias": (12,)}.items():
            file[f"model_weights/lstm/lstm/{name}:0"] = np.full(shape, 0.1, np.float32)
    _keras(folder / "m.keras", folder / "m.h5")
    return sorted(folder.glob("m.*"))


def _onnx(path):
    draw = np.random.default_rng(0).normal
    shapes = {"W": (1, 12, 2), "R": (1, 12, 3), "B": (1, 24)}
    held = [numpy_helper.from_array(draw(size=s).astype("f"), n) for n, s in shapes.items()]
    node = helper.make_node("LSTM", ["x", *shapes], ["y"], name="rnn", hidden_size=3)
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, None)] for name in ("x", "y")]
    graph = helper.make_graph([node], "g", *ends, initializer=held)
    onnx.save(helper.make_model(graph), path)


def _nam(path):
    config = {"input_size": 1, "hidden_size": 2, "num_layers": 1}
    count = 8 * 3 + 8 + 4 + 3
    model = {"architecture": "LSTM", "config": config, "weights": [0.1] * count}
    path.write_text(json.dumps(model))


def _keras(path, weights):
    import zipfile

    layer = {"class_name": "LSTM", "config": {"name": "lstm", "units": 3}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.write(weights, "model.weights.h5")
