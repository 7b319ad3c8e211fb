"""Whole audits: known memories, modules of all shapes, and what cannot be audited."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from audits.known import (
    Blocks,
    Classifier,
    Loop,
    Packed,
    Tagger,
    counter,
    delay_line,
    latch,
    leaky,
)
from unrecur import InputError, audit, build, project_
from unrecur.audits.budget import fit_budget, fit_module
from unrecur.audits.record import to_record
from unrecur.certificates.certificate import Evidence, unknown
from unrecur.interop.custom import PhiCell
from unrecur.interop.modules import find_in_module, layers_of


def the(report):
    """The only recurrence of an audit."""
    [found] = report.recurrences
    return found


def advice(found):
    return {each.about: f"{each.say} {each.why}" for each in found.advice}


def test_a_leaky_integrator():
    torch.manual_seed(0)
    found = the(audit(leaky(0.9, 0.5), 1 + 0.01 * torch.rand(1, 600, 1)))
    lives = found.cells[0].units.half_life.tolist()
    assert lives == pytest.approx([math.log(2) / -math.log(0.9), 1.0])
    rest = 1.005 / 0.1  # where the state settles
    expected = math.log(0.01 / rest) / math.log(0.9)
    assert found.window("state", 0.01) == pytest.approx(expected, abs=1)
    proved = found.window("state", 0.01, "proved")
    assert found.window("state", 0.01) <= proved <= found.window("state", 0.01) + 2
    assert found.cells[0].units.kinds == ["", ""]
    assert found.cells[0].exponents == pytest.approx([math.log(0.9), math.log(0.5)], abs=1e-6)
    assert advice(found)["truncate"].startswith("Truncate it to ")


@pytest.mark.parametrize("steps", [5, 50])
def test_a_delay_line(steps):
    torch.manual_seed(0)
    found = the(audit(delay_line(steps), torch.rand(1, 8 * steps, 1)))
    for of in ("state", "output"):
        assert found.window(of, 0.001) == steps
    assert found.cells[0].units.half_life.tolist() == list(range(steps, 0, -1))
    assert found.cells[0].flow.vanishes == steps
    assert found.inputs.reach(1.0) == steps
    said = advice(found)
    assert said["truncate"] == (
        f"Truncate it to {steps} inputs. With the last {steps} inputs outputs move by at most 1% "
        "of their spread."
    )
    assert f"Backpropagate through {steps} steps." in said["training"]
    assert said["parallel"].startswith("Run long sequences in parallel")


def test_a_latch_and_what_forgets_beside_it():
    torch.manual_seed(0)
    x = torch.randn(1, 300, 2)
    x[..., 0] = 0
    x[0, 0, 0] = 1.0  # set once, at the beginning
    found = the(audit(latch(), x))
    assert found.cells[0].units.kinds == ["latch", ""]
    assert found.window("state", 0.1) is None
    assert advice(found)["truncate"].startswith("Leave it recurrent: no window")
    assert "save the state" in advice(found)["burn-in"]


def test_a_counter_under_a_decision_that_does_not_care():
    torch.manual_seed(0)
    found = the(audit(counter(), torch.rand(1, 400, 1) + 0.5, decision=0.4))
    units = found.cells[0].units
    assert units.named("counter") == ["c[0]"]
    assert math.isinf(float(units.half_life[0]))
    assert found.window("state", 0.1) is None
    assert found.window("decision", 0.01) is not None
    said = advice(found)
    assert "the state remembers longer" in said["truncate"]
    assert "does not settle" in said["burn-in"]


def test_dead_and_saturated_units_are_named():
    cell = nn.RNN(1, 3, batch_first=True)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.weight_ih_l0[0], cell.bias_ih_l0[1] = 1.0, 0.3  # the second never changes
        cell.weight_ih_l0[2] = 100.0  # the third is at an end of tanh nearly always
    found = the(audit(cell.eval(), torch.randn(1, 200, 1)))
    assert found.cells[0].units.kinds == ["", "dead", "saturated"]
    assert "1 of 3 numbers" in advice(found)["units"]


def calls():
    torch.manual_seed(0)
    x = torch.randn(3, 30, 3)
    return {
        "tagger": (Tagger(), torch.randint(20, (3, 30))),
        "time first": (Tagger(batch_first=False), torch.randint(20, (3, 30))),
        "classifier": (Classifier(), x),
        "classifier of two layers": (Classifier(2), x),
        "cells": (Loop(), x),
        "gru cells": (Loop(nn.GRUCell), x),
        "packed": (Packed(), (x, torch.tensor([30, 5, 17]))),
        "blocks": (Blocks(), x),
        "bare": (nn.LSTM(3, 4, batch_first=True), x),
        "bare, time first": (nn.LSTM(3, 4, 2), x.transpose(0, 1)),
        "bare, one sequence": (nn.GRU(3, 4), x[0]),
        "sequences": (Classifier(), [x[0], x[1][:9]]),
        "by keyword": (nn.GRU(3, 4, batch_first=True), {"input": x}),
        "ours": (build("lstm", in_features=3, out_features=2, hidden=4), x),
    }


def run_one(module, x):
    """The first tensor of what a module gives, batch and time first."""
    out = module(x[None])
    out = next(iter(out.values())) if isinstance(out, dict) else out
    return out[0] if isinstance(out, tuple) else out


@pytest.fixture
def unproved(monkeypatch):
    """Leave proofs out: a search for one takes most of the time."""
    monkeypatch.setattr("unrecur.audits.tiers.certify", lambda *_: unknown("left out"))


@pytest.mark.parametrize("name", calls())
def test_modules_are_truncated_where_they_are(name, unproved):
    module, x = calls()[name]
    report = audit(module.eval(), x)
    found = the(report)
    subject, levels = found.subject, {level.k: level for level in found.curve.levels}
    assert found.name in (*find_in_module(module), *dict(module.named_modules()))
    if name in ("tagger", "cells", "gru cells", "blocks", "bare", "ours", "classifier"):
        with torch.no_grad():
            for k in (1, 4, 8):
                # What the module itself gives for the last k inputs of the last step.
                short = torch.cat([run_one(module, row[-k:])[:, -1:].flatten(0) for row in x])
                full = torch.cat([run_one(module, row)[:, -1:].flatten(0) for row in x])
                if not subject.per_step:
                    short = torch.stack([run_one(module, row[-k:])[0] for row in x])
                    full = torch.stack([run_one(module, row)[0] for row in x])
                gap = (short - full).abs().reshape(len(x), -1).amax(1)
                if subject.per_step:
                    assert bool((levels[k].output >= gap - 1e-6).all())
                else:
                    assert levels[k].output.tolist() == pytest.approx(gap.tolist(), abs=1e-6)
    assert len(found.outputs.full) == len(subject.sequences.lengths)
    json.dumps(to_record(report), allow_nan=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_are_audited(dtype, unproved):
    torch.manual_seed(0)
    module, x = nn.LSTM(3, 4, batch_first=True).to(dtype).eval(), torch.randn(2, 50, 3).to(dtype)
    found = the(audit(module, x))
    assert 4 <= found.window("state", 0.1) <= 9


def test_several_recurrences_are_audited_each(unproved):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.RNN(3, 5, batch_first=True)
            self.second = nn.LSTM(5, 4, batch_first=True)

        def forward(self, x):
            return self.second(self.first(x)[0])[0]

    torch.manual_seed(0)
    module, x = Two().eval(), torch.randn(2, 40, 3)
    report = audit(module, x)
    assert [found.name for found in report.recurrences] == ["first", "second"]
    assert report["second"].subject.layers[0][0].hidden_size == 4
    assert not report["first"].outputs.pointwise  # what is above it remembers
    assert [found.name for found in audit(module, x, select="first").recurrences] == ["first"]
    with pytest.raises(InputError, match="Did you mean 'second'"):
        audit(module, x, select="secnd")


def test_proofs_hold_and_tiers_are_in_order():
    torch.manual_seed(0)
    model = build("gru", in_features=3, out_features=2, hidden=6).eval()
    project_(model, 1.0, rate=0.7)
    found = the(audit(model, 2 * torch.rand(200, 30, 3) - 1, decision="argmax", errors=(0.1, 0.01)))
    for of in ("state", "output"):
        for eps in (0.1, 0.01):
            measured = found.window(of, eps)
            assert measured is not None
            for tier in ("proved", "proved on these inputs"):
                assert found.window(of, eps, tier) >= measured
            # For a new sequence: no shorter than what these took, rounded up to the grid.
            assert found.window(of, eps, "statistical") >= measured / 2
    for k, bound in ((level.k, found.proofs.output_bound(level.k)) for level in found.curve.levels):
        assert float(found.curve.output.onward[found.curve.output.k >= k][0]) <= bound
    proved = found.window("decision", 0.01, "proved on these inputs")
    assert found.window("decision", 0.01) <= proved


def test_what_a_user_makes_of_the_outputs_is_not_proved():
    torch.manual_seed(0)
    model = build("gru", in_features=3, out_features=2, hidden=6).eval()
    project_(model, 1.0, rate=0.7)
    x = 2 * torch.rand(4, 30, 3) - 1
    found = the(audit(model, x, output=lambda returned: 100 * returned[0]))
    proofs = [w for w in found.windows if w.of == "output" and str(w.evidence).startswith("proved")]
    assert proofs
    assert not any(w.known for w in proofs)
    assert found.window("hidden state", 0.1, "proved") is not None


def test_the_metric_is_taken_of_all_outputs(unproved):
    torch.manual_seed(0)
    module, x = Tagger().eval(), torch.randint(20, (3, 30))
    seen = []

    def metric(y):
        seen.append(y.shape)
        return float(y.square().mean())

    found = the(audit(module, x, metric=metric))
    assert set(seen) == {torch.Size([3, 30, 4])}
    with torch.no_grad():
        full = float(module(x).square().mean())
    assert found.outputs.score(found.outputs.full) == pytest.approx(full, rel=1e-5)
    assert found.curve.levels[-1].metric == pytest.approx(full, rel=1e-3)


def test_a_function_may_decide(unproved):
    torch.manual_seed(0)
    found = the(
        audit(Tagger().eval(), torch.randint(20, (2, 40)), decision=lambda y: y[:, 0] > y[:, 1])
    )
    assert found.window("decision", 0.0) is not None


def test_a_cell_of_somebodys_own():
    class Leaky(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(3, 4)

        def forward(self, x, h):
            return 0.5 * h + 0.5 * torch.tanh(self.map(x))

    @layers_of.register
    def _(module: Leaky) -> list:
        return [[PhiCell(lambda h, x: module(x, h), 3, 4, module=module)]]

    torch.manual_seed(0)
    found = the(audit(Leaky().eval(), torch.randn(2, 60, 3)))
    assert found.cells[0].units.half_life.tolist() == pytest.approx([1.0] * 4, rel=1e-4)
    assert found.window("state", 0.01) <= 7
    with pytest.raises(InputError, match="only its author knows"):
        audit(nn.Sequential(nn.Linear(3, 3), Leaky()).eval(), torch.randn(2, 60, 3))


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(x)[0] + torch.rand(())


class Unused(Random):
    def forward(self, x):
        return x


BLOCK = torch.linspace(-1, 1, 90).reshape(1, 30, 3)
NAN = BLOCK.clone()
NAN[0, 3, 1] = math.nan
BAD = [
    (lambda: audit(nn.GRU(3, 4, batch_first=True).train(), BLOCK), "training mode"),
    (lambda: audit(nn.GRU(3, 4).eval(), NAN), "1 NaN or infinite values in sequence"),
    (lambda: audit(nn.GRU(3, 4).eval(), torch.ones(30, 1, 3)), "the inputs never change"),
    (lambda: audit(nn.GRU(3, 4).eval(), torch.zeros(30, 1, 3)), "on silence or constants"),
    (lambda: audit(nn.GRU(3, 4).eval(), BLOCK[:, :1]), "2 steps or more, got 1"),
    (lambda: audit(leaky(0.5), BLOCK), "expected sequences of 1 features"),
    (lambda: audit(Random().eval(), BLOCK), "draws random numbers"),
    (lambda: audit(Unused().eval(), BLOCK), "did not call 'rnn'"),
    (lambda: audit(Blocks(hand_on=False).eval(), BLOCK), "without handing its state on"),
    (lambda: audit(nn.Linear(3, 4).eval(), BLOCK), "expected a recurrence"),
    (lambda: audit(Random().eval(), BLOCK, errors=()), "at least one error"),
    (lambda: audit(Random().eval(), BLOCK, errors=(0.0,)), "an error must be"),
    (lambda: audit(Random().eval(), BLOCK, budget=-1), "budget must be"),
    (lambda: audit(Loop().eval(), BLOCK, decision="argmin"), "Did you mean 'argmax'"),
    (lambda: audit(nn.GRU(5, 4).eval(), BLOCK), "cannot be called with these inputs"),
    (lambda: audit(nn.GRU(3, 4).eval(), BLOCK.double()), "cannot be called with these inputs"),
    (lambda: audit(nn.GRU(3, 4).eval(), "words"), "cannot be called with these inputs"),
    (lambda: audit("nowhere.onnx", BLOCK), "nowhere.onnx"),
    (lambda: audit(leaky(1.5), torch.ones(1, 900, 1) + torch.rand(1, 900, 1)), "must be finite"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_one_clear_error(call, message, unchecked):
    with pytest.raises((InputError, FileNotFoundError), match=message):
        call()


def test_too_much_is_cut_into_stretches(unproved):
    x = torch.randn(10_000, 3)
    cells = [[leaky(0.5)]]
    assert fit_budget([x], cells, 1e12) == ([x], ())
    kept, notes = fit_budget([x], cells, 60_000)
    assert sum(map(len, kept)) <= 2_000
    assert "of 10,000 steps" in notes[0]
    assert torch.equal(kept[0], x[: len(kept[0])])
    starts = {float(part[0, 0]) for part in kept}
    assert len(starts) == len(kept)
    module, given = nn.GRU(3, 8, batch_first=True).eval(), torch.randn(1, 5_000, 3)
    found = the(audit(module, given, budget=2e6))
    assert "stretches" in found.notes[0]
    for window in found.windows:
        if window.evidence is Evidence.STATISTICAL:
            assert not window.known
            assert "not drawn independently" in window.note
    assert int(found.subject.sequences.lengths.sum()) < 2_000


@pytest.mark.parametrize("batch_first", [True, False])
def test_stretches_are_cut_along_time(batch_first):
    module = nn.GRU(3, 4, batch_first=batch_first)
    x = torch.arange(2 * 1000 * 3.0).reshape(2, 1000, 3)
    kept, notes = fit_module(module, x if batch_first else x.transpose(0, 1), [[leaky(0.5)]], 6e3)
    assert notes
    kept = kept if batch_first else kept.transpose(0, 1)
    assert kept.shape[1] == 64
    assert bool((kept[:, 1:, 0] - kept[:, :-1, 0] == 3).all())  # steps that follow one another
    alone, notes = fit_module(module, x[0], [[leaky(0.5)]], 6e3)
    assert notes
    assert alone.shape[0 if not batch_first else 1] == 64
    given = {"input": x}
    assert fit_module(module, given, [[leaky(0.5)]], 6e3) == (given, ())


def test_a_graph_is_run_around_its_recurrence(tmp_path, unproved):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    torch.manual_seed(0)
    module = nn.RNN(3, 4)
    w, r, b_ih, b_hh = (weight.detach() for weight in module.parameters())
    held = {
        "two": torch.tensor(2.0),
        "W": w[None],
        "R": r[None],
        "B": torch.cat([b_ih, b_hh])[None],
        "axes": torch.tensor([1]),
    }
    nodes = [
        make.make_node("Mul", ["x", "two"], ["scaled"]),
        make.make_node("RNN", ["scaled", "W", "R", "B"], ["y"], name="rnn", hidden_size=4),
        make.make_node("Squeeze", ["y", "axes"], ["squeezed"]),
        make.make_node("Sigmoid", ["squeezed"], ["out"]),
    ]
    ends = [
        [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)] for name in ("x", "out")
    ]
    tensors = [onnx.numpy_helper.from_array(t.numpy(), name) for name, t in held.items()]
    graph = make.make_graph(nodes, "g", *ends, initializer=tensors)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "m.onnx")
    x = torch.randn(40, 2, 3)  # time first, as the node has it
    found = the(audit(tmp_path / "m.onnx", {"x": x.numpy()}, decision="argmax"))

    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = module

        def forward(self, x):
            return torch.sigmoid(self.rnn(2 * x)[0])

    same = the(audit(Same().eval(), x, decision="argmax"))
    assert found.outputs.pointwise
    assert found.curve.output.value.tolist() == pytest.approx(
        same.curve.output.value.tolist(), abs=1e-6
    )
    assert found.window("decision", 0.01) == same.window("decision", 0.01)
    plain = the(audit(tmp_path / "m.onnx", list(2 * x.transpose(0, 1))))
    assert "was not run" in plain.notes[-1]


def test_a_file_is_audited_with_what_its_user_knows_of_it(tmp_path, unproved):
    torch.manual_seed(0)
    module = Tagger().eval()
    path = tmp_path / "m.pt"
    torch.save(module.state_dict(), path)
    tokens = torch.randint(20, (3, 40))
    x = module.embed(tokens).detach()
    found = the(audit(path, x, output=lambda y: module.out(y).detach(), decision="argmax"))
    same = the(audit(module, tokens, decision="argmax"))
    assert found.curve.output.value.tolist() == pytest.approx(
        same.curve.output.value.tolist(), abs=1e-6
    )
    assert found.window("decision", 0.01) == same.window("decision", 0.01)
    last = the(
        audit(path, [row.numpy() for row in x], output=lambda y: module.out(y[:, -1]).detach())
    )
    assert not last.subject.per_step
    assert np.isfinite(float(last.curve.levels[0].output.max()))
