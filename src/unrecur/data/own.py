"""What the user has: the task that a file, a folder or an address on the hub makes."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unrecur._check import InputError
from unrecur.data.archive import ts_task
from unrecur.data.audio import SUFFIXES as SOUNDS
from unrecur.data.audio import sound_folder
from unrecur.data.datasets import task_from
from unrecur.data.hub import PREFIX
from unrecur.data.lines import check_file, name_inside
from unrecur.data.midi import SUFFIXES as SCORES
from unrecur.data.midi import midi_task
from unrecur.data.music import music_task
from unrecur.data.own_data import own_data_task
from unrecur.data.own_files import (
    below,
    check_apart,
    digest,
    ignored,
    named_after_splits,
    one_each,
)
from unrecur.data.piano_roll import read_mat
from unrecur.data.reading import reading_task
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.table_files import KINDS as TABLES
from unrecur.data.tagged_text import tagged_files
from unrecur.data.tagging import tagging_task
from unrecur.data.task import Task
from unrecur.data.text import language_task, text_file_task
from unrecur.data.translation import translation_task

TEXTS, COLUMNS, QUESTIONS = (".txt", ".md", ".text"), (".conll", ".bio"), ".json"
Found = dict[Split, list[Path]]
NO_LANGUAGES = {*TEXTS, *COLUMNS, QUESTIONS, ""}
WHAT = (
    f"a table ({', '.join(TABLES)}), a text ({', '.join(TEXTS)}), series (.ts), piano rolls "
    "(.mat), an address hf://NAME, or a folder of recordings (.wav, .flac), of music (.mid), or of "
    "train, valid and test files: text (.txt), sentences in columns (.conll, .bio) or seq.in and "
    "seq.out, two languages (train.en, train.de, ...), questions (.json)"
)


def own_task(place: str, target: Sequence[str] = (), **options: Any) -> Task:
    """Make a task of data of one's own.

    Args:
        place: A file, a folder, or "hf://name".
        target: What is predicted: the column of a table (or several), the column of a data set on
            the hub, the suffix of the language that is translated to. Texts, sound and music need
            none.
        **options: Of a table those of `own_data_task`; of a text `level`; of the hub `inputs`.

    Returns:
        The task.

    Raises:
        InputError: There is nothing there, or nothing that a task can be made of; the target is
            missing; an option has no meaning for these data.
    """
    if place.startswith(PREFIX):
        names = list(options.pop("inputs", None) or [])
        if len(target) != 1 or len(names) != 1:
            raise InputError(f"'{place}': name the columns, with --target and --inputs.")
        name = place[len(PREFIX) :].replace("/", "-")
        return _made(task_from, place, inputs=names[0], target=target[0], name=name, **options)
    path = Path(place)
    if not path.exists():
        raise InputError(f"there is no file or folder {path}. Known are {WHAT}.")
    return _of_folder(path, target, options) if path.is_dir() else _of_file(path, target, options)


def _of_file(path: Path, target: Sequence[str], options: dict[str, Any]) -> Task:
    """Make a task of one file."""
    check_file(path)
    kind = _kind(path)
    if path.name.lower().endswith(TABLES):
        if not target:
            raise InputError(f"{path}: say which column is to be predicted, with --target COLUMN.")
        wanted = target[0] if len(target) == 1 else list(target)
        return _made(own_data_task, path, wanted, **options)
    if kind in TEXTS:
        return _without(target, text_file_task, path, **options)
    if kind == ".ts":
        return _without(target, ts_task, path, **options)
    if kind == ".mat":
        return _without(target, _rolls, path, **options)
    raise InputError(f"{path}: nothing is known of files of this kind. Known are {WHAT}.")


def _of_folder(folder: Path, target: Sequence[str], options: dict[str, Any]) -> Task:
    """Make a task of a folder."""
    inside = {path.suffix.lower() for path in below(folder) if path.is_file()}
    for suffixes, make in ((SCORES, midi_task), (SOUNDS, sound_folder)):
        if inside & set(suffixes):
            return _without(target, make, folder, **options)
    return _of_sorted(folder, target, options)


def _of_sorted(folder: Path, target: Sequence[str], options: dict[str, Any]) -> Task:
    """Make a task of a folder that holds something for each split."""
    found = named_after_splits(folder)
    kinds = {_kind(path) for path in found["train"]}
    if kinds == {QUESTIONS} and not found["valid"]:  # questions may be held out
        del found["valid"]
    if not all(found.values()):
        raise InputError(
            f"{folder}: expected files or folders train, valid and test (or a folder of sound or "
            f"music). Known are {WHAT}."
        )
    languages = len(kinds) == len(found["train"]) > 1 and not kinds & NO_LANGUAGES
    if languages and len(kinds) > 2:
        raise InputError(
            f"{folder}: expected two languages, got {', '.join(sorted(kinds))}. Keep the files of "
            "two."
        )
    if not languages:
        found = {split: [path] for split, path in one_each(folder, found).items()}
    files = {split: [tagged_files(path) for path in paths] for split, paths in found.items()}
    if not kinds & set(TEXTS):  # whose task checks that itself
        first = {split: [each[0] for each in files[split]] for split in files}
        check_apart({split: [(digest(path), path) for path in first[split]] for split in first})
    task = (_translation if languages else _of_splits)(folder, found, target, options)
    used = [path for paths in files.values() for each in paths for path in each]
    return replace(task, notes=(*task.notes, *ignored(folder, used)))


def _kind(path: Path) -> str:
    """Say what a file is, by its suffix; a folder has none."""
    return Path(name_inside(path)).suffix.lower()


def _of_splits(folder: Path, found: Found, target: Sequence[str], options: dict[str, Any]) -> Task:
    """Make a task of one file, or folder, for each split."""
    files = {split: path for split, (path,) in found.items()}
    name, kind = folder.resolve().name, _kind(files["train"])
    if kind in TEXTS:
        level = options.pop("level", "word")
        title = f"{name}, next {level}"
        return _without(target, language_task, name, title, files, level, **options)
    if kind == QUESTIONS:
        splits = (files["train"], files["test"], files.get("valid"))
        return _without(target, reading_task, name, f"{name}, answers", *splits, **options)
    if kind in ("", *COLUMNS):
        columns = (files[split] for split in SPLITS)
        return _without(target, tagging_task, name, f"{name}, tags", *columns, **options)
    raise InputError(f"{folder}: nothing is known of its files. Known are {WHAT}.")


def _translation(
    folder: Path, found: Found, target: Sequence[str], options: dict[str, Any]
) -> Task:
    """Make a task of two languages."""
    languages = {_kind(path)[1:] for path in found["train"]}
    if len(target) != 1 or target[0] not in languages:
        raise InputError(
            f"{folder}: expected --target with the language to translate to, one of "
            f"{' and '.join(sorted(languages))}, got {', '.join(target) or 'none'}."
        )
    name, to = folder.resolve().name, target[0]
    files = {}
    for split, paths in found.items():
        by_language = {_kind(path)[1:]: path for path in paths}
        if by_language.keys() != languages or len(paths) > 2:
            raise InputError(
                f"{folder}: expected {split} in {' and '.join(sorted(languages))}, one file each, "
                f"got {', '.join(path.name for path in paths)}."
            )
        source = next(language for language in languages if language != to)
        files[split] = by_language[source], by_language[to]
    return _made(translation_task, name, f"{name}, to {to}", files, **options)


def _rolls(path: Path) -> Task:
    """Make a task of a file of piano rolls."""
    return music_task(path.stem, f"{path.stem}, next frame", read_mat(path))


def _without(target: Sequence[str], make: Any, *arguments: Any, **options: Any) -> Task:
    """Call what takes no target."""
    if target:
        raise InputError(f"{', '.join(target)}: these data have no columns. Leave --target out.")
    return _made(make, *arguments, **options)


def _made(make: Any, *arguments: Any, **options: Any) -> Task:
    """Call a maker of tasks; say which option it does not know."""
    known = inspect.signature(make).parameters
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(
            f"{arguments[0]}: {', '.join(f'--{name}' for name in unknown)} has no meaning for "
            "these data. Leave it out."
        )
    return make(*arguments, **options)
