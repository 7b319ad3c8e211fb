"""Proofs on given inputs: what an unknown past can still change after the last k inputs."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.around import Around, Sequences, Zonotope
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.chain import Chain, NoRuleError, read_chain
from unrecur.certificates.expressions import advance, show, through_head
from unrecur.certificates.norms import Layer
from unrecur.certificates.pairs import SLACK
from unrecur.certificates.reach import Reach
from unrecur.certificates.rounding import ASSUMPTION

Method = Literal["interval", "zonotope"]
WINDOWS = 2**14  # followed side by side
ORDER = 3  # generators of a zonotope for each number of the state
Near = Around | Zonotope


@dataclass(frozen=True)
class InputCertificate:
    """What is proved about the windows of given sequences, whatever came before them.

    Attributes:
        evidence: `PROVED_ON_INPUT`, or `UNKNOWN` where the state has no bounded box.
        k: The length of the windows.
        error: The bound on every output of the model at the end of each window of k inputs,
            [B, T - k + 1].
        curve: The worst bound over all windows of j inputs, j = 0, ..., k.
        state_curve: The same for the numbers of all layers' states.
        method: How it was found.
        assumptions: What must hold.
        reasons: Why nothing is known.
    """

    evidence: Evidence
    k: int
    error: Float[Tensor, "B W"]
    curve: Float[Tensor, " K"]
    state_curve: Float[Tensor, " K"]
    method: Method
    assumptions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def bound(self, j: int) -> float:
        """Bound |y_t - y^j_t| in every output, over all windows of j inputs of these sequences.

        Args:
            j: The length of the window, 0 to k.

        Returns:
            The bound.

        Raises:
            InputError: j is outside 0 to k.
        """
        if not 0 <= j <= self.k:
            raise InputError(
                f"this certificate speaks of windows of 0 to {self.k} inputs, got {j}."
            )
        return float(self.curve[j])

    def steps(self, eps: float) -> int | None:
        """Find the least window whose bound is at most eps.

        Args:
            eps: The error allowed in any output, above 0.

        Returns:
            The least j <= k, or None.

        Raises:
            InputError: eps is not a finite number above 0.
        """
        _check.positive(eps, "eps")
        found = (self.curve <= eps).nonzero()
        return int(found[0]) if len(found) else None


@torch.no_grad()
def certify_on(
    model: nn.Module,
    x: Shaped[Tensor, "B T ..."],
    k: int,
    input_box: Any = None,
    horizon: int | None = None,
    method: Method = "interval",
) -> InputCertificate:
    """Prove, for the windows of given sequences, how far any past can move the model's outputs.

    The truncated model starts each window of k inputs from zero; the full model comes to it in
    any state that it can reach by inputs of `input_box`. The set of those states is carried through
    the actual inputs: as an interval around the truncated run (cost: about that of the truncated
    model), or as a zonotope, which is tighter and costs as many times more as there are states.

    Args:
        model: As for `certify`, one direction only; the model's readout is followed too.
        x: The sequences; tokens where the model starts with an embedding.
        k: The length of the windows, 1 to T.
        input_box: The inputs that may have come before; those of x where left out.
        horizon: The longest past, for a state that can grow without bound.
        method: "interval" or "zonotope".

    Returns:
        The certificate; `UNKNOWN` where no bounded box holds the states.

    Raises:
        InputError: The model is bidirectional or unknown, or an argument is malformed.

    Example:
        >>> import torch, unrecur
        >>> lstm = torch.nn.LSTM(3, 8).double()
        >>> unrecur.project_(lstm, 1.0, rate=0.95)
        >>> proof = certify_on(lstm, torch.rand(4, 60, 3).double(), k=50)
        >>> proof.evidence.name, proof.bound(50) < 1e-4
        ('PROVED_ON_INPUT', True)
    """
    _check.known_name(method, get_args(Method), "method")
    _check.positive_integer(k, "k")
    try:
        chain = read_chain(model)
    except NoRuleError as error:
        raise InputError(f"{error}.") from None
    if chain.bidirectional:
        raise InputError("certify_on follows causal models; this one also runs backward.")
    chain.check_weights()
    x = _read(chain, x, k)
    given = (x.flatten(0, 1).amin(0), x.flatten(0, 1).amax(0)) if input_box is None else input_box
    inputs = chain.inputs(given)
    try:
        reaches = _reaches(chain, *inputs.ends, horizon)
    except NoRuleError as error:
        none = torch.full((x.shape[0], x.shape[1] - k + 1), math.inf)
        curve = torch.full((k + 1,), math.inf)
        return InputCertificate(
            Evidence.UNKNOWN, k, none, curve, curve, method, reasons=tuple(str(error).split("\n"))
        )
    pieces = _pieces(x, k, method, reaches)
    try:
        parts = [_follow(chain, reaches, piece, k, method) for piece in pieces]
    except NoRuleError as error:
        raise InputError(f"{error}.") from None
    curve, state_curve = (torch.stack([part[n] for part in parts]).amax(0) for n in (1, 2))
    past = "" if horizon is None else f", at most {horizon} of them"
    return InputCertificate(
        Evidence.PROVED_ON_INPUT,
        k,
        error=torch.cat([part[0] for part in parts], 1),
        curve=curve,
        state_curve=state_curve,
        method=method,
        assumptions=(
            "exactly these inputs",
            f"before them, {inputs}{past}",
            "the truncated model is run step by step",
            ASSUMPTION,
        ),
    )


def _read(chain: Chain, x: Tensor, k: int) -> Tensor:
    """Check the sequences and look up tokens; at least single precision."""
    features = chain.layers[0][0].input_size
    if chain.table is not None:
        _check.tokens(x, len(chain.table), 2)
        x = chain.table[x]
    else:
        _check.block(x, features)
        _check.finite(x, "x")
    if k > x.shape[1]:
        raise InputError(f"k must be at most the length of the sequences, {x.shape[1]}; got {k}.")
    return x if x.dtype is torch.float64 else x.float()


def _reaches(chain: Chain, low: Tensor, high: Tensor, horizon: int | None) -> list[Reach]:
    """Find the reachable box of each layer."""
    reaches = []
    for (cell,) in chain.layers:
        reaches.append(Reach(cell, low, high, horizon))
        low, high = (end[None] for end in reaches[-1].output())
    return reaches


def _pieces(x: Tensor, k: int, method: Method, reaches: list[Reach]) -> list[Tensor]:
    """Cut time into pieces of as many windows as are followed side by side."""
    cost = 1 if method == "interval" else ORDER * max(reach.cell.state_size for reach in reaches)
    count = max(1, WINDOWS // (len(x) * cost))
    last = x.shape[1] - k + 1
    return [x[:, first : min(first + count, last) + k - 1] for first in range(0, last, count)]


def _follow(
    chain: Chain, reaches: list[Reach], x: Tensor, k: int, method: Method
) -> tuple[Tensor, Tensor, Tensor]:
    """Carry all windows of a piece through their inputs; give errors and both curves."""
    sequences, time = Sequences(x), x.shape[1]
    cells = [layer[0] for layer in chain.layers]
    # Twice what the rounding of two runs adds: the center is rounded too.
    flaws = [2 * Layer(reach).flaw.to(x) for reach in reaches]
    slack = 1 + 16 * max(reach.terms for reach in reaches) * torch.finfo(x.dtype).eps
    states = [_unknown_state(reach, x, method) for reach in reaches]
    top = through_head(chain.head, show(cells[-1], states[-1]))
    curve, state_curve = [_largest(top)], [max(map(_largest, states))]
    for j in range(k):
        steps = slice(j, time)
        known = Around(x[:, steps], None, (sequences, steps))
        below: Near = known if method == "interval" else Zonotope(known)
        for number, (cell, flaw) in enumerate(zip(cells, flaws, strict=True)):
            new = advance(cell, _first(states[number], time - j), below)
            states[number] = widened(new, flaw, slack)
            below = show(cell, states[number])
        top = through_head(chain.head, below)
        curve.append(_largest(top))
        state_curve.append(max(map(_largest, states)))
    return top.apart.amax(-1), torch.stack(curve), torch.stack(state_curve)


def _unknown_state(reach: Reach, x: Tensor, method: Method) -> Near:
    """Make any reachable state, around zero, for each window of x."""
    radius = (torch.maximum(reach.high, -reach.low) * SLACK).to(x)
    shape = (*x.shape[:2], reach.cell.state_size)
    box = Around(x.new_zeros(shape), radius.expand(shape))
    if method == "interval":
        return box
    return Zonotope(box, torch.diag(radius).expand(*shape, -1), torch.zeros_like(box.center))


def _first(state: Near, windows: int) -> Near:
    """Keep the windows that have inputs left."""
    if isinstance(state, Zonotope):
        generators = None if state.generators is None else state.generators[:, :windows]
        box = _first(state.box, windows)
        assert isinstance(box, Around)
        return Zonotope(box, generators, state.rest[:, :windows])
    return Around(state.center[:, :windows], state.apart[:, :windows])


def widened(state: Near, flaw: Tensor, slack: float) -> Near:
    """Add what rounding does; turn a zonotope's radius into generators, and keep their number.

    Args:
        state: The numbers.
        flaw: What rounding adds to each.
        slack: What it multiplies distances by.

    Returns:
        Numbers that hold the computed ones too.
    """
    if isinstance(state, Around):
        return Around(state.center, state.apart * slack + flaw)
    box = widened(Around(state.box.center, state.apart), flaw, slack)
    assert isinstance(box, Around)
    if state.generators is None:
        return Zonotope(box)
    generators, rest = state.generators * slack, state.rest * slack + flaw
    kept = (ORDER - 1) * generators.shape[-2]
    if generators.shape[-1] > kept:
        largest = generators.abs().sum(-2).topk(kept).indices[..., None, :]
        chosen = generators.gather(-1, largest.expand(*generators.shape[:-1], kept))
        rest = rest + (generators.abs().sum(-1) - chosen.abs().sum(-1)).clamp(min=0) * slack
        generators = chosen
    generators = torch.cat([generators, torch.diag_embed(rest)], -1)
    return Zonotope(box, generators, torch.zeros_like(rest))


def _largest(numbers: Near) -> Tensor:
    """Give the largest distance from the centers."""
    return numbers.apart.amax()
