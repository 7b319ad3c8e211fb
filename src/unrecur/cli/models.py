"""`unrecur models`: the table of architectures."""


def models() -> None:
    """List the models by family: year, receptive field, parameters of a small one, source."""
    import math

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from unrecur.models import MODELS
    from unrecur.models.spec import Spec

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("model", "family", "year", "field", "parameters", "source"):
        right = head in {"year", "field", "parameters"}
        table.add_column(head, justify="right" if right else "left", no_wrap=head != "source")
    rows = sorted(MODELS.items(), key=lambda row: (row[1].family, row[1].year, row[0]))
    for name, architecture in rows:
        field = Spec(name, architecture.example).build().receptive_field
        steps = "∞" if math.isinf(field.past) else f"{int(field.past)}"
        if not field.causal:
            steps += " + ∞" if math.isinf(field.future) else f" + {int(field.future)}"
        count = architecture.parameters(**architecture.example)
        row = (name, architecture.family, str(architecture.year), steps, f"{count:,}")
        table.add_row(*row, architecture.source)
    console = Console()
    console.print(table)
    console.print(
        "field: inputs seen before the present one (+ after it); field and parameters of the "
        "example in unrecur.models.MODELS[name].example, built by unrecur.build(name, **options).",
        highlight=False,
    )
