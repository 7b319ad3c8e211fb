"""The bidirectional models by name: what they are made of, and how many numbers they have."""

import itertools

import pytest
import torch

from unrecur import InputError, Spec, build, load_model, save_model
from unrecur.cells import GRU
from unrecur.models.bidirectional import bidirectional, bidirectional_parameters


def test_parameters_are_counted_as_built():
    for cell, layers, tokens, options in itertools.product(
        ("lstm", "gru", "elman", "lru"), (1, 3), (True, False), ({}, {"dropout": 0.1})
    ):
        options = options | {"in_features": 5, "out_features": 2, "hidden": 4}
        options |= {"layers": layers, "tokens": tokens}
        built = sum(p.numel() for p in bidirectional(cell, **options).parameters())
        assert bidirectional_parameters(cell, **options) == built


def test_it_has_as_many_parameters_as_torchs():
    """Two layers of 512 units a direction on 88 features, beside the readout."""
    theirs = torch.nn.LSTM(88, 512, 2, bidirectional=True, device="meta")
    ours = bidirectional_parameters("lstm", in_features=88, out_features=88, hidden=512, layers=2)
    assert ours - 1025 * 88 == sum(p.numel() for p in theirs.parameters())


def test_a_cell_that_shows_less_than_its_units_is_stacked():
    options = {"in_features": 5, "out_features": 2, "hidden": 4, "layers": 2, "projection": 3}
    model = bidirectional("projected_lstm", **options)
    assert model(torch.randn(2, 6, 5))[0].shape == (2, 6, 2)
    built = sum(p.numel() for p in model.parameters())
    assert bidirectional_parameters("projected_lstm", **options) == built


@pytest.mark.parametrize("name", ["bidirectional_lstm", "bidirectional_gru"])
def test_a_saved_model_is_loaded_exactly(name, tmp_path):
    torch.manual_seed(0)
    options = {"in_features": 6, "out_features": 2, "hidden": 4, "layers": 2, "tokens": True}
    spec = Spec(name, options)
    model = spec.build().eval()
    save_model(tmp_path / "m.safetensors", spec, model)
    again, loaded = load_model(tmp_path / "m.safetensors")
    x, lengths = torch.tensor([[1, 2, 3], [5, -1, -1]]), torch.tensor([3, 1])
    assert again == spec
    y, same = model(x, None, lengths)[0], loaded(x, None, lengths)[0]
    assert torch.equal(y[0], same[0])
    assert torch.equal(y[1, :1], same[1, :1])


@pytest.mark.parametrize("tokens", [False, True])
def test_all_cells_start_as_told(tokens):
    options = {"in_features": 6, "out_features": 2, "hidden": 4, "layers": 2, "tokens": tokens}
    options |= {"initialization": "chrono", "initialization_options": {"longest": 100}}
    torch.manual_seed(0)
    model = bidirectional("gru", **options)
    cells = [part for part in model.modules() if isinstance(part, GRU)]
    assert len(cells) == 4
    for cell in cells:
        keeps = (cell.bias_ih_l0 + cell.bias_hh_l0).chunk(3)[1]
        assert keeps.min() >= 0  # log of a time between 1 and 99, and not a draw around 0
        assert keeps.max() > 1
    built = sum(p.numel() for p in model.parameters())
    assert bidirectional_parameters("gru", **options) == built


def test_bad_options_are_refused():
    sizes = {"in_features": 3, "out_features": 2, "hidden": 4}
    with pytest.raises(InputError, match="Did you mean 'lstm'"):
        bidirectional("lsmt", **sizes)
    with pytest.raises(InputError, match="Did you mean 'chrono'"):
        bidirectional("lstm", **sizes, initialization="chorno")
    with pytest.raises(InputError, match="layers"):
        build("bidirectional_gru", **sizes, layers=0)
    with pytest.raises(InputError, match="dropout"):
        build("bidirectional_gru", **sizes, dropout=1.5)
