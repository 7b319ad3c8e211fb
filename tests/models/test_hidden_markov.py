"""The hidden Markov model against hmmlearn, and its memory against what is proved."""

import sys

import numpy as np
import pytest
import torch
from hmmlearn import _hmmc, hmm

import unrecur
from unrecur import CorruptFileError, InputError, Spec, build, load_model, save_model
from unrecur.audits.memory import memory_curve
from unrecur.cells.hidden_markov import HiddenMarkov
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.hidden_markov import hmm_forgetting
from unrecur.data.task import Task
from unrecur.interop.read import read_recurrences

TOKENS, STATES = 4, 3


def sampled(emission, count, time):
    """Sequences of a known model of hmmlearn."""
    if emission == "categorical":
        theirs = hmm.CategoricalHMM(STATES, random_state=0)
        theirs.emissionprob_ = np.array(
            [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1], [0, 0, 0.5, 0.5]]
        )
    else:
        theirs = hmm.GaussianHMM(STATES, "diag", random_state=0)
        theirs.means_ = np.array([[0.0, 1.0], [2.0, -1.0], [-2.0, 0.0]])
        theirs.covars_ = np.array([[0.5, 1.0], [1.0, 0.3], [0.2, 0.2]])
    theirs.startprob_ = np.array([0.5, 0.3, 0.2])
    theirs.transmat_ = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    found = [theirs.sample(time, random_state=seed)[0] for seed in range(count)]
    if emission == "categorical":
        return [torch.as_tensor(x[:, 0]) for x in found]
    return [torch.as_tensor(x) for x in found]


def fitted(emission, **options):
    """Our model fitted to sequences, these, and hmmlearn's own model of the same fit."""
    sequences = sampled(emission, 4, 60)
    features = TOKENS if emission == "categorical" else 2
    model = build("hidden_markov", in_features=features, hidden=STATES, emission=emission)
    model = model.double().eval()
    model.fit([(x[:-1], x[1:]) for x in sequences], iterations=8, seed=1)
    make = hmm.CategoricalHMM if emission == "categorical" else hmm.GaussianHMM
    options = {"n_features": TOKENS} if emission == "categorical" else {"covariance_type": "diag"}
    theirs = make(STATES, n_iter=8, random_state=1, **options)
    flat = torch.cat(sequences).numpy()
    theirs.fit(flat.reshape(len(flat), -1), [60] * 4)
    return model, sequences, theirs


@pytest.mark.parametrize("emission", ["categorical", "gaussian"])
def test_likelihood_filter_and_prediction_are_hmmlearns(emission):
    model, sequences, theirs = fitted(emission)
    for x in sequences:
        plain = x.numpy().reshape(len(x), -1)
        total = float(model.log_likelihood(x[None]).sum())
        assert total == pytest.approx(theirs.score(plain), rel=1e-9)
        logs = theirs._compute_log_likelihood(plain)
        _, forward = _hmmc.forward_log(theirs.startprob_, theirs.transmat_, logs)
        belief = torch.as_tensor(forward).softmax(-1) @ torch.as_tensor(theirs.transmat_)
        ours, _ = model.filter(model.emission.log_likelihood(x[None]))
        torch.testing.assert_close(ours[0], belief, rtol=0, atol=1e-9)
        expected = (
            (belief @ torch.as_tensor(theirs.emissionprob_)).log()
            if emission == "categorical"
            else belief @ torch.as_tensor(theirs.means_)
        )
        torch.testing.assert_close(model(x[None])[0][0], expected, rtol=0, atol=1e-9)


def test_in_float32_the_likelihood_is_theirs_to_five_digits():
    model, sequences, theirs = fitted("gaussian")
    model.float()
    for x in sequences:
        total = float(model.log_likelihood(x[None].float()).double().sum())
        assert total == pytest.approx(theirs.score(x.numpy()), rel=1e-5)


def test_scores_of_tokens_are_the_likelihood_of_what_comes_next():
    model, (x, *_), _ = fitted("categorical")
    scores, _ = model(x[None, :-1])
    taken = scores.gather(-1, x[None, 1:, None])[..., 0]
    torch.testing.assert_close(taken, model.log_likelihood(x[None])[:, 1:])
    assert model.log_likelihood(x[None])[:, 0].exp() == pytest.approx(
        float(model.cell.initial @ model.emission.probabilities[:, x[0]])
    )


def test_the_jacobian_is_autograds():
    torch.manual_seed(0)
    cell = HiddenMarkov(4).double()
    h, x = torch.rand(5, 4).double(), 3 * torch.randn(5, 4).double()
    h = h / h.sum(-1, keepdim=True)
    for row in range(5):
        expected = torch.autograd.functional.jacobian(lambda s, r=row: cell.phi(s, x[r]), h[row])
        torch.testing.assert_close(cell.jacobian(h, x)[row], expected)


def test_extreme_observations_are_borne():
    cell = HiddenMarkov(3)
    h = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    x = torch.tensor([[-1e4, 0.0, 1e4], [-1e4, -2e4, 1e30], [0.0, 1.0, 2.0]])
    moved = cell.phi(h, x)
    torch.testing.assert_close(moved[:2], cell.transition[[0, 0]])
    assert (moved[2] == 0).all()
    assert torch.equal(cell.evidence(h[:1], x[:1]), torch.tensor([-1e4]))


