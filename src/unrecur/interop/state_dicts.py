"""Recurrences among named tensors, found by torch's parameter names and their shapes."""

import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from unrecur._check import InputError
from unrecur.core.cell import AbstractCell
from unrecur.interop.recurrence import Found, Layers, Recurrence, add
from unrecur.interop.weights import kind_of, make_cell

# weight_hh_l0, weight_hh_l1_reverse, or a single cell's weight_hh.
NAME = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<what>(?:weight|bias)_(?:ih|hh|hr))"
    r"(?:_l(?P<layer>\d{1,4})(?P<reverse>_reverse)?)?"
)
# What torch's parametrizations and weight_norm put in the place of such a weight.
PARAMETRIZED = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?:parametrizations\.weight_hh(?:_l\d+)?(?:_reverse)?\..*"
    r"|weight_hh(?:_l\d+)?(?:_reverse)?_[gv])"
)
TANH_ASSUMED = "the activation of an Elman network is not kept with its weights: tanh was assumed."

# The weights of one recurrence: by layer, and whether it is the backward one.
Group = dict[tuple[int, bool], dict[str, Tensor]]


def is_recurrent(name: str) -> bool:
    """Say whether a tensor's name is one of a recurrence's.

    Args:
        name: The name, with its prefix.

    Returns:
        Whether it is.
    """
    return bool(NAME.fullmatch(name) or PARAMETRIZED.fullmatch(name))


def find_in_tensors(
    tensors: Mapping[str, Tensor], activations: Mapping[str, str] | None = None
) -> Found:
    """Find the recurrences among named tensors, as torch's modules name them.

    Args:
        tensors: The tensors, for instance a `state_dict`.
        activations: Those of Elman networks, where they are known, by prefix.

    Returns:
        The recurrences by their prefixes; one without a prefix is named by its kind.
    """
    groups: dict[str, Group] = {}
    found: Found = {}
    for name, tensor in tensors.items():
        if match := NAME.fullmatch(name):
            group = groups.setdefault(match["prefix"] or "", {})
            place = (int(match["layer"] or 0), match["reverse"] is not None)
            group.setdefault(place, {})[match["what"]] = tensor
        elif match := PARAMETRIZED.fullmatch(name):
            found[match["prefix"] or "recurrence"] = partial(_refuse_parametrized, name)
    for prefix, group in groups.items():
        if any("weight_hh" in weights for weights in group.values()):
            activation = (activations or {}).get(prefix)
            add(found, prefix or _own_name(group), partial(_build, group, activation))
    return found


def _build(group: Group, activation: str | None) -> Recurrence:
    """Make the recurrence of one prefix."""
    directions = [False, True] if (0, True) in group else [False]
    depth = 1 + max(layer for layer, _ in group)
    wanted = {(layer, back) for layer in range(depth) for back in directions}
    if wanted != set(group):
        places = ", ".join(
            f"l{layer}{'_reverse' * back}" for layer, back in sorted(wanted ^ set(group))
        )
        raise InputError(
            f"expected every layer in {len(directions)} direction(s), got weights that are missing "
            f"or too many for {places}. The file is incomplete: save the whole model."
        )
    kinds = []
    cells: Layers = []
    for layer in range(depth):
        cells.append([])
        for back in directions:
            weights = group[layer, back]
            _check_names(weights)
            kind = kind_of(weights["weight_hh"])
            kinds.append(kind)
            cell = make_cell(
                kind,
                weights["weight_ih"],
                weights["weight_hh"],
                weights.get("bias_ih"),
                weights.get("bias_hh"),
                activation or "tanh",
            )
            _check_stack(cell.input_size, cells[layer - 1] if layer else None)
            cells[-1].append(cell)
    if len(set(kinds)) > 1:
        raise InputError(f"expected layers of one kind, got {', '.join(kinds)}.")
    notes = (TANH_ASSUMED,) if "elman" in kinds and activation is None else ()
    return Recurrence("", cells, notes=notes)


def _check_names(weights: dict[str, Tensor]) -> None:
    """Check that the two weights are there and that there is no projection."""
    if "weight_hr" in weights:
        raise InputError(
            "an LSTM with a projection (proj_size) is not supported; use proj_size=0 and a linear "
            "layer behind it."
        )
    biases = {"bias_ih", "bias_hh"} & weights.keys()
    if "weight_ih" not in weights or "weight_hh" not in weights or len(biases) == 1:
        raise InputError(
            "expected weight_ih, weight_hh and both biases or none, got "
            f"{', '.join(sorted(weights))}. The file is incomplete: save the whole model."
        )


def _check_stack(features: int, below: list[AbstractCell] | None) -> None:
    """Check that a layer reads what the one below gives."""
    if below is not None and features != (width := sum(cell.hidden_size for cell in below)):
        raise InputError(
            f"expected a layer that reads the {width} outputs of the one below, got one that "
            f"reads {features}."
        )


def _refuse_parametrized(name: str) -> Recurrence:
    """Refuse a weight that is stored as something else."""
    raise InputError(
        f"expected the weight itself, got its parametrization {name}. Remove it before saving "
        "(torch.nn.utils.parametrize.remove_parametrizations)."
    )


def _own_name(group: Group) -> str:
    """Name a recurrence without a prefix."""
    try:
        return kind_of(next(iter(group.values()))["weight_hh"])
    except (InputError, KeyError):
        return "recurrence"
