"""Forecasting tasks: metrics against hand values and libraries, inputs against what was given."""

import math
from dataclasses import replace

import numpy as np
import polars
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    mean_squared_error,
)
from torchmetrics.functional.regression import symmetric_mean_absolute_percentage_error

from unrecur import InputError, build
from unrecur.data.forecasting import forecasting_task
from unrecur.data.own_data import own_data_task
from unrecur.data.present_step import classification_task, regression_task
from unrecur.data.running import predictions
from unrecur.train.evaluate import figures

SPLIT = (60, 30, 30)
ROWS = sum(SPLIT)


def walk(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    return 5 + rng.normal(size=rows).cumsum()


def constant(scores, in_features=1):
    """A model that gives the same scores at every step."""
    model = build("autoregression", in_features=in_features, out_features=len(scores), order=1)
    model.convolution.set_weight(torch.zeros_like(model.convolution.weight))
    model.convolution.bias.copy_(torch.tensor(scores))
    return model


def metric(model, task, split="test"):
    total, count = 0.0, 0
    for number, y in predictions(model, task, split):
        target = task.pair(split, number)[1]
        known = (~target.isnan()).any(1) if target.is_floating_point() else target >= 0
        total += float(task.step_loss(y, target)[known].double().sum())
        count += int(known.sum())
    return total / count


def outputs(model, task, split="test"):
    """Predictions and targets of the counted steps, in the order of time, side by side."""
    found = []
    for number, y in sorted(predictions(model, task, split), key=lambda pair: pair[0]):
        target = task.pair(split, number)[1]
        known = ~target.isnan().all(1)
        found.append((y[known], target[known]))
    return (torch.cat(part).double().numpy() for part in zip(*found, strict=True))


def last_season(t, lead, season):
    """The step that the naive forecast of step t + lead reads: whole seasons before that step."""
    return max(0, t + lead - season * math.ceil(lead / season))


def filled(values):
    """The last known value at each step, 0 before the first, by a loop."""
    found, last = [], 0.0
    for value in values:
        last = last if np.isnan(value) else value
        found.append(last)
    return np.array(found)


def test_the_step_of_the_naive_forecast_by_hand():
    assert [last_season(10, lead, 4) for lead in range(1, 10)] == [7, 8, 9, 10, 7, 8, 9, 10, 7]
    assert [last_season(1, lead, 4) for lead in range(1, 5)] == [0, 0, 0, 1]
    assert [last_season(10, lead, 1) for lead in (1, 2, 30)] == [10, 10, 10]


@pytest.mark.parametrize(("season", "horizon"), [(1, 1), (1, 3), (4, 6), (7, 2)])
def test_mase_is_what_hyndman_and_koehler_say(season, horizon):
    y = walk()
    frame = polars.DataFrame({"y": y})
    task = forecasting_task(
        frame, target="y", horizon=horizon, season=season, split=SPLIT, context=30, length=8
    )
    naive = np.abs(y[season:60] - y[: 60 - season]).mean()
    errors = [
        abs(y[t + h] - y[last_season(t, h, season)]) / naive
        for t in range(89, ROWS - horizon)
        for h in range(1, horizon + 1)
    ]
    assert task.chance_level == pytest.approx(np.mean(errors), rel=1e-5)
    # A model of zeros gives the seasonal naive forecast.
    assert metric(constant([0.0] * horizon), task) == pytest.approx(task.chance_level, rel=1e-7)
    # The naive forecast and a constant, in the target's own unit.
    value = 0.3
    errors = [
        abs(y[t + h] - (y[last_season(t, h, season)] + value * y[:60].std())) / naive
        for t in range(89, ROWS - horizon)
        for h in range(1, horizon + 1)
    ]
    assert metric(constant([value] * horizon), task) == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize(("season", "horizon"), [(1, 3), (4, 6), (5, [2, 5, 8])])
def test_targets_are_differences_from_the_last_known_season(season, horizon):
    """Of several targets with gaps, also at the start, of series on other scales."""
    leads = range(1, horizon + 1) if isinstance(horizon, int) else horizon
    rng = np.random.default_rng(season)
    raw = [
        np.stack([size * walk(seed + 20), walk(seed + 30)], 1) + 10
        for seed, size in ((0, 1), (1, 100))
    ]
    for values in raw:
        values[rng.random((ROWS, 2)) < 0.2] = np.nan
        values[[0, 1], [0, 1]] = np.nan
    frame = polars.DataFrame(
        {
            "s": ["a"] * ROWS + ["b"] * ROWS,
            "y": np.concatenate(raw)[:, 0],
            "z": np.concatenate(raw)[:, 1],
        }
    )
    task = forecasting_task(
        frame,
        target=["y", "z"],
        id="s",
        horizon=horizon,
        season=season,
        split=SPLIT,
        length=9,
        context=0,
    )
    windows = task.splits["train"]
    scaled = windows.answers.double().numpy()
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(np.concatenate(raw)))
    levels = [np.stack([filled(part[:, n]) for n in (0, 1)], 1) for part in np.split(scaled, 2)]
    for split, windows in task.splits.items():
        seen = 0
        for number in range(len(windows)):
            series, first = (
                int(rows[number]) for rows in (windows.pieces.series, windows.pieces.first)
            )
            naive = windows.naive(number).double().numpy()
            target = task.pair(split, number)[1][-len(naive) :].double().numpy()
            for row, t in enumerate(
                range(first - series * ROWS, first - series * ROWS + len(naive))
            ):
                before = [levels[series][last_season(t, lead, season)] for lead in leads]
                np.testing.assert_array_equal(naive[row], np.concatenate(before))
                plain = [scaled[series * ROWS + t + lead] for lead in leads]
                np.testing.assert_allclose(
                    target[row] + naive[row], np.concatenate(plain), atol=1e-5
                )
                seen += 1
        assert seen == task.counted(split).sum() + uncounted(task, split)
    # Percentages are those of levels, in the targets' own units.
    model = constant([0.0] * 2 * len(leads), task.in_features)
    for column, name in enumerate("yz"):
        own = [(part[:, column], filled(part[:, column])) for part in raw]
        pairs = np.array(
            [
                (values[t + lead], past[last_season(t, lead, season)])
                for values, past in own
                for t in range(90 - min(leads), ROWS - max(leads))
                for lead in leads
                if not np.isnan(values[t + lead])
            ]
        ).T
        theirs = symmetric_mean_absolute_percentage_error(*torch.from_numpy(pairs[::-1].copy()))
        found = figures(model, task, "test")[1][f"smape {name}"]
        assert found == pytest.approx(100 * float(theirs), rel=1e-5)


