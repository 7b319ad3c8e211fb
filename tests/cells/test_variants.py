"""The cells that torch has not, or has as an option, against those they come from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from attacking import Inputs, attack_blocks, attack_from_anywhere, attack_from_zero, proved
from cases import FEATURES
from unrecur.cells import GRU, LSTM, PeepholeLSTM, ProjectedLSTM, ResetFirstGRU
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.inputs import read_box
from unrecur.layers.recurrent import Recurrent
from unrecur.solvers.sequential import sequential


def test_without_peepholes_it_is_the_lstm():
    torch.manual_seed(0)
    plain, cell = LSTM(3, 4).double(), PeepholeLSTM(3, 4).double()
    cell.load_state_dict(plain.state_dict(), strict=False)
    x, h = torch.randn(2, 6, 3).double(), torch.randn(2, 8).double()
    torch.testing.assert_close(sequential(cell, x, h), sequential(plain, x, h))
    torch.testing.assert_close(cell.jacobian(h, x[:, 0]), plain.jacobian(h, x[:, 0]))


def test_a_gru_that_never_resets_is_the_same_either_way():
    torch.manual_seed(0)
    after, before = GRU(3, 4).double(), ResetFirstGRU(3, 4).double()
    with torch.no_grad():
        after.bias_ih_l0[:4] = 100.0
    before.load_state_dict(after.state_dict())
    x, h = torch.randn(2, 6, 3).double(), torch.randn(2, 4).double()
    torch.testing.assert_close(sequential(before, x, h), sequential(after, x, h))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@settings(max_examples=10)
@given(
    batch=st.integers(1, 4),
    time=st.integers(1, 12),
    units=st.integers(2, 6),
    data=st.data(),
)
def test_the_projection_is_torchs(layers, bias, batch, time, units, data):
    """Values, final state and gradients, with a state and lengths handed in."""
    projection = data.draw(st.integers(1, units - 1))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    theirs = nn.LSTM(
        FEATURES, units, layers, bias=bias, batch_first=True, proj_size=projection
    ).double()
    sizes = [FEATURES] + [projection] * (layers - 1)
    ours = Recurrent([ProjectedLSTM(size, units, projection, bias) for size in sizes]).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, time, FEATURES).double()
    lengths = torch.randint(1, time + 1, (batch,))
    start = tuple(torch.randn(batch, units + projection).double() for _ in range(layers))
    memory, shown = torch.stack(start).split([units, projection], -1)

    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, last = theirs(packed, (shown.contiguous(), memory.contiguous()))
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True, total_length=time)
    y, state = ours(x, start, lengths)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(torch.stack(state), torch.cat([last[1], last[0]], -1))

    mine = torch.autograd.grad(y.square().sum(), list(ours.parameters()))
    other = torch.autograd.grad(expected.square().sum(), list(theirs.parameters()))
    by_name = dict(zip([name for name, _ in theirs.named_parameters()], other, strict=True))
    for (name, _), gradient in zip(ours.named_parameters(), mine, strict=True):
        _, layer, weight = name.split(".")
        torch.testing.assert_close(gradient, by_name[weight.replace("l0", f"l{layer}")])


@pytest.mark.parametrize("bias", [True, False])
def test_the_projections_kernel_and_jacobian_are_its_loops(bias):
    torch.manual_seed(0)
    cell = ProjectedLSTM(FEATURES, 5, 2, bias).double()
    x, h = torch.randn(3, 9, FEATURES).double(), torch.randn(3, 7).double()
    states = sequential(cell, x, h)
    y, last = cell.fused(x, h)
    torch.testing.assert_close(y, cell.readout(states))
    torch.testing.assert_close(last, states[:, -1])
    for row in range(3):
        expected = torch.autograd.functional.jacobian(lambda s, r=row: cell.phi(s, x[r, 0]), h[row])
        torch.testing.assert_close(cell.jacobian(h, x[:, 0])[row], expected)


def test_the_projection_starts_as_torchs():
    torch.manual_seed(3)
    ours = ProjectedLSTM(4, 6, 2)
    torch.manual_seed(3)
    theirs = nn.LSTM(4, 6, proj_size=2)
    for (_, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_attack_breaks_the_proof_of_a_projection(dtype):
    torch.manual_seed(0)
    cell = ProjectedLSTM(2, 5, 3, dtype=dtype)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(2)
    inputs = Inputs(read_box(1.0, 2), dtype, torch.Generator().manual_seed(0))
    certificate = proved(cell, inputs.given)
    assert certificate.evidence is Evidence.PROVED
    for k in (0, 1, 4, 16):
        attack_from_zero([cell], certificate, inputs, k, 12)
        attack_from_anywhere([cell], certificate, inputs, k)
    attack_blocks(Recurrent([cell]), certificate, inputs, (1, 4, 16))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("projection", "message"), [(0, "whole number"), (4, "below hidden_size")])
def test_a_projection_to_no_fewer_numbers_is_refused(projection, message):
    with pytest.raises(ValueError, match=message):
        ProjectedLSTM(3, 4, projection)
