"""The transformers against other people's, the published sizes, fields and errors."""

import math

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import contract
import unrecur
from oracles import measured_field
from unrecur.core.equivalence import fold_steps
from unrecur.layers.attention import CausalAttention, FullAttention
from unrecur.layers.cross_attention import CrossAttention
from unrecur.layers.transformer_block import TransformerBlock, feed_forward
from unrecur.models import MODELS

OPTIONS = {"in_features": 3, "out_features": 2, "hidden": 8, "layers": 2, "heads": 2}
PAIR = OPTIONS | {"in_features": 7, "out_features": 7, "context": 12}


def randomized(module, std=0.3):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter.data, std=std)
    return module.eval()


# GPT-2


def gpt2():
    """A small GPT-2 of `transformers`, with random weights."""
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": 13}
    return randomized(GPT2LMHeadModel(GPT2Config(**sizes)))


def as_ours(theirs):
    """Our model with the weights of a GPT-2; its maps are stored transposed."""
    model = unrecur.build(
        "transformer",
        in_features=13,
        out_features=13,
        hidden=8,
        layers=2,
        heads=2,
        context=16,
        activation="gelu_tanh",
        tied=True,
        tokens=True,
    )
    body = theirs.transformer
    weights = {
        "front.table.weight": body.wte.weight,
        "stack.positions.table.weight": body.wpe.weight,
        "stack.norm.weight": body.ln_f.weight,
        "stack.norm.bias": body.ln_f.bias,
    }
    for i, block in enumerate(body.h):
        ours = f"stack.blocks.{i}."
        for name, layer in {
            "attention.in_proj_": block.attn.c_attn,
            "attention.out_proj.": block.attn.c_proj,
            "feed_forward.module.0.": block.mlp.c_fc,
            "feed_forward.module.2.": block.mlp.c_proj,
        }.items():
            weights |= {f"{ours}{name}weight": layer.weight.T, f"{ours}{name}bias": layer.bias}
        for j, norm in enumerate((block.ln_1, block.ln_2)):
            weights |= {f"{ours}norms.{j}.{k}": v for k, v in norm.named_parameters()}
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def test_gpt2_is_the_one_of_transformers():
    theirs = gpt2()
    ours = as_ours(theirs)
    x = torch.randint(0, 13, (3, 16))
    expected = theirs(x).logits
    torch.testing.assert_close(ours(x)[0], expected, rtol=0, atol=1e-5)
    cache, state = None, None
    for t in range(16):
        answer = theirs(x[:, t : t + 1], past_key_values=cache, use_cache=True)
        cache = answer.past_key_values
        y, state = ours.step(x[:, t], state)
        torch.testing.assert_close(y, answer.logits[:, 0], rtol=0, atol=1e-5)
        torch.testing.assert_close(y, expected[:, t], rtol=0, atol=1e-5)


@torch.no_grad()
def test_maps_are_those_of_transformers():
    theirs = gpt2()
    theirs.set_attn_implementation("eager")
    x = torch.randint(0, 13, (3, 11))
    expected = theirs(x, output_attentions=True).attentions
    maps = unrecur.attention_maps(as_ours(theirs), x)
    assert list(maps) == ["stack.blocks.0.attention", "stack.blocks.1.attention"]
    for ours, weights in zip(maps.values(), expected, strict=True):
        torch.testing.assert_close(ours, weights, rtol=0, atol=1e-5)


def counted(name, **options):
    """The number of parameters by formula, which must be the real one too."""
    spec = unrecur.Spec(name, options)
    assert MODELS[name].parameters(**options) == spec.parameters
    return spec.parameters


def test_gpt2_small_has_the_published_size():
    sizes = {"hidden": 768, "layers": 12, "heads": 12, "context": 1024}
    tokens = {"in_features": 50257, "out_features": 50257, "tokens": True, "tied": True}
    assert counted("transformer", **sizes, **tokens) == 124_439_808


def test_the_base_transformer_of_2017_has_about_the_published_size():
    # The paper says 65 million, and a vocabulary of "about 37000"; with biases in all maps.
    sizes = {"hidden": 512, "layers": 6, "heads": 8, "inner": 2048, "context": 512}
    base = counted(
        "transformer_pair", in_features=37_000, out_features=37_000, **sizes, shared=True
    )
    assert base == 63_082_496
    assert abs(base / 65e6 - 1) < 0.03


