"""The memory curve against each window run by itself."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from audits.known import counter, delay_line, leaky, recurrence_of, states_by_hand
from cases import CELLS, FEATURES
from unrecur.audits.blocks import run_all
from unrecur.audits.curve import Worst, measure_curve, windows_to, worst_of
from unrecur.audits.levels import measure_level
from unrecur.audits.outputs import see_outputs
from unrecur.audits.subject import Subject, outputs_of, sequences_of
from unrecur.interop.recurrence import Recurrence


def subject_of(recurrence, parts):
    features = recurrence.cells[0][0].input_size
    sequences = sequences_of(parts, features, recurrence.reverse)
    return Subject(recurrence, sequences, outputs_of(recurrence), bare=True)


def curve_of(subject, decision=0.0, **options):
    reference = run_all(subject.layers, subject.sequences)
    outputs = see_outputs(subject, reference, decision)
    return measure_curve(subject, reference, outputs, **options), reference, outputs


NETS = {
    **{name: lambda make=make: make(FEATURES, 4) for name, make in CELLS.items()},
    "stack": lambda: nn.LSTM(FEATURES, 4, 2),
}


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=6)
@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    k=st.integers(1, 9),
    data=st.data(),
)
def test_a_level_is_each_window_run_by_itself(name, lengths, k, data):
    core = data.draw(st.integers(1, k))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    recurrence = recurrence_of(NETS[name]().double())
    lengths = [max(lengths[0], k + 1, 2), *lengths[1:]]
    parts = [torch.randn(n, FEATURES, dtype=torch.float64) for n in lengths]
    subject = subject_of(recurrence, parts)
    reference = run_all(subject.layers, subject.sequences)
    level = measure_level(subject, reference, see_outputs(subject, reference), k, core)
    place, worst = 0, []
    for x in parts:
        full, y = states_by_hand(recurrence, x)
        worst.append(0.0)
        for t in range(k, len(x)):  # up to k inputs a window holds all of them
            seen = int(level.context[place])
            assert k <= seen < k + core
            short, shown = states_by_hand(recurrence, x[t - seen + 1 : t + 1])
            gap, move = (
                float((short[-1] - full[t]).abs().max()),
                float((shown[-1] - y[t]).abs().max()),
            )
            assert float(level.state_error[place]) == pytest.approx(gap, abs=1e-12)
            assert float(level.output_error[place]) == pytest.approx(move, abs=1e-12)
            worst[-1] = max(worst[-1], gap)
            place += 1
    assert place == len(level.context)
    assert level.state.tolist() == pytest.approx(worst, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_both_ways_a_core_of_one_is_the_window_around_a_step(k):
    torch.manual_seed(0)
    recurrence = recurrence_of(nn.LSTM(FEATURES, 3, 2, bidirectional=True).double())
    x = torch.randn(17, FEATURES, dtype=torch.float64)
    subject = subject_of(recurrence, [x])
    reference = run_all(subject.layers, subject.sequences)
    level = measure_level(subject, reference, see_outputs(subject, reference), k, 1)
    full, _ = states_by_hand(recurrence, x)
    for t in range(17):
        first = max(0, t - k + 1)
        short, _ = states_by_hand(recurrence, x[first : t + k])
        gap = float((short[t - first] - full[t]).abs().max())
        assert float(level.state_error[t]) == pytest.approx(gap, abs=1e-12)


def test_a_recurrence_that_reads_from_the_end_is_truncated_there():
    torch.manual_seed(0)
    cells = recurrence_of(nn.GRU(FEATURES, 4).double()).cells
    x = torch.randn(20, FEATURES, dtype=torch.float64)
    backward = subject_of(Recurrence("r", cells, reverse=True), [x])
    forward = subject_of(Recurrence("f", cells), [x.flip(0)])
    mine, _, outputs = curve_of(backward)
    same, _, _ = curve_of(forward)
    assert mine.state.value.tolist() == pytest.approx(same.state.value.tolist())
    assert mine.output.value.tolist() == pytest.approx(same.output.value.tolist())
    y = states_by_hand(forward.recurrence, x.flip(0))[1]
    assert torch.allclose(outputs.full[0], y.flip(0))


@pytest.mark.parametrize("steps", [1, 5, 50, 500])
def test_a_delay_line_needs_as_many_inputs_as_it_has_steps(steps):
    x = torch.rand(max(300, 5 * steps // 2), 1) + 0.1
    curve, _, _ = curve_of(subject_of(recurrence_of(delay_line(steps)), [x]), fine=steps < 500)
    assert curve.met
    for eps in (0.1, 1e-6):
        assert (curve.state.least(eps), curve.output.least(eps)) == (steps, steps)


def test_a_leaky_integrator_forgets_at_its_rate():
    x = torch.ones(1000, 1)
    x[0] = 10.0  # it has come to rest within rounding after the first 300 steps
    curve, reference, _ = curve_of(subject_of(recurrence_of(leaky(0.9)), [x]))
    rest = float(reference.y[-1])
    assert rest == pytest.approx(10, rel=1e-5)
    for eps in (1.0, 0.1, 0.01):
        # The first step left nothing of its 10 by then; what lacks is 0.9^k of 10 at rest.
        assert curve.state.least(eps) == math.ceil(math.log(eps / rest) / math.log(0.9))


def test_a_counter_is_never_met_and_its_output_is():
    curve, _, _ = curve_of(subject_of(recurrence_of(counter()), [torch.rand(400, 1) + 0.5]))
    assert curve.state.least(0.1) is None
    assert not curve.met
    assert curve.output.least(0.1) is not None  # tanh(c) is 1 soon


def test_what_is_seen_too_rarely_is_not_believed():
    worst = worst_of(torch.tensor([1, 2, 40, 60]), torch.tensor([1.0, 0.5, 0.2, 0.0]), 50, False)
    assert [worst.least(eps) for eps in (1.0, 0.5, 0.2, 0.1)] == [1, 2, 40, None]
    assert isinstance(worst, Worst)


def test_windows_double_up_to_the_longest_sequence():
    assert list(windows_to(2)) == [1]
    assert list(windows_to(9)) == [1, 2, 4, 8]


def test_the_cost_grows_with_the_logarithm_of_the_window(monkeypatch):
    steps = []
    cell = leaky(0.999)
    run = cell.phi
    monkeypatch.setattr(cell, "phi", lambda h, x: (steps.append(len(h)), run(h, x))[1])
    counts = []
    for time in (256, 512, 1024):
        steps.clear()
        curve_of(subject_of(recurrence_of(cell), [torch.rand(time, 1)]), fine=False)
        counts.append(sum(steps) / time)
    assert counts[1] - counts[0] == pytest.approx(2, abs=0.3)
    assert counts[2] - counts[1] == pytest.approx(2, abs=0.3)
