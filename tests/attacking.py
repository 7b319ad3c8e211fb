"""Random cells of all kinds, sets of inputs, and attacks on them in the cell's own arithmetic."""

from dataclasses import dataclass

import torch
from hypothesis import settings
from hypothesis import strategies as st

from cases import CELLS
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.contraction import certify
from unrecur.certificates.inputs import Box, Points, points, read_box
from unrecur.layers.recurrent import Recurrent

KINDS = st.sampled_from(list(CELLS))
SIZES = st.sampled_from([0.02, 0.1, 0.3, 1.0, 2.0, 5.0])
RECURRENT = st.sampled_from(
    ["dense", "huge row", "cascade", "shuffled cascade", "blocks", "orthogonal", "rank one"]
)
SETS = st.sampled_from(["symmetric", "one-sided", "wide", "one point", "features", "vocabulary"])
DTYPES = st.sampled_from([torch.float32, torch.float64])
# Not drawn by size alone.
FIXED = {"weight_hh_l0", "nu_log", "theta_log", "gamma_log", "decay_log", "step_log"}
SHRINKS = 5


def examples(fixed, search):
    """So many examples in the fixed profile, and so many with `--hypothesis-profile=search`."""
    return settings(max_examples=fixed if settings.default.derandomize else search, deadline=None)


def matrix(kind, size, generator):
    """A recurrent matrix of some structure, its entries about 1 / sqrt(size)."""
    dense = torch.randn(size, size, generator=generator, dtype=torch.float64) / size**0.5
    if kind == "huge row":
        dense[0] *= 10
    elif kind == "cascade":
        dense = dense.tril(-1) * 4 + dense.diag().diag() / 2
    elif kind == "shuffled cascade":
        order = torch.randperm(size, generator=generator)
        dense = (dense.tril(-1) * 4 + dense.diag().diag() / 2)[order][:, order]
    elif kind == "blocks":
        dense = dense * (torch.arange(size) % 2 == torch.arange(size)[:, None] % 2)
    elif kind == "orthogonal":
        dense = torch.linalg.qr(dense)[0]
    elif kind == "rank one":
        dense = torch.outer(dense[0], dense[-1]) * size**0.5
    return dense


@dataclass(frozen=True)
class Draw:
    """How the weights of a cell are drawn; `shift` is added to all biases."""

    recurrent: str = "dense"
    by_state: float = 1.0
    by_input: float = 1.0
    shift: float = 0.0


DRAWS = st.builds(Draw, RECURRENT, SIZES, SIZES, st.sampled_from([0.0, -2.0, 1.0, 3.0]))


def random_cell(kind, features, units, draw, dtype, generator):
    """A cell of `cases.CELLS` with weights as `draw` says."""
    cell = CELLS[kind](features, units, dtype=dtype)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            if name not in FIXED:
                noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                weight.copy_(noise * draw.by_input + draw.shift * ("bias" in name))
        if hasattr(cell, "weight_hh_l0"):
            blocks = [matrix(draw.recurrent, units, generator) for _ in range(cell.gates)]
            cell.weight_hh_l0.copy_(torch.cat(blocks) * draw.by_state)
    return cell


def input_set(kind, features, generator):
    """A set of inputs for `certify`, of some shape."""
    if kind == "vocabulary":
        count = int(torch.randint(1, 9, (), generator=generator))
        return points(torch.randn(count, features, generator=generator, dtype=torch.float64))
    drawn = torch.randn(features, generator=generator, dtype=torch.float64)
    given = {
        "symmetric": 1.0,
        "one-sided": (0.0, 1.0),
        "wide": (-5.0, 2.0),
        "one point": (drawn, drawn),
        "features": (drawn, drawn + drawn.abs() * (drawn > 0)),
    }[kind]
    return read_box(given, features)


def proved(module, given, shrinks=SHRINKS):
    """Shrink a module's weights until it is proved; its certificate, else the last `UNKNOWN`."""
    for turn in range(shrinks):
        certificate = certify(module, given)
        if certificate.evidence is Evidence.PROVED or turn == shrinks - 1:
            break
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if not name.endswith("_log"):
                    weight.mul_(0.5)
    return certificate


