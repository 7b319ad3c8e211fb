"""Layers of cells run one after the other, each in parallel over time."""

import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from unrecur import _check
from unrecur._check import InputError
from unrecur.certificates.certificate import Evidence
from unrecur.certificates.chain import NoRuleError
from unrecur.certificates.inputs import read_inputs
from unrecur.core.cell import AbstractCell
from unrecur.core.state import valid_steps
from unrecur.parallelism.proof import CellProof, follow, prove, within
from unrecur.solvers.auto import Auto
from unrecur.solvers.chunked import Chunked
from unrecur.solvers.solution import Result, Stats
from unrecur.solvers.solver import AbstractSolver, check_solver
from unrecur.solvers.unroll import check_tolerance, unroll_with

Proof = Literal["weights", "inputs"]
Weighted = tuple[AbstractCell, dict[str, Tensor]]
Proofs = list[list[CellProof | str]]
BELOW = 4  # the tolerance of a layer is so many times that of the layer below
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Report:
    """What the last call did in one layer and direction.

    Attributes:
        layer: The layer, from the bottom.
        reverse: Whether it runs from the end.
        result: How it ended.
        stats: What it took.
        evidence: `PROVED` or `PROVED_ON_INPUT` if the error is bounded in exact arithmetic, which
            is said only of inputs in the input box and runs from zero; `MEASURED` if boundaries
            were compared.
        bound: The bound on each output where it is proved, else None.
    """

    layer: int
    reverse: bool
    result: Result
    stats: Stats
    evidence: Evidence = Evidence.MEASURED
    bound: float | None = None


@dataclass(frozen=True)
class _Job:
    """One cell to be run over a block."""

    layer: int
    direction: int
    cell: AbstractCell
    weights: dict[str, Tensor]
    x: Tensor
    h: Tensor | None
    lengths: Tensor | None


