"""Greedy decoding and sampling against the models' own probabilities."""

import pytest
import torch

from models.decoders import VOCABULARY, language_model, translator
from unrecur import InputError, build, greedy, sample


@torch.no_grad()
def log_probability(model, start, tokens, state=None):
    """log P(tokens | start), by one forward run; all of one row."""
    y, _ = model(torch.cat([start, tokens])[None, :-1], state)
    return float(y[0, len(start) - 1 :].log_softmax(-1).gather(1, tokens[:, None]).sum())


def test_greedy_takes_the_likeliest_at_each_step():
    model, start = language_model(), torch.tensor([[1, 2, 3], [4, 0, 1]])
    found = greedy(model, start=start, max_length=8)
    assert found.lengths.tolist() == [8, 8]
    for row, text in enumerate(torch.cat([start, found.tokens], 1)):
        for t in range(3, 11):
            assert text[t] == model(text[None, :t])[0][0, -1].argmax()
        expected = log_probability(model, text[:3], text[3:])
        assert abs(float(found.scores[row]) - expected) < 1e-9


def test_rows_end_each_at_its_own_end_token():
    model, start = language_model(), torch.arange(VOCABULARY)[:, None]
    free = greedy(model, start=start, max_length=9)
    end = int(free.tokens[0, 3])
    found = greedy(model, start=start, end=end, max_length=9)
    assert 0 < int(found.lengths.min()) < int(found.lengths.max())
    for row, length in enumerate(found.lengths.tolist()):
        text = free.tokens[row].tolist()
        first = text.index(end) + 1 if end in text else 9
        assert length == first
        assert found.tokens[row, :length].tolist() == text[:length]
        expected = log_probability(model, start[row], found.tokens[row, :length])
        assert abs(float(found.scores[row]) - expected) < 1e-9


def test_prefixes_of_different_lengths_are_read_each_to_its_end():
    model = language_model()
    start, lengths = torch.tensor([[1, 2, 3], [4, -1, -1]]), torch.tensor([3, 1])
    together = greedy(model, start=start, lengths=lengths, max_length=6)
    alone = greedy(model, start=torch.tensor([[4]]), max_length=6)
    assert torch.equal(together.tokens[1], alone.tokens[0])
    assert torch.equal(together.tokens[0], greedy(model, start=start[:1], max_length=6).tokens[0])


def test_a_start_token_stands_for_all_rows_of_a_state():
    model = translator()
    state = model.encode(torch.randint(0, 7, (3, 4)))
    by_number = greedy(model, state, start=2, end=0, max_length=6)
    by_rows = greedy(model, state, start=torch.full((3, 1), 2), end=0, max_length=6)
    assert torch.equal(by_number.tokens, by_rows.tokens)
    assert greedy(language_model(), start=2, max_length=6).tokens.shape == (1, 6)


def test_samples_have_the_models_frequencies():
    model = language_model()
    start = torch.full((4000, 1), 3)
    generator = torch.Generator().manual_seed(0)
    scores = model(start[:1])[0][0, -1].detach()
    for temperature in (1.0, 0.5, 3.0):
        found = sample(
            model, start=start, max_length=1, temperature=temperature, generator=generator
        )
        seen = torch.bincount(found.tokens[:, 0], minlength=VOCABULARY) / 4000
        # Five standard deviations of a frequency of 4000 draws are at most 0.04.
        assert float((seen - (scores / temperature).softmax(-1)).abs().max()) < 0.04


def kept(model, start, **options):
    """Which tokens are ever drawn first."""
    found = sample(
        model,
        start=start,
        max_length=1,
        temperature=2.0,
        generator=torch.Generator().manual_seed(1),
        **options,
    )
    return set(found.tokens[:, 0].tolist())


def test_top_k_and_top_p_leave_the_likeliest():
    model, start = language_model(), torch.full((2000, 1), 3)
    probabilities = (model(start[:1])[0][0, -1] / 2).softmax(-1)
    order = probabilities.argsort(descending=True).tolist()
    for k in range(1, VOCABULARY + 2):
        assert kept(model, start, top_k=k) == set(order[:k])
    for p in (0.1, 0.5, 0.9, 0.999):
        nucleus = next(n for n in range(1, VOCABULARY + 1) if probabilities[order[:n]].sum() >= p)
        assert kept(model, start, top_p=p) == set(order[:nucleus])


def test_a_sample_of_one_candidate_is_greedy():
    model, start = language_model(), torch.arange(VOCABULARY)[:, None]
    expected = greedy(model, start=start, end=0, max_length=7)
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-3}):
        found = sample(model, start=start, end=0, max_length=7, **options)
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(found.scores, expected.scores)


def test_the_same_generator_gives_the_same_sample():
    model, start = language_model(), torch.arange(VOCABULARY)[:, None]
    draws = [
        sample(
            model, start=start, max_length=20, generator=torch.Generator().manual_seed(seed)
        ).tokens
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length"),
        ({"end": VOCABULARY}, "end token from 0 to 4"),
        ({"start": VOCABULARY}, "token ids from 0 to 4"),
        ({"temperature": 0.0}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sample(language_model(), **({"start": 1, "max_length": 3} | options))


def test_a_model_of_features_is_refused():
    model = build("gru", in_features=3, out_features=3, hidden=4)
    with pytest.raises(InputError, match="tokens=True"):
        greedy(model, start=1, max_length=3)


def test_an_encoder_decoder_without_its_source_is_told_what_to_do():
    with pytest.raises(InputError, match=r"model\.encode"):
        greedy(translator(), start=1, max_length=3)
