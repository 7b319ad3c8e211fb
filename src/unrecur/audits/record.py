"""An audit as plain numbers: what its JSON holds and its page is drawn from."""

import math
from typing import Any

import torch
from torch import Tensor

from unrecur._version import __version__
from unrecur.audits.audit import Audit, RecurrenceAudit
from unrecur.audits.curve import Worst, share_changed
from unrecur.audits.levels import Level
from unrecur.audits.per_cell import CellAudit
from unrecur.audits.units import Units
from unrecur.certificates.certificate import Evidence

POINTS = 256  # of a curve, at most
EIGENVALUES = 1024
NAMED = 64  # units of a kind that are listed
BANDS = (0.05, 0.5, 0.95)  # quantiles over sequences


def to_record(audit: Audit) -> dict[str, Any]:
    """Write an audit as plain numbers and words.

    Args:
        audit: The audit.

    Returns:
        What JSON can hold; null stands for numbers that are not finite, and for none.
    """
    found = [_recurrence(each) for each in audit.recurrences]
    return {"unrecur": __version__, "source": audit.source, "recurrences": found}


def _recurrence(found: RecurrenceAudit) -> dict[str, Any]:
    """Write what was found about one recurrence."""
    subject, curve = found.subject, found.curve
    cells = [cell for layer in subject.layers for cell in layer]
    lengths = subject.sequences.lengths
    return {
        "name": found.name,
        "kind": subject.recurrence.kind,
        "sizes": {
            "inputs": cells[0].input_size,
            "units": [cell.hidden_size for cell in cells],
            "states": [cell.state_size for cell in cells],
            "layers": len(subject.layers),
            "weights": sum(w.numel() for cell in cells for w in cell.parameters()),
            "two_sided": subject.two_sided,
        },
        "data": {
            "sequences": len(lengths),
            "steps": int(lengths.sum()),
            "longest": int(lengths.max()),
            "spread": _finite(subject.sequences.x.double().std()),
        },
        "outputs": {
            "per_step": subject.per_step,
            "pointwise": found.outputs.pointwise,
            "spread": _finite(found.outputs.spread),
            "decided": found.outputs.decided is not None,
            "metric": _finite(found.outputs.score(found.outputs.full)),
            "own": subject.bare,
        },
        "curve": {
            "met": curve.met,
            "limit": curve.state.limit,
            "levels": [_level(found, level) for level in curve.levels],
            "state": _worst(curve.state),
            "hidden": _worst(curve.hidden),
            "output": _worst(curve.output),
        },
        "windows": [
            {
                "of": window.of,
                "eps": window.eps,
                "tier": str(window.evidence),
                "k": window.k,
                "known": window.known,
                "note": window.note,
            }
            for window in found.windows
        ],
        "proofs": _proofs(found),
        "cells": [_cell(cell) for cell in found.cells],
        "inputs": {
            "of": found.inputs.of,
            "reach": found.inputs.reach(),
            **_thinned({"lags": found.inputs.lags, "norm": found.inputs.norm}),
        },
        "advice": [{"about": a.about, "say": a.say, "why": a.why} for a in found.advice],
        "notes": list(found.notes),
    }


def _level(found: RecurrenceAudit, level: Level) -> dict[str, Any]:
    """Write one window of a memory curve."""
    cut = found.subject.sequences.lengths > level.k
    changed = None if level.changed is None else share_changed(found.subject, level)
    return {
        "k": level.k,
        "core": level.core,
        "state": _band(level.state[cut]),
        "state_typical": _finite(level.state_typical[cut].median()),
        "hidden": _band(level.hidden[cut]),
        "output": _band(level.output[cut]),
        "output_typical": _finite(level.output_typical[cut].median()),
        "changed": _finite(changed),
        "changed_band": None if level.changed is None else _band(level.changed[cut]),
        "metric": _finite(level.metric),
        "cells": [_finite(cell) for cell in level.cells],
    }


def _band(values: Tensor) -> dict[str, float | None]:
    """Write quantiles over sequences, and the largest value."""
    values = values.double().cpu()
    low, middle, high = (_finite(values.quantile(share)) for share in BANDS)
    return {"low": low, "median": middle, "high": high, "max": _finite(values.max())}


