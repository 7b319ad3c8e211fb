"""Tags in the BIO scheme, the two layouts of tagged text, and the tasks made of them."""

import gzip
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from unrecur import build
from unrecur._check import InputError
from unrecur.data import bio
from unrecur.data.losses import IGNORED
from unrecur.data.snips import snips, snips_intent
from unrecur.data.tagged_text import Sentence, read_tagged
from unrecur.data.tagging import intent_task, tagging_task
from unrecur.data.vocabulary import Vocabulary, label_names, share_unknown, vocabulary_of
from unrecur.train.evaluate import figures

COLUMNS = """# id = 1
play VB O
hey  NN B-song
jude NN I-song

# a comment
# NN O
by IN O
wings NN B-artist
"""
SENTENCES = [
    Sentence(["play", "hey", "jude"], ["O", "B-song", "I-song"]),
    Sentence(["#", "by", "wings"], ["O", "O", "B-artist"]),
]
TAG = st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"])


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def folder(base, words, tags, labels=None):
    write(base / "seq.in", "".join(f"{line}\n" for line in words))
    write(base / "seq.out", "".join(f"{line} \n" for line in tags))
    if labels is not None:
        write(base / "label", "".join(f"{line}\n" for line in labels))
    return base


@pytest.fixture
def snips_like(tmp_path):
    base = tmp_path / "mit Leer zeichen ü" / "snips"
    folder(base / "train", ["play hey  jude", "by wings"], ["O B-song I-song", "O B-artist"], "PQ")
    folder(base / "dev", ["play wings now"], ["O B-artist O"], "P")
    folder(base / "test", ["hey you"], ["B-song I-song"], "Q")
    return base


# The scheme


@given(st.lists(TAG, max_size=8))
def test_repaired_tags_have_no_breaks_and_change_only_there(tags):
    broken, good = bio.breaks(tags), bio.repaired(tags)
    assert bio.breaks(good) == []
    assert [i for i, (a, b) in enumerate(zip(tags, good, strict=True)) if a != b] == broken
    assert bio.repaired(good) == good


@given(st.lists(TAG, max_size=8))
def test_spans_and_tags_round_trip(tags):
    tags = bio.repaired(tags)
    assert bio.tags_of(bio.spans(tags), len(tags)) == tags


@given(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=8))
def test_f1_is_that_of_the_spans_counted_by_hand(rows):
    target, predicted = (bio.repaired(tags) for tags in zip(*rows, strict=True))
    true, found = set(bio.spans(target)), set(bio.spans(predicted))
    total = len(true) + len(found)
    expected = 2 * len(true & found) / total if total else 0.0
    assert bio.entity_f1([target], [predicted]) == pytest.approx(expected)


def test_f1_of_predictions_that_break_the_scheme_is_as_conll_counts():
    target = [["B-a", "I-a", "O"], ["B-b", "O", "B-a"]]
    predicted = [["I-a", "I-a", "O"], ["B-b", "I-a", "O"]]
    # Predicted entities: a 0-2 right, b 0-1 right, a 1-2 wrong; true: 3. P = R = 2/3.
    assert bio.entity_f1(target, predicted) == pytest.approx(2 / 3)
    assert bio.entity_f1(target, predicted) == f1_score(target, predicted)


def test_f1_is_micro_not_macro():
    target = [["B-a"] * 9 + ["B-b"]]
    predicted = [["B-a"] * 9 + ["O"]]
    assert bio.entity_f1(target, predicted) == pytest.approx(18 / 19)


@pytest.mark.parametrize("tag", ["", "o", "B", "B-", "I-", "E-a", "NOUN", "b-a", "B_a"])
def test_other_tags_are_none_of_the_scheme(tag):
    assert not bio.is_tag(tag)


# The files


