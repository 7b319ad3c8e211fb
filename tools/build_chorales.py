"""Build src/unrecur/data/chorales.npz from the corpus that comes with music21.

python tools/build_chorales.py [PATH]     (needs music21; docs/chorales.md says why so)
"""

import hashlib
import io
import itertools
import math
import re
import sys
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "src/unrecur/data/chorales.npz"
VOICES = ("Soprano", "Alto", "Tenor", "Bass")
KEYS, LOWEST = 88, 21  # the keys of a piano, column 0 is MIDI 21 (A0)
SHORTEST = 8  # frames
RUN = 11  # two melodies that share so many intervals in a row are one tune
OPENING, EDITS = 16, 4  # and so are two whose openings differ by so few changes
SPLITS = ("train", "valid", "test")
ENDS = (0.70, 0.85, 1.0)  # of the frames

Note = tuple[float, float, tuple[int, ...]]  # start, length (quarter notes), MIDI pitches


@dataclass(frozen=True)
class Chorale:
    """One setting: its number in the corpus, the titles known for it and its roll [time, 88]."""

    name: str
    titles: frozenset[str]
    roll: np.ndarray


def sample(voices: Sequence[Sequence[Note]]) -> np.ndarray:
    """Give the piano roll of the notes that sound at each quarter note from the start."""
    notes = [note for voice in voices for note in voice]
    end = max(start + length for start, length, _ in notes)
    roll = np.zeros((math.ceil(end), KEYS), np.uint8)
    for start, length, pitches in notes:
        # The instants t with start <= t < start + length, so a held note sounds on.
        for pitch in pitches:
            roll[math.ceil(start) : math.ceil(start + length), pitch - LOWEST] = 1
    return roll


def normalize(title: str) -> str:
    """Reduce a title to its letters, so that spellings of accents and marks do not matter."""
    plain = unicodedata.normalize("NFKD", title.replace("ß", "ss")).encode("ascii", "ignore")
    return re.sub("[^a-z]", "", plain.decode().lower())


def intervals(roll: np.ndarray) -> tuple[int, ...]:
    """Give the steps of the upper voice, which neither transposition nor repeated notes change."""
    top = [int(frame.nonzero()[0][-1]) for frame in roll if frame.any()]
    pitches = [pitch for pitch, _ in itertools.groupby(top)]
    return tuple(after - before for before, after in itertools.pairwise(pitches))


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Count the insertions, deletions and replacements that turn one into the other."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        last, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (a != b)))
    return row[-1]


def runs(melody: Sequence[int]) -> set[tuple[int, ...]]:
    """List the runs of RUN intervals of a melody; a shorter melody is one run."""
    return {tuple(melody[i : i + RUN]) for i in range(max(1, len(melody) - RUN + 1))}


def canonical(roll: np.ndarray) -> bytes:
    """Give a roll moved down to its lowest key, equal for all its transpositions."""
    return np.roll(roll, -int(roll.any(0).argmax()), axis=1).tobytes()


def same_tune(chorales: Sequence[Chorale]) -> Iterator[tuple[int, int]]:
    """Find the pairs that may be settings of one tune: by title, by notes or by melody."""
    melodies = [intervals(chorale.roll) for chorale in chorales]
    marks: list[set[Any]] = [
        {*chorale.titles, canonical(chorale.roll), *runs(melody)}
        for chorale, melody in zip(chorales, melodies, strict=True)
    ]
    for a, b in itertools.combinations(range(len(chorales)), 2):
        openings = melodies[a][:OPENING], melodies[b][:OPENING]
        if marks[a] & marks[b] or edit_distance(*openings) <= EDITS:
            yield a, b