class Engine:
    """Runs layers of cells; remembers the solver that was best for each.

    Args:
        tol: See `unrecur.parallel`.
        solver: See `unrecur.parallel`.
        proof: See `unrecur.parallel`.
        input_box: See `unrecur.parallel`.
        slab: See `unrecur.parallel`.

    Raises:
        InputError: An argument is malformed.
    """

    def __init__(
        self,
        tol: float,
        solver: AbstractSolver | None,
        proof: Proof | None = None,
        input_box: Any = None,
        slab: int | None = None,
    ) -> None:
        _check.positive(tol, "tol")
        if slab is not None:
            _check.positive_integer(slab, "slab")
        check_solver(solver)
        if proof is not None:
            _check.known_name(proof, get_args(Proof), "proof")
            if input_box is None:
                raise InputError("a proof needs input_box, the inputs it shall hold for.")
            if solver is not None:
                raise InputError("a proof chooses its own chunks; leave solver out.")
        self.tol, self.solver, self.proof, self.slab = tol, solver, proof, slab
        self.input_box = input_box
        self.solvers: dict[tuple[int, int], AbstractSolver] = {}
        self._proofs: tuple[list[Tensor], Proofs] = ([], [])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be found again."""
        return {**self.__dict__, "solvers": {}, "_proofs": ([], [])}

    def run(
        self,
        layers: list[list[Weighted]],
        x: Tensor,
        states: list[list[Tensor | None]],
        lengths: Tensor | None,
        between: nn.Dropout,
    ) -> tuple[Tensor, list[list[Tensor]], tuple[Report, ...]]:
        """Run all layers.

        Args:
            layers: The cells of each layer with their weights; a second one runs from the end.
            x: The inputs, [B, T, D].
            states: The flat state of each cell before its first input; None for zeros.
            lengths: How many steps of each row are valid; None when all are.
            between: What outputs go through between two layers.

        Returns:
            The outputs of the top layer, the last states, and what was done.
        """
        dtype = x.dtype
        if dtype in HALF:
            x, layers = x.float(), [[_single(one) for one in layer] for layer in layers]
            states = [[None if h is None else h.float() for h in layer] for layer in states]
        tolerances = self._tolerances(len(layers), x.dtype)
        proofs = self._proved(layers, tolerances) if self.proof else None
        reports: list[Report] = []
        last = []
        off = torch.zeros(x.shape[2], dtype=torch.float64)
        if self.proof and not within(read_inputs(self.input_box, x.shape[2]), x, lengths):
            off = torch.full_like(off, float("inf"))  # nothing is proved of such inputs
        for number, layer in enumerate(layers):
            outputs, after, offs = [], [], []
            for direction, (cell, weights) in enumerate(layer):
                proof = proofs[number][direction] if proofs else None
                before = states[number][direction]
                given = x if direction == 0 else reverse(x, lengths)
                job = _Job(number, direction, cell, weights, given, before, lengths)
                y, h, bound, report = self._run_cell(job, tolerances[number], proof, off)
                reports.append(report)
                outputs.append(y if direction == 0 else reverse(y, lengths))
                after.append(h.to(dtype))
                offs.append(bound)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            last.append(after)
            if number + 1 < len(layers):
                x = between(x)
                # What dropout makes of the inputs is in no box.
                dropped = between.training and between.p > 0
                off = torch.cat(offs)
                off = torch.full_like(off, float("inf")) if dropped else off
        return x.to(dtype), last, tuple(reports)

    def _tolerances(self, count: int, dtype: torch.dtype) -> list[float]:
        """Give each layer its tolerance: less for those that others build on."""
        check_tolerance(self.tol, dtype)
        least = check_tolerance(1.0, dtype)
        return [max(least, self.tol / BELOW ** (count - 1 - n)) for n in range(count)]

    def _run_cell(
        self, job: "_Job", tol: float, proof: CellProof | str | None, off: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Report]:
        """Run one cell; give its outputs, last states, and what is proved of the outputs."""
        cell, x, h, lengths = job.cell, job.x, job.h, job.lengths
        solver = self.solver or self.solvers.setdefault((job.layer, job.direction), Auto())
        if isinstance(proof, CellProof) and proof.burn_in is not None:
            solver = Chunked(proof.burn_in)
        solution = unroll_with(
            cell, job.weights, x, h, solver, tol=tol, lengths=lengths, slab=self.slab
        )
        stats, evidence = solution.stats, Evidence.MEASURED
        bound = unknown = torch.full((cell.hidden_size,), float("inf"), dtype=torch.float64)
        if isinstance(proof, CellProof) and stats.solver == "Chunked" and not _started(h):
            if proof.burn_in is not None and bool((off <= proof.off).all()):
                bound, evidence = proof.error, Evidence.PROVED
            elif solution.result is Result.CONVERGED and not stats.iterations and _finite(off):
                bound = follow(proof, x.detach(), stats.length, stats.burn_in, off, lengths)
                evidence = Evidence.PROVED_ON_INPUT
        elif self.proof and stats.solver == "Sequential" and not bool(off.any()):
            bound, evidence = torch.zeros_like(unknown), Evidence.PROVED
        known = bool((bound <= tol).all())
        if not known:
            bound, evidence = unknown, Evidence.MEASURED
        report = Report(
            job.layer,
            job.direction == 1,
            solution.result,
            stats,
            evidence,
            float(bound.max()) if known else None,
        )
        return solution.y, solution.last, bound, report

    def _proved(self, layers: list[list[Weighted]], tolerances: list[float]) -> Proofs:
        """Prove each layer for the outputs of the one below; again when a weight has changed."""
        tensors = [weight for layer in layers for _, named in layer for weight in named.values()]
        kept, proofs = self._proofs
        # By value: weights that are clipped through `.data` change without a trace.
        if len(kept) != len(tensors) or not all(map(_same, kept, tensors)):
            proofs = self._prove(layers, tolerances)
            self._proofs = [tensor.detach().clone() for tensor in tensors], proofs
        return proofs

    @torch.no_grad()
    def _prove(self, layers: list[list[Weighted]], tolerances: list[float]) -> Proofs:
        features = layers[0][0][0].input_size
        low, high = read_inputs(self.input_box, features).ends
        found: Proofs = []
        off = torch.zeros(features, dtype=torch.float64)
        for layer, tol in zip(layers, tolerances, strict=True):
            proofs: list[CellProof | str] = []
            for cell, _ in layer:
                try:
                    proof: CellProof | str = prove(
                        copy.deepcopy(cell).double().cpu(), low, high, off, tol
                    )
                except NoRuleError as error:
                    proof = str(error)
                if self.proof == "inputs" and isinstance(proof, CellProof):
                    proof = replace(proof, burn_in=None)
                proofs.append(proof)
            found.append(proofs)
            good = [proof for proof in proofs if isinstance(proof, CellProof)]
            if len(good) < len(proofs):
                # Nothing is known of the inputs of the layers above.
                why = "nothing is proved of the layer below"
                found += [[why] * len(above) for above in layers[len(found) :]]
                break
            ends = [proof.layer.reach.output() for proof in good]
            low, high = (torch.cat([pair[n] for pair in ends])[None] for n in (0, 1))
            off = torch.full_like(low[0], tol)
        return found


def _started(h: Tensor | None) -> bool:
    """Say whether a run starts from another state than zero."""
    return h is not None and bool(h.any())


def _same(one: Tensor, other: Tensor) -> bool:
    alike = one.dtype == other.dtype and one.device == other.device
    return alike and torch.equal(one, other)


def _finite(off: Tensor) -> bool:
    return bool(off.isfinite().all())


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Turn the valid part of each row around.

    Args:
        x: A block, [B, T, D].
        lengths: How many steps of each row are valid; None when all are.

    Returns:
        The block; padding stays where it is.
    """
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)
    count = lengths.to(x.device)[:, None]
    index = torch.where(valid_steps(lengths.to(x.device), x.shape[1]), count - 1 - steps, steps)
    return x.gather(1, index[..., None].expand_as(x))


def _single(one: Weighted) -> Weighted:
    """Run a cell of half precision in single precision: its state needs it."""
    cell, weights = one
    return copy.deepcopy(cell).float(), {name: w.float() for name, w in weights.items()}
