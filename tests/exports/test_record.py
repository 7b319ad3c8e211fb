"""What a file says of itself: whose weights, how long a window, and what is proved."""

import json
import math

import pytest
import torch

import unrecur
from unrecur._check import InputError
from unrecur.exports.forms import ports
from unrecur.exports.record import claim_of, metadata, weights_hash
from unrecur.truncation.window import Window


def stable():
    torch.manual_seed(0)
    model = unrecur.build("elman", in_features=2, out_features=1, hidden=3)
    unrecur.project_(model, (0, 1), rate=0.5)
    return model


def test_the_hash_is_that_of_the_weights_alone():
    model = stable()
    before = weights_hash(model)
    assert weights_hash(stable()) == before
    name, weight = next(iter(model.named_parameters()))
    assert name
    weight.data.view(-1)[0] += 2**-20
    assert weights_hash(model) != before
    assert weights_hash(model.double()) != weights_hash(stable())


def test_a_certificate_bounds_a_window():
    model = stable()
    certificate = unrecur.certify(model, (0, 1))
    inner, claim = claim_of(model, 6, certificate)
    assert inner is model
    assert claim.bound == unrecur.output_bound(model, certificate, 6) < math.inf
    assert (claim.k, claim.evidence) == (6, certificate.evidence)
    assert claim.assumptions == certificate.assumptions


@pytest.mark.parametrize("form", ["exact", "chunked"])
def test_a_truncated_model_brings_its_bound(form):
    model = stable()
    short = unrecur.truncate(model, eps=0.1, input_box=(0, 1), form=form)
    inner, claim = claim_of(short, None, None)
    assert inner is model
    assert (claim.k, claim.bound, claim.evidence) == (short.k, short.bound, "proved")


def test_what_is_not_known_is_not_claimed():
    model = stable()
    for unknown in (claim_of(model, 3, None)[1], claim_of(Window(model, 3), 3, None)[1]):
        assert (unknown.bound, unknown.evidence, unknown.exact) == (None, "unknown", False)
    vague = unrecur.certify(
        unrecur.build("lstm", in_features=2, out_features=1, hidden=9), (-99, 99)
    )
    assert claim_of(model, 3, vague)[1].bound is None
    notes = metadata(model, "window", ports(model, "window", 3)[0], claim_of(model, 3, None)[1])
    assert notes["unrecur.bound"] == notes["unrecur.evidence"] == "unknown"


def test_a_window_of_all_that_a_model_sees_loses_rounding_only():
    tcn = unrecur.build("tcn", in_features=2, out_features=1, hidden=3, levels=2, kernel_size=2)
    claim = claim_of(tcn, None, None)[1]
    assert (claim.k, claim.exact, claim.bound) == (tcn.receptive_field.past + 1, True, None)
    assert not claim_of(tcn, claim.k - 1, None)[1].exact
    # Positions counted from the window's beginning are other ones.
    options = {"hidden": 4, "layers": 1, "heads": 1, "context": 3}
    for kind, exact in (("sinusoidal", False), ("learned", False), ("rotary", True)):
        model = unrecur.build(
            "transformer", in_features=2, out_features=1, positions=kind, **options
        )
        if math.isfinite(model.receptive_field.past):
            assert claim_of(model, None, None)[1].exact == exact


def test_the_start_of_a_state_is_kept():
    model = unrecur.build("hidden_markov", in_features=4, hidden=3)
    inputs = ports(model, "step", None)[0]
    start = json.loads(metadata(model, "step", inputs, None)["unrecur.state"])
    (name,) = [port.name for port in inputs[1:]]
    assert start == {name: model.cell.initial.tolist()}
    gru = unrecur.build("gru", in_features=4, out_features=1, hidden=3)
    notes = metadata(gru, "step", ports(gru, "step", None)[0], None)
    assert json.loads(notes["unrecur.state"]) == {"state.0.0": 0.0}


def test_a_window_of_a_truncated_model_keeps_its_length():
    with pytest.raises(InputError, match="truncated to k=3, got k=4"):
        claim_of(Window(stable(), 3), 4, None)
