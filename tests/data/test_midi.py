"""MIDI files as piano rolls: round trips, the grid, what is left out, hostile files."""

import io
import os
import random
import struct

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mido import Message, MetaMessage, MidiFile, MidiTrack

from unrecur import CorruptFileError, InputError
from unrecur.data import midi
from unrecur.data.hashing import split_hash
from unrecur.data.midi import MidiNote, midi_task, notes_of, read_midi
from unrecur.data.sequences import SPLITS


def track(*events):
    """A track of events at their ticks: (tick, "note_on", pitch[, channel]), (tick, message)."""
    made, now = MidiTrack(), 0
    for tick, event, *rest in sorted(events, key=lambda event: event[0]):
        message = event
        if isinstance(event, str):
            pitch, channel = (*rest, 0)[:2]
            message = Message(event, note=pitch, channel=channel, velocity=64)
        made.append(message.copy(time=tick - now))
        now = tick
    return made


def notes(*spans, channel=0):
    """The events of notes (start, end, pitch)."""
    ends = [(end, "note_off", pitch, channel) for _, end, pitch in spans]
    return ends + [(start, "note_on", pitch, channel) for start, _, pitch in spans]


def save(path, *tracks, ticks=480, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    MidiFile(tracks=list(tracks), ticks_per_beat=ticks, **options).save(path)
    return path


def spans_of(roll, step, held):
    """The notes of a roll; held ones last as long as the key sounds, others are struck again."""
    found = []
    for time, key in zip(*roll.nonzero(), strict=True):
        if held and time and roll[time - 1, key]:
            continue
        end = time + 1
        while held and end < len(roll) and roll[end, key]:
            end += 1
        found.append((int(time) * step, int(end) * step, 21 + int(key)))
    return found


def random_roll(seed, time=20):
    roll = (np.random.default_rng(seed).random((time, 88)) < 0.05).astype(np.uint8)
    roll[-1, seed % 88] = 1
    return roll


# Reading


@settings(max_examples=40)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(2, 9), st.just(88)), elements=st.integers(0, 1)),
    st.booleans(),
    st.sampled_from([(480, 4), (96, 1), (24, 8), (100, 1)]),
)
def test_round_trip(tmp_path_factory, roll, held, grid):
    roll[-1, 87] = 1  # a roll ends with what sounds last
    ticks, per_beat = grid
    spans = spans_of(roll, ticks // per_beat, held)
    path = save(tmp_path_factory.mktemp("midi") / "a.mid", track(*notes(*spans)), ticks=ticks)
    found = read_midi(path, per_beat)
    assert found.roll.dtype == np.uint8
    np.testing.assert_array_equal(found.roll, roll)
    assert (found.drums, found.outside, found.between) == (0, 0, 0)


def sounding(spans, ticks, per_beat, time):
    """The roll by its definition, step by step and note by note."""
    roll = np.zeros((time, 88), np.uint8)
    for step in range(time):
        for start, end, pitch in spans:
            if start * per_beat <= step * ticks < end * per_beat:
                roll[step, pitch - 21] = 1
    return roll


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.integers(1, 40), st.integers(21, 59)),
        min_size=1,
        max_size=8,
        unique_by=lambda note: note[2],
    ),
    st.sampled_from([(24, 4), (10, 4), (7, 3), (96, 1), (1, 2)]),
)
def test_a_step_holds_what_sounds_at_its_time(tmp_path_factory, drawn, grid):
    ticks, per_beat = grid
    spans = [(0, 2 * ticks, 60), *((start, start + long, pitch) for start, long, pitch in drawn)]
    path = save(tmp_path_factory.mktemp("midi") / "a.mid", track(*notes(*spans)), ticks=ticks)
    found = read_midi(path, per_beat)
    expected = sounding(spans, ticks, per_beat, len(found.roll) + 3)
    assert not expected[len(found.roll) :].any()
    assert expected[len(found.roll) - 1].any()
    np.testing.assert_array_equal(found.roll, expected[: len(found.roll)])
    unseen = sum(not sounding([span], ticks, per_beat, 200 * per_beat).any() for span in spans)
    assert found.between == unseen


def test_tempo_instruments_and_tracks_play_no_part(tmp_path):
    melody = notes((0, 480, 60), (480, 960, 62))
    bass = notes((0, 960, 40), channel=3)
    tempo = [(0, MetaMessage("set_tempo", tempo=10**6)), (480, MetaMessage("set_tempo", tempo=9))]
    pedal = [(100, Message("control_change", control=64, value=127))]
    apart = save(tmp_path / "a.mid", track(*tempo), track(*melody), track(*bass, *pedal))
    together = save(tmp_path / "b.MIDI", track(*melody, *bass), type=0)
    roll = read_midi(apart, 1).roll
    assert [(21 + frame.nonzero()[0]).tolist() for frame in roll] == [[40, 60], [40, 62]]
    np.testing.assert_array_equal(read_midi(together, 1).roll, roll)


