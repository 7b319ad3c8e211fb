"""ConvS2S against a plain version of its equations, and on its field and its positions."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from unrecur import InputError, Spec, attention_maps, beam_search, greedy, load_model, save_model
from unrecur.models.convs2s import convs2s, convs2s_parameters

SIZES = {"in_features": 7, "out_features": 5, "hidden": 4}


def random_model(**options):
    torch.manual_seed(0)
    model = convs2s(**(SIZES | {"layers": 2, "context": 16} | options)).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.6)
    return model


def gated(x, weight, bias, left, right):
    """A gated convolution of one row [time, features], tap by tap."""
    padded = functional.pad(x, (0, 0, left, right))
    taps = weight.unbind(2)
    rows = [bias + sum(tap @ padded[t + k] for k, tap in enumerate(taps)) for t in range(len(x))]
    value, gate = torch.stack(rows).chunk(2, 1)
    return value * torch.sigmoid(gate)


def normalized(magnitude, direction):
    lengths = direction.flatten(1).norm(dim=1).view(-1, *(1,) * (direction.dim() - 1))
    return magnitude * direction / lengths


def weight_of(module):
    """A weight that torch's parametrisation normalises."""
    parts = module.parametrizations.weight
    return normalized(parts.original0, parts.original1)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_the_network_is_the_papers(kernel_size):
    model = random_model(kernel_size=kernel_size)
    source, lengths = torch.tensor([[1, 2, 3, 4, 6], [5, 6, -1, -1, -1]]), torch.tensor([5, 2])
    target = torch.tensor([[1, 0, 4, 2], [2, 3, 3, 1]])
    y, _ = model(target, model.encode(source, lengths))
    half, reach = math.sqrt(0.5), kernel_size - 1

    def embedded(front, tokens):
        words, positions, _ = front.models
        return words.table(tokens) + positions.table.weight[: len(tokens)]

    for row, length in enumerate(lengths):
        e = z = embedded(model.source, source[row, :length])
        for block in model.encoder.models:
            convolution = block.models[0].model.models[1]
            weight, left = weight_of(convolution), reach // 2
            z = half * (z + gated(z, weight, convolution.bias, left, reach - left))
        g = x = embedded(model.target, target[row])
        for block in model.blocks:
            convolution = block.convolution
            weight = normalized(convolution.magnitude, convolution.direction)
            u = half * (x + gated(x, weight, convolution.bias, reach, 0))
            d = u @ weight_of(block.query).T + block.query.bias + g
            a = (d @ z.T).softmax(1)
            x = half * (u + math.sqrt(length) * a @ (z + e))
        scores = model.scores.module[1]
        expected = x @ weight_of(scores).T + scores.bias
        torch.testing.assert_close(y[row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("layers", "kernel_size"), [(1, 1), (2, 3), (3, 2)])
def test_the_field_over_the_target_is_true(layers, kernel_size):
    """A change of one token changes the outputs from there on, as far as the field reaches."""
    model = random_model(layers=layers, kernel_size=kernel_size)
    field = model.receptive_field
    assert (field.past, field.future) == (layers * (kernel_size - 1), 0)
    state = model.encode(torch.tensor([[1, 2, 3]]))
    target = torch.randint(0, 5, (1, 12))
    changed = target.clone()
    changed[0, 4] = (target[0, 4] + 1) % 5
    moved = (model(target, state)[0] != model(changed, state)[0]).any(-1)[0]
    assert moved.nonzero().flatten().tolist() == list(range(4, 5 + int(field.past)))


def test_every_layer_has_its_attention_map():
    model = random_model(layers=3)
    state = model.encode(torch.randint(1, 7, (2, 6)), torch.tensor([6, 3]))
    maps = attention_maps(model, torch.randint(0, 5, (2, 4)), state)
    assert list(maps) == ["blocks.0", "blocks.1", "blocks.2"]
    for weights in maps.values():
        assert weights.shape == (2, 1, 4, 6)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 4, dtype=torch.float64))
        assert not weights[1, ..., 3:].any()


def test_positions_beyond_the_table_are_refused():
    model = random_model(context=5)
    with pytest.raises(InputError, match="ends after 5 steps"):
        model.encode(torch.ones(1, 6, dtype=torch.long))
    state = model.encode(torch.ones(1, 5, dtype=torch.long))
    _, state = model(torch.ones(1, 5, dtype=torch.long), state)
    with pytest.raises(InputError, match="ends after 5 steps"):
        model.step(torch.ones(1, dtype=torch.long), state)


def test_longer_padding_than_the_table_does_no_harm():
    model = random_model(context=5)
    source, lengths = torch.randint(0, 7, (2, 9)), torch.tensor([5, 2])
    y, _ = model(source[:, :4] % 5, model.encode(source, lengths))
    expected, _ = model(source[:, :4] % 5, model.encode(source[:, :5], lengths))
    torch.testing.assert_close(y, expected)


@torch.no_grad()
def test_the_first_weights_keep_the_variance():
    torch.manual_seed(0)
    model = convs2s(in_features=50, out_features=50, hidden=128, layers=6, dropout=0.1).eval()
    assert abs(float(model.source.models[0].table.weight.std()) - 0.1) < 0.01
    x = torch.randn(2, 30, 128)
    outputs = model.encoder(x)[0]
    assert 0.5 < float(outputs.std()) < 2
    assert all(
        not parameter.any() for name, parameter in model.named_parameters() if "bias" in name
    )


def test_parameters_are_counted_as_built():
    for layers, kernel_size, normalize in itertools.product((1, 3), (1, 2, 5), (True, False)):
        options = SIZES | {"layers": layers, "kernel_size": kernel_size, "context": 9}
        options |= {"normalize": normalize, "dropout": 0.1}
        built = sum(parameter.numel() for parameter in convs2s(**options).parameters())
        assert convs2s_parameters(**options) == built


@pytest.mark.parametrize("normalize", [True, False])
def test_a_saved_model_is_loaded_exactly(normalize, tmp_path):
    torch.manual_seed(0)
    spec = Spec("convs2s", SIZES | {"layers": 2, "context": 8, "normalize": normalize})
    model = spec.build().eval()
    save_model(tmp_path / "m.safetensors", spec, model)
    again, loaded = load_model(tmp_path / "m.safetensors")
    source, target = torch.randint(0, 7, (2, 5)), torch.randint(0, 5, (2, 4))
    assert again == spec
    assert spec.parameters == convs2s_parameters(**spec.options)
    assert torch.equal(
        loaded(target, loaded.encode(source))[0], model(target, model.encode(source))[0]
    )


def test_it_decodes_by_the_shared_functions():
    model = random_model()
    state = model.encode(torch.randint(0, 7, (3, 5)), torch.tensor([5, 1, 3]))
    found = greedy(model, state, start=1, end=0, max_length=8)
    best = beam_search(model, state, start=1, end=0, max_length=8, beam=1)
    torch.testing.assert_close(best.scores[:, 0], found.scores)
    with pytest.raises(InputError, match="keeps no coverage"):
        beam_search(model, state, start=1, end=0, max_length=8, coverage_penalty=0.2)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="kernel_size"):
        convs2s(**SIZES, layers=1, kernel_size=0)
    with pytest.raises(InputError, match="layers"):
        convs2s(**SIZES, layers=0)
    with pytest.raises(InputError, match="context"):
        convs2s(**SIZES, layers=1, context=0)
