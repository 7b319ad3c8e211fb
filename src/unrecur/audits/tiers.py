"""The least window for an error, at each tier of evidence."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unrecur._check import InputError
from unrecur.audits.curve import Curve
from unrecur.audits.outputs import Outputs
from unrecur.audits.subject import Subject
from unrecur.certificates.certificate import Certificate, Evidence, unknown
from unrecur.certificates.chain import Chain, NoRuleError, read_chain
from unrecur.certificates.conformal import conformal_bound, sequences_needed
from unrecur.certificates.contraction import certify
from unrecur.certificates.on_inputs import InputCertificate, certify_on
from unrecur.core.model import AbstractSequenceModel
from unrecur.interop.recurrence import Layers
from unrecur.truncation.bound import output_bound

COVERAGE = 0.95
WINDOWS = 64  # windows of the data that are followed in a proof on inputs
LONGEST = 256  # inputs of each
LONGEST_WINDOW = 2**20
MODEL, RECURRENCE = "the model's outputs", "the recurrence's outputs"
UNREAD = "what the model makes of the recurrence's outputs is not known in closed form"
SHARES = (0.01, 0.001, 0.0)  # of decisions that may change


class Stack(nn.Module):
    """Layers of cells, and the maps of each step behind them, for `certify` and `certify_on`.

    Args:
        layers: The cells, one or a forward and a backward one a layer.
        head: The maps.
    """

    def __init__(self, layers: Layers, head: tuple[nn.Module, ...] = ()) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(cells) for cells in layers)
        self.cells, self.head = layers, head


@read_chain.register
def _(module: Stack) -> Chain:
    layers = [[read_chain(cell).layers[0][0] for cell in cells] for cells in module.cells]
    return Chain(tuple(tuple(cells) for cells in layers), head=module.head)


@dataclass(frozen=True)
class Window:
    """The least window for one error at one tier of evidence.

    Attributes:
        of: "state", "hidden state" (what the recurrence shows of it), "output" or "decision".
        eps: The error allowed: a difference of any number, or a share of changed decisions.
        evidence: The tier.
        k: The least window; None where none is known.
        known: Whether there is evidence of this tier at all: then k is None because it is longer
            than the evidence reaches.
        note: What the statement is about, or why there is none.
    """

    of: str
    eps: float
    evidence: Evidence
    k: int | None
    note: str = ""
    known: bool = True


def _nothing(of: str, eps: float, evidence: Evidence, why: str) -> Window:
    """Say that there is no evidence of a tier."""
    return Window(of, eps, evidence, None, why, known=False)


@dataclass(frozen=True, eq=False)
class Proofs:
    """What is proved of a recurrence.

    Attributes:
        certificate: From the weights.
        on_inputs: On windows of the data; None where there is no such proof.
        why: Why there is none.
        model: The model whose outputs are bounded; None where only the recurrence's own are.
        box: The inputs that the proof from the weights holds for, in words.
        of: Whose outputs are bounded, in words.
    """

    certificate: Certificate
    on_inputs: InputCertificate | None
    why: str
    model: AbstractSequenceModel | None
    box: str
    of: str

    def output_bound(self, k: int) -> float:
        """Bound the outputs that `of` names, from the weights.

        Args:
            k: The length of the window.

        Returns:
            The bound on each; infinity where nothing is known.
        """
        if self.model is not None:
            return output_bound(self.model, self.certificate, k)
        bounds = self.certificate.output(k)
        return self.certificate.bound(k) if bounds is None else float(bounds.max())


def prove(subject: Subject, model: nn.Module | None, input_box: object = None) -> Proofs:
    """Prove what can be proved about a recurrence: from its weights, and on its inputs.

    Args:
        subject: The recurrence in its model.
        model: The whole model where it is one of ours, so that its outputs can be bounded.
        input_box: The inputs to prove it for; the box that the data fill if left out.

    Returns:
        The proofs.
    """
    x = subject.sequences.x
    box = "the inputs given" if input_box is not None else "inputs in the box that the data fill"
    given = (x.amin(0), x.amax(0)) if input_box is None else input_box
    whole = model if isinstance(model, AbstractSequenceModel) and _certifiable(model) else None
    head = () if whole is None else read_chain(whole).head
    stack = Stack(subject.layers, head)
    if subject.initial is not None:
        why = "the model does not start its sequences from the zero state"
        return Proofs(unknown(why), None, why, None, box, RECURRENCE)
    # A model that looks tokens up has its own set of inputs.
    certificate = certify(stack, given) if whole is None else certify(whole, given)
    on_inputs, why = None, ""
    try:
        windows = _windows(subject)
        on_inputs = certify_on(stack, windows, windows.shape[1], given)
        if on_inputs.evidence is Evidence.UNKNOWN:
            why, on_inputs = "; ".join(on_inputs.reasons), None
    except InputError as error:
        why = str(error)
    of = MODEL if whole is not None or subject.bare else RECURRENCE
    return Proofs(certificate, on_inputs, why, whole, box, of)


def _certifiable(model: AbstractSequenceModel) -> bool:
    """Say whether the model as a whole can be read."""
    try:
        read_chain(model)
    except NoRuleError:
        return False
    return True


def _windows(subject: Subject) -> Tensor:
    """Take windows of equal length, evenly spread over the sequences."""
    sequences = subject.sequences
    length = min(LONGEST, int(sequences.lengths.max()))
    places = [
        start + offset
        for start, steps in zip(sequences.starts.tolist(), sequences.lengths.tolist(), strict=True)
        for offset in range(0, steps - length + 1, max(1, length // 4))
    ]
    chosen = torch.linspace(0, len(places) - 1, min(WINDOWS, len(places))).round().long()
    begins = torch.tensor(places, device=sequences.x.device)[chosen.to(sequences.x.device)]
    return sequences.x[begins[:, None] + torch.arange(length, device=begins.device)]


def least_windows(
    subject: Subject, curve: Curve, outputs: Outputs, proofs: Proofs, errors: tuple[float, ...]
) -> list[Window]:
    """Find the least windows for each error, in the state, the output and the decision.

    Args:
        subject: The recurrence in its model.
        curve: Its memory curve.
        outputs: The model's outputs.
        proofs: What is proved.
        errors: The errors allowed.

    Returns:
        One entry for each tier, quantity and error.
    """
    found: list[Window] = []
    for eps in errors:
        found += _proved(subject, proofs, eps)
        found += _statistical(subject, curve, eps)
        measured = {"state": curve.state, "hidden state": curve.hidden, "output": curve.output}
        for of, worst in measured.items():
            if of == "hidden state" and subject.bare:  # it is the output
                continue
            found.append(Window(of, eps, Evidence.MEASURED, worst.least(eps), _limit(worst.limit)))
    if curve.changed is not None:
        for share in SHARES:
            k, limit = curve.changed.least(share), curve.changed.limit
            found.append(Window("decision", share, Evidence.MEASURED, k, _limit(limit)))
            found.append(_statistical_decision(subject, curve, share))
            found.append(_proved_decision(outputs, proofs, share))
    return found


def _limit(limit: int) -> str:
    """Say how far the measurement reaches."""
    return f"windows up to {limit} inputs, half of the longest sequence"


def _proved(subject: Subject, proofs: Proofs, eps: float) -> list[Window]:
    """Give the proved windows for the state and the output."""
    certificate = proofs.certificate
    if certificate.evidence is Evidence.UNKNOWN:
        why = "; ".join(certificate.reasons)
        found = [_nothing(of, eps, Evidence.PROVED, why) for of in ("state", "output")]
    else:
        k, tier = least_where(lambda k: proofs.output_bound(k) <= eps), Evidence.PROVED
        found = [Window("state", eps, tier, certificate.steps(eps), proofs.box)]
        if proofs.of == MODEL:
            found.append(Window("output", eps, tier, k, proofs.box))
        else:
            found.append(Window("hidden state", eps, tier, k, proofs.box))
            found.append(_nothing("output", eps, tier, UNREAD))
    if proofs.on_inputs is None:
        tier = Evidence.PROVED_ON_INPUT
        return found + [_nothing(of, eps, tier, proofs.why) for of in ("state", "output")]
    # Window for window: from the j-th input on, an unknown past moves nothing by more than eps.
    proof = proofs.on_inputs
    note = f"{proof.error.numel()} windows of {proof.k} inputs"
    shown = "output" if proofs.of == MODEL else "hidden state"
    for of, bounds in (("state", proof.state_curve), (shown, proof.curve)):
        within = (bounds <= eps).nonzero()
        k = max(1, int(within[0])) if len(within) else None
        found.append(Window(of, eps, Evidence.PROVED_ON_INPUT, k, note))
    if shown != "output":
        found.append(_nothing("output", eps, Evidence.PROVED_ON_INPUT, UNREAD))
    return found


def _proved_decision(outputs: Outputs, proofs: Proofs, share: float) -> Window:
    """Give the window at which no decision of the data but a share can be another.

    A decision stays while each output moves by less than its margin.

    Returns:
        The window.
    """
    margins = outputs.margins()
    if margins is None or proofs.of != MODEL or proofs.certificate.evidence is Evidence.UNKNOWN:
        why = "takes a proved bound on the model's outputs, and a decision by argmax or threshold"
        return _nothing("decision", share, Evidence.PROVED_ON_INPUT, why)
    k = least_where(lambda k: float((margins <= proofs.output_bound(k)).double().mean()) <= share)
    note = f"the decisions on these inputs, by a bound for {proofs.box}"
    return Window("decision", share, Evidence.PROVED_ON_INPUT, k, note)


def least_where(enough: Callable[[int], bool]) -> int | None:
    """Find the least window that is good enough, of those where all longer ones are.

    Args:
        enough: Whether a window is; once true it stays so, as bounds fall.

    Returns:
        The least k; None where none below 2^20 is.
    """
    high = 1
    while not enough(high):
        high *= 2
        if high > LONGEST_WINDOW:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _statistical(subject: Subject, curve: Curve, eps: float) -> list[Window]:
    """Give the windows for a new sequence, by conformal quantiles over these."""
    found = []
    for of in ("state", "output"):
        scores = [getattr(level, of) for level in curve.levels]
        found.append(_conformal(of, eps, subject, curve, scores))
    return found


def _statistical_decision(subject: Subject, curve: Curve, share: float) -> Window:
    """Give the window for the share of changed decisions in a new sequence."""
    scores = [level.changed for level in curve.levels]
    return _conformal("decision", share, subject, curve, [s for s in scores if s is not None])


def _conformal(of: str, eps: float, subject: Subject, curve: Curve, scores: list[Tensor]) -> Window:
    """Find the least window whose quantile over sequences is small enough, all windows at once."""
    count = len(subject.sequences.lengths)
    needed = sequences_needed(COVERAGE, len(scores))
    if subject.stretches:
        why = "stretches cut out of a sequence are not drawn independently of one another"
        return _nothing(of, eps, Evidence.STATISTICAL, why)
    if count < needed:
        why = f"takes {needed} sequences drawn like the ones to come, got {count}"
        return _nothing(of, eps, Evidence.STATISTICAL, why)
    bounds = [conformal_bound(s.double().cpu(), COVERAGE, len(scores)).quantile for s in scores]
    k = None
    for level, bound in zip(reversed(curve.levels), reversed(bounds), strict=True):
        if not (math.isfinite(bound) and bound <= eps):
            break
        k = level.k
    note = f"a new sequence like these {count}, with probability {COVERAGE:g}"
    return Window(of, eps, Evidence.STATISTICAL, k, note)
