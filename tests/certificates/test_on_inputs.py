"""Proofs on given inputs under attack: any past, the same last inputs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import CELLS
from unrecur.cells import GRU, LSTM, Elman
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.on_inputs import certify_on
from unrecur.core.compose import Pointwise, Serial
from unrecur.layers.embedding import Embedding, readout
from unrecur.layers.recurrent import Recurrent
from unrecur.truncation.window import Window

KINDS = sorted(CELLS)


def scaled(model, size):
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "log" not in name:
                weight.mul_(size)
    return model.eval()


def outputs(model, x):
    with torch.no_grad():
        return model(x)[0].double()


@settings(max_examples=25)
@given(
    kind=st.sampled_from(KINDS),
    units=st.integers(1, 6),
    size=st.floats(0.1, 2.0),
    method=st.sampled_from(["interval", "zonotope"]),
    double=st.booleans(),
    k=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_no_past_breaks_the_bound(kind, units, size, method, double, k, seed):
    torch.manual_seed(seed)
    model = Serial(Recurrent([CELLS[kind](2, units)]), readout(units, 3))
    model = scaled(model.double() if double else model, size)
    dtype = torch.float64 if double else torch.float32
    x = torch.rand(2, 14, 2, dtype=dtype) * 2 - 1
    proof = certify_on(model, x, k, (-1.0, 1.0), horizon=40, method=method)
    if proof.evidence is Evidence.UNKNOWN:
        assert math.isinf(proof.bound(k))
        return
    short = outputs(Window(model, k), x)[:, k - 1 :]
    for past in (torch.rand(2, 20, 2), torch.ones(2, 20, 2), -torch.ones(2, 20, 2)):
        past = past.to(dtype) if past.min() < 0 or past.max() == 1 else past.to(dtype) * 2 - 1
        full = outputs(model, torch.cat([past, x], 1))[:, 20 + k - 1 :]
        # The first window starts at x's start: only the full run has seen the past.
        window = outputs(model, x[:, :k])[:, -1:]
        assert ((full[:, :1] - window).abs().amax(-1) <= proof.error[:, :1]).all()
        assert ((full - short).abs().amax(-1)[:, 1:] <= proof.error[:, 1:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_any_state_of_the_box_is_covered(kind):
    """Start the full run from corners of the reachable box instead of from a past."""
    from unrecur.certificates.reach import Reach

    torch.manual_seed(0)
    cell = scaled(CELLS[kind](2, 5).double(), 0.7)
    x = torch.rand(1, 9, 2).double()
    proof = certify_on(cell, x, 9, (0.0, 1.0), horizon=100)
    one = torch.ones(1, 2).double()
    reach = Reach(cell, 0 * one, one, 100)
    for trial in range(20):
        corner = (
            torch.rand(len(reach.low)).double().round() if trial else torch.ones(len(reach.low))
        )
        h, zero = reach.low + (reach.high - reach.low) * corner, torch.zeros_like(reach.low)
        h, zero = h[None], zero[None]
        for j in range(9):
            with torch.no_grad():
                h, zero = cell.phi(h, x[:, j]), cell.phi(zero, x[:, j])
                gap = float((cell.readout(h) - cell.readout(zero)).abs().max())
            assert gap <= proof.bound(j + 1)


def test_the_curve_speaks_of_every_window_and_steps_reads_it():
    torch.manual_seed(0)
    model = scaled(Recurrent([LSTM(2, 8), GRU(8, 4)]).double(), 0.3)
    x = torch.rand(3, 40, 2).double()
    proof = certify_on(model, x, 30)
    for j in (1, 7, 30):
        assert proof.bound(j) == pytest.approx(float(certify_on(model, x, j).error.max()))
    eps = proof.bound(20) * 1.01
    k = proof.steps(eps)
    assert proof.bound(k) <= eps < proof.bound(k - 1)
    assert proof.steps(1e-30) is None


def test_it_reaches_where_no_rule_on_weights_does():
    """Gates that a wide past may open, but these inputs do not."""
    from unrecur.certificates.contraction import certify

    torch.manual_seed(0)
    cell = LSTM(1, 6).double()
    with torch.no_grad():
        cell.weight_ih_l0[6:12] = 8.0
    assert certify(cell, 1.0).evidence is Evidence.UNKNOWN
    proof = certify_on(cell, -torch.ones(1, 30, 1).double(), 30, 1.0, horizon=1000)
    assert proof.bound(30) < 1e-6


def test_a_zonotope_is_never_wider_and_narrower_where_signs_cancel():
    torch.manual_seed(0)
    cell = Elman(1, 4).double()
    with torch.no_grad():
        q, _ = torch.linalg.qr(torch.randn(4, 4).double())
        cell.weight_hh_l0.copy_(0.6 * q)
    x = torch.rand(2, 30, 1).double()
    plain, tight = certify_on(cell, x, 20), certify_on(cell, x, 20, method="zonotope")
    assert (tight.curve <= plain.curve * (1 + 1e-9)).all()
    assert tight.bound(20) < 0.1 * plain.bound(20)


def test_tokens_are_looked_up():
    torch.manual_seed(0)
    model = Serial(Embedding(5, 3), Recurrent([LSTM(3, 6)]), readout(6, 5)).eval()
    x = torch.randint(5, (2, 40))
    proof = certify_on(model, x, 30)
    full = outputs(model, torch.cat([torch.randint(5, (2, 30)), x], 1))[:, 30:]
    short = outputs(Window(model, 30), x)
    assert ((full - short).abs().amax(-1)[:, 30:] <= proof.error[:, 1:]).all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (torch.nn.LSTM(2, 3, bidirectional=True), {}, "backward"),
        (torch.nn.Linear(2, 3), {}, "no rule for Linear"),
        (LSTM(2, 3), {"k": 0}, "k must be"),
        (LSTM(2, 3), {"k": 11}, "at most the length"),
        (LSTM(2, 3), {"method": "boxes"}, "unknown method"),
        (LSTM(3, 3), {}, "features"),
        (
            Serial(Recurrent([LSTM(2, 3)]), Pointwise(torch.nn.Softmax(-1), 3)),
            {},
            "Softmax behind the recurrence",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        certify_on(model, torch.rand(1, 10, 2), **{"k": 5, **options})


def test_an_unbounded_state_is_unknown_without_a_horizon():
    cell = LSTM(1, 2)
    torch.nn.init.constant_(cell.bias_hh_l0, 60.0)
    proof = certify_on(cell, torch.rand(1, 5, 1), 3)
    assert proof.evidence is Evidence.UNKNOWN
    assert proof.reasons
    assert proof.steps(0.1) is None
