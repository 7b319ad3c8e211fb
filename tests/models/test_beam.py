"""Beam search against the enumeration of all sequences."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import TRANSLATION_SPECS
from models.decoders import language_model, translator
from unrecur import InputError, beam_search, greedy


def all_sequences(vocabulary, end, longest):
    """Those that end with the end token, and those of the greatest length without it."""
    for length in range(1, longest + 1):
        for tokens in itertools.product(range(vocabulary), repeat=length):
            if end not in tokens[:-1] and (tokens[-1] == end or length == longest):
                yield list(tokens)


def exhaustive(model, state, start, end, longest, alpha, beta):
    """The score of every sequence for one row, best first; one forward run for each length."""
    found = []
    sequences = list(all_sequences(model.out_features, end, longest))
    for length in range(1, longest + 1):
        tokens = torch.tensor([text for text in sequences if len(text) == length])
        inputs = torch.cat([torch.full((len(tokens), 1), start), tokens[:, :-1]], 1)
        many = None if state is None else spread(state, len(tokens))
        y, after = model(inputs, many)
        scores = y.log_softmax(-1).gather(2, tokens[..., None])[..., 0].sum(1)
        scores = scores / ((5 + length) / 6) ** alpha
        if beta:
            scores = scores + beta * model.coverage(after).clamp(max=1).log().sum(1)
        found += zip(scores.tolist(), tokens.tolist(), strict=True)
    return sorted(found, reverse=True)


def spread(state, rows):
    """A state of one row, so many times."""
    if isinstance(state, torch.Tensor):
        return state.expand(rows, *state.shape[1:])
    return tuple(spread(part, rows) for part in state)


def same(found, row, expected):
    """Whether the search gave these (score, tokens) for a row."""
    for rank, (score, tokens) in enumerate(expected):
        length = int(found.lengths[row, rank])
        assert found.tokens[row, rank, :length].tolist() == tokens
        assert abs(float(found.scores[row, rank]) - score) < 1e-9


@settings(max_examples=12)
@given(
    seed=st.integers(0, 100),
    longest=st.integers(1, 4),
    end=st.integers(0, 4),
    alpha=st.sampled_from([0.0, 0.6, 2.0]),
)
def test_a_beam_of_all_sequences_finds_the_best(seed, longest, end, alpha):
    model = language_model(seed)
    expected = exhaustive(model, None, 1, end, longest, alpha, 0)[:5]
    found = beam_search(
        model,
        start=1,
        end=end,
        max_length=longest,
        beam=5**longest,
        n_best=5,
        length_penalty=alpha,
    )
    same(found, 0, expected)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 100),
    longest=st.integers(1, 3),
    alpha=st.sampled_from([0.0, 1.0]),
    beta=st.sampled_from([0.0, 0.2, 2.0]),
)
def test_coverage_counts_and_padding_of_the_source_does_not(seed, longest, alpha, beta):
    model = translator(seed)
    source = torch.tensor([[1, 2, 3, 4], [5, 6, -1, -1]])
    lengths = torch.tensor([4, 2])
    found = beam_search(
        model,
        model.encode(source, lengths),
        start=1,
        end=0,
        max_length=longest,
        beam=5**longest,
        n_best=4,
        length_penalty=alpha,
        coverage_penalty=beta,
    )
    for row, length in enumerate(lengths):
        state = model.encode(source[row : row + 1, :length])
        same(found, row, exhaustive(model, state, 1, 0, longest, alpha, beta)[:4])


@pytest.mark.parametrize("name", TRANSLATION_SPECS)
def test_every_translator_is_searched_to_the_best(name):
    torch.manual_seed(0)
    model = TRANSLATION_SPECS[name].build().double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data)
    tokens = model.out_features
    state = model.encode(torch.randint(0, 5, (1, 4)))
    options = {"start": 1, "end": 0, "max_length": 3}
    found = beam_search(model, state, beam=tokens**3, n_best=3, length_penalty=1.0, **options)
    same(found, 0, exhaustive(model, state, 1, 0, 3, 1.0, 0)[:3])
    by_greed = greedy(model, state, **options)
    narrow = beam_search(model, state, beam=1, **options)
    torch.testing.assert_close(narrow.scores[:, 0], by_greed.scores)


@settings(max_examples=15)
@given(seed=st.integers(0, 100), end=st.sampled_from([None, 0, 3]), longest=st.integers(1, 9))
def test_a_beam_of_one_is_greedy(seed, end, longest):
    model, start = language_model(seed), torch.arange(5)[:, None]
    expected = greedy(model, start=start, end=end, max_length=longest)
    found = beam_search(model, start=start, end=end, max_length=longest, beam=1)
    assert torch.equal(found.lengths[:, 0], expected.lengths)
    torch.testing.assert_close(found.scores[:, 0], expected.scores)
    for row, length in enumerate(expected.lengths):
        assert torch.equal(found.tokens[row, 0, :length], expected.tokens[row, :length])


@settings(max_examples=10)
@given(
    seed=st.integers(0, 100),
    beam=st.integers(2, 6),
    alpha=st.sampled_from([0.0, 0.8]),
    beta=st.sampled_from([0.0, 0.3]),
)
def test_rows_are_searched_as_if_alone(seed, beam, alpha, beta):
    model = translator(seed)
    source, lengths = torch.randint(0, 7, (4, 5)), torch.tensor([5, 1, 3, 4])
    options = {"start": 1, "end": 0, "max_length": 7, "beam": beam, "n_best": 2}
    options |= {"length_penalty": alpha, "coverage_penalty": beta}
    together = beam_search(model, model.encode(source, lengths), **options)
    for row, length in enumerate(lengths):
        state = model.encode(source[row : row + 1, :length])
        alone = beam_search(model, state, **options)
        torch.testing.assert_close(together.scores[row], alone.scores[0])
        assert torch.equal(together.lengths[row], alone.lengths[0])
        for rank, steps in enumerate(alone.lengths[0]):
            tokens = together.tokens[row, rank, :steps]
            assert torch.equal(tokens, alone.tokens[0, rank, :steps])


class Table(torch.nn.Module):
    """Scores by the last token alone."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def forward(self, x, state=None, lengths=None):
        return self.table[x], ()

    def step(self, x_t, state=None):
        return self.table[x_t], ()


