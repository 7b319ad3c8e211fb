"""Tags in the BIO scheme: checked, repaired, read as spans, and scored as entities.

B-TYPE begins a span of that type, I-TYPE goes on with it, O lies outside of all (Ramshaw and Marcus
1995; Tjong Kim Sang and Veenstra 1999, who call it IOB2).
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from unrecur import _check

OUTSIDE = "O"


class Span(NamedTuple):
    """Some words in a row that belong together.

    Attributes:
        kind: What they are.
        start: The first word, counted from 0.
        stop: The word after the last.
    """

    kind: str
    start: int
    stop: int


def is_tag(tag: str) -> bool:
    """Say whether a word is a tag of the scheme.

    Args:
        tag: The word.

    Returns:
        Whether it is O, B-TYPE or I-TYPE.
    """
    return tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2)


def breaks(tags: Sequence[str]) -> list[int]:
    """Find the tags that go on with a span that is not there.

    Args:
        tags: Tags of the scheme, one a word.

    Returns:
        The places of each I-TYPE that follows neither B-TYPE nor I-TYPE of the same type.

    Example:
        >>> breaks(["I-city", "I-city", "O", "B-city", "I-state"])
        [0, 4]
    """
    return [
        place
        for place, (before, tag) in enumerate(pairwise([OUTSIDE, *tags]))
        if tag.startswith("I-") and before[1:] != tag[1:]
    ]


def repaired(tags: Sequence[str]) -> list[str]:
    """Begin a span where a tag goes on with one that is not there: I-TYPE becomes B-TYPE.

    This also turns the older scheme IOB1, in which B-TYPE stands between neighbours of the same
    type only, into this one.

    Args:
        tags: Tags of the scheme.

    Returns:
        The tags; `breaks` finds none in them.

    Example:
        >>> repaired(["I-city", "I-city", "O", "B-city", "I-state"])
        ['B-city', 'I-city', 'O', 'B-city', 'B-state']
    """
    broken = set(breaks(tags))
    return [f"B{tag[1:]}" if place in broken else tag for place, tag in enumerate(tags)]


def spans(tags: Sequence[str]) -> list[Span]:
    """Read tags as spans.

    Args:
        tags: Tags of the scheme without breaks.

    Returns:
        The spans in their order.

    Example:
        >>> spans(["O", "B-artist", "I-artist", "B-album"])
        [Span(kind='artist', start=1, stop=3), Span(kind='album', start=3, stop=4)]
    """
    starts = [place for place, tag in enumerate(tags) if tag.startswith("B-")]
    found = []
    for start in starts:
        after = range(start + 1, len(tags))
        stop = next((place for place in after if not tags[place].startswith("I-")), len(tags))
        found.append(Span(tags[start][2:], start, stop))
    return found


def tags_of(found: Iterable[Span], length: int) -> list[str]:
    """Write spans as tags.

    Args:
        found: Spans that do not overlap.
        length: The number of words.

    Returns:
        One tag a word.

    Example:
        >>> tags_of([Span("artist", 1, 3)], 4)
        ['O', 'B-artist', 'I-artist', 'O']
    """
    tags = [OUTSIDE] * length
    for kind, start, stop in found:
        tags[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return tags


def entity_f1(target: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Score tags by the entities in them: F1 = 2 P R / (P + R), over all types together.

    Precision P is the share of the predicted entities that are right in type, start and stop,
    recall R the share of the true ones that are found. As in the script of CoNLL-2000, a predicted
    I-TYPE that goes on with nothing begins an entity. `seqeval` counts.

    Args:
        target: The true tags of each sentence.
        predicted: The predicted tags of each sentence.

    Returns:
        F1, from 0 to 1; 0 where nothing is predicted.

    Example:
        >>> entity_f1([["B-city", "O", "B-state"]], [["B-city", "O", "O"]])  # P = 1, R = 1/2
        0.6666666666666666
    """
    metrics = _check.extra("seqeval.metrics", "text")
    rows = [list(tags) for tags in target], [list(tags) for tags in predicted]
    return float(metrics.f1_score(*rows, average="micro", zero_division=0))
