"""The encoder-decoder against written-out loops, and on a task that needs its attention."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from unrecur import InputError, attention_maps, beam_search, build, greedy
from unrecur.layers.bidirectional import reverse
from unrecur.models.seq2seq import seq2seq, seq2seq_parameters

SIZES = {"in_features": 7, "out_features": 5, "hidden": 4}


def random_model(**options):
    torch.manual_seed(0)
    model = seq2seq(**SIZES, **options).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.7)
    return model


def one_step(recurrent, x, states):
    """One step of a stack, by torch's own cells; LSTM states are pairs (h, c)."""
    after = []
    for cell, state in zip(recurrent.cells, states, strict=True):
        weights = (cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0)
        if isinstance(state, tuple):
            new = torch.lstm_cell(x, state, *weights)
            x = new[0]
        else:
            new = x = torch.gru_cell(x, state, *weights)
        after.append(new)
    return x, after


def attend(alignment, h, memory):
    """The context of one row's query, from its whole memory."""
    if hasattr(alignment, "weight"):
        scores = torch.stack([h @ alignment.weight @ m for m in memory])
    else:
        units = torch.tanh(alignment.of_query(h) + alignment.of_memory(memory))
        scores = (units @ alignment.of_units.weight.T)[:, 0]
    return scores.softmax(0) @ memory


def started(model, memory):
    """The first states of the layers below the attention; memory of one row."""
    flat = torch.tanh(model.bridge(memory.mean(0))).view(len(model.lower.cells), -1)
    hidden = model.lower.cells[0].hidden_size
    if flat.shape[1] == hidden:
        return [row[None] for row in flat]
    return [(row[None, hidden:], row[None, :hidden]) for row in flat]


