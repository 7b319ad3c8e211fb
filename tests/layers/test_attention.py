"""Attention against torch's own, and against slow, obvious versions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

import contract
import unrecur
from unrecur.core.state import leaves
from unrecur.layers.attention import CausalAttention, FullAttention
from unrecur.layers.attention_maps import recording
from unrecur.layers.cross_attention import CrossAttention
from unrecur.layers.positions import Positions, rotary, sinusoidal

WIDTH, HEADS = 8, 2


def of_torch(layer):
    """torch's layer with the same weights, all of them drawn at random."""
    layer.double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter.data, std=0.6)
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double().eval()
    theirs.load_state_dict(
        {name: value for name, value in layer.state_dict().items() if name != "relative"}
    )
    return theirs


def band(time, window):
    """True where a key is outside of the window: torch's sense of a mask."""
    distance = torch.arange(time)[:, None] - torch.arange(time)
    return (distance < 0) | (distance >= window)


def given_at(time, batch=3):
    torch.manual_seed(0)
    return torch.randn(batch, time, WIDTH, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(time=st.integers(1, 40), window=st.integers(1, 20))
def test_causal_attention_is_torchs_with_a_band_for_a_mask(time, window):
    x = given_at(time)
    layer = CausalAttention(WIDTH, HEADS, window)
    theirs = of_torch(layer)
    expected, weights = theirs(x, x, x, attn_mask=band(time, window), average_attn_weights=False)
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-9)
    maps = unrecur.attention_maps(layer, x)
    torch.testing.assert_close(maps[""], weights, rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), positions=st.sampled_from(["none", "rotary", "relative"]))
def test_any_cuts_of_a_sequence_give_the_same(data, positions):
    time, window = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 12))
    cuts = [*sorted(data.draw(st.sets(st.integers(1, 30)))), time]
    x = given_at(time)
    layer = CausalAttention(WIDTH, HEADS, window, positions)
    of_torch(layer)
    whole, final = layer(x)
    state, pieces, begin = None, [], 0
    for cut in cuts:
        if begin < cut <= time:
            y, state = layer(x[:, begin:cut], state)
            pieces.append(y)
            begin = cut
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-9)
    contract.states_close(state, final, 1e-9)


def test_relative_positions_are_added_to_the_scores_by_distance():
    x, window = given_at(11), 4
    layer = CausalAttention(WIDTH, HEADS, window, "relative")
    theirs = of_torch(layer)
    bias = torch.full((HEADS, 11, 11), -math.inf, dtype=torch.float64)
    for head in range(HEADS):
        for t in range(11):
            for s in range(max(0, t - window + 1), t + 1):
                bias[head, t, s] = layer.relative[head, t - s]
    expected, weights = theirs(x, x, x, attn_mask=bias.repeat(3, 1, 1), average_attn_weights=False)
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(unrecur.attention_maps(layer, x)[""], weights, rtol=0, atol=1e-9)


def test_rotary_positions_are_those_of_transformers():
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, HEADS, 5, 6, dtype=torch.float64)
    position = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 10, 1000]])
    frequency = 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angles = (position[..., None] * frequency).repeat(1, 1, 2)
    expected = apply_rotary_pos_emb(q, k, angles.cos(), angles.sin())
    for ours, theirs in zip((q, k), expected, strict=True):
        torch.testing.assert_close(rotary(ours, position), theirs, rtol=0, atol=1e-12)


def test_rotary_attention_knows_distances_only():
    x = given_at(9)
    layer = CausalAttention(WIDTH, HEADS, 5, "rotary")
    of_torch(layer)
    keys, values, count = layer.init_state(3)
    later = (keys, values, count + 100_000)  # the same empty cache, but far into a sequence
    y, _ = layer(x[:, 4:], layer(x[:, :4], later)[1])
    # The empty slots count as steps there; from the step on that sees none of them, all is equal.
    torch.testing.assert_close(y, layer(x)[0][:, 4:], rtol=0, atol=1e-9)
    swapped = x[:, [1, 0, *range(2, 9)]]
    assert (layer(swapped)[0][:, 4] - layer(x)[0][:, 4]).abs().max() > 1e-3