@dataclass(frozen=True)
class Inputs:
    """A set of inputs in the arithmetic of a cell: what is drawn is rounded to its type."""

    given: Box | Points
    dtype: torch.dtype
    generator: torch.Generator

    def draw(self, batch, time):
        """Constant, alternating, extreme and random sequences."""
        if isinstance(self.given, Points):
            table = self.given.vectors
            tokens = torch.randint(len(table), (batch, time), generator=self.generator)
            tokens[: batch // 2] = torch.arange(batch // 2)[:, None] % len(table)
            return table[tokens].to(self.dtype)
        low, high = self.given.low, self.given.high
        x = torch.rand(batch, time, len(low), generator=self.generator, dtype=torch.float64)
        x[: batch // 2] = x[: batch // 2].round()
        x[: batch // 4] = x[: batch // 4, :1]
        x[: batch // 8, ::2] = 1 - x[: batch // 8, ::2]
        x[:2] = torch.tensor([0.0, 1.0])[:, None, None]
        return (low + (high - low) * x).to(self.dtype)

    def climb(self, x, slope):
        """Move to where the slope points, to the end of the set."""
        if isinstance(self.given, Points):
            best = self.given.vectors[(slope.double() @ self.given.vectors.T).argmax(-1)]
            stay = torch.rand(x.shape[:2], generator=self.generator) < 0.5
            return torch.where(stay[..., None], x, best.to(self.dtype))
        low, high = self.given.low.to(self.dtype), self.given.high.to(self.dtype)
        return torch.where(slope > 0, high, torch.where(slope < 0, low, x))


def run(cells, x, states, visit=None):
    """Run a stack by `phi`; the states of all layers after the last input, and the output."""
    for x_t in x.unbind(1):
        after = []
        for cell, h in zip(cells, states, strict=True):
            after.append(cell.phi(h, x_t))
            x_t = cell.readout(after[-1])
        states = after
        if visit is not None:
            visit(states)
    return states, cells[-1].readout(states[-1])


def gap(first, second):
    """The distance of two states of a stack, number by number, [B, S]."""
    return (torch.cat(first, -1).double() - torch.cat(second, -1).double()).abs()


def zeros(cells, batch):
    return [cell.init_state(batch) for cell in cells]


def corners(certificate, dtype, batch, generator):
    """States in the state box, many at its corners."""
    found = []
    for low, high in certificate.state_box:
        share = torch.rand(batch, len(low), generator=generator, dtype=torch.float64)
        share[: batch // 2] = share[: batch // 2].round()
        share[: batch // 8] = share[: batch // 8, :1]
        found.append(inside(low + (high - low) * share, low, high, dtype))
    return found


def inside(h, low, high, dtype):
    """Round states to a type; what then is outside of the box becomes zero."""
    h = torch.minimum(torch.maximum(h.double(), low), high).to(dtype)
    return torch.where((h.double() >= low) & (h.double() <= high), h, 0)


def is_invariant(certificate):
    """Whether each layer's box is mapped into itself, interval by interval."""
    found = True
    for proof in (proof for layer in certificate.curve.layers for proof in layer):
        reach = proof.layer.reach
        low, high = reach.image(reach.low, reach.high)
        room = 1e-9 * (reach.high - reach.low)
        found &= bool(((low >= reach.low - room) & (high <= reach.high + room)).all())
    return found


def check_in_box(certificate, states):
    for h, (low, high) in zip(states, certificate.state_box, strict=True):
        assert (h.detach().double() >= low).all()
        assert (h.detach().double() <= high).all()


def attack_from_zero(cells, certificate, inputs, k, long, batch=32, climbs=3):
    """The truncated run against the full one; every state on the way lies in the state box."""
    bound, output = certificate.bound(k), certificate.output(k)
    x = inputs.draw(batch, long + k)
    for _ in range(climbs):
        x = x.detach().requires_grad_()
        full, shown = run(
            cells, x, zeros(cells, batch), lambda states: check_in_box(certificate, states)
        )
        start = zeros(cells, batch)
        short, other = (
            run(cells, x[:, long:], start) if k else (start, cells[-1].readout(start[-1]))
        )
        gaps = gap(full, short)
        assert float(gaps.detach().max()) <= bound
        assert ((shown.double() - other.double()).abs().detach() <= output).all()
        (slope,) = torch.autograd.grad(gaps.amax(1).sum(), x)
        x = inputs.climb(x.detach(), slope)


def attack_from_anywhere(cells, certificate, inputs, k, batch=32, climbs=3):
    """Two runs from two states in the box, moved as the gradient says."""
    bound, output = certificate.bound(k, "any"), certificate.output(k, "any")
    x, count = inputs.draw(batch, k), len(cells)
    if is_invariant(certificate):
        starts = [
            h for _ in range(2) for h in corners(certificate, inputs.dtype, batch, inputs.generator)
        ]
    else:  # only reachable states are meant
        starts = [
            h for _ in range(2) for h in run(cells, inputs.draw(batch, 30), zeros(cells, batch))[0]
        ]
        climbs = 1
    for _ in range(climbs):
        leaves = [leaf.detach().requires_grad_() for leaf in (x, *starts)]
        (first, shown), (second, other) = (
            run(cells, leaves[0], states) for states in (leaves[1 : 1 + count], leaves[1 + count :])
        )
        gaps = gap(first, second)
        assert float(gaps.detach().max()) <= bound
        assert ((shown.double() - other.double()).abs().detach() <= output).all()
        slopes = torch.autograd.grad(gaps.amax(1).sum(), leaves, materialize_grads=True)
        x = inputs.climb(x, slopes[0]) if k else x
        boxes = [*certificate.state_box, *certificate.state_box]
        starts = [
            inside(torch.where(slope > 0, high, torch.where(slope < 0, low, h)), low, high, h.dtype)
            for h, slope, (low, high) in zip(starts, slopes[1:], boxes, strict=True)
        ]


def attack_blocks(layer, certificate, inputs, ks, time=40, batch=32):
    """The kernels that users run, on blocks."""
    assert isinstance(layer, Recurrent)
    x = inputs.draw(batch, time)
    with torch.no_grad():
        y, full = layer(x)
        check_in_box(certificate, full)
        for k in ks:
            shown, short = layer(x[:, -k:])
            assert float(gap(full, short).max()) <= certificate.bound(k)
            error = (y[:, -1].double() - shown[:, -1].double()).abs()
            assert (error <= certificate.output(k)).all()
