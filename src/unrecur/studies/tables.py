"""The rows of a study as a table for other programs: Parquet, where polars is installed."""

import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrecur._files import write_atomic


def write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> bool:
    """Write rows as a Parquet file: a column for each entry, what is nested as JSON text.

    Args:
        rows: JSON values, one dict a row; not all need have all entries.
        path: Where to.

    Returns:
        Whether it was written; not without polars (the extra `tables`), and not without rows.
    """
    if not rows or importlib.util.find_spec("polars") is None:
        return False
    import polars

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [_flat(row.get(name)) for row in rows] for name in names}
    file = io.BytesIO()
    polars.DataFrame(columns, strict=False).write_parquet(file)
    write_atomic(path, file.getvalue())
    return True


def _flat(value: Any) -> Any:
    """Write what is nested as JSON text."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value
