"""`unrecur models`: the table of architectures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unrecur.core.field import Field


def models() -> None:
    """List the models by family: year, receptive field, parameters of a small one, source."""
    from typing import get_args

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unrecur.models import MODELS
    from unrecur.models.architecture import Family
    from unrecur.models.spec import Spec

    console = Console()
    for family in get_args(Family):
        table = Table(title=family, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for head in ("model", "year", "field", "parameters", "source"):
            right = head in {"year", "field", "parameters"}
            table.add_column(head, justify="right" if right else "left", no_wrap=head != "source")
        rows = [row for row in MODELS.items() if row[1].family == family]
        for name, architecture in sorted(rows, key=lambda row: (row[1].year, row[0])):
            field = Spec(name, architecture.example).build().receptive_field
            count = architecture.parameters(**architecture.example)
            cells = (str(architecture.year), steps(field), f"{count:,}", architecture.source)
            table.add_row(Text(name), *map(Text, cells))
        console.print(table)
    console.print(
        "field: inputs seen before the present one (+ after it). Field and parameters are "
        "those of unrecur.models.MODELS[name].example; unrecur.build(name, ...) takes others.",
        highlight=False,
        markup=False,
    )


def steps(field: "Field") -> str:
    """Write a field: the inputs before the present one and, where it sees any, those after it.

    Args:
        field: The field.

    Returns:
        Such as "∞", "30" or "2 + 2".
    """
    ends = (field.past,) if field.causal else (field.past, field.future)
    return " + ".join("∞" if end == float("inf") else f"{int(end)}" for end in ends)
