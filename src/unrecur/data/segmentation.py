"""Text to tokens: words, and each Chinese or Japanese character for itself."""

import re
import unicodedata
from typing import NamedTuple

# Scripts without spaces between words: ideographs, kana and bopomofo. Their characters are tokens.
_SCRIPTS = "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SCRIPTS += "\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_SCRIPTS}]")
_TOKEN = re.compile(rf"[{_SCRIPTS}]|[^\W{_SCRIPTS}]+|[^\w\s]")


class Token(NamedTuple):
    """A token and its place.

    Attributes:
        text: The token.
        start: Its first character in the text.
        stop: The character after its last.
    """

    text: str
    start: int
    stop: int


def segment(text: str) -> list[Token]:
    """Split a text into tokens.

    A token is a character of Chinese or Japanese script, a run of letters and digits of others, or
    any one character else, such as a mark of punctuation. White space is no token.

    Args:
        text: The text.

    Returns:
        The tokens in their order.

    Example:
        >>> [token.text for token in segment("In 1786, 威廉·瓊斯 said:")]
        ['In', '1786', ',', '威', '廉', '·', '瓊', '斯', 'said', ':']
    """
    return [Token(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]


def words_for_scores(text: str) -> str:
    """Prepare a text for scores that count words between spaces.

    A text with Chinese or Japanese characters gets spaces around each of them, and loses its
    punctuation, as scores of such texts do it. Any other text stays as it is.

    Args:
        text: The text.

    Returns:
        The text to be scored.

    Example:
        >>> words_for_scores("「約瑟芬」2號"), words_for_scores("the Beatles'")
        (' 約  瑟  芬 2 號 ', "the Beatles'")
    """
    if not _CHARACTER.search(text):
        return text
    kept = "".join(c for c in text if not unicodedata.category(c).startswith("P"))
    return _CHARACTER.sub(r" \g<0> ", kept)
