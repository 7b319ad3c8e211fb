"""Contraction proved from the weights: reachable boxes, norms, and the curve that follows."""

import copy
import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unrecur import _check
from unrecur.certificates.certificate import Certificate, Evidence, unknown
from unrecur.certificates.chain import Chain, NoRuleError, read_chain
from unrecur.certificates.forgetting import Forgetting, Proof, closed_form
from unrecur.certificates.norms import Layer, Norm, multi_step, perron, spectral_norm, sup_norm
from unrecur.certificates.quadratic import quadratic
from unrecur.certificates.reach import Reach
from unrecur.certificates.rounding import ASSUMPTION

RULES = (sup_norm, perron, multi_step, spectral_norm, quadratic)
# The most states on which a rule of this cost is tried where a cheaper one proves already.
COSTLY = {multi_step: 512, spectral_norm: 512, quadratic: 128}


@torch.no_grad()
def certify(module: nn.Module, input_box: Any = None, horizon: int | None = None) -> Certificate:
    """Prove, from the weights alone, how fast a recurrence forgets; or say that nothing is known.

    The statement is about the states of the recurrent layers, for every sequence of inputs in the
    set, of any length (or up to a horizon), started from the zero state. The best of several rules
    is taken, and the curve is cut by all that hold (docs/theory/contraction.md).

    Args:
        module: A cell; a recurrent layer, stack or model on one; a `torch.nn.RNN`, `LSTM`, `GRU`
            (bidirectional too) or one of their cells.
        input_box: The inputs it holds for: a number B for |x| <= B, a pair (low, high) of numbers
            or of one number for each feature, or `unrecur.points(table)` for a finite vocabulary.
            Not needed where the model starts with an embedding.
        horizon: The longest sequence it shall hold for: a state that can grow without bound stays
            bounded for so long. None for any length.

    Returns:
        A `PROVED` certificate, or an `UNKNOWN` one with the rules that were tried.

    Raises:
        InputError: The inputs are malformed or missing, the horizon is no whole number above 0, a
            weight is not finite, or the module is an LSTM with `proj_size`.

    Example:
        >>> import torch
        >>> from unrecur.cells import Elman
        >>> cell = Elman(1, 2, activation="relu", bias=False)
        >>> _ = cell.weight_hh_l0.data.copy_(torch.tensor([[0.3, 0.4], [-0.4, 0.3]]))
        >>> certificate = certify(cell, 1.0)
        >>> certificate.evidence.name, certificate.rule, round(certificate.rate, 6)
        ('PROVED', 'spectral norm', 0.5)
    """
    if horizon is not None:
        _check.positive_integer(horizon, "horizon")
    try:
        chain = read_chain(module)
    except NoRuleError as error:
        return unknown(str(error))
    chain.check_weights()
    # The curve is computed when asked for, for the weights as they are now.
    chain = replace(chain, layers=copy.deepcopy(chain.layers))
    inputs = chain.inputs(input_box)
    try:
        proofs, failed = _prove(chain, *inputs.ends, horizon)
    except NoRuleError as error:
        return unknown(*str(error).split("\n"))
    forgetting = Forgetting(proofs)
    form = closed_form(forgetting)
    cells = [proof for layer in proofs for proof in layer]
    slowest = max(cells, key=lambda proof: proof.norms[0].rate)
    lengths = () if horizon is None else (f"sequences of at most {horizon} inputs",)
    return Certificate(
        Evidence.PROVED,
        slowest.norms[0].rule,
        form.rate,
        form.start,
        form.rounding,
        (str(inputs), *lengths, "the state starts at zero", ASSUMPTION),
        (slowest.norms[0].rule, *failed),
        tuple((proof.layer.reach.low, proof.layer.reach.high) for proof in cells),
        forgetting,
    )


def _prove(
    chain: Chain, low: torch.Tensor, high: torch.Tensor, horizon: int | None
) -> tuple[list[list[Proof]], list[str]]:
    """Prove layer by layer: the outputs of one are the inputs of the next."""
    proofs, failed = [], []
    for number, cells in enumerate(chain.layers):
        where = f"layer {number}: " if len(chain.layers) > 1 else ""
        layer = []
        for cell in cells:
            try:
                proof, why = prove_cell(Reach(cell, low, high, horizon))
            except NoRuleError as error:
                raise NoRuleError(
                    "\n".join(where + line for line in str(error).split("\n"))
                ) from None
            layer.append(proof)
            failed += [where + reason for reason in why]
        outputs = [proof.layer.reach.output() for proof in layer]
        low, high = (torch.cat([output[end] for output in outputs])[None] for end in (0, 1))
        proofs.append(layer)
    return proofs, failed


def prove_cell(reach: Reach) -> tuple[Proof, list[str]]:
    """Try all rules on a cell.

    Args:
        reach: The cell with its reachable box.

    Returns:
        The norms that contract, the best first, and why the other rules failed.

    Raises:
        NoRuleError: None contracts; one line for each rule.
    """
    layer = Layer(reach)
    norms: list[Norm] = []
    failed: list[str] = []
    for rule in RULES:
        if norms and reach.cell.state_size > COSTLY.get(rule, math.inf):
            name = rule.__name__.replace("_", " ")
            failed.append(f"{name}: not tried beyond {COSTLY[rule]} states, as another rule proves")
            continue
        try:
            norms.append(rule(layer))
        except NoRuleError as error:
            failed.append(str(error))
    if not norms:
        raise NoRuleError("\n".join(failed))
    return Proof(layer, tuple(sorted(norms, key=lambda norm: norm.rate))), failed
