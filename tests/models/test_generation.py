"""Generation with queues equals sampling by recomputing everything, and the step form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrecur import InputError, generate
from unrecur.models.wavenet import wavenet
from unrecur.models.wavenet_queues import WaveNetQueues

CODED = {"in_features": 1, "out_features": 16, "quantized": True, "stacks": 2}
RAW = {"in_features": 1, "out_features": 16, "kernel_size": 3}
MIXED = {"in_features": 3, "out_features": 6, "conditions": 2, "output": "mixture", "skip": 7}


def filled(options):
    torch.manual_seed(0)
    model = wavenet(hidden=4, layers=3, dropout=0.3, **options).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.7)
    return model


def recomputed(model, steps, conditions, prompt, generator):
    """The obvious way: for each sample run the model over all that came before."""
    batch = 1 if prompt is None else len(prompt)
    samples = torch.zeros(batch, 1).double() if prompt is None else prompt
    given = samples.shape[1]
    uniforms = torch.rand(
        steps, batch, model.distribution.uniforms, generator=generator, dtype=torch.float64
    )
    for uniform in uniforms:
        x = samples[..., None]
        if conditions is not None:
            x = torch.cat([x, conditions[:, : x.shape[1]]], -1)
        scores, _ = model(x)
        drawn = model.distribution.at(scores[:, -1], uniform)
        samples = torch.cat([samples, drawn[:, None]], 1)
    return samples[:, given:].detach()


@pytest.mark.parametrize("options", [CODED, RAW, MIXED], ids=["coded", "raw", "mixture"])
@pytest.mark.parametrize("prompted", [False, True])
def test_it_draws_what_recomputing_draws(options, prompted):
    model, steps = filled(options).eval(), 40  # longer than the field, so that the rings turn
    prompt = torch.rand(2, 11).double() * 2 - 1 if prompted else None
    conditions = None
    if options is MIXED:
        shape = (2, 10 + steps, 2) if prompted else (1, steps, 2)
        conditions = torch.randn(shape, dtype=torch.float64)
    drawn = generate(model, steps, conditions, prompt, torch.Generator().manual_seed(3))
    expected = recomputed(model, steps, conditions, prompt, torch.Generator().manual_seed(3))
    assert drawn.std() > 0.01
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "options",
    [CODED, RAW, MIXED, {"in_features": 4, "out_features": 2}, {"tokens": True} | RAW],
    ids=["coded", "raw", "conditioned", "frames", "tokens"],
)
def test_queues_are_the_step_form(options, batch):
    options = options | ({"in_features": 6} if options.get("tokens") else {})
    model = filled(options).eval()
    if options.get("tokens"):
        x = torch.randint(0, 6, (batch, 50))
    else:
        x = torch.rand(batch, 50, model.in_features, dtype=torch.float64) * 2 - 1
    _, state = model(x[:, :7])  # not from the start: the rings begin with what has been seen
    queues = WaveNetQueues(model, state)
    for x_t in x[:, 7:].unbind(1):
        expected, state = model.step(x_t, state)
        torch.testing.assert_close(queues.step(x_t), expected.detach(), rtol=0, atol=1e-11)


@settings(max_examples=15)
@given(
    st.integers(2, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(1, 3)
)
def test_queues_are_the_step_form_at_any_shape(kernel_size, layers, stacks, conditions, batch):
    torch.manual_seed(0)
    model = wavenet(
        in_features=1 + conditions,
        out_features=3,
        hidden=3,
        kernel_size=kernel_size,
        layers=layers,
        stacks=stacks,
        conditions=conditions,
    ).double()
    queues, state = WaveNetQueues(model, model.init_state(batch)), None
    for x_t in torch.rand(40, batch, 1 + conditions, dtype=torch.float64):
        expected, state = model.step(x_t, state)
        torch.testing.assert_close(queues.step(x_t), expected.detach(), rtol=0, atol=1e-11)


def test_the_state_handed_to_queues_is_left_alone():
    model = filled(CODED).eval()
    _, (front, pasts) = model(torch.rand(1, 20, 1).double())
    before = [past.clone() for past in (front, *pasts)]
    WaveNetQueues(model, (front, pasts)).step(torch.zeros(1, 1).double())
    assert all(torch.equal(a, b) for a, b in zip(before, (front, *pasts), strict=True))


def test_a_model_in_training_draws_without_dropout_and_stays_in_training():
    model, prompt = filled(CODED), torch.rand(1, 30).double()
    drawn = [
        generate(model.train(mode), 10, None, prompt, torch.Generator().manual_seed(1))
        for mode in (False, True)
    ]
    assert torch.equal(*drawn)
    assert model.training


def test_what_is_drawn_can_be_trained_on():
    model = filled(RAW)
    drawn = generate(model, 5, generator=torch.Generator().manual_seed(1))
    scores, _ = model(drawn[..., None])
    model.distribution.negative_log_likelihood(scores[:, :-1], drawn[:, 1:]).sum().backward()
    assert model.front.weight.grad.abs().sum() > 0


def test_a_draw_is_the_generators():
    model = filled(MIXED)
    conditions = torch.zeros(2, 9, 2).double()
    one, two, other = (
        generate(model, 9, conditions, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == (2, 9)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"in_features": 2, "out_features": 4}, {}, "one column of signal, got 2 columns"),
        ({"in_features": 5, "out_features": 5, "tokens": True}, {}, "got one of tokens"),
        (RAW, {"conditions": torch.zeros(1, 8, 2).double()}, "leave conditions out"),
        (MIXED, {}, "give them"),
        (MIXED, {"conditions": torch.zeros(1, 9, 2).double()}, r"expected conditions \[1, 8, 2\]"),
        (
            MIXED,
            {
                "conditions": torch.zeros(2, 8, 2).double(),
                "prompt": torch.zeros(3, 1).double(),
            },
            r"expected conditions \[3, 8, 2\]",
        ),
        (RAW, {"prompt": torch.zeros(1, 0).double()}, "expected a prompt"),
        (RAW, {"steps": 0}, "steps"),
    ],
)
def test_bad_input_is_refused(options, arguments, message, unchecked):
    with pytest.raises(InputError, match=message):
        generate(filled(options), **{"steps": 8} | arguments)