def uncounted(task, split):
    """Counted rows at which no target is known."""
    windows = task.splits[split]
    rows = windows.pieces.end - windows.pieces.first
    targets = [task.pair(split, number)[1][-size:] for number, size in enumerate(rows.tolist())]
    return sum(int(target.isnan().all(1).sum()) for target in targets)


def test_before_the_first_season_stands_the_first_value():
    y = walk(15)
    options = {"target": "y", "horizon": [1, 4, 6], "season": 4, "split": SPLIT, "length": 9}
    task = forecasting_task(polars.DataFrame({"y": y}), **options)
    _, target = task.pair("train", 0)
    expected = [
        [y[1] - y[0], y[4] - y[0], y[6] - y[0]],
        [y[2] - y[0], y[5] - y[1], y[7] - y[0]],
        [y[3] - y[0], y[6] - y[2], y[8] - y[0]],
        [y[4] - y[0], y[7] - y[3], y[9] - y[1]],
        [y[5] - y[1], y[8] - y[4], y[10] - y[2]],
    ]
    np.testing.assert_allclose(target[:5], np.array(expected) / y[:60].std(), atol=1e-5)


def test_the_naive_forecast_is_that_of_the_model_of_persistence():
    frame = polars.DataFrame({"y": walk(16), "z": walk(17)})
    leads = [1, 3, 7, 8]
    task = forecasting_task(
        frame, target=["y", "z"], horizon=leads, season=4, split=SPLIT, length=9
    )
    model = build("persistence", in_features=2, out_features=8, season=4, targets=2, leads=leads)
    windows = task.splits["test"]
    y = model(windows.inputs[None])[0][0]  # of values: models of the task read differences
    for number in range(len(windows)):
        first, end = windows.pieces.first[number], windows.pieces.end[number]
        torch.testing.assert_close(y[first:end], windows.naive(number), rtol=0, atol=0)


