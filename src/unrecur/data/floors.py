"""Which floors a task of tokens has."""

from typing import Any

MOST_SCORES = 1e9  # that an n-gram gives in a few minutes


def token_floors(vocabulary: int, steps: int, order: int) -> dict[str, dict[str, Any]]:
    """Choose the floors of a task of the next token.

    Args:
        vocabulary: The number of tokens.
        steps: How many are predicted in validation and test.
        order: Of the n-gram.

    Returns:
        Frequencies, and an n-gram where its scores of so many steps do not take too long.

    Example:
        >>> list(token_floors(65, 100_000, 5)), list(token_floors(33_278, 463_000, 3))
        (['constant', 'ngram'], ['constant'])
    """
    floors: dict[str, dict[str, Any]] = {"constant": {}}
    if vocabulary * steps <= MOST_SCORES:
        floors["ngram"] = {"order": order}
    return floors
