"""What the config of a Keras model says about its recurrent layers."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from unrecur._check import CorruptFileError, InputError

MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Layer:
    """One layer of a config.

    Attributes:
        name: Its name, behind those of the models it is in.
        settings: Its own config.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)


def parse_config(text: Any) -> Any:
    """Parse the JSON of a config.

    Args:
        text: The JSON, text or bytes; anything else is malformed.

    Returns:
        The object.

    Raises:
        CorruptFileError: It is malformed, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptFileError(
            f"expected a config in JSON, got a malformed one ({type(error).__name__}: {error}). "
            "Download or save the file again."
        ) from error


def settings_of(config: Any) -> tuple[dict[str, Layer], dict[str, Layer]]:
    """List the layers of a model's config.

    Keras 3 names the group of a layer's weights after its class, with a count behind it
    ("layers/lstm_1/cell"); Keras 2 after the layer ("encoder/lstm_cell").

    Args:
        config: The config, parsed.

    Returns:
        The layers by Keras 3's path; and by Keras 2's, whole and its last part alone.

    Raises:
        InputError: It lists more layers than any model.
    """
    by_path: dict[str, Layer] = {}
    by_name: dict[str, Layer] = {}
    waiting = [_Item(config, "", "", "", "")]
    while waiting:
        item = waiting.pop()
        if not isinstance(item.value, dict) or not isinstance(item.value.get("config"), dict):
            continue
        settings = item.value["config"]
        own = str(settings.get("name", ""))
        # The halves of a Bidirectional and the cell of an RNN go by its name.
        layer = Layer(item.shown if item.role else _join(item.shown, own), settings)
        by_path[item.path] = layer
        names = [own] if own.startswith(item.role) else [own, f"{item.role}_{own}"]
        by_name |= {_join(item.above, name): layer for name in names}
        for name in names:
            by_name.setdefault(name, layer)
        if len(by_path) > MOST_LAYERS:
            raise InputError(f"expected at most {MOST_LAYERS} layers, got more.")
        # The model's own name is left out.
        above, shown = (_join(item.above, own), layer.name) if item.path else ("", "")
        for key in ("layers", "cells"):
            parts = settings.get(key)
            for part, place in _numbered(parts if isinstance(parts, list) else []):
                waiting.append(_Item(part, _join(item.path, f"{key}/{place}"), above, shown, ""))
        for key, part, role in _inside(item.value.get("class_name"), settings):
            waiting.append(_Item(part, f"{item.path}/{key}", above, shown, role))
    return by_path, by_name


@dataclass(frozen=True)
class _Item:
    """A part of a config: its value, its place in Keras 3's and Keras 2's paths, and its role."""

    value: Any
    path: str
    above: str
    shown: str
    role: str


def _join(above: str, name: str) -> str:
    """Join two parts of a path, of which either may be empty."""
    return f"{above}/{name}".strip("/")


def _inside(kind: Any, settings: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """List what a layer wraps: its place, its config and its role."""
    wrapped, cell = settings.get("layer"), ("cell", settings.get("cell"), "cell")
    if kind != "Bidirectional":
        return [("layer", wrapped, ""), cell]
    backward = settings.get("backward_layer") or wrapped
    return [("forward_layer", wrapped, "forward"), ("backward_layer", backward, "backward")]


def _numbered(parts: list[Any]) -> list[tuple[Any, str]]:
    """Name layers by their classes, the second of a class "lstm_1"."""
    counts: dict[str, int] = {}
    named = []
    for part in parts:
        if isinstance(part, dict):
            snake = _snake(str(part.get("class_name", "")))
            count = counts.get(snake, 0)
            counts[snake] = count + 1
            named.append((part, f"{snake}_{count}" if count else snake))
    return named


def _snake(name: str) -> str:
    """Write a class's name as Keras writes it in paths: SimpleRNN is simple_rnn."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