def test_rotary_positions_stay_exact_far_into_a_sequence():
    layer = CausalAttention(WIDTH, HEADS, 5, "rotary").eval()
    x = given_at(5).float()
    near, _ = layer(x)
    keys, values, count = layer.init_state(3)
    far, _ = layer(x, (keys, values, count + 10**8))
    torch.testing.assert_close(far[:, 4], near[:, 4], rtol=0, atol=1e-5)


def test_sinusoidal_vectors_are_the_papers():
    table = sinusoidal(torch.arange(50), 7)
    for p in (0, 1, 49):
        for i in range(7):
            angle = p / 10_000 ** (2 * (i // 2) / 7)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert table[p, i] == pytest.approx(expected, abs=1e-12)


def test_full_attention_is_torchs_with_lengths():
    x, lengths = given_at(6), torch.tensor([6, 1, 4])
    layer = FullAttention(WIDTH, HEADS)
    theirs = of_torch(layer)
    padding = torch.arange(6) >= lengths[:, None]
    expected, weights = theirs(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    y, _ = layer(x.masked_fill(padding[..., None], math.nan), None, lengths)
    torch.testing.assert_close(y[~padding], expected[~padding], rtol=0, atol=1e-9)
    maps = unrecur.attention_maps(layer, x, None, lengths)[""]
    rows = (~padding)[:, None, :, None]
    torch.testing.assert_close(maps * rows, weights * rows, rtol=0, atol=1e-9)


def test_cross_attention_is_torchs_with_lengths():
    x, memory, lengths = given_at(6), given_at(9).flip(2), torch.tensor([9, 1, 4])
    layer = CrossAttention(WIDTH, HEADS)
    theirs = of_torch(layer)
    padding = torch.arange(9) >= lengths[:, None]
    expected, weights = theirs(
        x, memory, memory, key_padding_mask=padding, average_attn_weights=False
    )
    state = layer.encode(memory.masked_fill(padding[..., None], math.nan), lengths)
    torch.testing.assert_close(layer(x, state)[0], expected, rtol=0, atol=1e-9)
    maps = unrecur.attention_maps(layer, x, state)[""]
    torch.testing.assert_close(maps, weights, rtol=0, atol=1e-9)


@pytest.mark.parametrize("batch", [2, 3])
def test_cross_attention_obeys_the_laws(batch):
    source = torch.randn(batch, 5, WIDTH)
    contract.verify_contract(
        lambda: CrossAttention(WIDTH, HEADS), torch.randn(batch, 7, WIDTH), source=source
    )


@pytest.mark.parametrize("positions", ["none", "rotary", "relative"])
def test_maps_of_blocks_are_the_columns_of_the_whole_map(positions):
    x, window = given_at(11), 4
    layer = CausalAttention(WIDTH, HEADS, window, positions)
    of_torch(layer)
    whole = unrecur.attention_maps(layer, x)[""]
    torch.testing.assert_close(whole.sum(-1), torch.ones_like(whole[..., 0]))
    for cut in (1, 2, 6):
        _, state = layer(x[:, :cut])
        later = unrecur.attention_maps(layer, x[:, cut:], state)[""]
        # Its keys are the 3 steps of the state, empty at first, and those of the block.
        empty = max(0, window - 1 - cut)
        assert later[..., :empty].abs().sum() == 0
        known = whole[:, :, cut:, max(0, cut - window + 1) :]
        torch.testing.assert_close(later[..., empty:], known, rtol=0, atol=1e-9)


def test_asking_for_maps_changes_nothing():
    x = given_at(20)
    layer = CausalAttention(WIDTH, HEADS, 6)
    of_torch(layer)
    before, names = layer(x)[0], set(vars(layer))
    unrecur.attention_maps(layer, x)
    assert set(vars(layer)) == names
    assert not recording()
    torch.testing.assert_close(layer(x)[0], before, rtol=0, atol=0)
    with pytest.raises(unrecur.InputError):
        unrecur.attention_maps(layer, x[..., :3])
    assert not recording()


def test_a_model_without_attention_has_no_maps():
    model = unrecur.build("gru", in_features=3, out_features=2, hidden=4)
    assert unrecur.attention_maps(model, torch.randn(2, 5, 3)) == {}


class Count(TorchDispatchMode):
    """Counts the operations that run."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations_of_a_step(window, steps):
    layer = CausalAttention(WIDTH, HEADS, window, "rotary").eval()
    state = layer(torch.randn(2, steps, WIDTH))[1]
    with torch.no_grad(), Count() as counter:
        layer.step(torch.randn(2, WIDTH), state)
    return counter.count, sum(leaf.numel() for leaf in leaves(state))


def test_a_step_costs_the_same_however_far_into_the_sequence():
    early, late = operations_of_a_step(8, 1), operations_of_a_step(8, 500)
    assert early == late
    assert operations_of_a_step(256, 500)[0] == late[0]


def test_a_long_block_costs_no_square_of_its_length():
    """The largest tensor of a block of 64 windows: linear in its length, not a map."""
    layer = CausalAttention(WIDTH, HEADS, 8).eval()

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            tensors = [t for t in leaves(out) if isinstance(t, torch.Tensor)]
            self.numel = max([self.numel, *(t.numel() for t in tensors)])
            return out

    with torch.no_grad(), Largest() as largest:
        layer(torch.randn(1, 512, WIDTH))
    assert largest.numel < 512 * 8 * 10


def test_dropout_draws_in_training_alone():
    x = given_at(9)
    layer = CausalAttention(WIDTH, HEADS, 4, dropout=0.5)
    of_torch(layer)
    calm = layer(x)[0]
    torch.testing.assert_close(layer(x)[0], calm, rtol=0, atol=0)
    assert (layer.train()(x)[0] - calm).abs().max() > 1e-2


def test_the_table_of_positions_ends():
    layer = Positions(4, "learned", longest=6)
    y, state = layer(torch.zeros(2, 6, 4))
    torch.testing.assert_close(y[0], layer.table.weight)
    with pytest.raises(unrecur.InputError, match="ends after 6 steps, got a sequence of 7"):
        layer.step(torch.zeros(2, 4), state)
    with pytest.raises(unrecur.InputError, match="sequence of 8"):
        layer(torch.zeros(2, 8, 4))
    # The padding may lie beyond the table.
    y, state = layer(torch.zeros(2, 8, 4), None, torch.tensor([6, 2]))
    assert state.tolist() == [6, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CausalAttention(8, 3, 4), "3 heads for a width of 8. Take a width of 9"),
        (lambda: FullAttention(8, 0), "heads must be a whole number"),
        (lambda: CausalAttention(8, 2, 0), "window must be"),
        (lambda: CausalAttention(6, 2, 4, "rotary"), "got 3 of them in each head"),
        (lambda: CausalAttention(8, 2, 4, "rotery"), "Did you mean 'rotary'"),
        (lambda: CausalAttention(8, 2, 4, dropout=1.0), "dropout must be"),
        (lambda: Positions(4, "absolute", 5), "unknown kind of positions"),
        (lambda: FullAttention(8, 2)(torch.randn(2, 5, 7)), "expected 8 features"),
        (
            lambda: FullAttention(8, 2)(torch.randn(2, 5, 8), None, torch.tensor([5, 0])),
            "lengths between 1 and 5",
        ),
        (
            lambda: CausalAttention(8, 2, 4)(torch.randn(2, 5, 8), None, torch.tensor([5, 6])),
            "lengths between 1 and 5",
        ),
        (
            lambda: CrossAttention(8, 2).encode(torch.randn(2, 5, 8), torch.tensor([5, 0])),
            "lengths between 1 and 5",
        ),
        (lambda: CrossAttention(8, 2)(torch.randn(2, 5, 8)), "starts from a source"),
        (lambda: FullAttention(8, 2).step(torch.randn(2, 8)), "cannot answer step by step"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_refused(make, message):
    with pytest.raises(unrecur.InputError, match=message):
        make()
