"""MIDI files as piano rolls."""

import dataclasses
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur.data.lines import check_file
from unrecur.data.music import KEYS, music_task
from unrecur.data.own_files import ignored, split_folder
from unrecur.data.sequences import SPLITS
from unrecur.data.task import Task

SUFFIXES = (".mid", ".midi")
PER_BEAT = 4  # sixteenth notes
LOWEST = 21  # MIDI's number of the lowest key of a piano
DRUMS = 9  # channel 10, counted from 0
LARGEST_FILE = 2**22  # bytes; a long symphony has 2^20
LONGEST_WAIT = 2**28  # ticks: MIDI writes a wait in 4 bytes of 7 bits
MOST_HIGH_BYTES = 4096  # in a row; mido takes time in the square of them for a number
LONGEST = 2**17  # steps; at sixteenth notes some five hours


@dataclass(frozen=True)
class MidiNote:
    """A note of a MIDI file.

    Attributes:
        channel: The channel, from 0.
        pitch: MIDI's number, 60 for the middle C.
        start: When it begins, in ticks.
        end: When it ends, in ticks.
    """

    channel: int
    pitch: int
    start: int
    end: int


@dataclass(frozen=True)
class MidiRoll:
    """What was read from a MIDI file.

    Attributes:
        roll: The piano roll [time, 88], uint8, zeros and ones.
        drums: How many notes of drums were left out.
        outside: How many notes outside the 88 keys were left out.
        between: How many notes begin and end between two steps, so that the roll lacks them.
    """

    roll: np.ndarray
    drums: int
    outside: int
    between: int


def read_midi(path: Path, per_beat: int = PER_BEAT) -> MidiRoll:
    """Read a MIDI file as a piano roll.

    Row i holds the keys that sound at the time i / per_beat, in quarter notes: those of notes with
    start <= time < end. Tempo, loudness and pedals play no part, and all instruments are one. Notes
    of drums (channel 10) and those outside the 88 keys are left out and counted. A note that is
    struck again before its end goes on, and one without an end sounds to the end of its track.

    Args:
        path: The file, of type 0 or 1. It is not trusted.
        per_beat: Steps in a quarter note.

    Returns:
        The roll, to the last step at which something sounds, and what it lacks.

    Raises:
        CorruptFileError: The file is truncated, damaged, too large, or no MIDI file.
        InputError: It has no notes, less than two steps, too many steps, or no beats (time in
            frames of film, or tracks that have nothing to do with each other).
    """
    _check.positive_integer(per_beat, "per_beat")
    file = _open(path)
    notes = [note for track in file.tracks for note in notes_of(track)]
    pitched = [note for note in notes if note.channel != DRUMS]
    played = [note for note in pitched if 0 <= note.pitch - LOWEST < KEYS]
    # Step i is at the tick i ticks_per_beat / per_beat, so the first at or after a tick is this:
    steps = [
        tuple(-(-tick * per_beat // file.ticks_per_beat) for tick in (note.start, note.end))
        for note in played
    ]
    time = max((end for start, end in steps if start < end), default=0)
    drums, outside = len(notes) - len(pitched), len(pitched) - len(played)
    if not 2 <= time <= LONGEST:
        raise InputError(
            f"{path}: expected notes over 2 to {LONGEST:,} steps of 1/{per_beat} of a quarter "
            f"note, got {len(played)} over {time:,} (of drums, which do not count: {drums}; "
            f"outside the piano's 88 keys: {outside}). Leave the file out."
        )
    roll = np.zeros((time, KEYS), np.uint8)
    for note, (start, end) in zip(played, steps, strict=True):
        roll[start:end, note.pitch - LOWEST] = 1
    return MidiRoll(roll, drums, outside, sum(start == end for start, end in steps))


def midi_task(folder: Path, per_beat: int = PER_BEAT) -> Task:
    """Make the task of predicting the next frame of the music in a folder of MIDI files.

    Args:
        folder: The folder; `split_folder` says which file goes to which split.
        per_beat: Steps in a quarter note.

    Returns:
        The task, as `music_task` makes it; what was left out stands in its notes.

    Raises:
        InputError: A split has no files, or a file has no notes.
        CorruptFileError: A file is damaged.
    """
    files = split_folder(folder, SUFFIXES)
    read = {split: [read_midi(path, per_beat) for path in files[split]] for split in SPLITS}
    name = folder.resolve().name
    task = music_task(
        name,
        f"The music in {name}, next 1/{per_beat} of a quarter note",
        {split: [each.roll for each in read[split]] for split in SPLITS},
    )
    every = [each for split in SPLITS for each in read[split]]
    left_out = ignored(folder, [path for split in SPLITS for path in files[split]])
    return dataclasses.replace(task, notes=(*task.notes, *_notes(every, per_beat), *left_out))


def notes_of(track: Any) -> Iterator[MidiNote]:
    """Pair the beginnings of notes with their ends.

    Args:
        track: A track of mido, messages with the ticks since the one before.

    Yields:
        The notes, in the order in which they end.
    """
    now = 0
    sounding: dict[tuple[int, int], int] = {}
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        key = message.channel, message.note
        if message.type == "note_on" and message.velocity > 0:  # 0 is how many write an end
            sounding.setdefault(key, now)
        elif key in sounding:
            yield MidiNote(*key, sounding.pop(key), now)
    for (channel, pitch), start in sounding.items():
        yield MidiNote(channel, pitch, start, now)


def _open(path: Path) -> Any:
    """Read the tracks of a MIDI file."""
    mido = _check.extra("mido", "music")
    check_file(path)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise CorruptFileError(
            f"{path}: expected a MIDI file of at most {LARGEST_FILE:,} bytes, got {size:,}."
        )
    content = path.read_bytes()
    try:
        if re.search(b"[\x80-\xff]{%d}" % MOST_HIGH_BYTES, content):
            raise CorruptFileError(f"a number of {MOST_HIGH_BYTES} bytes or more")
        file = mido.MidiFile(file=io.BytesIO(content))
        if any(message.time >= LONGEST_WAIT for track in file.tracks for message in track):
            raise CorruptFileError(f"a wait of {LONGEST_WAIT} ticks or more")
    # A damaged file makes mido raise a dozen kinds of errors; all mean the same.
    except Exception as error:
        raise CorruptFileError(
            f"{path}: expected a MIDI file, whole; got one that cannot be read "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}). Make it again."
        ) from error
    if file.type not in (0, 1) or file.ticks_per_beat < 1:
        raise InputError(
            f"{path}: expected a MIDI file of type 0 or 1 with time in beats, got type {file.type} "
            f"with {file.ticks_per_beat} ticks in a beat (below 1: frames of film). Convert it."
        )
    return file


def _notes(read: list[MidiRoll], per_beat: int) -> tuple[str, ...]:
    """Say what was done to the files."""
    left_out = {
        "Notes of drums (channel 10), left out": sum(each.drums for each in read),
        "Notes outside the piano's 88 keys, left out": sum(each.outside for each in read),
        "Notes between two steps, which no frame shows": sum(each.between for each in read),
    }
    return (
        f"MIDI files are sampled {per_beat} times in a quarter note, whatever the tempo; loudness "
        "and pedals play no part, and all instruments are one.",
        *(f"{what}: {count:,}." for what, count in left_out.items() if count),
    )
