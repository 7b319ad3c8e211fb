"""The n-gram against nltk, and against its definition written out in fractions."""

from collections import Counter, defaultdict
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.lm import KneserNeyInterpolated, Vocabulary

from unrecur import CorruptFileError, InputError, Spec, build, load_model, save_model
from unrecur.models.ngram import NGram

TOKENS = 5


def pairs(sequences):
    tensors = [torch.tensor(sequence) for sequence in sequences]
    return [(sequence[:-1], sequence[1:]) for sequence in tensors]


def grams_of(sequences, order):
    """All n-grams up to an order that end at a target, the beginning marked by the id TOKENS."""
    for sequence in sequences:
        marked = [TOKENS] * (order - 1) + sequence
        for end in range(order + 1, len(marked) + 1):
            yield [tuple(marked[end - k : end]) for k in range(1, order + 1)]


def written_out(sequences, order, discount):
    """p(word | context) by the definition, in fractions."""
    counts = {k: Counter() for k in range(1, order + 1)}
    counts[order] = Counter(grams[-1] for grams in grams_of(sequences, order))
    for k in range(order - 1, 0, -1):
        left = defaultdict(set)
        for gram in counts[k + 1]:
            left[gram[1:]].add(gram[0])
        counts[k] = Counter({gram: len(tokens) for gram, tokens in left.items()})
    discounts = {}
    for k, found in counts.items():
        once, twice = (sum(count == j for count in found.values()) for j in (1, 2))
        estimated = Fraction(once, once + 2 * twice) if once else Fraction(1, 2)
        discounts[k] = estimated if discount is None else Fraction(discount)

    def p(context, word):
        below = p(context[1:], word) if context else Fraction(1, TOKENS)
        k = len(context) + 1
        after = {gram: count for gram, count in counts[k].items() if gram[:-1] == context}
        if not after:
            return below
        total = sum(after.values())
        kept = max(after.get((*context, word), 0) - discounts[k], 0)
        return (kept + discounts[k] * len(after) * below) / total

    return p


SEQUENCES = st.lists(
    st.lists(st.integers(0, TOKENS - 1), min_size=2, max_size=25), min_size=1, max_size=3
)


@settings(max_examples=30)
@given(
    sequences=SEQUENCES,
    order=st.integers(1, 4),
    discount=st.sampled_from([None, 0.75, 0.1, 1.0]),
    asked=st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=8),
)
def test_scores_are_the_definitions(sequences, order, discount, asked):
    model = NGram(in_features=TOKENS, order=order, discount=discount).double()
    model.fit(pairs(sequences))
    scores, _ = model(torch.tensor([asked]))
    p = written_out(sequences, order, None if discount is None else float(model.discounts[0]))
    marked = [TOKENS] * (order - 1) + asked
    for t in range(len(asked)):
        context = tuple(marked[t + 1 : t + order]) if order > 1 else ()
        expected = torch.tensor([float(p(context, word)) for word in range(TOKENS)])
        torch.testing.assert_close(scores[0, t].exp(), expected.double(), rtol=0, atol=1e-6)
    total = scores.exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-9)


@settings(max_examples=20)
@given(sequences=SEQUENCES, order=st.integers(2, 4), data=st.data())
def test_scores_are_nltks(sequences, order, data):
    """nltk has one discount, and shares nothing out to words that were not seen: here all were."""
    sequences = [*sequences, [0, *range(TOKENS)]]
    words = "abcde^"
    theirs = KneserNeyInterpolated(order, discount=0.5, vocabulary=Vocabulary(words))
    named = [
        [tuple(words[token] for token in gram) for gram in grams]
        for grams in grams_of(sequences, order)
    ]
    theirs.fit(named)
    ours = NGram(in_features=TOKENS, order=order, discount=0.5).double()
    ours.fit(pairs(sequences))
    asked = data.draw(st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=5))
    scores, _ = ours(torch.tensor([asked]))
    context = tuple(words[token] for token in ([TOKENS] * (order - 1) + asked)[-(order - 1) :])
    expected = [theirs.unmasked_score(word, context) for word in words[:TOKENS]]
    assert scores[0, -1].exp().tolist() == pytest.approx(expected, abs=1e-9)


def test_it_learns_a_cycle_that_its_order_can_see():
    """The next of 0 0 1 0 0 1 ... is known from two tokens and not from one."""
    cycle = [0, 0, 1] * 40
    losses = []
    for order in (2, 3):
        model = NGram(in_features=2, order=order)
        model.fit(pairs([cycle]))
        x, y = torch.tensor([cycle[:-1]]), torch.tensor([cycle[1:]])
        losses.append(float(-model(x)[0].gather(-1, y[..., None]).mean()))
    assert losses[0] > 0.4
    assert losses[1] < 0.05


