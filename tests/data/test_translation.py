"""Translation: parallel text, and BLEU."""

import gzip

import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st

from unrecur._check import InputError
from unrecur.core.field import Field
from unrecur.core.model import AbstractConditionalModel
from unrecur.data import translation
from unrecur.data.bleu import Bleu, corpus_bleu
from unrecur.data.byte_pairs import BPETokenizer
from unrecur.data.sequences import SPLITS
from unrecur.data.translation import translation_task
from unrecur.models.ngram import NGram

ENGLISH = ["A dog runs.", "Two dogs run in the snow.", "A man sleeps.", "The dog sleeps well."]
GERMAN = ["Ein Hund läuft.", "Zwei Hunde laufen im Schnee.", "Ein Mann schläft.", "Der Hund."]


def write(path, rows, ending="\n"):
    data = "".join(row + ending for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "my bücher"
    folder.mkdir()
    return {
        split: (
            write(folder / f"{split}.en.gz", ENGLISH * times),
            write(folder / f"{split}.de", GERMAN * times),
        )
        for split, times in {"train": 20, "valid": 1, "test": 1}.items()
    }


def made(files, **options):
    return translation_task("t", "T", files, 300, **options)


class Recites(AbstractConditionalModel):
    """Gives a fixed row of tokens for each source, found by its ids."""

    takes_tokens = True
    receptive_field = Field(past=0, future=0)

    def __init__(self, answers, size):
        super().__init__()
        self.in_features = self.out_features = size
        self.answers = answers
        self.weight = torch.nn.Parameter(torch.zeros(1))  # it has a device

    def encode(self, source, lengths=None):
        rows = [self.answers[tuple(s[:n].tolist())] for s, n in zip(source, lengths, strict=True)]
        plan = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return plan, torch.zeros(len(plan), dtype=torch.long)

    def init_state(self, batch):
        return torch.zeros(batch, 1, dtype=torch.long), torch.zeros(batch, dtype=torch.long)

    def step(self, x_t, state=None):
        plan, place = state
        token = plan.gather(1, place.clamp(max=plan.shape[1] - 1)[:, None])[:, 0]
        return torch.nn.functional.one_hot(token, self.out_features).float(), (plan, place + 1)

    def forward(self, x, state=None, lengths=None):
        assert x.shape[1] == 1
        y, state = self.step(x[:, 0], state)
        return y[:, None], state


def reciting(task, answers):
    """Build a model that translates the test split as told."""
    end = task.in_features - 1
    tokenizer = task.scores["bleu"].compute.tokenizer
    plans = {}
    for source, answer in zip(task.sources["test"], answers, strict=True):
        ids = tokenizer.encode([answer]).tolist()
        plans[tuple(source.tolist())] = torch.tensor([*ids, end])
    return Recites(plans, task.in_features)


# The pairs


def test_a_decoder_reads_the_start_and_predicts_the_end(files):
    task = made(files)
    assert task.in_features == task.out_features
    bleu = task.scores["bleu"].compute
    for split, times in (("train", 20), ("valid", 1), ("test", 1)):
        assert len(task.splits[split]) == len(task.sources[split]) == 4 * times
        for number, german in enumerate(GERMAN * times):
            x, target = task.pair(split, number)
            assert x[0] == bleu.start == task.in_features - 2
            assert target[-1] == bleu.end == task.in_features - 1
            assert torch.equal(x[1:], target[:-1])
            assert bleu.tokenizer.decode(target[:-1].tolist()) == german
        assert task.lengths(split).tolist() == [
            len(x) for x, _ in map(task.splits[split].__getitem__, range(4 * times))
        ]
    for source in task.sources["test"]:
        assert 0 <= int(source.min()) <= int(source.max()) < task.source_features


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_table_gives_what_two_files_give(files, tmp_path, ending):
    tables = {
        split: write(
            tmp_path / f"{split}.tsv",
            [f"{a} \t{b}" for a, b in zip(ENGLISH, GERMAN, strict=True)] * times,
            ending,
        )
        for split, times in {"train": 20, "valid": 1, "test": 1}.items()
    }
    assert made(tables).hashes == made(files).hashes


def test_the_vocabularies_are_those_of_the_training_text(files):
    before = made(files)
    write(files["test"][1], ["Ganz andere Wörter ЖЖЖ."] * 4)
    after = made(files)
    assert after.hashes["train"] == before.hashes["train"]
    assert after.hashes["test"] != before.hashes["test"]
    assert after.in_features == before.in_features


def test_blank_sides_are_left_out_and_counted(files):
    write(files["train"][1], [*GERMAN * 19, "", "  ", "Ein Mann.", "\u00a0"])
    task = made(files)
    assert len(task.splits["train"]) == len(task.sources["train"]) == 77
    assert any("3 pairs of train are left out" in note and "line 77" in note for note in task.notes)
    _, target = task.pair("train", 76)
    assert task.scores["bleu"].compute.tokenizer.decode(target[:-1].tolist()) == "Ein Mann."
    write(files["valid"][0], [""] * 4)
    with pytest.raises(InputError, match="no sequences in its split 'valid'"):
        made(files)


@pytest.mark.parametrize("side", [0, 1])
def test_long_pairs_are_left_out_and_counted(files, monkeypatch, side):
    rows = list((ENGLISH, GERMAN)[side])
    rows[2] = "q x z " * 90
    write(files["test"][side], rows)
    task = made(files)
    assert len(task.splits["test"]) == len(task.sources["test"]) == 3
    assert any(
        "1 pairs of test" in note and "256 tokens" in note and "line 3" in note
        for note in task.notes
    )
    monkeypatch.setattr(translation, "LONGEST", 1000)
    assert len(made(files).splits["test"]) == 4


@pytest.mark.parametrize("block", [1, 3, 80, 2048])
def test_blocks_do_not_matter(files, monkeypatch, block):
    hashes = made(files).hashes
    monkeypatch.setattr(translation, "BLOCK", block)
    assert made(files).hashes == hashes


@pytest.mark.parametrize("side", [0, 1])
def test_a_line_without_a_partner_is_named(files, side):
    write(files["valid"][side], (ENGLISH, GERMAN)[side][:3])
    name = files["valid"][side].name
    with pytest.raises(InputError, match=rf"{name} with 3 lines and .* line 4 has no partner"):
        made(files)


@pytest.mark.parametrize(("line", "columns"), [("A dog.", 1), ("a\tb\tc", 3), ("", 1)])
def test_a_table_of_other_columns_is_refused(tmp_path, line, columns):
    path = write(tmp_path / "a.tsv", ["A\tB", line, "A\tB"])
    with pytest.raises(InputError, match=rf"a\.tsv, line 2: .* got {columns} columns"):
        made(dict.fromkeys(SPLITS, path))


def test_hostile_files_are_refused(files):
    source, target = files["valid"]
    target.write_bytes(b"Ein Hund\nZw\xffei\n\n\n")
    with pytest.raises(InputError, match=r"valid\.de, line 2, byte 3 of the line"):
        made(files)
    target.write_bytes(b"Ein Hund\n" + b"a" * 70_000 + b"\n\n\n")
    with pytest.raises(InputError, match=r"valid\.de, line 2: expected at most 65,536 characters"):
        made(files)
    source.write_bytes(source.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"valid\.en\.gz: expected a gzip file, whole"):
        made(files)
    del files["valid"]
    with pytest.raises(InputError, match="got none for valid"):
        made(files)


# BLEU


def test_bleu_is_that_of_sacrebleu_on_the_strings(files):
    task = made(files)
    score = task.scores["bleu"]
    answers = ["Ein Hund läuft.", "Zwei Hunde laufen in Schnee.", "Ein Mann rennt.", "Der Hund."]
    model = reciting(task, answers)
    assert score.compute.translations(model, task, "test") == list(
        zip(answers, GERMAN, strict=True)
    )
    found = score.compute(model, task, "test", 1.0)
    assert found == sacrebleu.corpus_bleu(answers, [GERMAN]).score
    assert 20 < found < 90
    assert score.compute(reciting(task, GERMAN), task, "test", 1.0) == pytest.approx(100)
    assert score.better == "higher"


def test_the_signature_is_that_of_sacrebleu(files):
    metric = sacrebleu.BLEU()
    right = metric.corpus_score(GERMAN, [GERMAN[::-1]]).score
    assert corpus_bleu(GERMAN, GERMAN[::-1]) == (right, str(metric.get_signature()))
    assert f"version:{sacrebleu.__version__}" in made(files).notes[-1]


def test_a_translation_that_does_not_end_is_cut_by_its_own_source(files):
    task = made(files)
    model = reciting(task, ["Hund " * 200] * 4)
    pairs = task.scores["bleu"].compute.translations(model, task, "test")
    tokenizer = task.scores["bleu"].compute.tokenizer
    ids = tokenizer.encode(["Hund " * 200]).tolist()
    for source, (ours, _) in zip(task.sources["test"], pairs, strict=True):
        assert ours == tokenizer.decode(ids[: 2 * len(source) + 10]).strip()
    assert len({len(ours) for ours, _ in pairs}) > 1


def test_a_model_that_reads_no_source_translates_all_alike(files):
    task = made(files)
    model = NGram(in_features=task.in_features, order=3)
    model.fit([task.pair("train", i) for i in range(len(task.splits["train"]))])
    pairs = task.scores["bleu"].compute.translations(model, task, "test")
    assert pairs[0][0].startswith(("Ein", "Zwei", "Der"))
    shortest = min((ours for ours, _ in pairs), key=len)
    assert all(ours.startswith(shortest) for ours, _ in pairs)


@given(st.text().map(str.strip))
def test_marks_are_no_text(text):
    tokenizer = BPETokenizer.learn([GERMAN], 300)
    bleu = Bleu(tokenizer)
    ids = tokenizer.encode([text]).tolist()
    assert bleu._text([bleu.start, *ids, bleu.end]) == text
