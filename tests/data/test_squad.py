"""The SQuAD layout, answers as spans of tokens, and exact match and F1."""

import collections
import gzip
import json
import math
import re
import string

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur import build
from unrecur._check import CorruptFileError, InputError
from unrecur.data.answer_scores import score_answers
from unrecur.data.held_out import held_out
from unrecur.data.reading import drcd, reading_task
from unrecur.data.segmentation import segment, words_for_scores
from unrecur.data.squad import Answer, read_squad
from unrecur.train.evaluate import figures

PASSAGE = "The war of 1812 (fought by the US) ended in 1815."
CHINESE = "在歐洲,1786年2月2日,威廉·瓊斯發表了著名的言論。"


def answer(passage, text, move=0):
    return {"text": text, "answer_start": passage.index(text) + move}


def qa(name, *answers, question="When did it end?"):
    return {"id": name, "question": question, "answers": list(answers)}


def article(title, *paragraphs):
    return {"title": title, "paragraphs": [{"context": c, "qas": qas} for c, qas in paragraphs]}


def save(path, *articles):
    path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    return path


def several(count, start=0):
    return [
        article(f"article {i}", (PASSAGE, [qa(f"{i}-0", answer(PASSAGE, "1815"))]))
        for i in range(start, start + count)
    ]


# The tokens


@given(st.text())
def test_tokens_are_all_but_white_space(text):
    tokens = segment(text)
    assert "".join(token.text for token in tokens) == re.sub(r"\s", "", text)
    assert all(text[token.start : token.stop] == token.text for token in tokens)


def test_tokens_of_mixed_scripts():
    words = [token.text for token in segment("U.S. Überfluß_1 東京タワーは333m」")]
    assert words == ["U", ".", "S", ".", "Überfluß_1", *"東京タワーは", "333m", "」"]


# The file


def test_questions_are_read(tmp_path):
    given = article(
        "War", (PASSAGE, [qa("a", answer(PASSAGE, "1815"), answer(PASSAGE, "in 1815"))])
    )
    path = save(tmp_path / "mit ü.json", given)
    [question] = read_squad(path)
    assert (question.name, question.article, question.passage) == ("a", "War", PASSAGE)
    assert question.answers == (Answer("1815", 44), Answer("in 1815", 41))
    assert question.moved == 0
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_squad(tmp_path / "b.json.gz") == [question]


@pytest.mark.parametrize("move", [-60, -3, 1, 2000])
def test_an_offset_is_repaired_where_the_answer_stands_once(tmp_path, move):
    path = save(
        tmp_path / "a.json", article("War", (PASSAGE, [qa("a", answer(PASSAGE, "1815", move))]))
    )
    [question] = read_squad(path)
    assert question.answers == (Answer("1815", 44),)
    assert question.moved == 1


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, 0), (2, 0), (5, 0), (7, 11), (12, 11), (31, 30)]
)
def test_an_offset_is_repaired_to_the_nearest_place(tmp_path, offset, expected):
    passage = "north wind north wind wind    north"
    path = save(
        tmp_path / "a.json",
        article("W", (passage, [qa("a", {"text": "north", "answer_start": offset})])),
    )
    assert read_squad(path)[0].answers[0].start == expected


@pytest.mark.parametrize(
    ("passage", "offset"), [("ab..ab", 2), (f"ab{'.' * 50}ab", 24), ("xyz", 0), ("ab ab", -40)]
)
def test_an_answer_that_is_nowhere_or_in_doubt_is_refused_by_name(tmp_path, passage, offset):
    given = article("W", ("c", []), (passage, [qa("q7", {"text": "ab", "answer_start": offset})]))
    path = save(tmp_path / "a.json", article("V"), given)
    with pytest.raises(InputError, match=r"a\.json, article 1 \('W'\), paragraph 1, question 'q7'"):
        read_squad(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "'data', a list; got none"),
        ({"data": 3}, "'data', a list; got int"),
        ({"data": []}, "expected questions, got none"),
        ({"data": [1]}, r"article 0: .*'title', a text"),
        ({"data": [{"title": "T"}]}, r"article 0 \('T'\): .*'paragraphs', a list"),
        ({"data": [article("T", (None, []))]}, "paragraph 0: .*'context', a text; got NoneType"),
        ({"data": [article("T", ("c", [{}]))]}, "paragraph 0, question 0: .*'id', a text"),
        ({"data": [article("T", ("c", [qa("q")]))]}, r"question 'q': expected an answer.*SQuAD 2"),
        (
            {"data": [article("T", ("c", [qa("q", {"text": "c", "answer_start": True})]))]},
            "'answer_start', a whole number; got bool",
        ),
        (
            {"data": [article("T", (" c", [qa("q", {"text": " ", "answer_start": 0})]))]},
            "got the blank ' '",
        ),
    ],
)
def test_other_layouts_are_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_squad(path)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.json"
    whole = json.dumps({"data": several(2)}, indent=1)
    for text in ("", whole[:-40], "[" * 200_000, whole.replace(",", ";", 1)):
        path.write_text(text)
        with pytest.raises(CorruptFileError, match=r"a\.json.*Download"):
            read_squad(path)
    packed = tmp_path / "b.json.gz"
    packed.write_bytes(gzip.compress(whole.encode())[:-30])
    with pytest.raises(CorruptFileError, match="gzip"):
        read_squad(packed)


