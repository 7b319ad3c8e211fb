"""What a file says of itself: which model it was made of, in which form, and what is proved."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from unrecur._check import InputError
from unrecur._version import __version__
from unrecur.certificates.certificate import Certificate, Evidence
from unrecur.core.model import AbstractConditionalModel, AbstractSequenceModel
from unrecur.core.state import leaves
from unrecur.exports.forms import Form, Port
from unrecur.layers.positions import Positions
from unrecur.truncation.bound import output_bound
from unrecur.truncation.chunked import ChunkedWindow
from unrecur.truncation.window import Window


@dataclass(frozen=True)
class Claim:
    """A window, and what is known of its error.

    Attributes:
        k: How many inputs an output is made from.
        bound: The bound on the error of any output against the whole past, for the model in
            torch's arithmetic; None where there is none.
        evidence: What the bound rests on.
        assumptions: What must hold for it.
    """

    k: int
    bound: float | None
    evidence: Evidence
    assumptions: tuple[str, ...] = ()
    exact: bool = False
    """Whether the model sees no further back, so that nothing but rounding is lost."""


def claim_of(
    model: AbstractSequenceModel, k: int | None, certificate: Certificate | None
) -> tuple[AbstractSequenceModel, Claim]:
    """Say which model a window form runs, over how many inputs, and what is proved of it.

    Args:
        model: A truncated model, or one to truncate to its last k inputs.
        k: The length of the window; may be left out for a truncated model, and for one that sees
            only so many inputs.
        certificate: The certificate of a recurrent model, for the bound.

    Returns:
        The model that is run on the last k inputs, and the claim.

    Raises:
        InputError: k is missing or malformed or not the one the model was truncated to, or the
            model sees inputs to come.
    """
    if isinstance(model, Window | ChunkedWindow):
        if k not in (None, model.k):
            raise InputError(
                f"the model was truncated to k={model.k}, got k={k}. Leave k out, or truncate it "
                "again."
            )
        if certificate is None:
            known = Evidence.UNKNOWN if model.bound is None else Evidence.PROVED
            assumed = () if model.bound is None else ("inputs in the box of unrecur.truncate",)
            return model.model, Claim(model.k, model.bound, known, assumed)
        k, model = model.k, model.model
    field = model.receptive_field
    if not field.causal:
        raise InputError(
            f"{type(model).__name__} sees {field.future:g} inputs ahead and has no window of its "
            "last inputs. Export form='block'."
        )
    if k is None and math.isinf(field.past):
        raise InputError(
            f"{type(model).__name__} sees its whole past: form='window' needs k, or a model from "
            "unrecur.truncate(model, eps=..., input_box=...)."
        )
    whole = field.past + 1
    k = int(whole) if k is None else k
    _ = Window(model, k)  # checks k
    if k >= whole:
        # Positions counted from the window's own beginning are not those of the sequence.
        counted = any(isinstance(part, Positions) for part in model.modules())
        return model, Claim(
            k, None, Evidence.UNKNOWN if counted else Evidence.PROVED, exact=not counted
        )
    if certificate is None:
        return model, Claim(k, None, Evidence.UNKNOWN)
    bound = output_bound(model, certificate, k)
    proved = math.isfinite(bound)
    return model, Claim(
        k,
        bound if proved else None,
        certificate.evidence if proved else Evidence.UNKNOWN,
        certificate.assumptions if proved else (),
    )


def weights_hash(model: nn.Module) -> str:
    """Give the sha256 of a model's weights: names, types, shapes and bytes, by name.

    Args:
        model: The model.

    Returns:
        The hash in hexadecimal.

    Example:
        >>> linear = nn.Linear(2, 3)
        >>> weights_hash(linear) == weights_hash(linear), len(weights_hash(linear))
        (True, 64)
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        kept = value.detach().cpu().contiguous()
        digest.update(f"{name} {kept.dtype} {list(kept.shape)}\n".encode())
        digest.update(kept.numpy().tobytes())
    return digest.hexdigest()


def metadata(
    model: AbstractSequenceModel, form: Form, inputs: list[Port], claim: Claim | None
) -> dict[str, str]:
    """Write what a file says of itself.

    Args:
        model: The model that was exported.
        form: The form.
        inputs: The inputs of the file.
        claim: What is known of a window.

    Returns:
        The entries, all text. "unrecur.bound" is a number, "rounding" where a window holds all that
        the model sees, or "unknown". "unrecur.state" is JSON: for each input of the state the value
        it starts from in every row, one number where all are the same. "unrecur.source" is
        the number of token ids of the source that a model starts from.
    """
    entries = {
        "unrecur.version": __version__,
        "unrecur.model": type(model).__name__,
        "unrecur.sha256": weights_hash(model),
        "unrecur.form": form,
    }
    if isinstance(model, AbstractConditionalModel):
        entries["unrecur.source"] = str(model.source_features)
    elif form == "step" or (form == "block" and len(inputs) > 1):
        start = leaves(model.init_state(1))
        state = {port.name: _value(leaf) for port, leaf in zip(inputs[1:], start, strict=True)}
        entries["unrecur.state"] = json.dumps(state)
    tables = [m for m in model.modules() if isinstance(m, Positions) and m.table is not None]
    if tables:
        entries["unrecur.longest"] = str(min(table.longest for table in tables))
    if claim is not None:
        entries["unrecur.k"] = str(claim.k)
        known = "rounding" if claim.exact else "unknown"
        entries["unrecur.bound"] = known if claim.bound is None else repr(claim.bound)
        entries["unrecur.evidence"] = str(claim.evidence)
        entries["unrecur.assumptions"] = json.dumps(claim.assumptions)
    return entries


def _value(leaf: Any) -> Any:
    """Write a row of a state: one number where all are the same."""
    row = leaf[0]
    same = row.numel() > 0 and bool((row == row.flatten()[0]).all())
    return row.flatten()[0].item() if same else row.tolist()
