"""The facts of an audit as pairs and lists to print: what is proved, the data, the sizes."""

from unrecur.report.audit_wording import whole
from unrecur.report.rows import Row, lines, section, series, value, words
from unrecur.report.text import ABSENT, number


def proof_facts(found: Row) -> dict[str, str]:
    """Say what is proved.

    Args:
        found: What was found about a recurrence.

    Returns:
        The facts by name.
    """
    proofs = section(found, "proofs")
    windows = value(proofs, "on_inputs", "windows")
    followed = f"{whole(windows)} windows followed" if windows is not None else "no"
    return {
        "from the weights": words(proofs, "evidence") or ABSENT,
        "rule": words(proofs, "rule") or ABSENT,
        "rate": number(value(proofs, "rate")),
        "for": words(proofs, "box") or ABSENT,
        "outputs bounded": words(proofs, "of") or ABSENT,
        "on these inputs": followed,
    }


def proof_lists(found: Row) -> dict[str, list[str]]:
    """Say what the proofs assume, and what was tried.

    Args:
        found: What was found about a recurrence.

    Returns:
        Lists by name, those that are not empty.
    """
    proofs = section(found, "proofs")
    why = words(proofs, "why")
    lists = {
        "Assumed by the proof from the weights": lines(proofs, "assumptions"),
        "Rules, and what they gave": lines(proofs, "reasons"),
        "Assumed by the proof on these inputs": lines(section(proofs, "on_inputs"), "assumptions"),
        "No proof on these inputs": [why] if why else [],
    }
    return {name: texts for name, texts in lists.items() if texts}


def data_facts(found: Row) -> dict[str, str]:
    """Say what the recurrence was run on, and what came out.

    Args:
        found: What was found about a recurrence.

    Returns:
        The facts by name.
    """
    data, outputs = section(found, "data"), section(found, "outputs")
    one = {"True": "one for each step", "False": "one for each sequence"}
    return {
        "sequences": whole(value(data, "sequences")),
        "steps": whole(value(data, "steps")),
        "longest": whole(value(data, "longest")),
        "deviation of the inputs": number(value(data, "spread")),
        "outputs": one.get(words(outputs, "per_step"), ABSENT),
        "deviation of the outputs": number(value(outputs, "spread")),
        "metric, all inputs": number(value(outputs, "metric")),
    }


def size_facts(found: Row) -> dict[str, str]:
    """Say how large the recurrence is.

    Args:
        found: What was found about a recurrence.

    Returns:
        The facts by name.
    """
    sizes = section(found, "sizes")
    return {
        "kind": words(found, "kind", ABSENT),
        "layers": whole(value(sizes, "layers")),
        "directions": "both" if sizes.get("two_sided") is True else "forward",
        "inputs": whole(value(sizes, "inputs")),
        "units of each cell": ", ".join(map(whole, series(sizes, "units"))) or ABSENT,
        "numbers of each state": ", ".join(map(whole, series(sizes, "states"))) or ABSENT,
        "weights": whole(value(sizes, "weights")),
    }