def test_the_floors_are_the_median_difference_and_a_linear_map():
    y = walk(18)
    frame = polars.DataFrame({"y": y})
    task = forecasting_task(frame, target="y", horizon=2, season=4, split=SPLIT, length=9)
    assert dict(task.floors) == {"constant": {"of": "median"}, "autoregression": {"order": 24}}
    assert forecasting_task(frame, target="y", season=30).floors["autoregression"] == {"order": 30}
    differences = {
        part: np.array([[y[t + h] - y[last_season(t, h, 4)] for h in (1, 2)] for t in steps])
        for part, steps in (("train", range(58)), ("test", range(89, ROWS - 2)))
    }
    floor = build("constant", in_features=1, out_features=2, **task.floors["constant"])
    floor.fit(task.pair("train", number) for number in range(len(task.splits["train"])))
    middle = np.sort(differences["train"], 0)[28]  # of 58, the lower of the two in the middle
    naive = np.abs(y[4:60] - y[:56]).mean()
    error = np.abs(differences["test"] - middle).mean() / naive
    assert metric(floor, task) == pytest.approx(error, rel=1e-5)
    assert task.notes[-1] == (
        "Targets are differences from the value of one season ago (season 4), or of the fewest "
        "seasons at which it is known: the seasonal naive forecast; the floor 'constant' is this "
        "forecast with its median error taken out."
    )


def differences(values, season):
    """From one season before, or from the first step, by a loop."""
    return np.array([values[t] - values[max(0, t - season)] for t in range(len(values))])


def size(*values):
    """The root mean square."""
    return np.sqrt(np.mean(np.square(np.concatenate(values))))