@pytest.mark.parametrize(
    "options",
    [
        {"tokens": True},
        {"inner": 3},
        {"norm": "post"},
        {"layers": 1, "heads": 4},
        *({"positions": name} for name in ("rotary", "relative", "sinusoidal", "none")),
        {"in_features": 5, "out_features": 5, "tokens": True, "tied": True},
    ],
)
def test_sizes_are_counted(options):
    counted("transformer", **OPTIONS | {"context": 9} | options)


@pytest.mark.parametrize(
    "options",
    [{}, {"tokens": True}, {"inner": 3}, {"positions": "learned"}, {"norm": "pre"}],
)
def test_sizes_of_encoders_are_counted(options):
    counted("transformer_encoder", **OPTIONS | options)
    tree = {name: value for name, value in options.items() if name in ("tokens", "inner")}
    counted("hierarchical_attention", **OPTIONS | tree | {"group": 5})
    pair = {name: value for name, value in options.items() if name != "tokens"}
    counted("transformer_pair", **PAIR | pair)
    counted("transformer_pair", **PAIR | pair | {"shared": True})


# torch


def block_weights(theirs, attentions):
    """The weights of one of torch's layers under our names."""
    names = {"self_attn": "attention", "multihead_attn": "cross"}
    names |= {"linear1": "feed_forward.module.0", "linear2": "feed_forward.module.2"}
    names |= {f"norm{i + 1}": f"norms.{i}" for i in range(attentions + 1)}
    return {
        f"{names[part]}.{rest}": value
        for name, value in theirs.state_dict().items()
        for part, rest in [name.split(".", 1)]
    }


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_blocks_are_torchs(norm, activation):
    sizes = {"dim_feedforward": 20, "activation": activation, "batch_first": True}
    where = {"norm_first": norm == "pre", "dtype": torch.float64}
    encoder = randomized(nn.TransformerEncoderLayer(8, 2, **sizes, **where))
    decoder = randomized(nn.TransformerDecoderLayer(8, 2, **sizes, **where))
    x, memory = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    lengths, padding = torch.tensor([6, 2, 5]), torch.zeros(3, 6, dtype=torch.bool)
    for row, length in enumerate(lengths):
        padding[row, length:] = True

    def ours(attention, cross, theirs):
        block = TransformerBlock(attention, feed_forward(8, 20, activation), cross, norm).double()
        block.load_state_dict(block_weights(theirs, 1 if cross is None else 2))
        return block.eval()

    block = ours(FullAttention(8, 2), None, encoder)
    expected = encoder(x, src_key_padding_mask=padding)
    torch.testing.assert_close(
        block(x, None, lengths)[0][~padding], expected[~padding], rtol=0, atol=1e-9
    )
    block = ours(CausalAttention(8, 2, window=6), CrossAttention(8, 2), decoder)
    expected = decoder(
        x,
        memory,
        tgt_mask=torch.ones(6, 6, dtype=torch.bool).triu(1),
        memory_key_padding_mask=padding,
    )
    y, _ = block(x, block.encode(memory, lengths))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-9)


