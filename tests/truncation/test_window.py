"""The truncated model against the slow, obvious version, and its error against the bound."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacking import examples
from cases import FEATURES, SPECS
from unrecur import InputError, certify, output_bound, project_, truncate
from unrecur.cells import GRU, LSTM, Elman
from unrecur.certificates.certificate import Evidence, unknown
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.convolution import CausalConvolution
from unrecur.layers.recurrent import Recurrent
from unrecur.models.spec import Spec
from unrecur.truncation.bound import least_window
from unrecur.truncation.window import Window


def windows_one_by_one(model, x, k):
    """y_t of the model run afresh on x_{t-k+1..t}."""
    outputs = [model(x[:, max(0, t - k + 1) : t + 1])[0][:, -1] for t in range(x.shape[1])]
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("name", ["lstm", "gru", "elman", "mgu", "tcn"])
@pytest.mark.parametrize("k", [1, 2, 5, 9, 40])
def test_a_window_is_the_model_on_the_last_k_inputs(name, k):
    torch.manual_seed(0)
    model = SPECS[name].build().double().eval()
    x = torch.randn(3, 9, FEATURES, dtype=torch.float64)
    torch.testing.assert_close(Window(model, k)(x)[0], windows_one_by_one(model, x, k))


def test_a_window_as_long_as_the_sequence_is_the_model():
    torch.manual_seed(0)
    model = SPECS["lstm"].build().double().eval()
    x = torch.randn(2, 12, FEATURES, dtype=torch.float64)
    torch.testing.assert_close(Window(model, 12)(x)[0], model(x)[0])


def stable(cell, rate=0.8):
    model = Serial(Recurrent([cell]), Pointwise(torch.nn.Linear(cell.hidden_size, 3), 6, 3)).eval()
    project_(model, (0, 1), rate)
    return model


@pytest.mark.slow
@examples(fixed=12, search=1000)
@given(
    make=st.sampled_from([LSTM, Elman]),
    seed=st.integers(0, 10_000),
    rate=st.floats(0.3, 0.95),
    size=st.floats(0.5, 8.0),
    k=st.integers(1, 12),
)
def test_no_output_errs_above_its_bound(make, seed, rate, size, k):
    torch.manual_seed(seed)
    cell = make(4, 6)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(size)
    model = stable(cell, rate)
    certificate = certify(model, (0, 1))
    assert certificate.evidence is Evidence.PROVED
    x = torch.rand(32, 40, 4)
    x[:16] = x[:16].round()
    with torch.no_grad():
        error = (Window(model, k)(x)[0].double() - model(x)[0].double()).abs().max()
    assert float(error) <= output_bound(model, certificate, k)


def test_the_error_falls_at_least_as_fast_as_the_rate():
    torch.manual_seed(1)
    model = stable(LSTM(4, 6).double(), 0.7).double()
    x = torch.rand(16, 60, 4, dtype=torch.float64)
    with torch.no_grad():
        full = model(x)[0]
        errors = [float((Window(model, k)(x)[0] - full).abs().max()) for k in (2, 6, 10, 14)]
    slopes = [math.log(b / a) / 4 for a, b in pairwise(errors)]
    assert all(slope <= math.log(certify(model, (0, 1)).rate) for slope in slopes)


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-4])
def test_the_least_window_is_the_least(eps):
    torch.manual_seed(0)
    model = stable(LSTM(4, 6), 0.9).double()
    certificate = certify(model, (0, 1))
    k = truncate(model, eps=eps, input_box=(0, 1)).k
    assert output_bound(model, certificate, k) <= eps
    assert k == 1 or output_bound(model, certificate, k - 1) > eps


def test_an_error_below_rounding_is_refused():
    torch.manual_seed(0)
    model = stable(LSTM(4, 6), 0.9)
    with pytest.raises(InputError, match="no window is proved"):
        truncate(model, eps=1e-12, input_box=(0, 1))


def test_a_model_without_proof_is_not_truncated_to_an_error():
    model = Serial(Recurrent([LSTM(3, 4)]), CausalConvolution(4, 2, 2)).eval()
    with pytest.raises(InputError, match="no rule"):
        truncate(model, eps=0.1, input_box=(0, 1))
    assert output_bound(model, unknown("none"), 5) == math.inf


def test_a_head_that_is_no_linear_map_has_no_bound():
    cell = LSTM(4, 6)
    project_(cell, (0, 1), 0.8)
    certificate = certify(cell, (0, 1))
    head = Pointwise(torch.nn.Sequential(torch.nn.Linear(6, 2), torch.nn.Softmax(-1)), 6, 2)
    assert output_bound(Serial(Recurrent([cell]), head), certificate, 5) == math.inf
    bare = output_bound(Recurrent([cell]), certificate, 5)
    assert bare == float(certificate.output(5).max()) <= certificate.bound(5)


@pytest.mark.parametrize("nest", ["inner", "outer", "twice"])
def test_nested_models_are_bounded_as_flat_ones(nest):
    """A readout hidden in an inner `Serial` enters the bound."""
    torch.manual_seed(0)
    flat = stable(LSTM(4, 6), 0.9)
    layer, head = flat.models
    with torch.no_grad():
        head.module.weight.mul_(10)
    drop = Pointwise(torch.nn.Dropout(0.1), 3)
    nested = {
        "inner": Serial(Serial(layer, head), drop),
        "outer": Serial(layer, Serial(head, drop)),
        "twice": Serial(Serial(Serial(layer), head)),
    }[nest].eval()
    certificate = certify(nested, (0, 1))
    assert certificate == certify(flat, (0, 1))
    assert output_bound(nested, certificate, 5) == output_bound(flat, certificate, 5)
    project_(nested, (0, 1), 0.5)
    assert certify(nested, (0, 1)).rate <= 0.5
    squashed = Serial(layer, head, Pointwise(torch.nn.Tanh(), 3))
    two_maps = Serial(squashed, Pointwise(torch.nn.Linear(3, 3), 3)).eval()
    x = torch.rand(32, 30, 4).round()
    with torch.no_grad():
        error = float((Window(two_maps, 5)(x)[0] - two_maps(x)[0]).abs().max())
    assert error <= output_bound(two_maps, certify(two_maps, (0, 1)), 5) < math.inf


def test_what_is_not_a_layer_under_maps_is_not_bounded():
    certificate = certify(stable(LSTM(4, 6)), (0, 1))
    assert output_bound(SPECS["tcn"].build(), certificate, 5) == math.inf


def test_a_map_with_memory_behind_the_layer_is_not_bounded():
    torch.manual_seed(0)
    model = Serial(Recurrent([LSTM(4, 6)]), Recurrent([GRU(6, 2)]))
    assert certify(model, (0, 1)).evidence is Evidence.UNKNOWN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either k"),
        ({"k": 3, "eps": 0.1}, "either k"),
        ({"eps": 0.1}, "input_box"),
        ({"k": 0}, "k must be"),
        ({"k": True}, "k must be"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    model = SPECS["lstm"].build()
    with pytest.raises(InputError, match=message):
        truncate(model, **arguments)


def test_eps_must_be_a_positive_number():
    model = stable(LSTM(4, 6))
    for eps in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="eps"):
            least_window(model, certify(model, 1.0), eps)


def test_gradients_reach_the_last_k_inputs_only():
    torch.manual_seed(0)
    model = Spec("lstm", {"in_features": 3, "out_features": 1, "hidden": 4}).build().eval()
    x = torch.randn(1, 10, 3, requires_grad=True)
    Window(model, 4)(x)[0][0, -1].sum().backward()
    seen = x.grad[0].abs().sum(1) > 0
    assert seen.tolist() == [False] * 6 + [True] * 4