def _worst(worst: Worst) -> dict[str, Any]:
    """Write a curve over all windows."""
    return _thinned({"k": worst.k, "value": worst.value, "onward": worst.onward})


def _proofs(found: RecurrenceAudit) -> dict[str, Any]:
    """Write what is proved."""
    proofs = found.proofs
    certificate, proof = proofs.certificate, proofs.on_inputs
    known = certificate.evidence is not Evidence.UNKNOWN
    ks = [level.k for level in found.curve.levels]
    return {
        "of": proofs.of,
        "box": proofs.box,
        "evidence": str(certificate.evidence),
        "rate": _finite(certificate.rate),
        "rule": certificate.rule,
        "assumptions": list(certificate.assumptions),
        "reasons": list(certificate.reasons),
        "bounds": [
            {
                "k": k,
                "state": _finite(certificate.bound(k)),
                "output": _finite(proofs.output_bound(k)),
            }
            for k in (ks if known else [])
        ],
        "on_inputs": None
        if proof is None
        else {
            "windows": proof.error.numel(),
            "assumptions": list(proof.assumptions),
            **_thinned(
                {
                    "k": torch.arange(proof.k + 1),
                    "state": proof.state_curve,
                    "output": proof.curve,
                }
            ),
        },
        "why": proofs.why,
    }


def _cell(cell: CellAudit) -> dict[str, Any]:
    """Write what was found about one cell."""
    flow = cell.flow
    curves = {
        "lags": torch.arange(len(flow.gain)),
        "gain": flow.gain,
        "error": flow.error,
        "highway": flow.highway,
        "hidden": flow.hidden,
    }
    return {
        "name": cell.name,
        "flow": {
            **_thinned({name: curve for name, curve in curves.items() if curve is not None}),
            "largest": [_finite(value) for value in flow.largest],
            "ends": flow.ends,
            "exact": flow.exact,
            "vanishes": flow.vanishes,
            "explodes": flow.explodes,
        },
        "units": _units(cell.units),
        "gates": [
            {
                "name": gate.name,
                "mean": gate.mean,
                "quantiles": list(gate.quantiles),
                "open": gate.open,
                "shut": gate.shut,
                "histogram": list(gate.histogram),
            }
            for gate in cell.gates
        ],
        "spectra": [
            {
                "name": each.name,
                "radius": _finite(each.radius),
                "singular": [_finite(value) for value in each.singular[:EIGENVALUES]],
                "eigenvalues": each.eigenvalues[:EIGENVALUES].tolist(),
            }
            for each in cell.spectra
        ],
        "exponents": None
        if cell.exponents is None
        else [_finite(value) for value in cell.exponents],
    }


def _units(units: Units) -> dict[str, Any]:
    """Write what units remember."""
    kinds = ("counter", "latch", "saturated", "dead")
    return {
        "lags": units.lags,
        "window": units.window,
        "half_life": [_finite(value) for value in units.half_life],
        "remembered": [_finite(value) for value in units.remembered],
        "kinds": {
            kind: {"count": len(names), "names": names[:NAMED]}
            for kind in kinds
            if (names := units.named(kind))
        },
        "longest": [
            {"name": units.names[place], "half_life": _finite(units.half_life[place])}
            for place in units.half_life.argsort(descending=True)[:10].tolist()
        ],
    }


def _finite(value: Tensor | float | None) -> float | None:
    """Give a number, or null where it is not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else None


def _thinned(curves: dict[str, Tensor]) -> dict[str, list[float | None]]:
    """Keep enough points of curves to draw them: all of the first, then fewer and fewer."""
    count = max((len(curve) for curve in curves.values()), default=0)
    places = torch.arange(count)
    if count > POINTS:
        spread = torch.logspace(0, math.log10(count), POINTS, dtype=torch.float64) - 1
        places = spread.round().long().clamp(0, count - 1).unique()
    return {
        name: [_finite(value) for value in curve.cpu()[places]] for name, curve in curves.items()
    }