def connected(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Give the connected components of a graph, each in order."""
    component = list(range(count))
    for a, b in pairs:
        old, new = component[b], component[a]
        component = [new if at == old else at for at in component]
    groups = defaultdict(list)
    for index, at in enumerate(component):
        groups[at].append(index)
    return list(groups.values())


def assign_splits(chorales: Sequence[Chorale], groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Fill the splits in turn with whole groups, in the order of the hashes of their names."""

    def draw(group: Sequence[int]) -> str:
        return hashlib.sha256(chorales[group[0]].name.encode()).hexdigest()

    split = np.zeros(len(chorales), np.uint8)
    total, before = sum(len(chorale.roll) for chorale in chorales), 0
    for group in sorted(groups, key=draw):
        split[list(group)] = sum(before >= end * total for end in ENDS[:-1])
        before += sum(len(chorales[index].roll) for index in group)
    return split


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sort numbers by value: bwv2.6 before bwv10.7."""
    return [
        (int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)
    ]


def drop_doubles(chorales: Iterable[Chorale]) -> list[Chorale]:
    """Keep the first of each set of chorales with identical rolls, under the titles of all."""
    same = defaultdict(list)
    for chorale in sorted(chorales, key=lambda chorale: natural_order(chorale.name)):
        same[chorale.roll.tobytes()].append(chorale)
    return [
        Chorale(doubles[0].name, frozenset().union(*(d.titles for d in doubles)), doubles[0].roll)
        for doubles in same.values()
    ]


def encode(chorales: Sequence[Chorale], split: np.ndarray) -> bytes:
    """Give the file: a zip of arrays that is the same, byte for byte, on every machine."""
    ends = np.cumsum([len(chorale.roll) for chorale in chorales])
    arrays = {
        "rolls": np.packbits(np.concatenate([chorale.roll for chorale in chorales]), axis=1),
        "offsets": np.concatenate([[0], ends]).astype("<i4"),
        "split": split,
        "names": np.array([chorale.name.encode() for chorale in chorales]),
    }
    file = io.BytesIO()
    # Stored, not deflated: zlib's output differs by version; a wheel and git compress it anyway.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return file.getvalue()


def corpus_titles() -> dict[str, frozenset[str]]:
    """Read the tables of titles that come with music21, which cover most chorales."""
    from music21.corpus.chorales import ChoraleList, ChoraleListRKBWV

    titles = defaultdict(set)
    for table in (ChoraleList().byBWV, ChoraleListRKBWV().byBWV):
        for number, row in table.items():
            titles[f"bwv{number}"].add(normalize(row["title"]))
    return {name: frozenset(known) for name, known in titles.items()}


def read_voices(path: Path) -> list[list[Note]] | None:
    """Read the voices of a score; None unless it is for soprano, alto, tenor and bass alone."""
    from music21 import corpus

    parts = corpus.parse(f"bach/{path.name}").parts
    if tuple(part.partName for part in parts) != VOICES:
        return None
    return [
        [
            (float(note.offset), float(note.quarterLength), tuple(p.midi for p in note.pitches))
            for note in part.flatten().notes
        ]
        for part in parts
    ]


def read_corpus(dropped: Counter[str]) -> Iterator[Chorale]:
    """Read the chorales of the corpus, and count what is left out and why."""
    from music21 import corpus

    titles = corpus_titles()
    for path in sorted(Path(path) for path in corpus.getComposer("bach")):
        if path.suffix not in {".mxl", ".xml"}:
            dropped[f"other formats ({path.suffix})"] += 1
        elif (voices := read_voices(path)) is None:
            dropped["not for four voices alone"] += 1
        elif len(roll := sample(voices)) < SHORTEST:
            dropped["too short"] += 1
        else:
            yield Chorale(path.stem, titles.get(path.stem, frozenset()), roll)


def report(chorales: Sequence[Chorale], groups: Sequence[Sequence[int]], split: np.ndarray) -> None:
    """Print what the file holds."""
    largest = max(len(group) for group in groups)
    print(f"{len(chorales)} chorales in {len(groups)} groups, the largest of {largest}")
    for number, name in enumerate(SPLITS):
        frames = [len(c.roll) for c, s in zip(chorales, split, strict=True) if s == number]
        tunes = sum(split[group[0]] == number for group in groups)
        print(f"{name}: {len(frames)} chorales, {sum(frames)} frames, {tunes} groups")


def main(target: Path) -> None:
    """Build the file and print what is in it."""
    dropped: Counter[str] = Counter()
    found = list(read_corpus(dropped))
    chorales = drop_doubles(found)
    doubles = {chorale.name for chorale in found} - {chorale.name for chorale in chorales}
    print(f"{len(found)} for four voices; left out: {dict(dropped)}")
    print(f"with titles: {sum(bool(chorale.titles) for chorale in chorales)}")
    print(f"identical to another: {sorted(doubles)}")
    groups = connected(len(chorales), same_tune(chorales))
    split = assign_splits(chorales, groups)
    report(chorales, groups, split)
    content = encode(chorales, split)
    target.write_bytes(content)
    print(f"{target}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