def test_beginnings_and_ends_are_paired():
    def messages(*events):
        return list(notes_of(track(*events)))

    silent = Message("note_on", note=60, velocity=0)
    end = MetaMessage("end_of_track")
    assert messages((5, "note_on", 60), (9, silent), (20, end)) == [MidiNote(0, 60, 5, 9)]
    again = messages((0, "note_on", 60), (3, "note_on", 60), (9, "note_off", 60))
    assert again == [MidiNote(0, 60, 0, 9)]
    channels = messages((0, "note_on", 60, 1), (2, "note_off", 60, 2), (4, "note_off", 60, 1))
    assert channels == [MidiNote(1, 60, 0, 4)]
    assert messages((3, "note_off", 60)) == []
    assert messages((2, "note_on", 61), (8, end)) == [MidiNote(0, 61, 2, 8)]


def test_what_is_left_out_is_counted(tmp_path):
    played = notes((0, 960, 60), (121, 130, 61))  # the second between two sixteenths
    drums = notes((0, 480, 36), (480, 960, 38), channel=9)
    outside = notes((0, 480, 20), (0, 480, 109), (0, 480, 0), (0, 480, 127))
    found = read_midi(save(tmp_path / "a.mid", track(*played, *drums, *outside)))
    assert (found.drums, found.outside, found.between) == (2, 4, 1)
    assert found.roll.sum() == 8
    assert len(found.roll) == 8


# Files that cannot be read


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "got 0 over 0"),
        ([(0, MetaMessage("set_tempo", tempo=500000))], "got 0 over 0"),
        (notes((0, 960, 36), channel=9), "got 0 over 0 .*drums.* 1; "),
        (notes((0, 960, 5)), "got 0 over 0 .*88 keys: 1"),
        (notes((0, 60, 60)), "got 1 over 1 "),
        (notes((0, 960, 60), (2**27, 2**27 + 960, 60)), "to 131,072 steps.*got 2 over"),
    ],
)
def test_files_without_music_are_refused_by_name(tmp_path, events, message):
    path = save(tmp_path / "my ü.mid", track(*events))
    with pytest.raises(InputError, match=message) as caught:
        read_midi(path)
    assert str(path) in str(caught.value)


def test_files_without_beats_are_refused(tmp_path):
    path = save(tmp_path / "a.mid", track(*notes((0, 960, 60))), track(), type=2)
    with pytest.raises(InputError, match="got type 2"):
        read_midi(path)
    content = save(path, track(*notes((0, 960, 60)))).read_bytes()
    for ticks in (0, -25 * 256 + 40):
        path.write_bytes(content[:12] + struct.pack(">h", ticks) + content[14:])
        with pytest.raises(InputError, match=f"with {ticks} ticks in a beat"):
            read_midi(path)


def raw(events):
    """A file with the bytes of one track."""
    return (
        b"MThd"
        + struct.pack(">IHHH", 6, 0, 1, 96)
        + b"MTrk"
        + struct.pack(">I", len(events))
        + events
    )


