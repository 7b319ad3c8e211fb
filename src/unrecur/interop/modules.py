"""Recurrences in live torch modules; the place to teach unrecur a cell of your own."""

from functools import partial, singledispatch

from torch import nn

from unrecur.cells.from_torch import cells_of
from unrecur.core.cell import AbstractCell
from unrecur.interop.recurrence import KINDS, Found, Layers, Recurrence, add
from unrecur.layers.recurrent import Recurrent


@singledispatch
def layers_of(module: nn.Module) -> Layers:
    """Read one module as layers of cells; register a type to teach unrecur your own.

    Args:
        module: A module of a registered type: torch's recurrent modules and ours are.

    Returns:
        The layers from the bottom up, each one cell, or a forward and a backward one.

    Raises:
        InputError: Nothing is registered for its type.

    Example:
        A cell that is only known by its step, with `PhiCell` around it:

        >>> import torch
        >>> from unrecur.interop.custom import PhiCell
        >>> from unrecur.interop.read import read_recurrences
        >>> class Leaky(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.map = nn.Linear(3 + 4, 4)
        ...     def forward(self, x, h):
        ...         return 0.9 * h + 0.1 * torch.tanh(self.map(torch.cat([x, h], -1)))
        >>> @layers_of.register
        ... def _(module: Leaky) -> list:
        ...     return [[PhiCell(lambda h, x: module(x, h), 3, 4, module=module)]]
        >>> [found] = read_recurrences(nn.Sequential(nn.Linear(2, 3), Leaky()))
        >>> found.name, found.cells[0][0].jacobian(torch.zeros(4), torch.zeros(3)).shape
        ('1', torch.Size([4, 4]))
    """
    return _torch_module(module)  # which refuses it


@layers_of.register(nn.RNNBase)
@layers_of.register(nn.RNNCellBase)
def _torch_module(module: nn.Module) -> Layers:
    """Read torch's own modules."""
    return [[*layer] for layer in cells_of(module)]


@layers_of.register
def _recurrent_layer(module: Recurrent) -> Layers:
    """Read our recurrent layer."""
    return [[cell] for cell in module.cells]


@layers_of.register
def _cell(module: AbstractCell) -> Layers:
    """Read a cell of ours."""
    return [[module]]


def find_in_module(module: nn.Module) -> Found:
    """Find the recurrences of a module, in the order in which it registers them.

    Args:
        module: Any module.

    Returns:
        The recurrences by the names of their submodules; the module itself is named by its kind.
    """
    found: Found = {}
    taken: list[str] = []
    unknown = layers_of.dispatch(object)
    for name, part in module.named_modules():
        inside = any(name.startswith(prefix) for prefix in taken)
        if inside or layers_of.dispatch(type(part)) is unknown:
            continue
        taken.append(f"{name}." if name else "")  # its parts are no recurrences of their own
        add(found, name or _own_name(part), partial(_read, part))
    return found


def _read(module: nn.Module) -> Recurrence:
    """Read one registered module."""
    return Recurrence("", layers_of(module))


def _own_name(module: nn.Module) -> str:
    """Name a module that is not part of another."""
    if isinstance(module, AbstractCell):
        return KINDS.get(type(module), type(module).__name__)
    return type(module).__name__.lower()
