"""What each architecture can learn: to recall what its field holds, and nothing beyond it."""

import math

import pytest
import torch
from torch.nn import functional

from unrecur import build

SYMBOLS, TIME, STEPS = 4, 12, 150
CHANCE = math.log(SYMBOLS)
LEARNT = 0.5 * CHANCE
SIZES = {"in_features": SYMBOLS, "out_features": SYMBOLS, "hidden": 16}

FINITE = {
    "tcn": {"levels": 1, "kernel_size": 3},
    "wavenet": {"layers": 2},
    "gated_convolution": {"layers": 2, "kernel_size": 3},
    "transformer": {"layers": 1, "heads": 2, "context": 5, "positions": "rotary"},
}
PAST = 4  # how many inputs back they all see
# With how many steps ago the symbol was. Gates that see the input alone know a symbol's age by the
# layers below only: they get more layers and less to do.
INFINITE = {
    **{
        name: ({}, 3)
        for name in ("elman", "lstm", "peephole_lstm", "gru", "reset_first_gru", "mgu", "lru")
    },
    "projected_lstm": ({"projection": 12}, 3),
    "diagonal_ssm": ({"modes": 8}, 3),
    **{name: ({"layers": 3}, 2) for name in ("min_gru", "min_lstm", "qrnn")},
}
BOTH_WAYS = {
    "bidirectional_lstm": {},
    "bidirectional_gru": {},
    "transformer_encoder": {"layers": 1, "heads": 2},
    "hierarchical_attention": {"heads": 2, "group": TIME},
}
PAIRS = {
    "convs2s": {"layers": 2},
    "transformer_pair": {"layers": 1, "heads": 2, "context": TIME},
}


def least_loss(model, scores_and_targets):
    """Train until it is learnt, at most STEPS steps; give the least loss of a batch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    least = math.inf
    for _ in range(STEPS):
        scores, targets = scores_and_targets(torch.randint(SYMBOLS, (32, TIME)))
        loss = functional.cross_entropy(scores.flatten(0, 1), targets.flatten())
        least = min(least, loss.item())
        if least < LEARNT:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return least


def loss_of_recall(name, options, delay):
    """Let a model repeat the symbol of so many steps ago; ahead, where the delay is negative."""
    torch.manual_seed(0)
    model = build(name, **SIZES, **options)

    def scores_and_targets(symbols):
        scores, _ = model(functional.one_hot(symbols, SYMBOLS).float())
        kept = slice(max(delay, 0), TIME + min(delay, 0))
        return scores[:, kept], symbols.roll(delay, 1)[:, kept]

    return least_loss(model, scores_and_targets)


@pytest.mark.parametrize("name", INFINITE)
def test_a_recurrent_model_recalls_a_symbol(name):
    assert loss_of_recall(name, *INFINITE[name]) < LEARNT


@pytest.mark.parametrize("name", FINITE)
def test_a_field_holds_the_last_symbol_within_it_and_none_before(name):
    assert build(name, **SIZES, **FINITE[name]).receptive_field.past == PAST
    assert loss_of_recall(name, FINITE[name], PAST) < LEARNT
    assert loss_of_recall(name, FINITE[name], PAST + 1) >= 0.9 * CHANCE


@pytest.mark.parametrize("delay", [3, -3])
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_a_model_that_looks_both_ways_finds_a_symbol_on_either_side(name, delay):
    assert loss_of_recall(name, BOTH_WAYS[name], delay) < LEARNT


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_copies_its_source(name):
    """Each target step sees the one before it, and the source through the attention alone."""
    torch.manual_seed(0)
    model = build(name, **SIZES, **PAIRS[name])

    def scores_and_targets(source):
        before = source.roll(1, 1)
        before[:, 0] = 0
        return model(before, model.encode(source))[0], source

    assert least_loss(model, scores_and_targets) < LEARNT
