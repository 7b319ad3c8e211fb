"""Linear autoregression against known processes and numpy's least squares."""

import numpy as np
import pytest
import torch

from unrecur import InputError, build


def process(coefficients, time, noise, seed=0):
    """x_t = sum_j a_j x_(t-j) + noise."""
    generator = torch.Generator().manual_seed(seed)
    shocks = noise * torch.randn(time, generator=generator, dtype=torch.float64)
    x = torch.zeros(time, dtype=torch.float64)
    for t in range(time):
        x[t] = shocks[t] + sum(a * x[t - j] for j, a in enumerate(coefficients, 1) if t >= j)
    return x[:, None]


def test_known_coefficients_are_found():
    x = process([0.6, -0.3, 0.2], 20_000, 1.0)
    model = build("autoregression", in_features=1, out_features=1, order=3).double()
    model.fit([(x[:-1], x[1:])])
    weight = model.convolution.weight[0, 0].flip(0)
    torch.testing.assert_close(weight, torch.tensor([0.6, -0.3, 0.2]).double(), rtol=0, atol=0.02)
    assert abs(float(model.convolution.bias)) < 0.03


def test_without_noise_they_are_exact():
    torch.manual_seed(0)
    x = torch.randn(200, 2, dtype=torch.float64)
    exact = build("autoregression", in_features=2, out_features=3, order=4).double()
    model = build("autoregression", in_features=2, out_features=3, order=4, ridge=0.0).double()
    model.fit([(part, exact(part[None])[0][0]) for part in x.split(50)])
    for name, weight in exact.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_it_is_ridge_regression(ridge):
    torch.manual_seed(0)
    x, y = torch.randn(40, 2).double(), torch.randn(40, 1).double()
    model = build("autoregression", in_features=2, out_features=1, order=3, ridge=ridge).double()
    model.fit([(x, y)])
    rows = np.array(
        [
            np.concatenate([[1.0], *(x[t - j] if t >= j else np.zeros(2) for j in range(3))])
            for t in range(40)
        ]
    )
    extra = np.sqrt(ridge * 40) * np.eye(7)
    extra[0] = 0
    solved = np.linalg.lstsq(
        np.concatenate([rows, extra]), np.concatenate([y.numpy()[:, 0], np.zeros(7)]), rcond=None
    )[0]
    outputs = model(x[None])[0][0, :, 0].detach().numpy()
    assert outputs == pytest.approx(rows @ solved, abs=1e-9)


def test_features_that_never_change_do_no_harm():
    model = build("autoregression", in_features=2, out_features=1, order=2, ridge=0.0)
    x = torch.cat([torch.randn(30, 1), torch.zeros(30, 1)], 1)
    model.fit([(x, x[:, :1])])
    torch.testing.assert_close(model(x[None])[0][0], x[:, :1], rtol=0, atol=1e-5)


def test_unknown_targets_are_seen_but_not_fitted():
    torch.manual_seed(0)
    x = torch.randn(60, 2).double()
    exact = build("autoregression", in_features=2, out_features=2, order=3).double()
    y = exact(x[None])[0][0].clone()
    y[:10], y[30, 1] = torch.nan, torch.nan
    model = build("autoregression", in_features=2, out_features=2, order=3, ridge=0.0).double()
    model.fit([(x, y)])
    torch.testing.assert_close(model(x[None])[0], exact(x[None])[0], rtol=0, atol=1e-9)
    with pytest.raises(InputError, match="known targets"):
        model.fit([(x, torch.full_like(y, torch.nan))])


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused():
    for ridge in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="ridge"):
            build("autoregression", in_features=1, out_features=1, order=1, ridge=ridge)
    model = build("autoregression", in_features=1, out_features=1, order=1)
    with pytest.raises(InputError, match="at least one sequence"):
        model.fit([])
    with pytest.raises(InputError, match="NaN"):
        model.fit([(torch.full((3, 1), torch.nan), torch.ones(3, 1))])
    with pytest.raises(InputError, match="expected 1 features"):
        model.fit([(torch.ones(3, 2), torch.ones(3, 1))])
    with pytest.raises(InputError, match="3 inputs and 2 targets"):
        model.fit([(torch.ones(3, 1), torch.ones(2, 1))])
