"""What once broke the contract: sums of small differences, infinities, false assumptions."""

import copy
import gc
import io
import math
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import unrecur
from unrecur import Chunked, InputError, Picard, Shooting, parallel, unroll
from unrecur.cells import GRU, LSTM, Elman
from unrecur.certificates.certificate import Evidence
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential
from unrecur.solvers.solution import Result

pytestmark = pytest.mark.usefixtures("cheap_rows")


def adder(weight=1.0):
    """A relu unit that keeps what it has, times a weight."""
    cell = Elman(1, 1, activation="relu", bias=False).double()
    with torch.no_grad():
        cell.weight_ih_l0.fill_(1.0)
        cell.weight_hh_l0.fill_(weight)
    return cell


def loop(cell, x):
    with torch.no_grad():
        return cell.readout(sequential(cell, x, cell.init_state(len(x))))


@pytest.mark.parametrize("solver", [Chunked(10, 10), Shooting(10, 10), Picard()])
def test_small_differences_that_add_up_are_noticed(solver):
    tol = 1e-5
    x = torch.full((1, 4000, 1), tol / 650, dtype=torch.float64)
    cell = adder()
    with torch.no_grad():
        solution = unroll(cell, x, solver=solver, tol=tol)
    assert float((solution.y - loop(cell, x)).abs().max()) <= tol


def test_a_state_that_drifts_for_ever_is_not_cut_off():
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, batch_first=True).double()
    with torch.no_grad():
        gru.bias_ih_l0[4:8] = 20.0
    x = torch.randn(1, 20_000, 3, dtype=torch.float64)
    with torch.no_grad():
        y, _ = parallel(gru, 1e-5)(x)
        assert float((y - gru(x)[0]).abs().max()) <= 1e-5


def test_adjoints_that_add_up_are_noticed():
    tol, time = 1e-3, 4000
    cell, x = adder(), torch.rand(1, time, 1, dtype=torch.float64)
    weight = torch.full((1, time, 1), tol / 1300, dtype=torch.float64)
    weight[0, 2000] = 1.0
    slopes = []
    for y in (lambda x: unroll(cell, x, solver=Chunked(10, 10), tol=tol).y, None):
        leaf = x.clone().requires_grad_()
        out = y(leaf) if y else cell.readout(sequential(cell, leaf, cell.init_state(1)))
        slopes.append(torch.autograd.grad((out * weight).sum(), leaf)[0])
    assert float((slopes[0] - slopes[1]).abs().max()) <= tol * float(slopes[1].abs().max())