LONG_WAIT = b"\x00\x90\x3c\x40" + b"\x81\x80\x80\x80\x00" + b"\x80\x3c\x40"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOFError"),
        (b"no music at all", "MThd"),
        (b"\x80\x04\x95" + bytes(200), "cannot be read"),
        (raw(b"\x00\x90\x3c"), "EOFError"),
        (raw(b"\x00\x90\xff\x40"), "data byte"),
        (raw(b"\x00\xff\x59\x02\x7f\x7f"), "KeySignatureError"),
        (raw(b"\x00\xff\x01\xff\xff\xff\x7f"), "exceeds maximum length"),
        (raw(LONG_WAIT), "a wait of 268435456 ticks or more"),
        (raw(b"\x00\x90\x3c\x40" + b"\xff" * 2**20), "a number of 4096 bytes"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "my ü.mid"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=message) as caught:
        read_midi(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_silence_is_not_allocated(tmp_path):
    wait = b"\x00\x90\x3c\x40" + b"\xff\xff\xff\x7f" + b"\x80\x3c\x40"  # 2^28 - 1 ticks
    path = tmp_path / "a.mid"
    path.write_bytes(raw(wait * 100))
    with pytest.raises(InputError, match="got 100 over 1,118,481,063 "):
        read_midi(path)


def test_a_file_too_large_is_not_read(tmp_path, monkeypatch):
    path = save(tmp_path / "a.mid", track(*notes((0, 960, 60))))
    monkeypatch.setattr(midi, "LARGEST_FILE", path.stat().st_size - 1)
    with pytest.raises(CorruptFileError, match="at most"):
        read_midi(path)
    with pytest.raises(FileNotFoundError):
        read_midi(tmp_path / "none.mid")


def test_any_damage_gives_a_roll_or_a_clear_error(tmp_path):
    events = [*notes(*spans_of(random_roll(0, 6), 120, held=True)), *notes((0, 99, 36), channel=9)]
    events += [(5, MetaMessage("key_signature", key="C")), (9, Message("sysex", data=(1, 2, 3)))]
    whole = save(tmp_path / "a.mid", track(*events)).read_bytes()
    source, path, refusals = random.Random(0), tmp_path / "a.mid", []
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(source.choice([1, 1, 2, 6])):
            content[source.randrange(len(content))] = source.randrange(256)
        path.write_bytes(content[: source.choice([len(content), source.randrange(len(content))])])
        try:
            found = read_midi(path)
        except InputError as error:
            refusals.append(str(error))
            continue
        assert found.roll.shape[1] == 88
    assert 100 < len(refusals) < 600
    assert all(str(path) in message for message in refusals)


# A folder


@pytest.fixture
def folder(tmp_path):
    for number in range(30):
        name = f"{'deep/er ü/' if number % 3 else ''}{number}.{'MID' if number % 2 else 'midi'}"
        spans = spans_of(random_roll(number), 120, held=False)
        extra = notes((0, 480, 36), channel=9) if number == 4 else []
        save(tmp_path / "my music" / name, track(*notes(*spans), *extra))
    return tmp_path / "my music"


def test_a_folder_is_a_task_of_its_music(folder):
    task = midi_task(folder)
    assert task.name == "my music"
    assert sum(len(task.splits[split]) for split in SPLITS) == 30
    expected = {split_hash([random_roll(number)]) for number in range(30)}
    found = {
        split_hash([np.concatenate([x[:1].numpy(), target.numpy()]).astype(np.uint8)])
        for split in SPLITS
        for x, target in task.splits[split]
    }
    assert found == expected
    said = " ".join(task.notes)
    assert "4 times in a quarter note" in said
    assert "Notes of drums (channel 10), left out: 1." in said
    assert "outside" not in said
    assert len(midi_task(folder, 8).splits["test"][0][0]) == 2 * 20 - 1


def test_a_new_file_moves_no_other(folder):
    def hashes():
        task = midi_task(folder)
        return {s: {split_hash([x.numpy()]) for x, _ in task.splits[s]} for s in SPLITS}

    before = hashes()
    for number in range(30, 40):
        spans = spans_of(random_roll(number), 120, held=True)
        save(folder / f"{number}.mid", track(*notes(*spans)))
    after = hashes()
    assert all(before[split] <= after[split] for split in SPLITS)
    assert sum(map(len, after.values())) == 40


def test_folders_of_splits_have_several_names(tmp_path):
    for seed, name in enumerate(("Train", "VAL", "Test")):
        for number in range(3 - seed):
            spans = spans_of(random_roll(10 * seed + number), 120, held=False)
            save(tmp_path / name / f"{number}.mid", track(*notes(*spans)))
    (tmp_path / "Test" / "0.wav").write_bytes(b"")
    task = midi_task(tmp_path)
    assert [len(task.splits[split]) for split in SPLITS] == [3, 2, 1]
    assert task.notes[-1] == "Files and empty folders that are not used: 1, the first Test/0.wav."


def test_a_pipe_is_no_music(tmp_path):
    os.mkfifo(tmp_path / "a.mid")
    with pytest.raises(InputError, match=r"a\.mid: expected a file"):
        read_midi(tmp_path / "a.mid")


def test_one_file_without_notes_stops_with_its_name(folder):
    save(folder / "empty ü.mid", track())
    with pytest.raises(InputError, match=r"empty ü\.mid: expected notes"):
        midi_task(folder)


def test_a_folder_without_midi_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected \.mid or \.midi files for each split"):
        midi_task(tmp_path)


def test_mido_reads_what_we_take_it_to():
    """The reader's own events, should a new version name them otherwise."""
    file = io.BytesIO()
    MidiFile(tracks=[track(*notes((0, 9, 60)))]).save(file=file)
    file.seek(0)
    kinds = [message.type for message in mido.MidiFile(file=file).tracks[0]]
    assert kinds == ["note_on", "note_off", "end_of_track"]
