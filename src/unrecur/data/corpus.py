"""A text as token files: learned and encoded once, then found by the hash of its content."""

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
from filelock import FileLock

from unrecur import _check
from unrecur._check import CorruptFileError, InputError
from unrecur._files import write_atomic
from unrecur.data.content import Text, split_texts
from unrecur.data.lines import units
from unrecur.data.sequences import SPLITS, Split
from unrecur.data.token_files import TokenFile, open_tokens, write_tokens
from unrecur.data.tokenize import TOKENIZERS, Level, fingerprint
from unrecur.data.tokenizer import AbstractTokenizer

Report = Callable[[int, int], None]
# Who is told of tokenizing deep inside of a task that is loaded by its name.
_WATCHER: ContextVar[Report | None] = ContextVar("watcher", default=None)
X = TypeVar("X")
Y = TypeVar("Y")


@dataclass(frozen=True)
class Corpus:
    """A text in token files.

    Attributes:
        tokenizer: What maps the text to ids.
        tokens: The ids of each split; their facts say how many `characters` they came from, and
            how many ids are `unknown`: not learned by the tokenizer.
        hashes: For each split the SHA-256 of its text, the training text and the settings.
    """

    tokenizer: AbstractTokenizer
    tokens: Mapping[Split, TokenFile]
    hashes: Mapping[Split, str]