def test_columns_are_read(tmp_path):
    text = read_tagged(write(tmp_path / "a.conll", COLUMNS.replace("# NN O", "#  NN\tO")))
    assert text.sentences == SENTENCES
    assert (text.repairs, text.left_out) == (0, 2)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_columns_may_have_any_line_ending_marks_of_documents_and_be_packed(tmp_path, ending):
    text = ("\ufeff-DOCSTART- -X- O\n\n" + COLUMNS + "\n\n").replace("\n", ending)
    path = tmp_path / "ein text.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    found = read_tagged(path)
    assert found.sentences == SENTENCES
    assert found.left_out == 3


def test_the_folder_is_read(snips_like):
    assert read_tagged(snips_like / "train").sentences == [
        Sentence(["play", "hey", "jude"], ["O", "B-song", "I-song"], "P"),
        Sentence(["by", "wings"], ["O", "B-artist"], "Q"),
    ]


def test_a_no_break_space_is_part_of_a_word(tmp_path):
    base = folder(tmp_path, ["10\u00a0000 km"], ["B-x O"])
    assert read_tagged(base).sentences[0].words == ["10\u00a0000", "km"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nb\n", r"line 2: expected a word.*got 1: 'b'"),
        ("a O\nb X O\n", r"line 2: .*as before \(2\), got 3"),
        ("a\n", r"line 1: .*\(2\), got 1"),
        ("a O\n\nb NOUN\n", r"line 3: expected a tag of the BIO scheme.*'NOUN'"),
        ("a O\nb I-x\n", r"line 2: expected B-x or O after O, got I-x.*repair=True"),
        ("I I-x\n", r"line 1: expected B-x or O after the start of the sentence"),
        ("a O\n\na B-x\nb I-y\n", r"line 4: expected B-y or O after B-x, got I-y"),
        ("", "expected sentences, got none"),
        ("\n \n\n", "expected sentences, got none"),
    ],
)
def test_malformed_columns_are_refused_by_line(tmp_path, text, message):
    path = write(tmp_path / "a.conll", text)
    with pytest.raises(InputError, match=message) as caught:
        read_tagged(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("words", "tags", "labels", "message"),
    [
        (["a b", "c d"], ["O O", "O"], None, r"seq\.out, line 2: .*got 1 tags for 2 words"),
        (["a", "", "b"], ["O", "", "O"], None, r"seq\.out, line 2: .*0 tags for 0 words"),
        (["a", "b"], ["O"], None, r"as many lines in .*seq\.out.*seq\.in.*got 1 and 2"),
        (["a", "b"], ["O", "O"], "P", r"as many lines in .*label.*got 1 and 2"),
        (["a", "b"], ["O", "O"], ["", "P"], r"label, line 1: expected what the sentence is"),
        (["a b", "c d"], ["O O", "O I-x"], None, r"seq\.out, line 2, tag 2: expected B-x"),
        (["a b"], ["O x"], None, r"seq\.out, line 1, tag 2: .*BIO scheme.*'x'"),
    ],
)
def test_malformed_folders_are_refused_by_file_and_line(tmp_path, words, tags, labels, message):
    with pytest.raises(InputError, match=message):
        read_tagged(folder(tmp_path, words, tags, labels))


def test_a_missing_file_and_a_wrong_encoding_are_named(tmp_path):
    (tmp_path / "seq.in").write_bytes(b"a b\nc \xff\n")
    with pytest.raises(InputError, match=r"seq\.out"):
        read_tagged(tmp_path)
    write(tmp_path / "seq.out", "O O\nO O\n")
    with pytest.raises(InputError, match=r"seq\.in, line 2, byte 3"):
        read_tagged(tmp_path)


def test_breaks_are_repaired_when_asked_and_counted(tmp_path):
    iob1 = write(tmp_path / "a.conll", "a I-x\nb I-x\nc B-x\nd I-y\n")
    text = read_tagged(iob1, repair=True)
    assert text.sentences[0].tags == ["B-x", "I-x", "B-x", "B-y"]
    assert text.repairs == 2


# The tasks