def test_a_fitted_model_is_saved_and_loaded(tmp_path):
    spec = Spec("ngram", {"in_features": TOKENS, "order": 3})
    model = spec.build().eval()
    model.fit(pairs([[0, 1, 2, 3, 4, 2, 1, 3], [4, 2, 2]]))
    save_model(tmp_path / "m.safetensors", spec, model)
    _, again = load_model(tmp_path / "m.safetensors")
    x = torch.randint(0, TOKENS, (3, 9))
    assert torch.equal(again(x)[0], model(x)[0])
    assert not torch.allclose(model(x)[0], spec.build()(x)[0])
    del model.totals_2
    model.register_buffer("totals_2", torch.zeros(3, dtype=torch.long))
    save_model(tmp_path / "m.safetensors", spec, model)
    with pytest.raises(CorruptFileError, match="order 2 do not belong together"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("grams_2", torch.tensor([1, 5, 3])),  # not sorted
        ("grams_2", torch.tensor([1, 3, 3])),
        ("grams_2", torch.tensor([-1, 3, 5])),
        ("grams_2", torch.tensor([1, 3, 9])),  # of 3^2 numbers
        ("grams_2", torch.tensor([1, 3, 5], dtype=torch.int32)),
        ("grams_2", torch.tensor([1.0, 3.0, 5.0])),
        ("totals_2", torch.tensor([1, 2, 3, 4])),
        ("totals_2", torch.tensor([0, 2, 2, 4])),
        ("totals_2", torch.tensor([0.0, 2.0, 3.0, 4.0])),
        ("discounts", torch.tensor([0.5, 0.0])),
        ("discounts", torch.tensor([0.5, 1.5])),
    ],
)
def test_forged_tables_are_refused(name, table, tmp_path):
    spec = Spec("ngram", {"in_features": 2, "order": 2})
    model = spec.build()
    model.grams_2, model.totals_2 = torch.tensor([1, 3, 5]), torch.tensor([0, 2, 3, 4])
    save_model(tmp_path / "m.safetensors", spec, model)
    load_model(tmp_path / "m.safetensors")
    forged = torch.nn.Parameter(table, requires_grad=False) if name == "discounts" else table
    setattr(model, name, forged)
    save_model(tmp_path / "m.safetensors", spec, model)
    with pytest.raises(CorruptFileError, match=r"order 2|discounts must be"):
        load_model(tmp_path / "m.safetensors")


def test_a_small_table_is_what_it_is_by_hand():
    """The bigrams 01 twice, 10, 12 and 20 once: D_2 = 3 / (3 + 2).

    Token 0 follows two tokens, 1 and 2 one each: D_1 = 2 / (2 + 2), and p_1 = (4, 2, 2) / 8.
    """
    model = NGram(in_features=3, order=2).double()
    model.fit(pairs([[0, 1, 0, 1, 2, 0]]))
    scores, _ = model(torch.tensor([[0, 1, 2]]))
    by_hand = [
        # (c - 3/5) / c(u) + 3/5 types(u) / c(u) p_1
        [Fraction(6, 40), Fraction(31, 40), Fraction(3, 40)],
        [Fraction(10, 20), Fraction(3, 20), Fraction(7, 20)],
        [Fraction(14, 20), Fraction(3, 20), Fraction(3, 20)],
    ]
    expected = torch.tensor([[[float(p) for p in row] for row in by_hand]]).double()
    torch.testing.assert_close(scores.exp(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_ids_of_other_integers_are_the_same_ids(dtype):
    sequence = torch.randint(0, 100, (300,), generator=torch.Generator().manual_seed(0))
    # More tokens than 8 bits number, though these ids are below 100.
    models = [NGram(in_features=300, order=3) for _ in range(2)]
    for model, ids in zip(models, (sequence, sequence.to(dtype)), strict=True):
        model.fit([(ids[:-1], ids[1:])])
    asked = sequence[None, :50]
    expected, state = models[0](asked)
    found, same = models[1](asked.to(dtype))
    assert torch.equal(found, expected)
    assert torch.equal(same, state)
    assert torch.equal(models[1].step(asked[:, 0].to(dtype))[0], expected[:, 0])


def test_not_fitted_it_is_uniform():
    scores, _ = NGram(in_features=4, order=2)(torch.tensor([[1, 2]]))
    torch.testing.assert_close(scores.exp(), torch.full((1, 2, 4), 0.25))


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="more than 64 bits"):
        build("ngram", in_features=60_000, order=5)
    with pytest.raises(InputError, match="more than 64 bits"):
        build("ngram", in_features=2, order=10**9)
    with pytest.raises(InputError, match="discount"):
        build("ngram", in_features=3, discount=0.0)
    model = build("ngram", in_features=3)
    with pytest.raises(InputError, match="at least one sequence"):
        model.fit([])
    with pytest.raises(InputError, match="0 to 2"):
        model.fit(pairs([[0, 1, 3]]))
    with pytest.raises(InputError, match="3 inputs and 1 targets"):
        model.fit([(torch.tensor([0, 1, 2]), torch.tensor([1]))])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_field_is_the_last_tokens_of_its_order(order):
    torch.manual_seed(0)
    model = NGram(in_features=2, order=order)
    sequence = torch.randint(0, 2, (400,))
    model.fit([(sequence[:-1], sequence[1:])])
    past = int(model.receptive_field.past)
    x = torch.randint(0, 2, (30, 10))
    y = model(x)[0][:, -1]
    for back in range(10):
        other = x.clone()
        other[:, -1 - back] ^= 1
        assert torch.equal(model(other)[0][:, -1], y) == (back > past)