# Exact match and F1, held to a slow, obvious version of the definition


def plain(text):
    """Small letters without punctuation, articles and spare spaces."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in re.split(r"\s+", text) if word not in ("", "a", "an", "the")]


def slow_scores(predicted, right):
    exact, overlap = [], []
    for guess, truths in zip(predicted, right, strict=True):
        exact.append(max(float(plain(guess) == plain(truth)) for truth in truths))
        best = 0.0
        for truth in truths:
            mine, theirs = collections.Counter(plain(guess)), collections.Counter(plain(truth))
            common = sum(min(mine[word], theirs[word]) for word in mine)
            both = mine.total() + theirs.total()
            best = max(best, 2 * common / both if both else 1.0)
        overlap.append(best)
    return {"exact_match": 100 * np.mean(exact), "f1": 100 * np.mean(overlap)}


PIECE = st.sampled_from(
    ["the", "The", "a", "an", "war", "War", "war's", "-", "1812", "U.S.", " ", "“x”"]
)
TEXT = st.lists(PIECE, min_size=1, max_size=6).map(" ".join)


@settings(max_examples=30)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_scores_equal_the_slow_version(rows):
    predicted, right = (list(column) for column in zip(*rows, strict=True))
    assert score_answers(predicted, right) == pytest.approx(slow_scores(predicted, right), abs=1e-4)


@pytest.mark.parametrize(
    ("guess", "truth", "exact", "f1"),
    [
        ("1786年2月2日", "1786年2月2日", 1, 1),
        ("1786年2月", "1786年2月2日", 0, 2 * 4 / (4 + 6)),
        ("威廉·瓊斯", "威廉瓊斯", 1, 1),
        ("「梵語」、", "梵語。", 1, 1),
        ("梵", "語", 0, 0),
        ("語梵", "梵語", 0, 1),
        ("Mary I", "瑪麗", 0, 0),
    ],
)
def test_scores_of_chinese_count_characters(guess, truth, exact, f1):
    expected = {"exact_match": 100 * exact, "f1": pytest.approx(100 * f1, abs=1e-3)}
    assert score_answers([guess], [[truth]]) == expected


def test_only_texts_with_chinese_change_for_the_scores():
    assert words_for_scores("“The” U.S., 1999—2003…") == "“The” U.S., 1999—2003…"
    assert words_for_scores("“梵語”、a-b…").split() == ["梵", "語", "ab"]


# The task


@pytest.fixture
def files(tmp_path):
    given = article(
        "War",
        (
            PASSAGE,
            [
                qa("a", answer(PASSAGE, "the US"), answer(PASSAGE, "US")),
                qa("b", answer(PASSAGE, "81", 1)),
            ],
        ),
        (CHINESE, [qa("c", answer(CHINESE, "威廉·瓊斯"), question="誰?")]),
    )
    train = save(tmp_path / "train.json", given, *several(3))
    return train, save(tmp_path / "valid.json", *several(2, 5)), save(tmp_path / "test.json", given)


def test_targets_point_at_the_answer(files):
    train, valid, test = files
    task = reading_task("r", "R", train, test, valid)
    for (x, target), question in zip(task.splits["train"], read_squad(train), strict=True):
        asked, tokens = segment(question.text), segment(question.passage)
        assert len(x) == len(target) == len(asked) + 1 + len(tokens)
        assert x[len(asked)] == 1
        assert target[: len(asked) + 1].isnan().all()
        on = target[len(asked) + 1 :]
        assert on.sum(0).tolist() == [1, 1]
        first, last = on.argmax(0).tolist()
        found = question.passage[tokens[first].start : tokens[last].stop]
        assert found == {"b": "1812"}.get(question.name, question.answers[0].text)
    assert task.counted("train").sum() == task.steps("train") - 5 * 6 - 3
    assert (task.out_features, task.tokens, task.whole) == (2, True, True)
    assert task.chance_level == 2 * math.log(2)


def test_notes_say_what_was_found_and_done(files):
    train, valid, test = files
    notes = reading_task("r", "R", train, test, valid).notes
    assert notes[:3] == (
        "1 articles are both in train and in test, with 2 passages in common, as the files have "
        "them.",
        "2 answers did not stand at their offsets and were found elsewhere.",
        "2 answers start or stop inside a word; the target is the whole word.",
    )
    assert "at most 5 tokens" in notes[-1]


def test_validation_is_held_out_by_article(tmp_path):
    train = save(tmp_path / "a.json", *several(40), *several(40))
    test = save(tmp_path / "b.json", *several(1, 99))
    task = reading_task("r", "R", train, test)
    names = {
        s: {q.article for q in task.scores["f1"].tally.questions[s]} for s in ("train", "valid")
    }
    assert not names["train"] & names["valid"]
    assert [len(task.splits[s]) for s in ("train", "valid")] == [68, 12]
    assert "6 of 40 articles" in task.notes[0]
    again = reading_task("r", "R", save(tmp_path / "c.json", *several(40)[::-1]), test)
    assert {q.article for q in again.scores["f1"].tally.questions["valid"]} == names["valid"]


def test_one_article_cannot_be_split(tmp_path):
    path = save(tmp_path / "a.json", *several(1))
    with pytest.raises(InputError, match=r"a\.json: its questions are on a single article"):
        reading_task("r", "R", path, path)


def test_a_passage_that_is_too_long_is_refused_by_name(files):
    train, valid, test = files
    longest = reading_task("r", "R", train, test, valid).longest
    reading_task("r", "R", train, test, valid, longest=longest)
    with pytest.raises(InputError, match=rf"question '.*': expected at most {longest - 1} tokens"):
        reading_task("r", "R", train, test, valid, longest=longest - 1)


def test_scores_of_a_model_are_those_of_its_best_spans(files):
    task = reading_task("r", "R", files[0], files[2], files[1])
    torch.manual_seed(0)
    model = build(
        "lstm", in_features=task.in_features, out_features=2, hidden=8, tokens=True
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter.data)
    predicted, right = [], []
    for (x, target), question in zip(task.splits["train"], read_squad(files[0]), strict=True):
        on = ~target[:, 0].isnan()
        start, end = torch.sigmoid(model(x[None])[0][0][on]).detach().double().unbind(1)
        spans = [(i, j) for i in range(len(start)) for j in range(i, min(i + 5, len(start)))]
        first, last = max(spans, key=lambda span: float(start[span[0]] * end[span[1]]))
        tokens = segment(question.passage)
        predicted.append(question.passage[tokens[first].start : tokens[last].stop])
        right.append([one.text for one in question.answers])
    assert figures(model, task, "train")[1] == score_answers(predicted, right)
    assert len(set(predicted)) > 1


def test_a_model_that_knows_the_answers_scores_all(files):
    task = reading_task("r", "R", files[0], files[2], files[1])
    score = task.scores["exact_match"].tally
    for number, (_, target) in enumerate(task.splits["valid"]):
        question = score.questions["valid"][number]
        y = torch.where(target.isnan(), 9.0, 18 * target - 9)  # the question must not matter
        assert score.answer(y, question.passage, score.places["valid"][number]) == "1815"


def test_drcd_is_found_by_its_names(tmp_path):
    folder = tmp_path / "data" / "qa"
    folder.mkdir(parents=True)
    save(folder / "drcd_dev.json", *several(5))
    whole = save(tmp_path / "test.json", *several(2, 7)).read_bytes()
    (folder / "drcd_test.json.gz").write_bytes(gzip.compress(whole))
    for place in (folder, folder.parent):
        task = drcd(place)
        assert [len(task.splits[s]) for s in ("train", "valid", "test")] == [4, 1, 2]


# What is held out


@given(
    st.lists(st.binary(max_size=2), min_size=2, max_size=30), st.randoms(), st.floats(0.01, 0.99)
)
def test_held_out_keys_depend_on_no_order_and_are_on_one_side(keys, random, share):
    if len(set(keys)) < 2:
        with pytest.raises(InputError, match="two different"):
            held_out(keys, share)
        return
    chosen = {key for key, out in zip(keys, held_out(keys, share), strict=True) if out}
    left = {key for key, out in zip(keys, held_out(keys, share), strict=True) if not out}
    assert chosen
    assert left
    assert not chosen & left
    assert abs(len(chosen) - share * len(chosen | left)) <= 1
    shuffled = list(keys)
    random.shuffle(shuffled)
    again = held_out(shuffled, share)
    assert {key for key, out in zip(shuffled, again, strict=True) if out} == chosen