def chain(probabilities):
    """A model of tokens: how likely each is after each."""
    model = language_model()
    table = torch.tensor(probabilities, dtype=torch.float64).log()
    model.models = torch.nn.ModuleList([Table(table)])
    model.out_features = len(probabilities)
    return model


def test_a_search_goes_on_until_nothing_can_be_better():
    """A long sequence wins by its length penalty, long after a short one has finished."""
    # From the start (2): end (0) with 0.4, go on (1) with 0.6; from 1: end with 0.1.
    model = chain([[1.0, 0.0, 0.0], [0.1, 0.9, 0.0], [0.4, 0.6, 0.0]])
    plain = beam_search(model, start=2, end=0, max_length=20, beam=2)
    assert plain.tokens[0, 0, :1].tolist() == [0]
    assert plain.tokens.shape[2] < 20
    long = beam_search(model, start=2, end=0, max_length=20, beam=2, length_penalty=1.0)
    scores = {n: (math.log(0.6) + (n - 2) * math.log(0.9) + math.log(0.1)) for n in range(2, 21)}
    scores = {n: score / ((5 + n) / 6) for n, score in scores.items()} | {1: math.log(0.4)}
    truncated = (math.log(0.6) + 19 * math.log(0.9)) / (25 / 6)
    assert truncated > max(scores.values())
    assert long.lengths[0, 0] == 20
    assert abs(float(long.scores[0, 0]) - truncated) < 1e-12


def test_a_finished_sequence_leaves_its_place_in_the_beam():
    """Two go on beside the one that ends, and the less likely of them comes out second."""
    # From the start (3): end (0) with 0.5, 1 with 0.3, 2 with 0.2; 1 goes on in two ways, 2 ends.
    model = chain([[1.0, 0, 0, 0], [0, 0.5, 0, 0.5], [1.0, 0, 0, 0], [0.5, 0.3, 0.2, 0]])
    found = beam_search(model, start=3, end=0, max_length=4, beam=2, n_best=2)
    assert found.tokens[0, 0, :1].tolist() == [0]
    assert found.tokens[0, 1, :2].tolist() == [2, 0]
    assert found.scores[0].exp().tolist() == pytest.approx([0.5, 0.2])


def test_where_there_are_fewer_sequences_the_others_are_empty():
    model = language_model()
    found = beam_search(model, start=1, end=0, max_length=1, beam=9, n_best=9)
    assert found.lengths[0].tolist() == [1] * 5 + [0] * 4
    assert found.scores[0, :5].exp().sum() == pytest.approx(1)
    assert (found.scores[0, 5:] == -math.inf).all()


def test_bad_options_are_refused():
    model = language_model()
    for options, message in (
        ({"beam": 2, "n_best": 3}, "cannot give the 3 best"),
        ({"length_penalty": -1.0}, "length_penalty"),
        ({"coverage_penalty": math.nan}, "coverage_penalty"),
        ({"coverage_penalty": 0.2}, "keeps no coverage"),
        ({"beam": 0}, "beam"),
    ):
        with pytest.raises(InputError, match=message):
            beam_search(model, start=1, end=0, max_length=3, **options)