def test_a_series_begins_with_differences_from_its_first_step():
    frame = polars.DataFrame({"y": [float(t * t) for t in range(100)]})
    for season, first in ((1, [0, 1, 3, 5, 7]), (3, [0, 1, 4, 9, 15, 21, 27]), (60, [0, 1, 4, 9])):
        task = forecasting_task(frame, target="y", season=season, length=70)
        past = [t * t - max(0, t - season) ** 2 for t in range(70)]
        x = task.pair("train", 0)[0][: len(first), 0]
        np.testing.assert_allclose(x, np.array(first) / size(past[season:]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("season", [1, 3])
@pytest.mark.parametrize("context", [0, 5])
def test_models_read_differences_of_what_is_known_of_the_past_alone(season, context):
    """Of two series on other scales, with gaps, for every window of every split."""
    y, x = [walk(40), 100 * walk(41)], [walk(42), walk(43)]
    for values in (*y, *x):
        values[[0, 1, 20, 21, 70]] = np.nan
    calendar = np.arange(ROWS) % 5.0
    day = ["mon", "tue"] * 60
    frame = polars.concat(
        polars.DataFrame({"y": y[n], "x": x[n], "calendar": calendar, "day": day}).with_columns(
            s=polars.lit(f"s{n}"), kind=polars.lit(1.0 + n)
        )
        for n in (0, 1)
    )
    task = forecasting_task(
        frame,
        target="y",
        horizon=2,
        season=season,
        known=["calendar"],
        static=["kind"],
        id="s",
        split=SPLIT,
        length=9,
        context=context,
    )
    # Of the target in each series' own scale, of x in that of both: known values, then differences.
    naive = [np.nanmean(np.abs(part[season:60] - part[: 60 - season])) for part in y]
    own = [(part - np.nanmean(part[:60])) / scale for part, scale in zip(y, naive, strict=True)]
    mean = np.nanmean([part[:60] for part in x])
    past = [
        [differences(filled(part), season) for part in parts]
        for parts in (own, [part - mean for part in x])
    ]
    spreads = [size(one[season:60], two[season:60]) for one, two in past]
    ahead = np.append(calendar[2:], [calendar[-1]] * 2)
    known = (ahead - calendar[:60].mean()) / calendar[:60].std()
    for split, windows in task.splits.items():
        pieces = windows.pieces
        for number in range(len(windows)):
            n = int(pieces.series[number])
            steps = slice(pieces.start[number] - n * ROWS, pieces.end[number] - n * ROWS)
            expected = [
                past[0][n] / spreads[0],
                np.isnan(y[n]),
                past[1][n] / spreads[1],
                np.isnan(x[n]),
                known,
                [2.0 * n - 1] * ROWS,
                [name == "mon" for name in day],
                [name == "tue" for name in day],
            ]
            found = task.pair(split, number)[0]
            np.testing.assert_allclose(found, np.stack(expected, 1)[steps], rtol=1e-4, atol=1e-4)
    assert any("are read as differences from the value one season ago" in n for n in task.notes)


def test_a_column_that_repeats_every_season_is_read_as_it_is():
    """Its differences are 0, or rounding, which would be blown up; it does not drift."""
    hour = np.sin(np.arange(ROWS) * 2 * np.pi / 6)
    frame = polars.DataFrame({"y": walk(44), "hour": hour})
    task = forecasting_task(frame, target="y", season=6, split=SPLIT, length=60)
    x = task.pair("train", 0)[0][:, 1]
    expected = (hour - hour[:60].mean()) / hour[:60].std()
    np.testing.assert_allclose(x, expected[:59], atol=1e-5)
    assert any(
        note.startswith("'hour' is always as one season ago (season 6)") for note in task.notes
    )
    task = forecasting_task(frame, target="y", season=5, split=SPLIT, length=60)
    past = differences(hour, 5)
    x = task.pair("train", 0)[0][:, 1]
    np.testing.assert_allclose(x, past[:59] / size(past[5:60]), atol=1e-5)
    assert not any("'hour'" in note for note in task.notes)


def test_the_hash_covers_what_differences_are_over_and_the_rows_before_the_start():
    frame = polars.DataFrame({"y": walk(19), "x": walk(45)})
    task = forecasting_task(
        frame, target="y", horizon=[2, 8], season=7, split=SPLIT, length=9, context=1
    )
    # Training begins with the series: with any season the same rows are read.
    train = task.splits["train"]
    others = [replace(train, season=3)]
    others += [
        replace(train, spread=train.spread * torch.tensor(part)) for part in ([1, 0], [1, 2])
    ]
    assert len({windows.sha256() for windows in (train, *others)}) == 4
    # The first input is one step before the first that counts; its difference begins 7 before.
    windows = task.splits["test"]
    first = int(windows.pieces.first[0])
    for row, read in ((first - 9, False), (first - 8, True), (first - 2, True)):
        inputs = windows.inputs.clone()
        inputs[row] += 1
        other = replace(windows, inputs=inputs)
        assert (other.sha256() != windows.sha256()) is read


def test_several_series_are_scaled_each_by_its_own_error():
    """A series a hundred times as large counts the same."""
    one, two = walk(1), walk(2)
    frame = polars.DataFrame({"y": [*one, *(100 * two)], "s": ["a"] * ROWS + ["b"] * ROWS})
    options = {"target": "y", "horizon": 2, "split": SPLIT, "length": 9}
    task = forecasting_task(frame, id="s", **options)
    alone = [forecasting_task(polars.DataFrame({"y": y}), **options) for y in (one, two)]
    assert task.chance_level == pytest.approx(np.mean([part.chance_level for part in alone]))
    rmse = figures(constant([0.0, 0.0]), task, "test")[1]["rmse"]
    squares = [
        ((y[t + h] - y[t]) * size) ** 2
        for y, size in ((one, 1), (two, 100))
        for t in range(89, ROWS - 2)
        for h in (1, 2)
    ]
    assert rmse == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)


def test_scores_are_those_of_scikit_learn_and_torchmetrics():
    y = walk(3)
    task = forecasting_task(
        polars.DataFrame({"y": y, "x": walk(4)}), target="y", horizon=3, split=SPLIT, length=11
    )
    model = build("gru", in_features=2, out_features=3, hidden=4)
    forecast, truth = outputs(model, task)
    _, found = figures(model, task, "test")
    deviation = y[:60].std()
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, forecast))
    assert found["mse"] == pytest.approx(mean_squared_error(truth, forecast))
    past = y[89 : ROWS - 3, None]  # of a season of one step
    real = np.stack([y[89 + lead : ROWS - 3 + lead] for lead in (1, 2, 3)], 1)
    np.testing.assert_allclose(truth * deviation, real - past, atol=1e-5)
    own = forecast * deviation + past
    assert found["rmse"] == pytest.approx(mean_squared_error(real, own) ** 0.5, rel=1e-5)
    theirs = symmetric_mean_absolute_percentage_error(torch.tensor(own), torch.tensor(real))
    assert found["smape"] == pytest.approx(100 * float(theirs), rel=1e-5)
    assert mean_absolute_percentage_error(real, own) > 0
    # A part of a split is scored with the scales of its series.
    part = task.part("test", 20)
    kept = len(part.splits["test"])
    rows = np.concatenate([np.arange(11 * n, min(11 * n + 11, 28)) for n in (0, 1, 2)[:kept]])
    assert 0 < kept < 3
    own, real = own[rows], real[rows]
    _, found = figures(model, part, "test")
    assert found["rmse"] == pytest.approx(mean_squared_error(real, own) ** 0.5, rel=1e-5)
    theirs = symmetric_mean_absolute_percentage_error(torch.tensor(own), torch.tensor(real))
    assert found["smape"] == pytest.approx(100 * float(theirs), rel=1e-5)


