"""What is proved of hidden Markov filters, under attack by beliefs and observations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import InputError, certify, hmm_forgetting
from unrecur.cells.hidden_markov import HiddenMarkov
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.hidden_markov import (
    birkhoff_coefficient,
    dobrushin_coefficient,
    hilbert_diameter,
)


def drawn(states, sharpness, dtype, seed):
    """A filter whose transitions differ by up to a factor of about exp(2 sharpness)."""
    generator = torch.Generator().manual_seed(seed)
    cell = HiddenMarkov(states).to(dtype)
    logits = sharpness * (2 * torch.rand(states, states, generator=generator) - 1)
    cell.transition.data.copy_(logits.double().softmax(1))
    return cell


def beliefs(batch, states, dtype, generator):
    """Beliefs: certain ones, nearly certain ones, and ones in between."""
    found = torch.rand(batch, states, generator=generator, dtype=torch.float64)
    found = found ** (10 ** torch.linspace(-1, 2, batch).double())[:, None]
    found[: batch // 3] = torch.eye(states).double()[torch.arange(batch // 3) % states]
    return (found / found.sum(1, keepdim=True)).to(dtype)


SIZES = {
    "states": st.integers(2, 5),
    "sharpness": st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 4.0]),
    "seed": st.integers(0, 1000),
}


@settings(max_examples=60)
@given(**SIZES, spread=st.sampled_from([0.0, 0.3, 3.0, 30.0, 500.0]), double=st.booleans())
def test_no_observations_keep_two_filters_further_apart(states, sharpness, seed, spread, double):
    dtype = torch.float64 if double else torch.float32
    cell = drawn(states, sharpness, dtype, seed)
    certificate = hmm_forgetting(cell)
    if certificate.evidence is Evidence.UNKNOWN:
        assert sharpness == 4.0
        return
    generator = torch.Generator().manual_seed(seed)
    first, second = (beliefs(300, states, dtype, generator) for _ in range(2))
    second = second[torch.randperm(300, generator=generator)]
    for k in range(1, 9):
        x = spread * torch.randn(300, states, generator=generator, dtype=torch.float64)
        if k % 3 == 0:  # what brings the two beliefs as far apart as Bayes' rule can
            x = -(first.double() * second.double()).clamp(min=1e-300).log() / 2
        first, second = cell.phi(first, x.to(dtype)), cell.phi(second, x.to(dtype))
        gap = float((first.double() - second.double()).abs().max())
        assert gap <= certificate.bound(k) <= certificate.bound(k, "any")


def test_an_attack_by_gradient_stays_below_and_comes_near():
    """Beliefs and observations are moved to where two steps keep most; half of it is reached."""
    cell = drawn(2, 1.5, torch.float64, 3)
    certificate = hmm_forgetting(cell)
    torch.manual_seed(0)
    logits, x = (torch.randn(200, 2, 2, dtype=torch.float64).requires_grad_() for _ in range(2))
    climb = torch.optim.Adam([logits, x], lr=0.2)
    worst = 0.0
    for _ in range(150):
        first, second = logits.softmax(-1).unbind(1)
        for seen in x.unbind(1):
            first, second = cell.phi(first, seen), cell.phi(second, seen)
        gap = (first - second).abs().amax(-1)
        worst = max(worst, float(gap.detach().max()))
        climb.zero_grad()
        (-gap.log().sum()).backward()
        climb.step()
    assert 0.5 * certificate.bound(2) < worst <= certificate.bound(2)


@settings(max_examples=40)
@given(**SIZES)
def test_one_transition_contracts_hilberts_metric_by_tau(states, sharpness, seed):
    cell = drawn(states, sharpness, torch.float64, seed)
    tau, generator = birkhoff_coefficient(cell.transition), torch.Generator().manual_seed(seed)
    first, second = (
        torch.randn(300, states, generator=generator, dtype=torch.float64).mul(2).softmax(1)
        for _ in range(2)
    )

    def hilbert(p, q):
        ratio = p.log() - q.log()
        return ratio.amax(1) - ratio.amin(1)

    after = hilbert(first @ cell.transition, second @ cell.transition)
    assert (after <= tau * hilbert(first, second) + 1e-12).all()
    assert (after <= hilbert_diameter(cell.transition) + 1e-12).all()
    # What the certificate uses to come from the metric to probabilities.
    gap = (first - second).abs().sum(1) / 2
    assert (gap <= torch.tanh(hilbert(first, second) / 4) + 1e-12).all()


@settings(max_examples=40)
@given(**SIZES)
def test_without_observations_dobrushins_coefficient_bounds_the_prediction(states, sharpness, seed):
    transition = drawn(states, sharpness, torch.float64, seed).transition
    delta, generator = dobrushin_coefficient(transition), torch.Generator().manual_seed(seed)
    first, second = (beliefs(100, states, torch.float64, generator) for _ in range(2))
    apart = (first - second).abs().sum(1) / 2
    for k in range(1, 6):
        first, second = first @ transition, second @ transition
        assert ((first - second).abs().sum(1) / 2 <= delta**k * apart + 1e-12).all()
    assert delta <= birkhoff_coefficient(transition) + 1e-12


def test_observations_can_break_dobrushins_bound_but_not_birkhoffs():
    """A rare state that an observation speaks for: certainty is a step away from ignorance."""
    cell = HiddenMarkov(2).double()
    cell.transition.data.copy_(torch.tensor([[0.999, 0.001], [0.98, 0.02]]))
    first, second = torch.eye(2).double()
    for seen in (torch.zeros(2), torch.tensor([0.0, math.log(200.0)])):
        first, second = cell.phi(first, seen.double()), cell.phi(second, seen.double())
    gap = float((first - second).abs().max().detach())
    assert gap > dobrushin_coefficient(cell.transition) ** 2
    assert gap <= hmm_forgetting(cell).bound(2)


def test_coefficients_of_known_matrices():
    uniform, certain = torch.full((3, 3), 1 / 3).double(), torch.eye(3).double()
    assert dobrushin_coefficient(uniform) == birkhoff_coefficient(uniform) == 0
    assert dobrushin_coefficient(certain) == birkhoff_coefficient(certain) == 1
    two = torch.tensor([[0.7, 0.3], [0.4, 0.6]]).double()
    root = math.sqrt(0.3 * 0.4 / (0.7 * 0.6))
    assert birkhoff_coefficient(two) == pytest.approx((1 - root) / (1 + root))
    assert dobrushin_coefficient(two) == pytest.approx(0.3)
    never = torch.tensor([[0.7, 0.0, 0.3], [0.4, 0.0, 0.6], [0.5, 0.0, 0.5]]).double()
    assert birkhoff_coefficient(never) == pytest.approx(birkhoff_coefficient(two), abs=1e-12)


def test_a_filter_that_forgets_at_once_is_said_to():
    cell = drawn(3, 0.0, torch.float64, 0)
    certificate = hmm_forgetting(cell)
    assert certificate.rate < 1e-6
    assert certificate.bound(1) < 1e-6
    assert certificate.bound(0) >= 1


def test_certify_says_where_to_ask():
    certificate = certify(HiddenMarkov(3), 1.0)
    assert certificate.evidence is Evidence.UNKNOWN
    assert "hmm_forgetting" in certificate.failed[0]


def test_what_may_never_be_forgotten_is_unknown():
    cell = HiddenMarkov(2)
    cell.transition.data.copy_(torch.tensor([[0.9, 0.1], [0.0, 1.0]]))
    certificate = hmm_forgetting(cell)
    assert certificate.evidence is Evidence.UNKNOWN
    assert math.isinf(certificate.bound(5))
    assert "a transition is impossible" in certificate.reasons[0]


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_transition_matrix_is_refused():
    for rows in (torch.ones(2, 2), torch.tensor([[1.5, -0.5], [0.5, 0.5]]), torch.ones(1, 2) / 2):
        with pytest.raises(InputError, match="transition matrix"):
            dobrushin_coefficient(rows)
