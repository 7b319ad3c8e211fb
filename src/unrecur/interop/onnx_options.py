"""The attributes of ONNX's recurrent nodes, and which of them our cells can represent."""

from typing import Any

from unrecur._check import InputError
from unrecur.interop.onnx_file import attributes

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
STANDARD = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
ELMAN = {"tanh": "tanh", "relu": "relu", "leakyrelu": "leaky_relu"}
# Inputs of a node.
W, R, B, LENGTHS, INITIAL_H, INITIAL_C, P = range(1, 8)
UNSUPPORTED = "cannot be represented by our cells. Export a model without it."


def read_options(node: Any) -> dict[str, Any]:
    """Read the attributes of a node and refuse those that our cells do not have.

    Args:
        node: An `onnx.NodeProto` of type RNN, LSTM or GRU.

    Returns:
        The attributes, `direction` and `activations` filled in and in small letters.

    Raises:
        InputError: The direction is unknown, or a feature cannot be represented.
    """
    options = attributes(node)
    options["direction"] = _text(options.get("direction", b"forward"))
    if options["direction"] not in DIRECTIONS:
        raise InputError(f"expected a direction of {set(DIRECTIONS)}, got {options['direction']}.")
    if options.get("clip"):
        raise InputError(f"the attribute clip={options['clip']} of {node.op_type} {UNSUPPORTED}")
    if options.get("input_forget"):
        raise InputError(f"the attribute input_forget of {node.op_type} {UNSUPPORTED}")
    standard = STANDARD[node.op_type] * DIRECTIONS[options["direction"]]
    named = [_text(name) for name in options.get("activations", [])] or standard
    elman = node.op_type == "RNN" and len(named) == len(standard) and set(named) <= set(ELMAN)
    if named != standard and not elman:
        raise InputError(f"the activations {', '.join(named)} of {node.op_type} {UNSUPPORTED}")
    alphas = options.get("activation_alpha", [])
    if "leakyrelu" in named and any(abs(alpha - 0.01) > 1e-6 for alpha in alphas):
        raise InputError(f"the activation_alpha={list(alphas)} of {node.op_type} {UNSUPPORTED}")
    options["activations"] = named
    return options


def input_name(node: Any, place: int) -> str:
    """Give the name of one of a node's inputs.

    Args:
        node: An `onnx.NodeProto`.
        place: Which.

    Returns:
        The name; empty where the input is left out.
    """
    return node.input[place] if place < len(node.input) else ""


def _text(value: Any) -> str:
    """Decode a name."""
    return value.decode(errors="replace").lower() if isinstance(value, bytes) else repr(value)
