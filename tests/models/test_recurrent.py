"""The recurrent builder: what it passes on to its cells, and its count of parameters."""

import pytest
import torch

from unrecur import InputError, build
from unrecur.cells import CELLS
from unrecur.models import MODELS

SIZES = {"in_features": 3, "out_features": 2, "hidden": 5}
OPTIONS = {
    "elman": [{"activation": "relu"}, {"bias": False}],
    "projected_lstm": [{"projection": 2}, {"projection": 4, "bias": False}],
    "diagonal_ssm": [{"modes": 1}, {"modes": 5}, {}],
    "lru": [{}, {"r_min": 0.5}],
}


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_parameters_are_counted(name, layers, tokens):
    for options in OPTIONS.get(name, [{}, {"bias": False}]):
        given = SIZES | options | {"layers": layers, "tokens": tokens, "dropout": 0.1}
        model = build(name, **given)
        assert sum(p.numel() for p in model.parameters()) == MODELS[name].parameters(**given)


@pytest.mark.usefixtures("unchecked")
def test_an_activation_is_reached_by_name():
    (cell, *_) = build("elman", activation="leaky_relu", **SIZES).models[0].cells
    assert cell.activation == "leaky_relu"
    with pytest.raises(InputError, match="Did you mean 'relu'"):
        build("elman", activation="rele", **SIZES)


def test_a_projected_layer_reads_what_the_one_below_shows():
    model = build("projected_lstm", layers=3, projection=2, **SIZES)
    assert [cell.input_size for cell in model.models[0].cells] == [3, 2, 2]
    y, state = model(torch.randn(4, 6, 3))
    assert y.shape == (4, 6, 2)
    assert [h.shape for h in state[0]] == [(4, 7)] * 3
    with pytest.raises(InputError, match="projection"):
        build("projected_lstm", **SIZES)