def test_vocabulary_puts_frequent_words_first_and_others_at_zero():
    vocabulary = vocabulary_of([["b", "a"], ["a", "<unk>"]], ["<sep>"])
    assert vocabulary == Vocabulary(("<unk>", "<sep>", "a", "b"))
    ids = vocabulary.ids(["a", "x", "<unk>", "<sep>"])
    assert ids.tolist() == [2, 0, 0, 1]
    assert share_unknown([ids, vocabulary.ids(["b"] * 4)]) == 0.25
    assert label_names(["b", "a"], ["a"], "tag") == (("a", "b"), ())


def test_tagging_task(snips_like):
    task = snips(snips_like.parent)
    assert (task.in_features, task.out_features) == (6, 4)
    assert (task.tokens, task.whole) == (True, True)
    assert task.chance_level == math.log(4)
    x, target = task.splits["train"][0]
    assert len(set(x.tolist())) == 3
    assert target.tolist() == [3, 1, 2]  # O comes after B-artist, B-song, I-song
    assert task.splits["valid"][0][0].tolist()[2] == 0
    assert "5 words" in task.notes[0]
    assert "33.3% of the words of valid, 50.0% of test" in task.notes[0]
    assert len(task.notes) == 1
    assert task.counted("train").tolist() == [3, 2]


def test_intent_task_predicts_at_the_last_word(snips_like):
    task = snips_intent(snips_like)
    assert [target.tolist() for _, target in task.splits["train"]] == [
        [IGNORED, IGNORED, 0],
        [IGNORED, 1],
    ]
    assert task.counted("train").tolist() == [1, 1]
    assert task.out_features == 2


def test_intents_need_labels_but_no_good_tags(snips_like):
    write(snips_like / "test" / "seq.out", "I-song I-artist\n")
    assert snips_intent(snips_like).splits["test"][0][1].tolist() == [IGNORED, 1]
    (snips_like / "test" / "label").unlink()
    with pytest.raises(InputError, match="label"):
        snips_intent(snips_like)


def test_what_is_new_after_training_and_what_was_repaired_is_in_the_notes(tmp_path):
    train = write(tmp_path / "train", "a O\nb B-x\n")
    valid = write(tmp_path / "valid", "# id 1\na I-x\nb I-y\n")
    task = tagging_task("t", "T", train, valid, train, repair=True)
    assert task.out_features == 3
    assert task.splits["valid"][0][1].tolist() == [0, 2]
    assert task.notes[1:] == (
        "1 tag occurs outside the training split only: B-y.",
        "Tags that went on with an entity that was not there now begin one: 0 in train, 2 in "
        "valid, 0 in test.",
        "Comments and marks of documents were left out: 0 lines in train, 1 lines in valid, 0 "
        "lines in test.",
    )
    with pytest.raises(InputError, match=r"valid, line 2"):
        tagging_task("t", "T", train, valid, train)


def test_a_task_of_columns_equals_one_of_a_folder(tmp_path, snips_like):
    columns = [
        write(
            tmp_path / split,
            "\n".join(
                "".join(f"{w}\t{t}\n" for w, t in zip(one.words, one.tags, strict=True))
                for one in read_tagged(snips_like / split).sentences
            ),
        )
        for split in ("train", "dev", "test")
    ]
    task = tagging_task("t", "T", *columns)
    assert task.hashes == snips(snips_like).hashes
    with pytest.raises(InputError, match="label"):
        intent_task("t", "T", *columns)


def test_entity_score_is_seqevals_of_the_likeliest_tags(snips_like):
    task = snips(snips_like)
    tags = task.scores["f1"].tally(task, "train").tags
    assert tags == ("B-artist", "B-song", "I-song", "O")
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        model = build("lstm", in_features=6, out_features=4, hidden=6, tokens=True).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter.data)
        target, predicted = [], []
        for x, y in task.splits["train"]:
            best = model(x[None])[0][0].argmax(-1)
            target.append([tags[i] for i in y])
            predicted.append([tags[i] for i in best])
        found.append(figures(model, task, "train")[1]["f1"])
        assert found[-1] == f1_score(target, predicted, zero_division=0)
    assert len(set(found)) > 2
