"""DGCNN against its equations written out; its field; and it learns to point."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from unrecur import InputError, attention_maps
from unrecur.models.answers import answers
from unrecur.models.dgcnn import dgcnn, dgcnn_parameters


def filled(hidden=4):
    torch.manual_seed(0)
    model = dgcnn(in_features=9, hidden=hidden).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter.data, std=0.5)
    return model


def plain_block(block, x, dilation):
    """X (1 - sigmoid(g)) + x sigmoid(g) on [batch, features, time]."""
    convolution = block.convolution
    u, g = functional.conv1d(
        x, convolution.weight, convolution.bias, padding=dilation, dilation=dilation
    ).chunk(2, 1)
    return x * (1 - torch.sigmoid(g)) + u * torch.sigmoid(g)


def plain(model, question, passage):
    """The network on one question and one passage without padding."""
    table = model.embedding.models[0].table.weight
    q = table[question].mT
    for block, dilation in zip(model.question.models, (1, 2, 1), strict=True):
        q = plain_block(block, q, dilation)
    q = q[0].mT
    scores = torch.tanh(q @ model.pooling.hidden.weight.mT) @ model.pooling.score.weight[0]
    vector = (torch.exp(scores) / torch.exp(scores).sum()) @ q
    p = torch.cat([table[passage], vector.expand(*passage.shape, -1)], -1)
    p = (p @ model.join.weight.mT).mT
    for block, dilation in zip(model.passage.models, (1, 2, 4, 8, 16, 1), strict=True):
        p = plain_block(block, p, dilation)
    p = torch.cat([p.mT, vector.expand(*passage.shape, -1)], -1)
    return p @ model.scores.weight.mT + model.scores.bias


def test_the_network_is_the_published_one():
    model = filled()
    questions, passages = torch.randint(0, 9, (3, 6)), torch.randint(0, 9, (3, 50))
    asked, read = torch.tensor([6, 1, 4]), torch.tensor([50, 3, 41])
    scores, state = model(passages, model.encode(questions, asked), read)
    assert state.shape == (3, 4)
    for row in range(3):
        question = questions[row : row + 1, : asked[row]]
        passage = passages[row : row + 1, : read[row]]
        expected = plain(model, question, passage)
        torch.testing.assert_close(scores[row : row + 1, : read[row]], expected)


def test_one_question_is_asked_of_all_passages():
    model, passages = filled(), torch.randint(0, 9, (3, 20))
    question = model.encode(torch.randint(0, 9, (1, 6)))
    scores, state = model(passages, question)
    assert torch.equal(state, question.repeat(3, 1))
    torch.testing.assert_close(model(passages, state)[0], scores)


def test_the_padding_of_a_question_says_nothing():
    model = filled()
    question, lengths = torch.randint(0, 9, (2, 6)), torch.tensor([6, 2])
    padded = question.clone()
    padded[1, 2:] = -1
    torch.testing.assert_close(model.encode(padded, lengths), model.encode(question, lengths))
    torch.testing.assert_close(model.encode(question, lengths)[1:], model.encode(question[1:, :2]))


def test_one_question_is_asked_of_several_passages():
    model, passages = filled(), torch.randint(0, 9, (3, 10))
    question = torch.tensor([[4, 1]])
    one, _ = model(passages, model.encode(question))
    three, _ = model(passages, model.encode(question.expand(3, -1)))
    torch.testing.assert_close(one, three)


def test_the_field_is_true():
    model = filled(hidden=6)
    assert (model.receptive_field.past, model.receptive_field.future) == (32, 32)
    torch.manual_seed(1)
    passage, middle = torch.randint(0, 9, (1, 81)), 40
    state = model.encode(torch.tensor([[1, 2]]))
    before = model(passage, state)[0][0, middle]
    for step, seen in ((7, False), (8, True), (72, True), (73, False)):
        changed = passage.clone()
        changed[0, step] = (passage[0, step] + 1) % 9
        assert bool((model(changed, state)[0][0, middle] != before).any()) == seen


@pytest.mark.parametrize("hidden", [1, 5])
@pytest.mark.parametrize("out_features", [2, 3])
def test_the_parameters_are_counted(hidden, out_features):
    options = {"in_features": 9, "hidden": hidden, "out_features": out_features}
    count = sum(p.numel() for p in dgcnn(**options).parameters())
    assert dgcnn_parameters(**options) == count


def test_it_learns_to_point_at_what_the_question_names():
    torch.manual_seed(0)
    model, time = dgcnn(in_features=10, hidden=16), 16
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def task(rows):
        """Passages with tokens 0 and 1 once each; the answer is the named one and its follower."""
        passage = torch.randint(2, 10, (rows, time))
        places = torch.rand(rows, time - 1).argsort(1)[:, :2]
        passage.scatter_(1, places, torch.arange(2).expand(rows, -1))
        question = torch.randint(0, 2, (rows, 1))
        start = (passage == question).long().argmax(1)
        scores, _ = model(passage, model.encode(question))
        return scores, start

    for _ in range(110):
        scores, start = task(16)
        target = torch.stack([start, start + 1], -1)[:, None] == torch.arange(time)[:, None]
        loss = functional.binary_cross_entropy_with_logits(scores, target.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        scores, start = task(200)
    found = answers(scores)
    right = (found.start == start) & (found.end == start + 1)
    assert right.float().mean() > 0.95  # who does not read the question gets half of them


def test_the_question_has_its_map():
    model = dgcnn(in_features=9, hidden=4).eval()
    question, passage = torch.randint(0, 9, (2, 5)), torch.randint(0, 9, (2, 7))
    given = {"source": question, "source_lengths": torch.tensor([5, 3])}
    ((name, weights),) = attention_maps(model, passage, **given).items()
    assert name == "pooling"
    assert weights.shape == (2, 1, 1, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 1))
    assert not weights[1, ..., 3:].any()


def test_bad_use_is_refused():
    model = dgcnn(in_features=9, hidden=4)
    tokens = torch.zeros(1, 5, dtype=torch.long)
    with pytest.raises(InputError, match=r"begin with state = model\.encode"):
        model(tokens)
    with pytest.raises(InputError, match="one for each of 3 passages, got 2"):
        model(tokens.expand(3, -1), model.encode(tokens.expand(2, -1)))
    with pytest.raises(InputError, match="whole passages"):
        model.step(tokens[:, 0], model.encode(tokens))
    with pytest.raises(InputError, match="starts from a source"):
        model.init_state(1)
    with pytest.raises(InputError, match="from 0 to 8"):
        model.encode(tokens + 9)
    with pytest.raises(InputError, match="hidden"):
        dgcnn(in_features=9, hidden=0)
