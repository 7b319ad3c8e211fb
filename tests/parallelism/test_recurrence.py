"""`unrecur.parallel` against the modules it stands in for."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrecur
from cases import LAYERS
from unrecur import Chunked, InputError, parallel
from unrecur.cells import LSTM
from unrecur.certificates.certificate import Evidence
from unrecur.layers.recurrent import Recurrent
from unrecur.parallelism.engine import reverse
from unrecur.solvers.solution import Result

pytestmark = pytest.mark.usefixtures("cheap_rows")

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
OPTIONS = [
    {},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 3, "bias": False},
    {"bidirectional": True},
]
TOL = 1e-10


def made(kind, options, solver=None):
    torch.manual_seed(0)
    module = MODULES[kind](3, 5, **options).double()
    return module, parallel(module, TOL, solver or Chunked(12, 15))


def given(how, module):
    torch.manual_seed(1)
    layers = module.num_layers * (2 if module.bidirectional else 1)
    x = torch.randn(90, 2, 3, dtype=torch.float64)
    if module.batch_first:
        x = x.transpose(0, 1)
    if how == "unbatched":
        x = torch.randn(90, 3, dtype=torch.float64)
    if how == "packed":
        rows = [torch.randn(steps, 3, dtype=torch.float64) for steps in (31, 90, 1)]
        return pack_sequence(rows, enforce_sorted=False), None
    if how == "sorted":
        rows = [torch.randn(steps, 3, dtype=torch.float64) for steps in (90, 31)]
        return pack_sequence(rows), None
    if how == "plain":
        return x.requires_grad_(), None
    shape = (layers, 5) if how == "unbatched" else (layers, 2, 5)
    parts = [torch.randn(shape, dtype=torch.float64) for _ in range(2)]
    return x.requires_grad_(), tuple(parts) if isinstance(module, nn.LSTM) else parts[0]


def flat(result):
    y, h = result
    parts = [y.data if isinstance(y, PackedSequence) else y]
    return parts + (list(h) if isinstance(h, tuple) else [h])


@pytest.mark.parametrize("how", ["plain", "states", "unbatched", "packed", "sorted"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
def test_a_drop_in_gives_what_the_module_gives(kind, options, how):
    module, fast = made(kind, options)
    x, hx = given(how, module)
    expected, found = flat(module(x, hx)), flat(fast(x, hx))
    tensors = list(module.parameters()) + ([] if isinstance(x, PackedSequence) else [x])
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, atol=TOL, rtol=0)
    slopes = [
        torch.autograd.grad(sum((part**3).sum() for part in parts), tensors)
        for parts in (found, expected)
    ]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_a_packed_sequence_comes_back_in_its_order():
    module, fast = made("gru", {})
    x, _ = given("packed", module)
    one, other = module(x)[0], fast(x)[0]
    assert torch.equal(one.batch_sizes, other.batch_sizes)
    assert torch.equal(one.sorted_indices, other.sorted_indices)
    assert torch.equal(one.unsorted_indices, other.unsorted_indices)


def test_weights_and_their_names_are_shared():
    module, fast = made("lstm", {"num_layers": 2})
    assert list(fast.state_dict()) == list(module.state_dict())
    model = nn.ModuleDict({"rnn": fast})
    assert next(iter(model.state_dict())) == "rnn.weight_ih_l0"
    other = nn.ModuleDict({"rnn": nn.LSTM(3, 5, num_layers=2).double()})
    assert not model.load_state_dict(other.state_dict()).missing_keys
    torch.testing.assert_close(module.weight_ih_l0, other["rnn"].weight_ih_l0)
    x, _ = given("plain", module)
    torch.testing.assert_close(fast(x)[0], other["rnn"](x)[0], atol=TOL, rtol=0)


def test_a_drop_in_can_be_trained_as_the_module():
    torch.manual_seed(0)
    losses = []
    for wrap in (lambda m: m, lambda m: parallel(m, 1e-10, Chunked(20, 30))):
        torch.manual_seed(0)
        model = wrap(nn.GRU(3, 5, batch_first=True).double())
        x = torch.randn(2, 100, 3, dtype=torch.float64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            loss = (model(x)[0] - 0.3).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_dropout_between_layers_follows_the_mode():
    module, fast = made("gru", {"num_layers": 2, "dropout": 0.5})
    x, _ = given("plain", module)
    assert not torch.equal(fast(x)[0], fast(x)[0])
    fast.eval()
    torch.testing.assert_close(fast(x)[0], module(x)[0], atol=TOL, rtol=0)


def test_it_survives_a_compiler():
    module, fast = made("lstm", {})
    x, _ = given("plain", module)
    compiled = torch.compile(nn.Sequential(fast), backend="eager")
    torch.testing.assert_close(compiled(x)[0], module(x)[0], atol=TOL, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_state_in_single(dtype):
    torch.manual_seed(0)
    module = nn.GRU(3, 5)
    x = torch.randn(200, 1, 3)
    half = nn.GRU(3, 5).to(dtype)
    half.load_state_dict(module.state_dict())
    y, h = parallel(half, 1e-4, Chunked(30, 40))(x.to(dtype).requires_grad_())
    assert y.dtype is h.dtype is dtype
    single = nn.GRU(3, 5)
    single.load_state_dict({name: w.float() for name, w in half.state_dict().items()})
    expected, _ = single(x.to(dtype).float())
    torch.testing.assert_close(y.float(), expected, atol=0, rtol=torch.finfo(dtype).eps)
    y.float().sum().backward()
    assert half.weight_hh_l0.grad.isfinite().all()


@pytest.mark.parametrize("name", ["lstm", "stack", "mgu", "lru", "stack-of-affine"])
def test_our_own_layer_too(name):
    torch.manual_seed(0)
    layer = LAYERS[name]().double().eval()
    fast = parallel(layer, TOL, None if "affine" in name or name == "lru" else Chunked(10, 12))
    x, lengths = torch.randn(2, 70, 3, dtype=torch.float64), torch.tensor([70, 33])
    for given_lengths in (None, lengths):
        (y, last), (expected, wanted) = (part(x, None, given_lengths) for part in (fast, layer))
        valid = 70 if given_lengths is None else 33
        torch.testing.assert_close(y[1, :valid], expected[1, :valid], atol=TOL, rtol=0)
        torch.testing.assert_close(last, wanted, atol=TOL, rtol=0)
    step, state = fast.step(x[:, 0], last)
    torch.testing.assert_close((step, state), layer.step(x[:, 0], wanted), atol=TOL, rtol=0)
    assert list(fast.state_dict()) == list(layer.state_dict())
    assert fast.receptive_field == layer.receptive_field


def stable(**options):
    torch.manual_seed(0)
    module = nn.LSTM(3, 6, **options)
    unrecur.project_(module, 1.0, rate=0.8)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("proof", ["weights", "inputs"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_a_proof_holds(options, proof):
    module = stable(**options)
    x = torch.rand(3000, 1, 3) * 2 - 1
    fast = parallel(module, 1e-5, proof=proof, input_box=1.0)
    y, _ = fast(x)
    wanted = {Evidence.PROVED, Evidence.PROVED_ON_INPUT}
    if proof == "inputs":
        wanted = {Evidence.PROVED_ON_INPUT}
    for report in fast.reports:
        assert report.evidence in wanted
        assert report.bound <= 1e-5
        assert report.stats.burn_in > 0
    expected = module.double()(x.double())[0]
    rounding = 1e-6
    assert float((y - expected).detach().abs().max()) <= fast.reports[-1].bound + rounding


def test_a_proof_is_made_again_when_a_weight_changes():
    module = stable()
    with torch.no_grad():
        module.bias_ih_l0[6:12] += 0.5
    fast = parallel(module, 1e-5, proof="weights", input_box=1.0)
    x = torch.rand(3000, 1, 3)
    fast(x)
    before = fast.reports[0].stats.burn_in
    with torch.no_grad():
        module.bias_ih_l0[6:12] -= 3  # forget sooner
    fast(x)
    assert fast.reports[0].evidence is Evidence.PROVED
    assert fast.reports[0].stats.burn_in < before


def test_nothing_is_called_proved_for_a_run_from_another_state():
    module = stable()
    fast = parallel(module, 1e-4, proof="weights", input_box=1.0)
    x = torch.rand(3000, 1, 3)
    fast(x, (torch.full((1, 1, 6), 0.5), torch.full((1, 1, 6), 9.0)))
    assert fast.reports[0].evidence is Evidence.MEASURED
    assert fast.reports[0].bound is None


def test_a_cell_without_a_proof_is_measured():
    torch.manual_seed(0)
    module = nn.LSTM(3, 6)
    with torch.no_grad():
        module.bias_ih_l0[6:12] += 30.0
    fast = parallel(module, 1e-4, proof="weights", input_box=1.0)
    x = torch.rand(2000, 1, 3)
    y, _ = fast(x)
    assert fast.reports[0].evidence is Evidence.MEASURED or (
        fast.reports[0].stats.solver == "Sequential"
    )
    torch.testing.assert_close(y, module(x)[0], atol=1e-4, rtol=0)


def test_what_a_call_did_is_reported():
    module, fast = made("lstm", {"bidirectional": True})
    assert fast.reports == ()
    fast(given("plain", module)[0])
    assert [(r.layer, r.reverse) for r in fast.reports] == [(0, False), (0, True)]
    assert all(r.result is Result.CONVERGED and r.stats.iterations for r in fast.reports)
    assert "tol=1e-10" in repr(fast)


def test_reversing_leaves_padding_alone():
    x = torch.arange(10.0).view(2, 5, 1)
    turned = reverse(x, torch.tensor([5, 3]))
    assert turned[..., 0].tolist() == [[4, 3, 2, 1, 0], [7, 6, 5, 8, 9]]
    assert torch.equal(reverse(turned, torch.tensor([5, 3])), x)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parallel(nn.Linear(3, 4)), "got Linear"),
        (lambda: parallel(nn.LSTM(3, 4, proj_size=2)), "proj_size=2 is not supported"),
        (lambda: parallel(nn.LSTM(3, 4), tol=0.0), "tol must be"),
        (lambda: parallel(nn.LSTM(3, 4), proof="weights"), "input_box"),
        (lambda: parallel(nn.LSTM(3, 4), proof="weight", input_box=1.0), "Did you mean 'weights'"),
        (
            lambda: parallel(nn.LSTM(3, 4), solver=Chunked(), proof="weights", input_box=1.0),
            "leave solver out",
        ),
        (lambda: parallel(nn.LSTM(3, 4), slab=0), "slab must be"),
        (lambda: parallel(nn.LSTM(3, 4))(torch.zeros(9, 1, 2)), "3"),
        (lambda: parallel(nn.LSTM(3, 4))(torch.zeros(9, 1, 3).double()), "float64"),
        (lambda: parallel(nn.LSTM(3, 4), 1e-9)(torch.zeros(9, 1, 3)), "use at least"),
        (lambda: parallel(nn.LSTM(3, 4))(torch.zeros(9, 1, 3), torch.zeros(1, 1, 4)), "the pair"),
        (lambda: parallel(nn.GRU(3, 4))(torch.zeros(9, 1, 3), (torch.zeros(1, 1, 4),)), "tensor"),
        (lambda: parallel(nn.GRU(3, 4))(torch.zeros(9, 1, 3), torch.zeros(1, 2, 4)), r"\[1, 1, 4"),
    ],
)
def test_a_bad_request_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_layer_of_one_cell_is_the_cell():
    torch.manual_seed(0)
    layer = Recurrent([LSTM(3, 4)]).double()
    x = torch.randn(1, 50, 3, dtype=torch.float64)
    fast = parallel(layer, 1e-9, Chunked(8, 10))
    torch.testing.assert_close(fast(x)[0], layer(x)[0], atol=1e-9, rtol=0)
