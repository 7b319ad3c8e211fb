"""What the table of models says of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from unrecur.core.model import AbstractSequenceModel

Family = Literal[
    "recurrent",
    "linear recurrence",
    "convolution",
    "attention",
    "encoder-decoder",
    "reading",
    "floor",
]


@dataclass(frozen=True)
class Architecture:
    """A family of models: how to build one, and where it comes from.

    Attributes:
        build: The builder; it takes keyword arguments only, all of them JSON values.
        parameters: The number of parameters by formula, from the same keyword arguments.
        family: Which kind of model it is.
        year: When it was published.
        source: Where: authors, title or number, section.
        example: Options of a small one that `unrecur models` shows.
        filler: An option that is a second width, for budgets that no first one meets.
    """

    build: Callable[..., AbstractSequenceModel]
    parameters: Callable[..., int]
    family: Family
    year: int
    source: str
    example: dict[str, Any] = field(default_factory=dict)
    filler: str | None = None