@pytest.mark.parametrize(("levels", "middle"), [((0.1, 0.5, 0.8), 1), ((0.5, 0.6, 0.9), 0)])
def test_quantiles_are_scored_by_the_pinball_loss(levels, middle):
    y = walk(5)
    task = forecasting_task(
        polars.DataFrame({"y": y}), target="y", horizon=2, quantiles=levels, split=SPLIT, length=7
    )
    assert task.out_features == 6
    model = build("gru", in_features=1, out_features=6, hidden=3)
    forecast, truth = outputs(model, task)
    forecast = forecast.reshape(len(truth), 2, 3)
    naive = np.abs(np.diff(y[:60])).mean() / y[:60].std()
    theirs = np.mean(
        [
            mean_pinball_loss(truth.ravel(), forecast[..., n].ravel(), alpha=level)
            for n, level in enumerate(levels)
        ]
    )
    assert metric(model, task) == pytest.approx(theirs / naive, rel=1e-5)
    zeros = [mean_pinball_loss(truth.ravel(), 0 * truth.ravel(), alpha=level) for level in levels]
    assert task.chance_level == pytest.approx(np.mean(zeros) / naive, rel=1e-5)
    assert task.floors == {}
    assert task.notes[-1].endswith("the seasonal naive forecast.")
    _, scores = figures(model, task, "test")
    inside = (forecast[..., 0] <= truth) & (truth <= forecast[..., 2])
    assert scores["coverage"] == pytest.approx(100 * inside.mean())
    assert scores["mase"] == pytest.approx(
        np.abs(forecast[..., middle] - truth).mean() / naive, rel=1e-5
    )
    with pytest.raises(InputError, match="quantiles"):
        forecasting_task(polars.DataFrame({"y": y}), target="y", quantiles=(0.5, 0.1))


def test_inputs_are_scaled_filled_indicated_and_one_hot():
    y, x = walk(6), walk(7)
    x[[0, 5, 6, 70]] = np.nan
    day = ["mon", "tue"] * 59 + ["sun", None]
    frame = polars.DataFrame({"y": y, "x": x, "day": day, "same": [3.0] * ROWS})
    task = forecasting_task(frame, target="y", split=SPLIT, length=200, context=0)
    inputs, targets = task.pair("train", 0)
    mean, deviation = np.nanmean(x[:60]), np.nanstd(x[:60])
    filled = x.copy()
    filled[0], filled[5:7], filled[70] = mean, x[4], x[69]
    expected = np.stack(
        [
            (y - y[:60].mean()) / y[:60].std(),
            (filled - mean) / deviation,
            np.isnan(x),
            [name == "mon" for name in day],
            [name == "tue" for name in day],
        ],
        1,
    )
    np.testing.assert_allclose(task.splits["train"].inputs, expected, atol=1e-5)
    np.testing.assert_allclose(targets[:, 0], expected[1:60, 0] - expected[:59, 0], atol=1e-5)
    for number in (0, 1):
        past = differences(expected[:, number], 1)
        expected[:, number] = past / size(past[1:60])
    np.testing.assert_allclose(inputs, expected[:59], atol=1e-5)
    np.testing.assert_allclose(task.pair("test", 0)[0], expected[89:119], atol=1e-5)
    notes = " ".join(task.notes)
    assert "'same' is constant in training and left out" in notes
    assert "'x' has 4 missing values" in notes
    assert "1 other values later" in notes
    assert "1 missing values too" in notes


