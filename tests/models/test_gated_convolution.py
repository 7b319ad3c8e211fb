"""The gated convolutional network against a plain version; its context is what it says."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unrecur import InputError
from unrecur.models.gated_convolution import gated_convolution, gated_convolution_parameters


def filled(**options):
    torch.manual_seed(0)
    model = gated_convolution(**options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.6)
    return model


def plain_unit(unit, x):
    """(W * x + b) sigmoid(V * x + c), on [batch, features, time], with its norms written out."""
    convolution = unit.models[0]
    direction, magnitude = convolution.direction, convolution.magnitude
    norms = direction.square().sum((1, 2), keepdim=True).sqrt()
    weights, biases = (magnitude * direction / norms).chunk(2), convolution.bias.chunk(2)
    x = functional.pad(x, (direction.shape[2] - 1, 0))
    linear, gate = (functional.conv1d(x, w, b) for w, b in zip(weights, biases, strict=True))
    return linear * torch.sigmoid(gate)


@pytest.mark.parametrize("bottleneck", [None, 3])
def test_the_network_is_the_papers(bottleneck):
    model = filled(in_features=3, out_features=5, hidden=4, layers=3, bottleneck=bottleneck)
    x = torch.randn(2, 20, 3, dtype=torch.float64)
    first, *blocks = model.body.models
    h = plain_unit(first, x.mT)
    for block in blocks:
        _, *units = block.model.models
        z = h
        for unit in units:
            z = plain_unit(unit, z)
        h = h + z
        assert [u.models[0].receptive_field.past for u in units] == (
            [0, 3, 0] if bottleneck else [3]
        )
    expected = functional.linear(h.mT, model.head.module.weight, model.head.module.bias)
    torch.testing.assert_close(model(x)[0], expected)


@pytest.mark.parametrize(
    ("name", "options", "context"),
    [
        ("GCNN-8", {"hidden": 900, "layers": 8, "embedding": 280}, 25),
        ("GCNN-13", {"hidden": 1268, "layers": 13, "embedding": 128}, 40),
    ],
)
def test_the_published_models_see_as_many_words_as_they_should(name, options, context):
    options = {"in_features": 1000, "out_features": 1000, "tokens": True} | options
    with torch.device("meta"):
        model = gated_convolution(**options)
    assert model.receptive_field.length == context, name
    count = sum(p.numel() for p in model.parameters())
    assert gated_convolution_parameters(**options) == count


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("cutoffs", [None, [2], [3, 6]])
@pytest.mark.parametrize("bottleneck", [None, 5])
def test_the_parameters_are_counted(tokens, cutoffs, bottleneck):
    for layers, embedding in ((1, None), (3, 7 if tokens else None)):
        options = {
            "in_features": 6,
            "out_features": 9,
            "hidden": 16,
            "layers": layers,
            "kernel_size": 3,
            "bottleneck": bottleneck,
            "embedding": embedding,
            "cutoffs": cutoffs,
            "tokens": tokens,
        }
        model = gated_convolution(**options)
        count = sum(p.numel() for p in model.parameters())
        assert gated_convolution_parameters(**options) == count


LANGUAGE = {"in_features": 9, "out_features": 9, "hidden": 16, "layers": 2, "tokens": True}


@pytest.mark.parametrize("cutoffs", [None, [4, 6]])
def test_the_loss_is_that_of_the_outputs(cutoffs):
    model = filled(cutoffs=cutoffs, **LANGUAGE)
    x, targets = torch.randint(0, 9, (2, 2, 12))
    lengths = torch.tensor([12, 7])
    outputs, _ = model(x, None, lengths)
    log_probabilities = outputs.log_softmax(-1)  # changes nothing where they are that already
    expected = -log_probabilities.gather(-1, targets[..., None])[..., 0]
    valid = torch.arange(12) < lengths[:, None]
    if cutoffs:
        torch.testing.assert_close(outputs[valid], log_probabilities[valid])
    padded = torch.where(valid, targets, -1)
    nats = model.negative_log_likelihood(x, padded, lengths)
    torch.testing.assert_close(nats, torch.where(valid, expected, 0))


def test_the_adaptive_loss_does_not_make_all_log_probabilities(monkeypatch):
    model = filled(cutoffs=[4, 6], **LANGUAGE)

    def refused(_):
        raise AssertionError("all log-probabilities were made")

    monkeypatch.setattr(model.head.module, "forward", refused)
    x = torch.randint(0, 9, (2, 12))
    assert model.negative_log_likelihood(x, x).isfinite().all()
    with pytest.raises(AssertionError):
        model(x)


@pytest.mark.parametrize("cutoffs", [None, [4, 6]])
def test_targets_without_a_score_are_refused(cutoffs):
    x = torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(InputError, match="from 0 to 8"):
        filled(cutoffs=cutoffs, **LANGUAGE).negative_log_likelihood(x, x + 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"bottleneck": 0}, "out_features|in_features"),
        ({"embedding": 3}, "an embedding takes tokens"),
        ({"embedding": 0, "tokens": True}, "features"),
        ({"cutoffs": [9]}, "cutoffs"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        gated_convolution(
            **{"in_features": 9, "out_features": 9, "hidden": 4, "layers": 2} | options
        )
