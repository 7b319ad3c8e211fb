"""What comes after training changes nothing in training; every target counts once."""

from dataclasses import replace

import numpy as np
import polars
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrecur.data.forecasting import forecasting_task
from unrecur.data.present_step import classification_task, regression_task
from unrecur.data.sequences import SPLITS

ROWS = 90
TRAIN, VALID, TEST = 50, 20, 20


def table(series, seed=0):
    """Series of numbers, gaps, text and a static column, in one long table."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(series):
        load = rng.normal(size=ROWS).cumsum() + 10 * number
        load[rng.random(ROWS) < 0.1] = np.nan
        heat = rng.normal(size=ROWS)
        heat[rng.random(ROWS) < 0.2] = np.nan
        part = {
            "hour": np.arange(ROWS),
            "series": [f"s{number}"] * ROWS,
            "load": load,
            "heat": heat,
            "day": rng.choice(["mon", "tue", "sun"], ROWS),
            "kind": np.full(ROWS, float(number % 2)),
            "on": rng.integers(0, 2, ROWS),
        }
        parts.append(polars.DataFrame(part))
    return polars.concat(parts).with_columns(polars.col("load", "heat").fill_nan(None))


def spoiled(frame, how, seed):
    """Change everything after training that is no time and no static column."""
    rng = np.random.default_rng(seed)
    hours = frame["hour"].to_numpy()
    places = np.flatnonzero(hours >= TRAIN)
    columns = {}
    for name, huge in {"load": 1e29, "heat": 1e29, "day": "never seen", "on": 7}.items():
        values = frame[name].to_list()
        if how == "shuffled":
            new = [values[place] for place in rng.permutation(places)]
        else:
            new = [huge if how == "huge" else None] * len(places)
        for place, value in zip(places, new, strict=True):
            values[place] = value
        # A split needs a known target.
        for place in np.flatnonzero((hours == TRAIN + VALID - 1) | (hours == ROWS - 1)):
            values[place] = {"day": "mon", "on": 1}.get(name, 3.0)
        columns[name] = polars.Series(name, values, dtype=frame[name].dtype)
    return frame.with_columns(**columns)


def same_training(one, other):
    assert one.in_features == other.in_features
    assert one.hashes["train"] == other.hashes["train"]
    assert len(one.splits["train"]) == len(other.splits["train"])
    for number in range(len(one.splits["train"])):
        for a, b in zip(one.pair("train", number), other.pair("train", number), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    for a, b in zip(one.batches("train", 3), other.batches("train", 3), strict=True):
        torch.testing.assert_close(a.x, b.x, rtol=0, atol=0)


def same_naive_forecasts_up_to(step, one, other):
    """Validation begins before its first target: there, the present step is one of training."""
    windows, others = one.splits["valid"], other.splits["valid"]
    compared = 0
    for number in range(len(windows)):
        rows = step - int(windows.pieces.first[number] - windows.pieces.origin[number])
        found, again = windows.naive(number)[: max(0, rows)], others.naive(number)[: max(0, rows)]
        torch.testing.assert_close(found, again, rtol=0, atol=0)
        compared += len(found)
    assert compared


PLANS = {
    "series": st.integers(1, 3),
    "horizon": st.one_of(st.integers(1, 8), st.just([2, 5])),
    "season": st.integers(1, 6),
    "context": st.integers(0, 12),
    "length": st.integers(1, 30),
    "known": st.booleans(),
    "how": st.sampled_from(["shuffled", "missing", "huge"]),
    "seed": st.integers(0, 99),
}


@settings(max_examples=10)
@given(**PLANS)
def test_the_future_changes_nothing_in_training(
    series, horizon, season, context, length, known, how, seed
):
    frame = table(series, seed)
    options = {
        "target": "load",
        "time": "hour",
        "id": "series",
        "horizon": horizon,
        "season": season,
        "context": context,
        "length": length,
        "static": ["kind"],
        "known": ["day"] if known else [],
        "split": (TRAIN, VALID, TEST),
    }
    one = forecasting_task(frame, **options)
    other = forecasting_task(spoiled(frame, how, seed), **options)
    same_training(one, other)
    same_naive_forecasts_up_to(TRAIN, one, other)
    assert one.step_loss == other.step_loss, "scales are those of training"


@pytest.mark.parametrize("how", ["shuffled", "missing", "huge"])
@pytest.mark.parametrize("make", [regression_task, classification_task])
def test_nor_at_the_present_step(make, how):
    frame = table(2)
    target = "load" if make is regression_task else "on"
    options = {"target": target, "time": "hour", "id": "series", "length": 7, "context": 3}
    options["split"] = (TRAIN, VALID, TEST)
    changed = spoiled(frame, how, 1)
    same_training(make(frame, **options), make(changed, **options))


def test_the_test_of_leaks_can_fail():
    frame = table(1)
    options = {"target": "load", "time": "hour", "id": "series", "split": (TRAIN, VALID, TEST)}
    one = forecasting_task(frame, **options)
    earlier = frame.with_columns(
        heat=polars.when(frame["hour"] == TRAIN - 2).then(5.0).otherwise(frame["heat"])
    )
    with pytest.raises(AssertionError):
        same_training(one, forecasting_task(earlier, **options))


@pytest.mark.parametrize(("horizon", "season"), [(1, 1), (5, 3), ([2, 9], 4)])
def test_inputs_and_naive_forecasts_read_their_own_series_up_to_the_present_step(horizon, season):
    task = forecasting_task(
        table(2),
        target=["load", "heat"],
        time="hour",
        id="series",
        horizon=horizon,
        season=season,
        length=11,
        split=(TRAIN, VALID, TEST),
    )
    for windows in task.splits.values():
        for number in range(len(windows)):
            naive, x = windows.naive(number), windows[number][0]
            pieces = windows.pieces
            start, first, origin = (
                int(rows[number]) for rows in (pieces.start, pieces.first, pieces.origin)
            )
            for step in range(start, start + len(x)):
                known = slice(origin, step + 1)
                inputs = torch.full_like(windows.inputs, torch.nan)
                inputs[known] = windows.inputs[known]
                blind = replace(windows, inputs=inputs)
                row = step - start
                torch.testing.assert_close(blind[number][0][row], x[row], rtol=0, atol=0)
                if step >= first:
                    row = step - first
                    torch.testing.assert_close(blind.naive(number)[row], naive[row], rtol=0, atol=0)


@settings(max_examples=12)
@given(
    lengths=st.lists(st.integers(40, 70), min_size=1, max_size=3),
    horizon=st.one_of(st.integers(1, 6), st.just([1, 4])),
    context=st.integers(0, 9),
    length=st.integers(1, 25),
    season=st.integers(1, 5),
)
def test_every_target_counts_once_and_inputs_are_of_the_past(
    lengths, horizon, context, length, season
):
    """Values say which row they are, and differences of squares, so that windows are read back."""
    parts = [
        polars.DataFrame(
            {
                "series": [str(n)] * rows,
                "row": np.arange(rows) + 0.0,
                "square": np.arange(rows) ** 2.0,
                "load": (np.arange(rows) % 7) * 1.0,
            }
        )
        for n, rows in enumerate(lengths)
    ]
    split = (20, 10, 10)
    task = forecasting_task(
        polars.concat(parts),
        target="row",
        id="series",
        horizon=horizon,
        context=context,
        length=length,
        season=season,
        split=split,
    )
    leads = list(range(1, horizon + 1)) if isinstance(horizon, int) else horizon
    ends, deviation = np.cumsum([0, *split]), np.std(np.arange(20))
    steps = np.arange(max(lengths))
    squares = steps**2.0 - np.maximum(0, steps - season) ** 2
    squares /= np.sqrt(np.mean(squares[season:20] ** 2))
    for number, name in enumerate(SPLITS):
        found, windows = [], task.splits[name]
        assert windows.lengths.tolist() == [len(windows[i][0]) for i in range(len(windows))]
        for i in range(len(windows)):
            x, y = (tensor.numpy() for tensor in windows[i])
            series = int(windows.pieces.series[i])
            # The row is the target, scaled, less the row whole seasons before.
            rows = np.arange(windows.pieces.start[i], windows.pieces.end[i]) - sum(lengths[:series])
            np.testing.assert_allclose(x[:, 1], squares[rows], atol=1e-4)
            naive = windows.naive(i).numpy()
            assert np.isnan(y[: len(y) - len(naive)]).all()
            for t, targets, past in zip(rows[-len(naive) :], y[-len(naive) :], naive, strict=True):
                before = [max(0, t + lead - season * -(-lead // season)) for lead in leads]
                assert max(before) <= t
                np.testing.assert_allclose(past, (np.array(before) - 9.5) / deviation, atol=1e-5)
                wanted = (t + np.array(leads) - 9.5) / deviation
                np.testing.assert_allclose(targets + past, wanted, atol=1e-5)
                found += [(series, t, t + lead) for lead in leads]
        assert len(found) == len(set(found))
        expected = {
            (series, t, t + lead)
            for series in range(len(lengths))
            for t in range(ends[number + 1])
            for lead in leads
            if all(ends[number] <= t + ahead < ends[number + 1] for ahead in leads)
        }
        assert set(found) == expected
        warm = windows.pieces.first - windows.pieces.start
        assert (warm <= context).all()
        assert task.counted(name).sum() == len(expected) // len(leads)


def test_series_are_cut_at_the_same_times():
    early = polars.DataFrame(
        {"t": range(100), "s": ["a"] * 100, "y": np.random.default_rng(0).random(100)}
    )
    late = early.with_columns(t=early["t"] + 50, s=polars.lit("b"))
    task = forecasting_task(polars.concat([early, late]), target="y", time="t", id="s", context=0)
    last = {}
    for name in SPLITS:
        windows = task.splits[name]
        times = [
            (int(start) - 100 * int(series)) + 50 * int(series)
            for start, series in zip(windows.pieces.first, windows.pieces.series, strict=True)
        ]
        last[name] = (
            min(times),
            max(
                int(e) - 100 * int(s) + 50 * int(s)
                for e, s in zip(windows.pieces.end, windows.pieces.series, strict=True)
            ),
        )
    assert last["train"][1] <= last["valid"][0] + 1
    assert last["valid"][1] <= last["test"][0] + 1
