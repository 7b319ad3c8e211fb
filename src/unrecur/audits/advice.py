"""What to do, in plain words, each with the number it rests on."""

from dataclasses import dataclass

from unrecur.audits.curve import Curve
from unrecur.audits.gradient_flow import Flow, InputFlow
from unrecur.audits.outputs import Outputs
from unrecur.audits.subject import Subject
from unrecur.audits.tiers import Window
from unrecur.audits.units import Units
from unrecur.certificates.certificate import Evidence

SHARE, FEWER = 0.01, 0.001  # of decisions that may change
PART = 0.01  # of the outputs' spread, or of a state's size 1, that may be wrong
SETTLED = 1e-4  # a state that has forgotten, for a run in parallel


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        about: "window", "burn-in", "training", "truncate", "parallel", "stable" or "units".
        say: What to do.
        why: The number it rests on.
    """

    about: str
    say: str
    why: str


@dataclass(frozen=True)
class Needs:
    """The windows that the advice is about.

    Attributes:
        decision: For the decisions, or the outputs where nothing is decided.
        words: What that window keeps, in words.
        state: For the state.
        settled: For what the recurrence shows to meet another run's.
        limit: The longest that could be seen.
    """

    decision: int | None
    words: str
    state: int | None
    settled: int | None
    limit: int


def needs(curve: Curve, outputs: Outputs) -> Needs:
    """Choose the errors to advise for, and find their windows.

    Args:
        curve: The memory curve.
        outputs: The model's outputs.

    Returns:
        The windows.
    """
    eps = PART * outputs.spread
    if curve.changed is not None:
        k, words = curve.changed.least(SHARE), f"at most {SHARE:.0%} of decisions change"
        fewer = curve.changed.least(FEWER)
        words += f" (with {fewer}, {FEWER:.1%})" if fewer is not None and fewer != k else ""
    else:
        k, words = curve.output.least(eps), f"outputs move by at most {PART:.0%} of their spread"
    state, settled = curve.state.least(PART), curve.hidden.least(SETTLED)
    return Needs(k, words, state, settled, curve.state.limit)


def advise(
    subject: Subject,
    curve: Curve,
    outputs: Outputs,
    windows: list[Window],
    flows: list[Flow],
    inputs: InputFlow,
    units: list[Units],
) -> list[Advice]:
    """Draw the conclusions of an audit.

    Args:
        subject: The recurrence in its model.
        curve: Its memory curve.
        outputs: The model's outputs.
        windows: The least windows at each tier of evidence.
        flows: The gradient flow of each cell.
        inputs: The gradient's flow to the inputs.
        units: What the units of each cell remember.

    Returns:
        The advice, the most important first.
    """
    need = needs(curve, outputs)
    found = [_main(subject, need, curve), _window(need, windows), _burn_in(need, curve)]
    found += [_training(inputs, flows), _parallel(subject, need, units)]
    if need.decision is not None and not _is_proved(windows):
        found.append(
            Advice(
                "stable",
                "If you need a guarantee, retrain it stable: unrecur.stabilize(model, rate=0.95), "
                "then train on; its windows are then proved.",
                "No window is proved from the weights as they are.",
            )
        )
    return found + _units(units)


def _main(subject: Subject, need: Needs, curve: Curve) -> Advice:
    """Say whether to truncate it or to leave it alone."""
    side = " on each side" if subject.two_sided else ""
    if need.decision is None:
        worst = curve.output.onward[min(len(curve.output.k) - 1, _place(curve, need.limit))]
        return Advice(
            "truncate",
            "Leave it recurrent: no window that could be seen is enough. Give longer sequences to "
            "look further back.",
            f"With {need.limit} inputs{side} outputs are still wrong by up to {float(worst):.2g}.",
        )
    kept = f"With the last {need.decision} inputs{side} {need.words}."
    if need.state is None:
        wrong = curve.state.onward[min(len(curve.state.k) - 1, _place_state(curve, need.limit))]
        return Advice(
            "truncate",
            f"Truncate it to {need.decision} inputs: the state remembers longer, but "
            + ("few decisions depend" if curve.changed is not None else "the outputs hardly depend")
            + " on it.",
            f"{kept} The state is still wrong by up to {float(wrong):.2g} after {need.limit}.",
        )
    return Advice("truncate", f"Truncate it to {need.decision} inputs.", kept)


def _place(curve: Curve, k: int) -> int:
    """Find the place of a window in the curve of outputs."""
    return int((curve.output.k <= k).sum()) - 1


def _place_state(curve: Curve, k: int) -> int:
    """Find the place of a window in the curve of states."""
    return int((curve.state.k <= k).sum()) - 1


def _window(need: Needs, windows: list[Window]) -> Advice:
    """Say how long the input window must be, with the strongest evidence for it."""
    if need.decision is None:
        return Advice(
            "window",
            f"Use more than {need.limit} inputs.",
            "No shorter window keeps what the model gives.",
        )
    proved = [w for w in windows if w.evidence is Evidence.PROVED and w.of != "state" and w.k]
    why = f"Measured: with {need.decision} inputs {need.words}."
    if proved:
        best = min(proved, key=lambda w: w.eps)
        why += f" Proved: {best.k} inputs keep the {best.of} within {best.eps:g} for {best.note}."
    return Advice("window", f"Use {need.decision} inputs for each output.", why)


def _burn_in(need: Needs, curve: Curve) -> Advice:
    """Say how many steps to run before the outputs count."""
    if need.state is not None:
        return Advice(
            "burn-in",
            f"Run {need.state} steps before you use the state, "
            f"{need.decision or need.state} before you use the outputs.",
            f"After {need.state} steps from zero the state is right to {PART:g}.",
        )
    if need.decision is not None:
        return Advice(
            "burn-in",
            f"Run {need.decision} steps before you use the outputs; the state itself does not "
            "settle: save and restore it.",
            f"No {need.limit} steps bring the state to {PART:g}.",
        )
    return Advice(
        "burn-in",
        "No burn-in is long enough: save the state and restore it.",
        f"After {need.limit} steps from zero neither state nor outputs are right.",
    )


def _training(inputs: InputFlow, flows: list[Flow]) -> Advice:
    """Say how far to backpropagate."""
    reach, seen = inputs.reach(), int(inputs.lags.max()) + 1
    if inputs.followed:
        text = f"Backpropagate through {reach} steps."
        why = f"99% of the gradient of {inputs.of} reaches the last {reach} of {seen} inputs."
    else:
        text = f"Backpropagate through more than {seen} steps."
        why = f"The gradient of {inputs.of} is still large after {seen}, the most it was followed."
    for flow in flows:
        if flow.explodes is not None:
            why += f" Gradients explode: over 1,000 times larger {flow.explodes} steps back."
            text += " Clip gradients."
            break
    return Advice("training", text, why)


def _parallel(subject: Subject, need: Needs, units: list[Units]) -> Advice:
    """Say whether a run in parallel over time pays."""
    longest = int(subject.sequences.lengths.max())
    if need.settled is not None and 8 * need.settled <= longest:
        return Advice(
            "parallel",
            "Run long sequences in parallel over time: unrecur.parallel(module).",
            f"What it shows forgets to {SETTLED:g} in {need.settled} steps; sequences have "
            f"{longest}.",
        )
    counters, latches = (sum(len(u.named(kind)) for u in units) for kind in ("counter", "latch"))
    if counters and not latches:
        return Advice(
            "parallel",
            "Try unrecur.parallel(module): it carries the sums of counters over, and runs in "
            "sequence where that does not pay.",
            f"{counters} numbers of the state only count; the others forget.",
        )
    why = (
        f"What it shows takes {need.settled} steps to settle; sequences have {longest}."
        if need.settled is not None
        else f"What it shows does not settle to {SETTLED:g} in {need.limit} steps."
    )
    return Advice("parallel", "Run it in sequence: a run in parallel would gain little.", why)


def _is_proved(windows: list[Window]) -> bool:
    """Say whether any window is proved from the weights."""
    return any(w.evidence is Evidence.PROVED and w.k is not None for w in windows)


def _units(units: list[Units]) -> list[Advice]:
    """Say what to do about units that do nothing."""
    dead = sum(len(each.named("dead")) for each in units)
    if not dead:
        return []
    total = sum(len(each.names) for each in units)
    return [
        Advice(
            "units",
            "Make it smaller: some units never change.",
            f"{dead} of {total} numbers of the state are constant on these inputs.",
        )
    ]
