"""The `.ts` format of the UCR, UEA and Monash archives: whole series with a class or a number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unrecur._check import InputError
from unrecur.data.places import read_text

MISSING = ("?", "nan")
OR_MISSING = ", or '?' where it is missing"


@dataclass(frozen=True)
class LabelledSeries:
    """Series, each with its class or a number.

    Attributes:
        values: Each series [time, features]; NaN where a value is missing.
        labels: The class of each series, or its number.
        classes: The classes that there can be; empty where the labels are numbers.
    """

    values: list[np.ndarray]
    labels: list[str] | list[float]
    classes: tuple[str, ...]


class Header(NamedTuple):
    """What the lines before the data say.

    Attributes:
        classes: The classes; empty where the labels are numbers.
        features: The number of features; None where it is not said.
        length: The number of steps of every series; None where it is not said.
        equal: Whether all series are said to have the same length.
        data: The line after "@data", counted from 0.
    """

    classes: tuple[str, ...]
    features: int | None
    length: int | None
    equal: bool
    data: int


def read_ts(path: Path) -> LabelledSeries:
    """Read a `.ts` file.

    A header of lines "@name value" says whether labels are classes (`@classLabel true a b`) or
    numbers (`@targetLabel true`), and ends at `@data`. Then each line is a series: its features set
    apart by ":", their values by ",", missing ones "?"; the label comes last.

    Args:
        path: The file, plain or .gz.

    Returns:
        The series.

    Raises:
        InputError: The header lacks something or says what the data do not hold, series have time
            stamps, features differ in number or length, or a value is no number; the message names
            line and column.
    """
    lines = read_text(path).removeprefix("\ufeff").split("\n")
    header = _read_header(lines, path)
    values: list[np.ndarray] = []
    labels: list[str] = []
    for where, line in _data_lines(lines, header.data, path):
        parts = line.split(":")
        expected = header.features or (values[0].shape[1] if values else max(len(parts) - 1, 1))
        if len(parts) != expected + 1:
            raise InputError(
                f"{where}: expected {expected} features and the label, with ':' between, got "
                f"{len(parts)} parts."
            )
        values.append(_series(parts[:-1], where))
        length = header.length or (len(values[0]) if header.equal else len(values[-1]))
        if len(values[-1]) != length:
            raise InputError(
                f"{where}: expected {length} steps, as the header says that all series have the "
                f"same length, got {len(values[-1])}. Write '@equalLength false', without "
                "@seriesLength, if they differ."
            )
        labels.append(_label(parts[-1], header.classes, f"{where}, {_column(line, parts)}"))
    if not values:
        raise InputError(f"{path}: expected series after @data, got none.")
    return LabelledSeries(
        values, labels if header.classes else [float(label) for label in labels], header.classes
    )


def _read_header(lines: Sequence[str], path: Path) -> Header:
    """Read the lines up to "@data"."""
    fields: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not words[0].startswith("@"):
            raise InputError(
                f"{path}, line {number}: expected lines '@name value' and then '@data' before "
                f"the series, got '{line[:60].strip()}'. Is it a .ts file?"
            )
        if words[0].lower() == "@data":
            return _header(fields, number, path)
        fields[words[0][1:].lower()] = words[1:]
    raise InputError(f"{path}: expected '@data' before the series, got none. Is it cut off?")


def _header(fields: dict[str, list[str]], data: int, path: Path) -> Header:
    """Make sense of the fields of a header."""
    if _is_true(fields, "timestamps"):
        raise InputError(
            f"{path}: expected series without time stamps, got '@timeStamps true'. Write the "
            "values at even steps, and '@timeStamps false'."
        )
    if _is_true(fields, "classlabel") == _is_true(fields, "targetlabel"):
        raise InputError(
            f"{path}: expected either '@classLabel true' and the classes, or '@targetLabel true' "
            "for numbers. What is to be predicted?"
        )
    classes = tuple(fields["classlabel"][1:]) if _is_true(fields, "classlabel") else ()
    if _is_true(fields, "classlabel") and len(set(classes)) < 2:
        raise InputError(
            f"{path}: expected two classes or more after '@classLabel true', got "
            f"{', '.join(classes) or 'none'}."
        )
    features = 1 if _is_true(fields, "univariate") else None
    for name in ("dimensions", "dimension"):
        features = _count(fields, name, path) or features
    length, equal = _count(fields, "serieslength", path), _is_true(fields, "equallength")
    return Header(classes, features, length if equal else None, equal, data)


def _is_true(fields: dict[str, list[str]], name: str) -> bool:
    """Say whether a field of the header is true."""
    return [word.lower() for word in fields.get(name, [])[:1]] == ["true"]


def _count(fields: dict[str, list[str]], name: str, path: Path) -> int | None:
    """Read a field of the header that is a number above 0; None where it is not there."""
    if name not in fields:
        return None
    text = " ".join(fields[name])
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0) or len(text) > 9:
        raise InputError(f"{path}: expected a whole number above 0 after @{name}, got '{text}'.")
    return int(text)


def _data_lines(lines: Sequence[str], data: int, path: Path) -> Iterator[tuple[str, str]]:
    """Give the lines with series, and name the place of each."""
    for number, line in enumerate(lines[data:], data + 1):
        if line.strip() and not line.startswith("#"):
            yield f"{path}, line {number}", line.rstrip("\r")


def _series(parts: Sequence[str], where: str) -> Float64[np.ndarray, "T D"]:
    """Read the features of a series."""
    rows, start = [], 0
    for feature, part in enumerate(parts, 1):
        rows.append(_row(part, start, where))
        start += len(part) + 1
        if len(rows[-1]) != len(rows[0]):
            raise InputError(
                f"{where}: expected as many values of feature {feature} as of the first, got "
                f"{len(rows[-1])} and {len(rows[0])}."
            )
    return np.stack(rows, axis=1)


def _row(part: str, start: int, where: str) -> Float64[np.ndarray, " T"]:
    """Read the values of one feature, which begin at a character of the line."""
    words = part.split(",")
    try:
        row = np.array(words, dtype=np.float64)  # fast, where all are numbers
        if np.isfinite(row).all() and "_" not in part:
            return row
    except ValueError:
        pass
    row = np.full(len(words), np.nan)
    for place, word in enumerate(words):
        if word.strip().lower() not in MISSING:
            row[place] = _number(word, f"{where}, column {start + 1}", OR_MISSING)
        start += len(word) + 1
    return row


def _number(word: str, where: str, otherwise: str = "") -> float:
    """Read one finite number; `otherwise` says what else there may be."""
    try:
        value = float(word)
    except ValueError:
        value = np.inf
    if not np.isfinite(value) or "_" in word:  # Python takes 1_0 for 10
        raise InputError(f"{where}: expected a number{otherwise}, got '{word[:40].strip()}'.")
    return value


def _label(part: str, classes: Sequence[str], where: str) -> str:
    """Check the label of a series: one of the classes, or a number."""
    label = part.strip()
    if not classes:
        _number(label, where)
    elif label not in classes:
        raise InputError(
            f"{where}: expected one of the classes {', '.join(classes[:20])}, got '{label[:40]}'. "
            "Correct it, or add it to @classLabel."
        )
    return label


def _column(line: str, parts: Sequence[str]) -> str:
    """Name the column at which the label begins."""
    return f"column {len(line) - len(parts[-1]) + 1}"
