"""Scheduled sampling between its two ends: the true tokens, and the model's own."""

import math

import pytest
import torch

from models.decoders import translator
from unrecur import InputError, greedy
from unrecur.models.scheduled_sampling import inverse_sigmoid_decay, linear_decay, teacher_forced


def encoded(rows):
    torch.manual_seed(1)
    model = translator()
    return model, model.encode(torch.randint(0, 7, (rows, 4))), torch.randint(0, 5, (rows, 6))


def test_with_true_tokens_alone_it_is_a_forward_run():
    model, state, target = encoded(3)
    lengths = torch.tensor([6, 2, 4])
    expected, _ = model(target, state)
    for row, length in enumerate(lengths):
        target[row, length:] = -1
    y = teacher_forced(model, state, target, 1.0, lengths=lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(y[row, :length], expected[row, :length])


def test_with_its_own_tokens_alone_it_is_greedy():
    model, state, target = encoded(3)
    y = teacher_forced(model, state, target, 0.0)
    found = greedy(model, state, start=target[:, :1], max_length=6)
    assert torch.equal(y.argmax(-1), found.tokens)


def test_a_true_token_comes_as_often_as_asked():
    model, state, _ = encoded(500)
    read = []
    step = model.step

    def watched(x_t, state):
        read.append(x_t)
        return step(x_t, state)

    model.step = watched
    target = torch.full((500, 6), 4)
    y = teacher_forced(model, state, target, 0.3, torch.Generator().manual_seed(0))
    own = y[:, :-1].argmax(-1)
    inputs = torch.stack(read[1:], 1)
    assert ((inputs == own) | (inputs == 4)).all()
    different = own != 4
    share = float((inputs == 4)[different].double().mean())
    assert different.sum() > 1000
    assert abs(share - 0.3) < 0.05  # more than three standard deviations


def test_gradients_pass_through_the_scores():
    model, state, target = encoded(2)
    y = teacher_forced(model, state, target, 0.5, torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(y.square().sum(), list(model.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_schedules_are_the_papers():
    for i in range(0, 2000, 37):
        assert inverse_sigmoid_decay(i, 20.0) == pytest.approx(20 / (20 + math.exp(i / 20)))
    assert inverse_sigmoid_decay(10**6, 1.0) == 0
    assert linear_decay(3, slope=0.1, offset=0.9, least=0.2) == pytest.approx(0.6)
    assert linear_decay(100, slope=0.1, least=0.2) == 0.2


def test_bad_numbers_are_refused():
    model, state, target = encoded(2)
    with pytest.raises(InputError, match="probability"):
        teacher_forced(model, state, target, 1.5)
    with pytest.raises(InputError, match="speed"):
        inverse_sigmoid_decay(0, 0.5)