def test_known_columns_are_given_ahead_and_static_ones_repeated():
    calendar = np.arange(ROWS) % 5
    frame = polars.DataFrame({"y": walk(8), "calendar": calendar, "kind": [1.0] * ROWS})
    two = polars.concat(
        [
            frame.with_columns(s=polars.lit(s), kind=polars.lit(k))
            for s, k in (("a", 1.0), ("b", 2.0))
        ]
    )
    task = forecasting_task(
        two,
        target="y",
        horizon=4,
        known=["calendar"],
        static=["kind"],
        id="s",
        split=SPLIT,
        length=60,
    )
    x, _ = task.pair("train", 0)
    seen = x[:, 1].double().numpy()
    train = np.concatenate([calendar[:60]] * 2)
    np.testing.assert_allclose(seen, (calendar[4:60] - train.mean()) / train.std(), atol=1e-5)
    assert {float(task.pair("train", n)[0][:, 2].unique()) for n in (0, 1)} == {-1.0, 1.0}
    with pytest.raises(InputError, match="column 'calendar': expected a static column"):
        forecasting_task(two, target="y", static=["calendar"], id="s")


def test_missing_targets_are_not_counted():
    y = walk(9)
    y[[30, 100]] = np.nan
    task = forecasting_task(polars.DataFrame({"y": y}), target="y", split=SPLIT, length=7)
    assert [int(task.counted(split).sum()) for split in task.splits] == [58, 30, 29]
    assert any("missing at 2 steps, which are not counted" in note for note in task.notes)
    fitted = build("autoregression", in_features=task.in_features, out_features=1, order=2)
    fitted.fit(task.pair("train", number) for number in range(len(task.splits["train"])))
    assert metric(fitted, task, "train") < 2
    y[91:] = np.nan
    y[90] = np.nan
    with pytest.raises(InputError, match="no target is known in the split 'test'"):
        forecasting_task(polars.DataFrame({"y": y}), target="y", split=SPLIT)


def test_regression_and_classification_of_the_present_step():
    x = walk(10)
    y = np.roll(x, 1)
    frame = polars.DataFrame({"x": x, "y": y, "on": (np.diff(x, prepend=0) > 0).astype(int)})
    task = regression_task(frame, target="y", inputs=["x"], split=SPLIT, length=10)
    assert (task.in_features, task.out_features) == (1, 1)
    median = np.median(y[:60])
    level = np.abs(y[90:] - median).mean() / np.abs(y[:60] - median).mean()
    assert task.chance_level == pytest.approx(level, rel=1e-4)
    assert [int(task.counted(split).sum()) for split in task.splits] == list(SPLIT)
    task = classification_task(frame, target="on", inputs=["x"], split=SPLIT, length=10)
    share = frame["on"][:60].mean()
    right = frame["on"][90:].to_numpy()
    level = -np.mean(right * np.log(share) + (1 - right) * np.log(1 - share))
    assert task.chance_level == pytest.approx(level, rel=1e-4)
    classes = torch.cat([task.pair("test", n)[1] for n in range(len(task.splits["test"]))])
    assert classes[classes >= 0].tolist() == right.tolist()
    model = constant([0.0, 1.0])
    assert figures(model, task, "test")[1]["accuracy"] == pytest.approx(right.mean())