def test_the_pair_is_torchs_transformer():
    """Table, scale and positions by hand; both stacks with torch's last normalisations."""
    theirs = randomized(
        nn.Transformer(8, 2, 2, 2, 20, batch_first=True, norm_first=True, dtype=torch.float64)
    )
    model = unrecur.build("transformer_pair", **PAIR, inner=20, norm="pre", shared=True)
    randomized(model.double())
    for ours, stack, attentions in (
        (model.encoder, theirs.encoder, 1),
        (model.decoder, theirs.decoder, 2),
    ):
        for block, layer in zip(ours.blocks, stack.layers, strict=True):
            block.load_state_dict(block_weights(layer, attentions))
        ours.norm.load_state_dict(stack.norm.state_dict())
    source, x = torch.randint(0, 7, (3, 9)), torch.randint(0, 7, (3, 6))
    lengths = torch.tensor([9, 3, 5])
    padding = torch.arange(9) >= lengths[:, None]
    table = model.target.table.weight

    def vectors(tokens):
        p = torch.arange(tokens.shape[1], dtype=torch.float64)[:, None]
        angles = p / 10_000 ** (torch.arange(0, 8, 2) / 8)
        return table[tokens] * math.sqrt(8) + torch.stack([angles.sin(), angles.cos()], -1).flatten(
            1
        )

    y = theirs(
        vectors(source),
        vectors(x),
        tgt_mask=torch.ones(6, 6, dtype=torch.bool).triu(1),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    state = model.encode(source, lengths)
    torch.testing.assert_close(model(x, state)[0], y @ table.T, rtol=0, atol=1e-9)
    torch.testing.assert_close(fold_steps(model, x, state)[0], y @ table.T, rtol=0, atol=1e-9)


def test_the_source_reaches_the_decoder_as_far_as_it_is_valid():
    model = randomized(unrecur.build("transformer_pair", **PAIR))
    source, x = torch.randint(0, 7, (2, 5)), torch.randint(0, 7, (2, 4))
    lengths = torch.tensor([5, 3])
    y, _ = model(x, model.encode(source, lengths))
    changed = source.clone()
    changed[1, 3:] = -1  # the padding may hold anything
    torch.testing.assert_close(model(x, model.encode(changed, lengths))[0], y, rtol=0, atol=0)
    changed[1, 2] = (changed[1, 2] + 1) % 7
    assert (model(x, model.encode(changed, lengths))[0][1] - y[1]).abs().max() > 1e-3


def test_all_attentions_of_a_pair_have_maps():
    model = randomized(unrecur.build("transformer_pair", **PAIR))
    source, x = torch.randint(0, 7, (2, 5)), torch.randint(0, 7, (2, 4))
    maps = unrecur.attention_maps(model, x, model.encode(source, torch.tensor([5, 3])))
    shapes = {name: list(weights.shape) for name, weights in maps.items()}
    # A state is given, so the causal maps have the 11 slots of its cache before the block's steps.
    assert shapes == {
        f"decoder.blocks.{i}.{part}": [2, 2, 4, keys]
        for i in range(2)
        for part, keys in (("attention", 15), ("cross", 5))
    }
    assert all((weights.sum(-1) - 1).abs().max() < 1e-5 for weights in maps.values())
    assert maps["decoder.blocks.0.cross"][1, ..., 3:].abs().sum() == 0
    encoder = unrecur.attention_maps(model.encoder, torch.randn(2, 5, 8))
    assert list(encoder) == ["blocks.0.attention", "blocks.1.attention"]


def test_the_maps_of_the_encoder_come_with_the_source():
    model = randomized(unrecur.build("transformer_pair", **PAIR))
    source, x, lengths = torch.randint(0, 7, (2, 5)), torch.randint(0, 7, (2, 4)), [5, 3]
    given = {"source": source, "source_lengths": torch.tensor(lengths)}
    maps = unrecur.attention_maps(model, x, **given)
    decoder = unrecur.attention_maps(model, x, model.encode(source, torch.tensor(lengths)))
    encoder = [f"encoder.blocks.{i}.attention" for i in range(2)]
    assert list(maps) == [*encoder, *decoder]
    for name, weights in decoder.items():
        torch.testing.assert_close(maps[name], weights, rtol=0, atol=0)
    for name in encoder:
        assert maps[name].shape == (2, 2, 5, 5)
        assert (maps[name].sum(-1) - 1).abs().max() < 1e-5
        assert maps[name][1, ..., 3:].abs().sum() == 0
    with pytest.raises(unrecur.InputError, match="state comes from the source"):
        unrecur.attention_maps(model, x, model.encode(source), source=source)
    with pytest.raises(unrecur.InputError, match="TransformerStack encodes no source"):
        unrecur.attention_maps(model.encoder, torch.randn(2, 5, 8), source=source)


def test_the_encoder_sees_everything_and_has_maps():
    model = randomized(unrecur.build("transformer_encoder", **OPTIONS))
    assert model.receptive_field == unrecur.Field(past=math.inf, future=math.inf)
    maps = unrecur.attention_maps(model, torch.randn(2, 5, 3))
    assert list(maps) == [f"models.1.blocks.{i}.attention" for i in range(2)]


# Fields, ends and errors


def test_a_table_of_positions_bounds_the_field():
    """Two layers of 6 steps would see 10 back; no sequence of 6 positions is as long."""
    torch.manual_seed(0)
    model = unrecur.build("transformer", **OPTIONS, context=6).double().eval()
    assert model.receptive_field == unrecur.Field(past=5)
    x = torch.rand(1, 6, 3, dtype=torch.float64)
    assert measured_field(model, x, t=5) == (5, 0)
    with pytest.raises(unrecur.InputError, match="ends after 6 steps, got a sequence of 7"):
        model(torch.rand(1, 7, 3, dtype=torch.float64))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_learned_positions_of_features_obey_the_laws(norm):
    def make():
        model = unrecur.build("transformer", **OPTIONS, context=9, norm=norm)
        return randomized(model)

    model = make().double()
    x = torch.randn(3, 9, 3, dtype=torch.float64)
    contract.two_forms_agree(model, x, 1e-9)
    contract.blocks_compose(model, x, 1e-9)
    contract.state_is_passed(model, x)
    contract.rows_are_independent(model, x, 1e-9)
    contract.padding_is_inert(model, x, 1e-9)
    contract.saved_is_loaded(make, model, x)


def test_positions_tell_the_order_and_their_absence_does_not():
    """Without positions one layer's last output is the same for any order of what came before."""
    for positions, differs in (
        ("none", False),
        ("learned", True),
        ("sinusoidal", True),
        ("rotary", True),
        ("relative", True),
    ):
        options = OPTIONS | {"layers": 1, "context": 8, "positions": positions}
        model = randomized(unrecur.build("transformer", **options))
        x = torch.randn(2, 8, 3)
        swapped = x[:, [3, 1, 2, 0, *range(4, 8)]]
        gap = (model(x)[0][:, -1] - model(swapped)[0][:, -1]).abs().max()
        assert (gap > 1e-4) == differs, positions


PLAIN = OPTIONS | {"context": 8}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", PLAIN | {"heads": 3}, "3 heads for a width of 8"),
        ("transformer", PLAIN | {"context": 0}, "context must be"),
        ("transformer", PLAIN | {"layers": 0}, "layers must be"),
        ("transformer", PLAIN | {"inner": 0}, "inner must be"),
        ("transformer", PLAIN | {"norm": "last"}, "unknown norm 'last'"),
        ("transformer", PLAIN | {"activation": "tanh"}, "Known: gelu, gelu_tanh, relu"),
        ("transformer", PLAIN | {"positions": "absolute"}, "unknown kind of positions"),
        ("transformer", PLAIN | {"hidden": 6, "positions": "rotary"}, "got 3 of them"),
        ("transformer", PLAIN | {"tied": True}, "tied scores need tokens=True"),
        ("transformer", PLAIN | {"tied": True, "tokens": True}, "3 in and 2 out"),
        ("transformer", PLAIN | {"dropout": -0.1}, "dropout must be"),
        ("transformer_encoder", OPTIONS | {"positions": "rotary"}, "unknown kind of positions"),
        ("transformer_encoder", OPTIONS | {"heads": 3}, "3 heads for a width of 8"),
        ("transformer_pair", PAIR | {"in_features": 6, "shared": True}, "one vocabulary"),
        ("transformer_pair", PAIR | {"positions": "none"}, "unknown kind of positions"),
        ("hierarchical_attention", OPTIONS | {"group": 1}, "group must be at least 2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_options_are_refused(name, options, message):
    with pytest.raises(unrecur.InputError, match=message):
        unrecur.build(name, **options)


def test_tokens_beyond_the_vocabulary_are_refused():
    model = unrecur.build("transformer_pair", **PAIR)
    with pytest.raises(unrecur.InputError, match="ids from 0 to 6, got 0 to 7"):
        model.encode(torch.tensor([[0, 7]]))
    with pytest.raises(unrecur.InputError, match="lengths between 1 and 2"):
        model.encode(torch.tensor([[0, 6], [1, 1]]), torch.tensor([2, 0]))
    with pytest.raises(unrecur.InputError, match="ids from 0 to 6, got 7 to 7"):
        model.step(torch.tensor([7]), model.encode(torch.tensor([[0, 6]])))
    with pytest.raises(unrecur.InputError, match="starts from a source"):
        model(torch.tensor([[0, 6]]))