def test_a_nan_in_one_row_says_nothing_of_the_others():
    torch.manual_seed(0)
    cell, tol = GRU(3, 8).double(), 1e-5
    x = torch.randn(2, 400, 3, dtype=torch.float64)
    x[1, 200] = math.nan
    slopes = []
    for rows in (slice(0, 2), slice(0, 1)):
        leaf = x[rows].clone().requires_grad_()
        y = unroll(cell, leaf, solver=Chunked(20, 20), tol=tol).y
        slopes.append(torch.autograd.grad(y[:1].square().sum(), leaf)[0][0])
    torch.testing.assert_close(*slopes, atol=2 * tol, rtol=0)
    growing = torch.rand(10, 200, 1, dtype=torch.float64) * 1e-3
    growing[1:, 100] = math.nan
    cell = adder(1.1)
    with torch.no_grad():
        y = unroll(cell, growing, solver=Chunked(20, 50), tol=1e-6).y
    torch.testing.assert_close(y, loop(cell, growing), atol=1e-6, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_infinity_agrees_with_itself_alone(weight):
    cell, x = adder(weight), torch.rand(1, 1200, 1, dtype=torch.float64)
    if weight < 1:
        x[0, 25] = math.inf
    with torch.no_grad():
        y = unroll(cell, x, solver=Chunked(40, 100), tol=1e-6).y
    assert torch.equal(y.isinf(), loop(cell, x).isinf())


def test_a_last_correction_is_followed_too():
    cell = adder(1.2)
    x = torch.rand(2, 200, 1, dtype=torch.float64) * torch.tensor([1e-4, 1.0]).view(2, 1, 1)
    with torch.no_grad():
        y = unroll(cell, x, solver=Chunked(20, 50, max_iterations=1), tol=1e-6).y
    torch.testing.assert_close(y, loop(cell, x), atol=1e-6, rtol=1e-9)


def test_padding_that_overflows_reaches_no_gradient():
    cell = adder(2.0).float()
    x, lengths = torch.ones(2, 300, 1), torch.tensor([20, 3])
    for solver in (unrecur.Sequential(), Chunked(100, 150)):
        slopes = torch.autograd.grad(
            unroll(cell, x, solver=solver, tol=1e-4, lengths=lengths).y.sum(),
            list(cell.parameters()),
        )
        assert all(slope.isfinite().all() for slope in slopes)


def test_outputs_can_be_changed_in_place():
    fast = parallel(nn.GRU(3, 4), 1e-4, Chunked(20, 30))
    y, h = fast(torch.randn(200, 1, 3))
    y += 1
    h.mul_(2)
    y.sum().backward()
    assert fast.module.weight_hh_l0.grad.abs().sum() > 0


def test_nothing_is_kept_after_a_call():
    fast, alive = parallel(nn.GRU(3, 4), 1e-4, Chunked(20, 30)), []
    for _ in range(3):
        y, _ = fast(torch.randn(200, 1, 3))
        y.sum().backward()
        alive.append(weakref.ref(y))
        del y
    gc.collect()
    assert not any(ref() is not None for ref in alive)


def test_threads_do_not_meet_in_the_weights():
    torch.manual_seed(0)
    layer = Recurrent([GRU(3, 4)])
    fast = parallel(layer, 1e-4, Chunked(20, 30))
    x, failures = torch.randn(1, 200, 3), []

    def work():
        try:
            for _ in range(5):
                fast(x)[0].sum().backward()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(isinstance(weight, nn.Parameter) for weight in layer.cells[0].parameters())


def test_a_drop_in_can_be_copied_and_stored():
    fast, x = parallel(nn.LSTM(3, 4), 1e-4, Chunked(20, 30)), torch.randn(200, 1, 3)
    expected, _ = fast(x)
    buffer = io.BytesIO()
    torch.save(fast, buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    for other in (copy.deepcopy(fast), again):
        assert torch.equal(other(x)[0], expected)
    assert fast.hidden_size == 4
    fast.flatten_parameters()
    with pytest.raises(AttributeError):
        fast.nothing_of_the_kind  # noqa: B018


class Half(nn.Module):
    def forward(self, weight):
        return weight / 2


def test_weights_that_are_computed_are_computed_anew():
    torch.manual_seed(0)
    gru, x = nn.GRU(3, 4), torch.randn(200, 1, 3)
    parametrize.register_parametrization(gru, "weight_hh_l0", Half())
    fast = parallel(gru, 1e-4, Chunked(50, 60))
    for _ in range(20):
        with torch.no_grad():
            gru.parametrizations.weight_hh_l0.original.normal_(std=0.5)
            torch.testing.assert_close(fast(x)[0], gru(x)[0], atol=1e-4, rtol=0)


def test_weights_that_are_exchanged_are_seen():
    torch.manual_seed(0)
    gru, x = nn.GRU(3, 4), torch.randn(200, 1, 3)
    fast = parallel(gru, 1e-4, Chunked(50, 60))
    fast(x)
    gru.weight_hh_l0 = nn.Parameter(torch.randn(12, 4) / 4)
    torch.testing.assert_close(fast(x)[0], gru(x)[0], atol=1e-4, rtol=0)
    gru.weight_hh_l0.data = torch.randn(12, 4) / 4
    torch.testing.assert_close(fast(x)[0], gru(x)[0], atol=1e-4, rtol=0)


def test_hooks_that_change_weights_are_refused():
    gru = nn.GRU(3, 4)
    fast = parallel(gru)
    prune.l1_unstructured(gru, "weight_hh_l0", 0.5)
    with pytest.raises(InputError, match="hooks that change its weights"):
        fast(torch.randn(20, 1, 3))


def test_the_mode_is_that_of_the_module():
    gru, x = nn.GRU(3, 4, num_layers=2, dropout=0.9), torch.randn(300, 1, 3)
    fast = parallel(gru, 1e-4, Chunked(50, 60))
    gru.eval()
    torch.testing.assert_close(fast(x)[0], gru(x)[0], atol=1e-4, rtol=0)


def test_half_precision_takes_its_states():
    gru = nn.GRU(3, 4).to(torch.bfloat16)
    x, h = torch.randn(200, 1, 3).to(torch.bfloat16), torch.randn(1, 1, 4).to(torch.bfloat16)
    y, last = parallel(gru, 1e-3, Chunked(50, 60))(x, h)
    assert y.dtype is last.dtype is torch.bfloat16


def proof_of(module, box, how="weights", tol=1e-5):
    return parallel(module, tol, proof=how, input_box=box)


def stable(**options):
    torch.manual_seed(0)
    module = nn.LSTM(3, 6, **options)
    unrecur.project_(module, 1.0, rate=0.8)
    return module


@pytest.mark.parametrize("how", ["weights", "inputs"])
@pytest.mark.parametrize(
    "box", [1e-9, (-1.0, 0.5), unrecur.points(torch.zeros(1, 3))], ids=["small", "low", "points"]
)
def test_nothing_is_proved_of_inputs_outside_of_the_set(how, box):
    fast = proof_of(stable(), box, how)
    fast(torch.rand(3000, 1, 3))
    assert fast.reports[0].evidence is Evidence.MEASURED


def test_points_are_known_again():
    table = torch.rand(5, 3)
    fast = proof_of(stable(), unrecur.points(table))
    fast(table[torch.randint(5, (3000,))][:, None])
    assert fast.reports[0].evidence is Evidence.PROVED


def test_a_weight_changed_behind_autograd_is_proved_anew():
    module = stable()
    fast, x = proof_of(module, 1.0), torch.rand(3000, 1, 3)
    fast(x)
    module.weight_hh_l0.data.fill_(0.9)
    fast(x)
    assert fast.reports[0].evidence is Evidence.MEASURED or fast.reports[0].stats.burn_in > 100


def test_a_proof_follows_its_module_to_another_type():
    module = stable()
    fast, x = proof_of(module, 1.0), torch.rand(3000, 1, 3)
    fast(x)
    module.double()
    fast(x.double())
    assert fast.reports[0].evidence is Evidence.PROVED


def test_nothing_is_proved_behind_dropout():
    module = stable(num_layers=2, dropout=0.5)
    fast, x = proof_of(module, 1.0), torch.rand(3000, 1, 3)
    fast(x)
    assert [r.evidence for r in fast.reports] == [Evidence.PROVED, Evidence.MEASURED]
    fast.eval()(x)
    assert [r.evidence for r in fast.reports] == [Evidence.PROVED, Evidence.PROVED]


def test_a_steep_leak_has_no_bound():
    torch.manual_seed(0)
    layer = Recurrent([LSTM(3, 4)])
    unrecur.project_(layer, 1.0, 0.8)
    certificate = unrecur.certify(layer, 1.0)
    bounds = [
        unrecur.output_bound(
            unrecur.Serial(layer, unrecur.Pointwise(nn.LeakyReLU(slope), 4, 4)), certificate, 4
        )
        for slope in (0.1, 50.0)
    ]
    assert bounds[0] < math.inf
    assert bounds[1] == math.inf


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parallel(nn.GRU(3, 4))(torch.zeros(9)), "2 or 3 dimensions"),
        (lambda: parallel(nn.GRU(3, 4))([1.0]), "got list"),
        (lambda: parallel(nn.GRU(3, 4), solver="chunked"), "make it with"),
        (lambda: parallel(nn.GRU(3, 4), solver=Chunked), "make it with"),
        (lambda: parallel(nn.GRU(3, 4))(torch.zeros(9, 1, 3), torch.zeros(1, 1, 4).double()), "64"),
        (lambda: parallel(nn.LSTM(3, 4))(torch.zeros(9, 1, 3), (torch.zeros(1, 1, 4),)), "1 tens"),
        (lambda: parallel(Recurrent([GRU(3, 4)]))(torch.zeros(1, 9, 3), ()), "expected 1 states"),
        (lambda: unroll(GRU(3, 4), torch.zeros(1, 9, 3), slab=-1), "slab must be"),
        (lambda: unroll(GRU(3, 4), torch.zeros(1, 9, 3).double()), "convert one of them"),
        (lambda: unroll(GRU(3, 4), torch.zeros(1, 9, 3), solver=Chunked), "make it with"),
        (lambda: Shooting(3, 8.0), "length must be a whole number"),
        (lambda: Picard("a"), "max_iterations must be"),
    ],
)
def test_a_bad_request_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_second_call_refuses_what_the_first_did():
    fast, x = parallel(nn.GRU(3, 4)), torch.zeros(9, 1, 3)
    fast(x)
    assert fast.reports[0].result is Result.REFUSED
    with pytest.raises(InputError, match="expected states of shape"):
        fast(x, torch.zeros(1, 2, 4))


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN])
def test_what_is_refused_has_gradients_on_every_call(make):
    torch.manual_seed(0)
    module, x = make(3, 4, num_layers=2), torch.randn(9, 2, 3, requires_grad=True)
    fast = parallel(module)

    def slopes_of(run):
        return torch.autograd.grad(run(x)[0].square().sum(), [x, *module.parameters()])

    slopes = [slopes_of(run) for run in (module, fast, fast)]
    assert fast.reports[0].result is Result.REFUSED
    for other in slopes[1:]:
        torch.testing.assert_close(other, slopes[0])