def test_a_target_of_values_that_never_come_again_has_no_classes():
    frame = polars.DataFrame({"x": range(300), "y": [f"code {n}" for n in range(300)]})
    with pytest.raises(InputError, match=r"come again, got 210 in training .* 210 of them once"):
        classification_task(frame, target="y", split=(0.7, 0.15, 0.15))
    words = [f"code {n // 2 if n < 100 else n % 60}" for n in range(300)]
    task = classification_task(frame.with_columns(y=polars.Series(words)), target="y")
    assert task.out_features == 60


def test_a_table_for_each_split(tmp_path):
    files = {}
    for number, split in enumerate(("train", "valid", "test")):
        files[split] = tmp_path / f"{split}.csv"
        polars.DataFrame({"x": walk(number), "c": ["a", "b"] * 60}).write_csv(files[split])
    task = classification_task(files, target="c", length=50)
    assert [int(task.counted(split).sum()) for split in task.splits] == [ROWS] * 3
    with pytest.raises(InputError, match="a table for each of train, valid, test"):
        classification_task({"train": files["train"]}, target="c")


def test_splits_by_fractions_and_by_times():
    days = polars.date_range(polars.date(2020, 1, 1), polars.date(2020, 4, 9), eager=True)
    frame = polars.DataFrame({"t": days, "y": walk(11, 100)})
    task = forecasting_task(frame, target="y", time="t")
    assert any("70 steps for training, 10 for validation, 20 for test" in n for n in task.notes)
    task = forecasting_task(frame, target="y", time="t", split=("2020-02-01", "2020-03-01"))
    assert any("31 steps for training, 29 for validation, 40 for test" in n for n in task.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": (0.7, 0.2, 0.2)}, "expected a split"),
        ({"split": (100, 30, 30)}, "needs 160 in each series, got one of 120"),
        ({"split": ("2020-01-01", "2020-02-01")}, "needs dates"),
        ({"split": (0.7, 0.1, 0.2), "horizon": 13}, "split 'valid' has 12 steps, too few"),
        ({"split": (0.999, 0.0005, 0.0005)}, "expected steps in all splits"),
        ({"horizon": 0}, "expected a horizon of 1 or more"),
        ({"horizon": 10**9}, "expected a horizon of at most 16,384 steps, got 1,000,000,000"),
        ({"time": "y", "id": "y"}, "column 'y' is named both for times and for series"),
        ({"horizon": [0, 1]}, "every step of the horizon"),
        ({"horizon": [3, 1]}, "rising"),
        ({"season": 80, "split": SPLIT}, "training shorter than the season"),
        ({"target": "none"}, "expected a column 'none'"),
        ({"target": "name"}, "target 'name': expected numbers, got text"),
        ({"static": ["x"], "known": ["x"]}, "named 2 times"),
        ({"inputs": ["name"]}, "at most 32 categories, got 84"),
        ({"frequency": "1h"}, "needs times"),
        ({"length": 0}, "length must be"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    frame = polars.DataFrame({"y": walk(12), "x": walk(13), "name": [f"n{n}" for n in range(ROWS)]})
    with pytest.raises(InputError, match=message):
        forecasting_task(frame, **({"target": "y", "inputs": ["x"]} | options))


def test_a_constant_target_is_refused():
    with pytest.raises(InputError, match="expected it to change in training"):
        forecasting_task(polars.DataFrame({"y": [1.0] * 100}), target="y")


def test_the_one_call_for_a_file(tmp_path):
    path = tmp_path / "my load.csv"
    frame = polars.DataFrame({"load": walk(14), "on": [0, 1] * 60, "kind": ["a", "b"] * 60})
    frame.write_csv(path)
    assert own_data_task(path, "load").out_features == 1
    assert own_data_task(path, "on", horizon=2).step_loss.quantiles == ()
    for target, horizon, classes in (("kind", None, 2), ("on", 0, 2), ("load", 0, 1)):
        task = own_data_task(path, target, horizon=horizon)
        assert (task.name, task.out_features) == ("my load", classes)
    with pytest.raises(InputError, match="at the present step"):
        own_data_task(path, "kind", quantiles=(0.5,))
    assert any("SHA-256" in note for note in own_data_task(path, "load").notes)