def test_a_fitted_model_is_saved_and_loaded(tmp_path):
    model, (x, *_), _ = fitted("categorical")
    spec = Spec("hidden_markov", {"in_features": TOKENS, "hidden": STATES})
    save_model(tmp_path / "m.safetensors", spec, model)
    _, again = load_model(tmp_path / "m.safetensors")
    torch.testing.assert_close(again.double()(x[None])[0], model(x[None])[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("emission", "name", "value"),
    [
        ("categorical", "filter.cells.0.initial", 0.9),
        ("categorical", "filter.cells.0.transition", -0.1),
        ("categorical", "emission.probabilities", 2.0),
        ("gaussian", "emission.variances", 0.0),
        ("gaussian", "emission.variances", -1.0),
    ],
)
def test_forged_distributions_are_refused(emission, name, value, tmp_path):
    options = {"in_features": TOKENS, "hidden": STATES, "emission": emission}
    spec = Spec("hidden_markov", options)
    model = spec.build()
    save_model(tmp_path / "m.safetensors", spec, model)
    load_model(tmp_path / "m.safetensors")
    model.get_parameter(name)[0] = value
    save_model(tmp_path / "m.safetensors", spec, model)
    with pytest.raises(CorruptFileError, match=r"must be (distributions|above 0)"):
        load_model(tmp_path / "m.safetensors")


def test_a_state_that_is_never_left_goes_anywhere():
    """hmmlearn counts no transition from the state of the last observation."""
    model = build("hidden_markov", in_features=1, hidden=2, emission="gaussian").double()
    x = torch.tensor([0.0, 0.1, -0.1, 0.05, 1000.0]).double()[:, None]
    model.fit([(x[:-1], x[1:])] * 3, iterations=20)
    last = int(model.emission.means[:, 0].argmax())
    assert model.cell.transition[last].tolist() == [0.5, 0.5]
    assert model.cell.transition[1 - last].tolist() == pytest.approx(
        [0.25, 0.75] if last == 0 else [0.75, 0.25]
    )
    assert model.cell.initial[1 - last] == pytest.approx(1.0)


def test_what_hmmlearn_finds_is_checked(monkeypatch):
    model = build("hidden_markov", in_features=TOKENS, hidden=2)
    monkeypatch.setattr(
        hmm.CategoricalHMM,
        "fit",
        lambda self, *_: setattr(self, "startprob_", np.full(2, np.nan)),
    )
    with pytest.raises(InputError, match="initial probabilities that hmmlearn found"):
        model.fit([(torch.tensor([0, 1]), torch.tensor([1, 2]))])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_ids_of_other_integers_are_the_same_ids(dtype):
    model = build("hidden_markov", in_features=TOKENS, hidden=STATES).eval()
    x = torch.tensor([[0, 1, 1, 3], [2, 1, 0, 0]])
    assert torch.equal(model(x.to(dtype))[0], model(x)[0])


def test_its_memory_is_audited_and_below_what_is_proved():
    """A truncated filter, which starts from the initial distribution, against the full one."""
    model, _, _ = fitted("gaussian")
    with torch.no_grad():  # a fit may find a transition that never happens
        model.cell.transition.copy_(0.9 * model.cell.transition + 0.1 / STATES)
    certificate = hmm_forgetting(model.cell)
    assert certificate.evidence is Evidence.PROVED
    x = torch.stack(sampled("gaussian", 3, 80))
    (recurrence,) = read_recurrences(model)
    assert recurrence.cells[0][0] is model.cell
    report = unrecur.audit(model, x)
    seen = report.recurrences[0].curve.state
    assert len(seen.k) > 3
    for k, error in zip(seen.k.tolist(), seen.value.tolist(), strict=True):
        assert error <= certificate.bound(k)


def test_a_memory_curve_is_measured_on_a_task():
    model, sequences, _ = fitted("gaussian")
    model.float()
    pairs = [(x[:-1].float(), x[1:].float()) for x in sequences]
    task = Task(
        name="vectors",
        title="Vectors of a hidden chain",
        metric="squared error",
        unit="per step",
        in_features=2,
        out_features=2,
        step_loss=lambda y, target: (y - target).square().sum(-1),
        chance_level=2.0,
        input_box=(-10.0, 10.0),
        splits=dict.fromkeys(("train", "valid", "test"), pairs),
        floors=(),
    )
    curve = list(memory_curve(model, task))
    assert [point.k for point in curve] == [1, 2, 4, 8, 16, 32, 64]
    assert curve[-1].error_max == 0
    assert curve[0].error_median > curve[2].error_median > curve[4].error_median


def test_hmmlearn_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "hmmlearn.hmm", None)
    model = build("hidden_markov", in_features=TOKENS, hidden=2)
    with pytest.raises(InputError, match="pip install 'unrecur\\[hmm\\]'"):
        model.fit([(torch.tensor([0, 1]), torch.tensor([1, 2]))])


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="Did you mean 'gaussian'"):
        build("hidden_markov", in_features=2, hidden=2, emission="gauss")
    model = build("hidden_markov", in_features=TOKENS, hidden=2)
    with pytest.raises(InputError, match="at least one sequence"):
        model.fit([])
    with pytest.raises(InputError, match="3 inputs and 1 targets"):
        model.fit([(torch.tensor([0, 1, 2]), torch.tensor([1]))])
    with pytest.raises(InputError, match="0 to 3"):
        model.log_likelihood(torch.tensor([[0, 4]]))
