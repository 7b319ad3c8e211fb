"""The table of least windows: what each tier of evidence says, and why it says nothing."""

from collections.abc import Iterator

from unrecur.report.audit_rows import QUANTITIES, levels
from unrecur.report.rows import Row, entries, section, series, value, values, words
from unrecur.report.sheets import Sheet
from unrecur.report.text import ABSENT, percent

MEANINGS = {
    "proved": "from the weights alone: for every input in the box, at any length.",
    "proved on these inputs": "for the inputs of this audit and any past before them; no others.",
    "statistical": "for a new sequence drawn like these, with the probability given.",
    "measured": "what was seen on these inputs, and no more.",
}
TIERS = tuple(MEANINGS)
ORDER = (*QUANTITIES, "decision")


def window_sheet(found: Row) -> Sheet:
    """Tabulate the least windows.

    Args:
        found: What was found about a recurrence.

    Returns:
        One row for each quantity and error, one column for each tier.
    """
    asked: dict[tuple[str, float | None], dict[str, str]] = {}
    for window in entries(found, "windows"):
        key = (words(window, "of"), value(window, "eps"))
        asked.setdefault(key, {})[words(window, "tier")] = _cell(found, window)
    order = sorted(asked, key=lambda key: _place(key[0]))  # stable: errors stay as they were given
    return Sheet(
        columns=("window for", "error up to", *TIERS),
        rows=[
            [of, _error(of, eps), *(asked[of, eps].get(tier, ABSENT) for tier in TIERS)]
            for of, eps in order
        ],
        names=2,
    )


def _place(of: str) -> int:
    return ORDER.index(of) if of in ORDER else len(ORDER)


def _error(of: str, eps: float | None) -> str:
    """Write an error: of decisions, the share that may change."""
    if eps is None:
        return ABSENT
    if of != "decision":
        return f"{eps:g}"
    return f"{percent(eps)} change" if eps else "none changes"


def _cell(found: Row, window: Row) -> str:
    """Write a least window; where there is none, how far the evidence reaches."""
    k = value(window, "k")
    if k is not None:
        return f"{k:,.0f}"
    if window.get("known") is not True:
        return ABSENT
    reach = _reach(found, words(window, "tier"), words(window, "of"))
    return "none" if reach is None else f"more than {reach:,.0f}"


def _reach(found: Row, tier: str, of: str) -> float | None:
    """Look up the longest window that a tier of evidence speaks about, where it has one."""
    if tier == "measured":
        return value(found, "curve", "limit")
    if tier == "statistical":
        return max(values(levels(found), "k"), default=None)
    # Decisions on these inputs are proved from the weights, which reach any length.
    if tier == "proved on these inputs" and of != "decision":
        ks = series(section(section(found, "proofs"), "on_inputs"), "k")
        return max((k for k in ks if k is not None), default=None)
    return None


def statements(found: Row) -> list[tuple[str, str, list[str]]]:
    """Say what each tier means, and what its windows here are about.

    Args:
        found: What was found about a recurrence.

    Returns:
        Tier, meaning, and notes, for the tiers that say something here.
    """
    known = _notes(found, known=True)
    return [(tier, MEANINGS[tier], known[tier]) for tier in TIERS if tier in known]


def gaps(found: Row) -> list[tuple[str, list[str]]]:
    """Say why tiers are missing.

    Args:
        found: What was found about a recurrence.

    Returns:
        Tier and reasons, for the tiers that say nothing about some quantity.
    """
    missing = _notes(found, known=False)
    return [(tier, missing[tier]) for tier in TIERS if missing.get(tier)]


def _notes(found: Row, *, known: bool) -> dict[str, list[str]]:
    """Gather the notes of windows by tier, each once, with the quantities they are about."""
    about: dict[str, dict[str, list[str]]] = {}
    for window in entries(found, "windows"):
        if (window.get("known") is True) is known:
            of = about.setdefault(words(window, "tier"), {}).setdefault(words(window, "note"), [])
            of += [words(window, "of")] * (words(window, "of") not in of)
    return {tier: list(_sentences(notes)) for tier, notes in about.items()}


def _sentences(notes: dict[str, list[str]]) -> Iterator[str]:
    for note, of in notes.items():
        if note:
            yield note if len(notes) == 1 else f"{' and '.join(of)}: {note}"