@pytest.mark.parametrize("attention", ["additive", "dot"])
@pytest.mark.parametrize("input_feeding", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_decoder_is_luongs(cell, attention, input_feeding):
    model = random_model(cell=cell, layers=2, attention=attention, input_feeding=input_feeding)
    peer = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](4, 4, 2, batch_first=True, bidirectional=True)
    encoder = model.encoder.models[1]
    copied = {}
    for name in peer.state_dict():
        kind, layer = name.removesuffix("_reverse").split("_l")
        side = "back" if name.endswith("_reverse") else "ahead"
        copied[name] = encoder.state_dict()[f"{side}.{layer}.cells.0.{kind}_l0"]
    peer.double().load_state_dict(copied)
    source, lengths = torch.tensor([[1, 2, 3, 4], [5, 6, -1, -1]]), torch.tensor([4, 2])
    target = torch.tensor([[1, 0, 4], [2, 3, 3]])
    y, _ = model(target, model.encode(source, lengths))
    for row, length in enumerate(lengths):
        embedded = model.encoder.models[0].models[0].table(source[row, :length])
        memory = peer(embedded[None])[0][0]
        states, fed = started(model, memory), torch.zeros(1, 4, dtype=torch.float64)
        for t, token in enumerate(target[row]):
            x = model.embedding.table(token)[None]
            x = torch.cat([x, fed], 1) if input_feeding else x
            h, states = one_step(model.lower, x, states)
            context = attend(model.alignment, h[0], memory)
            fed = torch.tanh(model.combine(torch.cat([h[0], context])))[None]
            scores = model.upper.models[-1].module(fed)[0]
            torch.testing.assert_close(y[row, t], scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("input_feeding", [True, False])
def test_the_gnmt_stack_is_the_papers(input_feeding):
    model = random_model(
        cell="gru", layers=4, stack="gnmt", attention="additive", input_feeding=input_feeding
    )
    _, first, second, *others = model.encoder.models
    source, target = torch.tensor([1, 2, 3, 4, 1]), torch.tensor([1, 0, 4])
    y, _ = model(target[None], model.encode(source[None]))

    def layer(recurrent, xs):
        state, outputs = [torch.zeros(1, 4, dtype=torch.float64)], []
        for x in xs:
            h, state = one_step(recurrent, x[None], state)
            outputs.append(h[0])
        return torch.stack(outputs)

    x = model.encoder.models[0].models[0].table(source)
    x = torch.cat([layer(first.ahead[0], x), layer(first.back[0], x.flip(0)).flip(0)], 1)
    x = layer(second.models[1], x)
    for residual in others:  # the third layer and the fourth
        x = x + layer(residual.model.models[1], x)
    memory, states = x, started(model, x)
    fed, bottoms, contexts = torch.zeros(1, 4, dtype=torch.float64), [], []
    for token in target:
        e = model.embedding.table(token)[None]
        h, states = one_step(model.lower, torch.cat([e, fed], 1) if input_feeding else e, states)
        context = attend(model.alignment, h[0], memory)
        fed = context[None]
        bottoms.append(h[0])
        contexts.append(context)
    x, contexts = torch.stack(bottoms), torch.stack(contexts)
    upper = model.upper.models
    readers = [upper[0].models[0], upper[1].models[0].model, upper[2].model]
    for number, reader in enumerate(readers):  # the second, third and fourth layer
        h = layer(reader.models[1], torch.cat([x, contexts], 1))
        x = x + h if number else h
    torch.testing.assert_close(y[0], upper[-1].module(x), rtol=0, atol=1e-12)


def test_coverage_is_the_sum_of_the_attention():
    model = random_model(input_feeding=True)
    source, lengths = torch.randint(0, 7, (3, 6)), torch.tensor([6, 1, 4])
    target, steps = torch.randint(0, 5, (3, 5)), torch.tensor([5, 3, 1])
    state = model.encode(source, lengths)
    (weights,) = attention_maps(model, target, state, steps).values()
    assert weights.shape == (3, 1, 5, 6)
    _, after = model(target, state, steps)
    for row in range(3):
        expected = weights[row, 0, : steps[row]].sum(0)
        expected[lengths[row] :] = 1
        torch.testing.assert_close(model.coverage(after)[row], expected)


@pytest.mark.parametrize("stack", ["forward", "bidirectional", "gnmt"])
def test_parameters_are_counted_as_built(stack):
    for cell, attention, feeding, layers in itertools.product(
        ("lstm", "gru"), ("additive", "dot"), (True, False), (1, 2, 4)
    ):
        if stack == "gnmt" and layers == 1:
            continue
        options = SIZES | {"cell": cell, "stack": stack, "layers": layers}
        options |= {"attention": attention, "input_feeding": feeding}
        built = sum(parameter.numel() for parameter in seq2seq(**options).parameters())
        assert seq2seq_parameters(**options) == built


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "mgu"}, "unknown cell 'mgu'"),
        ({"attention": "dott"}, "Did you mean 'dot'"),
        ({"stack": "gnmt"}, "at least 2 layers"),
        ({"layers": 0}, "layers"),
        ({"hidden": 0}, "must be a whole number of at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_options_are_refused(options, message, unchecked):
    with pytest.raises(InputError, match=message):
        build("seq2seq", **(SIZES | options))


def test_bad_inputs_are_refused(unchecked):
    model = random_model()
    source = torch.tensor([[1, 2], [3, 4]])
    with pytest.raises(InputError, match="lengths between 1 and 2"):
        model.encode(source, torch.tensor([2, 0]))
    with pytest.raises(InputError, match="token ids from 0 to 6"):
        model.encode(source + 4)
    with pytest.raises(InputError, match="token ids from 0 to 4"):
        model(source + 1, model.encode(source))
    with pytest.raises(InputError, match=r"model\.encode"):
        model(source)
    unbatched = torch.tensor([1, 2, 3])
    for run in (model.encode, lambda x: model(x, model.encode(source))):
        with pytest.raises(InputError, match=r"shape \[batch, time\]"):
            run(unbatched)


def test_it_learns_to_reverse():
    """Tokens 0 (start) and 1 (end), then the others; sources of 2 to 4 tokens."""
    torch.manual_seed(0)
    model = seq2seq(in_features=6, out_features=6, hidden=24, cell="gru", attention="dot")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.015)

    def draw(rows):
        source, lengths = torch.randint(2, 6, (rows, 4)), torch.randint(2, 5, (rows,))
        valid = torch.arange(5) < lengths[:, None]
        target = functional.pad(reverse(source, lengths), (0, 1)).where(valid, 1)
        return source, lengths, target, valid.roll(1, 1).index_fill(1, torch.tensor(0), True)

    for _ in range(90):
        source, lengths, target, valid = draw(64)
        inputs = functional.pad(target[:, :-1], (1, 0))
        scores, _ = model(inputs, model.encode(source, lengths))
        loss = functional.cross_entropy(scores[valid], target[valid])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    source, lengths, target, valid = draw(200)
    options = {"start": 0, "end": 1, "max_length": 5}
    by_greed = greedy(model, model.encode(source, lengths), **options)
    by_beam = beam_search(model, model.encode(source, lengths), beam=3, **options)
    for tokens in (by_greed.tokens, by_beam.tokens[:, 0]):
        tokens = functional.pad(tokens, (0, 5 - tokens.shape[1]))
        right = ((tokens == target) | ~valid).all(1)
        assert float(right.double().mean()) > 0.9
