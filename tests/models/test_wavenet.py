"""WaveNet against a plain version on padded blocks, with raw, coded and conditioned inputs."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import contract
from unrecur import InputError
from unrecur.layers.mu_law import mu_law_encode
from unrecur.models.wavenet import wavenet, wavenet_parameters


def filled(**options):
    """A small WaveNet whose weights are all drawn at random, in float64."""
    torch.manual_seed(0)
    model = wavenet(**options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.6)
    return model


def padded(x, convolution, dilation):
    """A causal convolution of [batch, features, time], zeros before the start."""
    x = functional.pad(x, ((convolution.weight.shape[2] - 1) * dilation, 0))
    return functional.conv1d(x, convolution.weight, convolution.bias, dilation=dilation)


def pointwise(x, linear):
    return functional.conv1d(x, linear.weight[..., None], linear.bias)


def plain(model, signal, conditions, dilations):
    """The paper's network, written out on [batch, features, time]."""
    h, total = padded(signal, model.front, 1), 0
    for block, dilation in zip(model.blocks, dilations, strict=True):
        a = padded(h, block.convolution, dilation)
        if conditions is not None:
            a = a + pointwise(conditions, block.condition)
        half = a.shape[1] // 2
        z = torch.tanh(a[:, :half]) * torch.sigmoid(a[:, half:])
        total = total + pointwise(z, block.skip)
        if block.residual is not None:
            h = h + pointwise(z, block.residual)
    first, second = model.head[1], model.head[3]
    return pointwise(functional.relu(pointwise(functional.relu(total), first)), second)


SMALL = {"hidden": 4, "layers": 3, "stacks": 2, "skip": 5}
DILATIONS = [1, 2, 4, 1, 2, 4]


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_network_is_the_papers(kernel_size):
    model = filled(in_features=3, out_features=6, conditions=2, kernel_size=kernel_size, **SMALL)
    x = torch.randn(2, 40, 3, dtype=torch.float64)
    expected = plain(model, x[..., :1].mT, x[..., 1:].mT, DILATIONS)
    torch.testing.assert_close(model(x)[0], expected.mT)


def test_a_quantized_input_is_a_one_hot_one():
    model = filled(in_features=1, out_features=7, quantized=True, **SMALL)
    x = torch.rand(2, 30, 1, dtype=torch.float64) * 2 - 1
    one_hot = functional.one_hot(mu_law_encode(x[..., 0], 7), 7).double()
    looked_up = one_hot @ model.table.table.weight
    torch.testing.assert_close(model(x)[0], plain(model, looked_up.mT, None, DILATIONS).mT)


def test_a_quantized_input_obeys_the_laws():
    # All but the gradient's view of the field, as a code has no gradient; that is the next test.
    options = {"in_features": 3, "out_features": 7, "conditions": 2, "quantized": True, **SMALL}
    model = filled(**options)
    torch.manual_seed(1)
    x = torch.rand(3, 9, 3, dtype=torch.float64) * 2 - 1
    contract.two_forms_agree(model, x, 1e-9)
    contract.blocks_compose(model, x, 1e-9)
    contract.state_is_passed(model, x)
    contract.rows_are_independent(model, x, 1e-9)
    contract.padding_is_inert(model, x, 1e-9)
    contract.saved_is_loaded(lambda: wavenet(**options), model, x)
    assert sum(p.numel() for p in model.parameters()) == wavenet_parameters(**options)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_field_of_a_quantized_input_is_true(kernel_size):
    model = filled(in_features=1, out_features=16, quantized=True, kernel_size=kernel_size, **SMALL)
    past = int(model.receptive_field.past)
    assert past == (kernel_size - 1) * 15
    x = torch.full((1, past + 2, 1), -0.5, dtype=torch.float64)
    whole = model(x)[0][0, -1]
    for step, seen in ((0, False), (1, True)):
        changed = x.clone()
        changed[0, step] = 0.5
        assert ((model(changed)[0][0, -1] - whole).abs().max() > 0) == seen


def test_a_stack_of_ten_sees_as_far_as_the_paper_says():
    model = wavenet(in_features=1, out_features=256, hidden=2)
    stack = model.receptive_field.past - model.front.receptive_field.past
    assert stack + 1 == 1024  # section 2.1: a block of 1, 2, ..., 512 has a field of size 1024


def test_a_global_condition_is_a_local_one_that_stays():
    model = filled(in_features=3, out_features=4, conditions=2, **SMALL)
    x = torch.randn(2, 20, 1, dtype=torch.float64)
    speaker = torch.randn(2, 2, dtype=torch.float64)
    repeated = torch.cat([x, speaker[:, None].expand(-1, 20, -1)], -1)
    # The paper's equation: V^T h is one vector for a row, added at every step.
    once = filled(in_features=1, out_features=4, **SMALL)
    once.load_state_dict(
        {name: p for name, p in model.state_dict().items() if ".condition." not in name}
    )
    rows = []
    for row in range(2):
        for block, conditioned in zip(once.blocks, model.blocks, strict=True):
            added = conditioned.condition.weight @ speaker[row]
            block.convolution.bias.data = conditioned.convolution.bias + added
        rows.append(once(x[row : row + 1])[0])
    torch.testing.assert_close(model(repeated)[0], torch.cat(rows).detach())


def test_it_learns_a_sine():
    torch.manual_seed(0)
    model = wavenet(in_features=1, out_features=32, hidden=12, layers=4, quantized=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    time = torch.arange(65) * 0.4

    def waves(rows):
        return torch.sin(time + 6.3 * torch.rand(rows, 1)) * 0.9

    def loss(x):
        scores, _ = model(x[:, :-1, None])
        # The first samples are left out: nothing tells the phase yet.
        return model.distribution.negative_log_likelihood(scores, x[:, 1:])[:, 4:].mean()

    for _ in range(60):
        optimizer.zero_grad()
        loss(waves(8)).backward()
        optimizer.step()
    x = waves(64)
    shares = mu_law_encode(x, 32).flatten().bincount(minlength=32) / x.numel()
    unconditional = -(shares * shares.clamp(min=1e-9).log()).sum()
    assert loss(x) < 0.5 * unconditional


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": 1}, "conditions must be"),
        ({"conditions": -1}, "conditions must be"),
        ({"in_features": 2, "quantized": True}, "quantized takes one column"),
        ({"out_features": 1, "quantized": True}, "at least 2 codes"),
        ({"quantized": True, "output": "mixture", "out_features": 3}, "categorical output"),
        ({"tokens": True, "quantized": True}, "tokens stand alone"),
        ({"output": "mixture", "out_features": 4}, "3 scores"),
        ({"output": "mix"}, "Did you mean 'mixture'"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"layers": 0}, "layers"),
        ({"stacks": 0}, "stacks"),
        ({"layers": 40}, "Take fewer layers"),
    ],
)
def test_bad_options_are_refused(options, message, unchecked):
    with pytest.raises(InputError, match=message):
        wavenet(**{"in_features": 1, "out_features": 8, "hidden": 2} | options)