def default_cache() -> Path:
    """Give the folder where token files are kept.

    Returns:
        unrecur/tokens in $XDG_CACHE_HOME, or in ~/.cache where that is not set.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "unrecur" / "tokens"


@contextlib.contextmanager
def watched(report: Report) -> Iterator[None]:
    """Tell of all text that is tokenized in the meantime.

    Args:
        report: Told how many bytes of a text are done, and of how many in all.

    Yields:
        Nothing.
    """
    token = _WATCHER.set(report)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def tokenized(
    files: dict[Split, Path] | Path,
    level: Level,
    vocabulary: int | None = None,
    cache: Path | None = None,
    report: Report | None = None,
) -> Corpus:
    """Give a text as token files.

    They are kept in a folder named by the hash of the training text and of the settings, each named
    by the hash of its own text, with tokenizer.json beside them, and found there the next time.
    Processes that want the same folder wait for each other; a file that is read while it is made
    anew stays whole. The text is never held in memory.

    Args:
        files: The file of each split; or one file, cut in order (see `split_texts`).
        level: What a token is.
        vocabulary: How many ids byte pairs have; other levels take no number.
        cache: Where token files are kept; None for `default_cache`.
        report: Told how many bytes of text are done, and of how many in all; left out, the one of
            `watched`.

    Returns:
        The token files.

    Raises:
        InputError: A file is empty or no UTF-8, a number is out of range, or the cache cannot be
            written.
        CorruptFileError: A gzip file is damaged.
    """
    _check.known_name(level, get_args(Level), "level")
    if vocabulary is not None and level != "bpe":
        raise InputError(
            f"the text decides the vocabulary at the level '{level}', got vocabulary={vocabulary}. "
            "Leave it out, or take level='bpe'."
        )
    cache = default_cache() if cache is None else cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        texts = split_texts(files, cache)
        folder = cache / fingerprint(level, vocabulary, texts["train"].sha256)
        folder.mkdir(exist_ok=True)
        with FileLock(folder / ".lock"):
            for left in folder.glob(".*.tokens.*"):  # by a process that was killed
                left.unlink()
            return _Folder(folder, level, vocabulary, texts).fill(report or _WATCHER.get())
    except PermissionError as error:
        raise InputError(
            f"token files are kept in {cache}, and something cannot be read or written ({error}). "
            "Set XDG_CACHE_HOME to a folder of yours."
        ) from error


@dataclass(frozen=True)
class _Folder:
    """The folder of one tokenizer and its token files.

    Attributes:
        path: Where it is.
        level: What a token is.
        vocabulary: How many ids byte pairs have.
        texts: The text of each split.
    """

    path: Path
    level: Level
    vocabulary: int | None
    texts: Mapping[Split, Text]

    def fill(self, report: Report | None) -> Corpus:
        """Find what is there, and make what is not."""
        tokenizer, digest = self._learned()
        found = {split: self._stored(split, digest) for split in SPLITS}
        total = sum(self.texts[split].size for split in SPLITS if found[split] is None)
        if tokenizer is None and self.level != "byte":
            total += self.texts["train"].size
        seen = _progress(total, report)
        if tokenizer is None:
            tokenizer, digest = self._learn(seen)
        tokens = {
            split: stored or self._write(split, tokenizer, digest, seen)
            for split, stored in found.items()
        }
        hashes = {split: _sha256(self.path.name + self.texts[split].sha256) for split in SPLITS}
        return Corpus(tokenizer, tokens, hashes)

    def _learned(self) -> tuple[AbstractTokenizer | None, str]:
        """Read the tokenizer and its hash, if it is there and as it was written."""
        with contextlib.suppress(FileNotFoundError):
            content = (self.path / "tokenizer.json").read_text("utf-8")
            digest = _sha256(content)
            if (self.path / "SHA256SUMS").read_text() == f"{digest}  tokenizer.json\n":
                return TOKENIZERS[self.level].loads(content), digest
        return None, ""

    def _learn(self, seen: Callable[[int], None]) -> tuple[AbstractTokenizer, str]:
        """Learn the tokenizer from the training text, and keep it."""
        kind = TOKENIZERS[self.level]
        tokenizer = kind.learn(self._units("train", kind, seen), self.vocabulary)
        content = tokenizer.dumps()
        digest = _sha256(content)
        write_atomic(self.path / "tokenizer.json", content)
        write_atomic(self.path / "SHA256SUMS", f"{digest}  tokenizer.json\n")
        return tokenizer, digest

    def _units(
        self, split: Split, kind: type[AbstractTokenizer], seen: Callable[[int], None]
    ) -> Iterator[list[str]]:
        """Read the text of a split; a last line without an end gets one where it is a token."""
        block = []
        for block in units(self.texts[split].part, kind.encoding, seen):
            yield block
        if kind.ends_lines and not block[-1].endswith("\n"):
            yield ["\n"]

    def _file(self, split: Split) -> Path:
        """Name the token file of a split."""
        return self.path / f"{self.texts[split].sha256}.tokens"

    def _stored(self, split: Split, digest: str) -> TokenFile | None:
        """Open the token file of a split, if it is there, whole, and of this tokenizer."""
        with contextlib.suppress(FileNotFoundError, CorruptFileError):
            tokens = open_tokens(self._file(split))
            return tokens if tokens.facts["tokenizer"] == digest else None
        return None

    def _write(
        self,
        split: Split,
        tokenizer: AbstractTokenizer,
        digest: str,
        seen: Callable[[int], None],
    ) -> TokenFile:
        """Encode the text of a split."""
        facts: dict[str, Any] = {"tokenizer": digest, "characters": 0, "unknown": 0}

        def encode(block: list[str]) -> tuple[np.ndarray, int]:
            return tokenizer.encode(block), sum(map(len, block))

        def encoded() -> Iterator[np.ndarray]:
            for ids, characters in _ahead(encode, self._units(split, type(tokenizer), seen)):
                facts["characters"] += characters
                facts["unknown"] += int((ids == tokenizer.size).sum())
                yield ids

        return write_tokens(self._file(split), encoded(), tokenizer.size + 1, facts)


def _ahead(call: Callable[[X], Y], items: Iterable[X]) -> Iterator[Y]:
    """Call a function on each item in order, two at a time: one reads while the other computes."""
    pending: deque[Future[Y]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for item in items:
            pending.append(pool.submit(call, item))
            if len(pending) == 2:  # no more, as each holds its text
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _progress(total: int, report: Report | None) -> Callable[[int], None]:
    """Make what adds up the bytes that are done and tells of them."""
    done = 0

    def seen(count: int) -> None:
        nonlocal done
        done += count
        if report is not None:
            report(done, total)

    return seen


def _sha256(text: str) -> str:
    """Hash a text."""
    return hashlib.sha256(text.encode()).hexdigest()
