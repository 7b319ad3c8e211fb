"""Tables out of files: round trips, times, and every bad input with its place."""

import gzip
import zipfile

import numpy as np
import polars
import pytest

from unrecur import CorruptFileError, InputError
from unrecur.data import text_tables
from unrecur.data.resample import on_grid
from unrecur.data.series import series_of
from unrecur.data.table import read_table

FRAME = polars.DataFrame(
    {"load": [1.5, None, -3e-7], "day": ["mon", "a, b", 'say "x"'], "count": [1, 2, 3]}
)
WRITERS = {
    "csv": lambda path: FRAME.write_csv(path),
    "tsv": lambda path: FRAME.write_csv(path, separator="\t"),
    "csv.gz": lambda path: path.write_bytes(gzip.compress(FRAME.write_csv().encode())),
    "parquet": lambda path: FRAME.write_parquet(path),
    "jsonl": lambda path: FRAME.write_ndjson(path),
    "npz": lambda path: np.savez(
        path, load=[1.5, np.nan, -3e-7], day=FRAME["day"].to_numpy().astype(str), count=[1, 2, 3]
    ),
}


def ticks(path):
    return read_table(path, time="t").frame["t"].to_list()


@pytest.mark.parametrize("kind", WRITERS)
def test_files_of_every_kind_hold_the_same(kind, tmp_path):
    path = tmp_path / f"a [table] für *.{kind}"
    WRITERS[kind](path)
    table = read_table(path)
    assert {name: table.frame[name].to_list() for name in table.frame.columns} == {
        "load": [1.5, None, -3e-7],
        "day": ["mon", "a, b", 'say "x"'],
        "count": [1.0, 2.0, 3.0],
    }
    assert len(table.source.sha256) == 64
    assert read_table(path, ["count"]).frame.columns == ["count"]


def test_arrays_are_columns_by_number(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6).reshape(3, 2))
    assert read_table(tmp_path / "x.npy").frame.to_dict(as_series=False) == {
        "0": [0.0, 2.0, 4.0],
        "1": [1.0, 3.0, 5.0],
    }


def write(tmp_path, content, name="x.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_layouts_of_text(tmp_path):
    content = '\ufeffa;b\r\n1; 2.5\r\n"3";NA\r\n;4\r\n\r\n\r\n'
    frame = read_table(write(tmp_path, content)).frame
    assert frame.to_dict(as_series=False) == {"a": [1.0, 3.0, None], "b": [2.5, None, 4.0]}
    one = read_table(write(tmp_path, "a\n1\n\n3\n\n")).frame
    assert one["a"].to_list() == [1.0, None, 3.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n4,5\n", "line 3: expected 2 cells.* got 1"),
        ("a,b\n1,2\n3,4,5\n", "line 3: expected 2 cells.* got 3"),
        ("a,b\n1,2\n\n3,4\n", "line 3: expected 2 cells.* got 0"),
        ('a,b\n1,"x\ny"\n3\n', "line 4: expected 2 cells.* got 1"),
        ('a,b\n1,"2\n3,4\n', "line 2: expected every quotation mark to be closed"),
        (b"a,b\n1,2\n3,\xff\n", "line 3, byte 3 of the line: expected UTF-8, got 0xff"),
        (b"a,b\n1,2\n3,\0\n", "line 3, byte 3 of the line: expected text, got a NUL"),
        ("a,b\n1,2\n3,4\nx,6\n", "line 4, column 'a': expected a number.*'x'"),
        ("a,b\n1,2\n-inf,4\n5,6\n", "line 3, column 'a': expected finite numbers"),
        ("a,b,a\n1,2,3\n", "line 1: .*own name, got 'a' 2 times"),
        ("1,2\n3,4\n", "line 1: expected the names of the columns"),
        ("a,b\n", "got no rows"),
        ("", "got no rows"),
    ],
)
def test_bad_text_is_named_by_line(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_table(write(tmp_path, content))


@pytest.mark.parametrize("piece", [3, 7, 64])
def test_pieces_of_a_file_are_seamless(piece, tmp_path, monkeypatch):
    rows = [f'{n},"é, {n}\n"' if n % 5 == 0 else f"{n},x{n}" for n in range(1, 40)]
    monkeypatch.setattr(text_tables, "PIECE", piece)
    path = write(tmp_path, "a,b\n" + "\n".join(rows))
    layout = text_tables.inspect(path)
    assert (layout.rows, layout.lines_are_rows) == (39, False)
    broken = [*rows[:30], "7", *rows[30:]]
    with pytest.raises(InputError, match=f"line {32 + 6}: .* got 1"):
        text_tables.inspect(write(tmp_path, "a,b\n" + "\n".join(broken)))


def test_one_enormous_line_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "LONGEST_LINE", 2**12)
    monkeypatch.setattr(text_tables, "PIECE", 2**10)
    path = tmp_path / "x.csv"
    with path.open("wb") as file:
        file.truncate(2**31)  # a file of 2 GB with holes: nothing is written
    with pytest.raises(InputError, match=r"lines of at most 4,096 bytes"):
        text_tables.inspect(path)
    with pytest.raises(InputError, match="lines of at most"):
        text_tables.inspect(write(tmp_path, "a\n" + "1" * 5000 + "\n2\n"))


def test_bombs_and_damage_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "ALWAYS_ALLOWED", 2**10)
    bomb = write(tmp_path, gzip.compress(b"a\n" + b"1\n" * 2**20), "bomb.csv.gz")
    with pytest.raises(InputError, match="once inflated"):
        read_table(bomb)
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 100)
    for content in (packed[:-9], packed[:20] + b"x" * 5 + packed[25:], b"a,b\n1,2\n"):
        with pytest.raises(CorruptFileError, match="gzip"):
            read_table(write(tmp_path, content, "x.csv.gz"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", b"not an array")
    for path in (
        write(tmp_path, b"PAR1junkPAR1", "x.parquet"),
        tmp_path / "x.npz",
        write(tmp_path, b"\x93NUMPY", "x.npy"),
    ):
        with pytest.raises(CorruptFileError, match="cannot be read"):
            read_table(path)
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CorruptFileError, match="cannot be read"):
        read_table(tmp_path / "o.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": 2\n', "line 2: expected one JSON object"),
        ('{"a": 1}\n[2]\n', "line 2: expected a JSON object of numbers and text"),
        ('{"a": 1}\n\n{"a": [2]}\n', "line 3: expected a JSON object of numbers and text"),
        ('{"a": 1}\n{"a": 3}\n{"a": "x"}\n', "line 3, column 'a': expected a number"),
        ("\n", "empty file"),
    ],
)
def test_bad_json_lines_are_named(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_table(write(tmp_path, content, "x.jsonl"))


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a table in one of .*got '\.xls'"):
        read_table(write(tmp_path, "x", "x.xls"))
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="expected a column 'c', got the columns a, b"):
        read_table(write(tmp_path, "a,b\n1,2\n"), ["c"])
    frame = polars.DataFrame({"a": [[1]]})
    with pytest.raises(InputError, match=r"column 'a': expected numbers or text, got List"):
        read_table(frame)
    np.savez(tmp_path / "x.npz", a=[1, 2], b=[1])
    with pytest.raises(InputError, match="same length, got a 2, b 1"):
        read_table(tmp_path / "x.npz")


DAY = 86400 * 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", DAY),
        ("1970/01/02", DAY),
        ("1970-02", 31 * DAY),
        ("1970-01-02 00:30", DAY + 1800 * 10**6),
        ("1970-01-02T00:00:01", DAY + 10**6),
        ("1970-01-02 00:00:00.25", DAY + 250_000),
        ("1970-01-02T01:00:00+01:00", DAY),
        ("1970-01-02T00:00Z", DAY),
        ("12", 12),
        ("0.5", 500_000),
    ],
)
def test_times_are_read(text, expected, tmp_path):
    assert ticks(write(tmp_path, f"t,x\n{text},1\n")) == [expected]


def test_times_of_frames_and_zones():
    when = polars.Series("t", [0, 3600 * 10**6]).cast(polars.Datetime("us"))
    zoned = polars.DataFrame({"t": when.dt.replace_time_zone("Europe/Berlin"), "x": [1, 2]})
    table = read_table(zoned, time="t")
    assert table.frame["t"].to_list() == [-3600 * 10**6, 0]
    assert "from Europe/Berlin to UTC" in table.clock.notes[0]
    assert read_table(polars.DataFrame({"t": when.dt.date()}), time="t").frame["t"].to_list() == [
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["01/02/2020"], "column 't': expected times, like 2016.*got '01/02/2020'"),
        (["2020-01-01", "2020-13-01"], "line 3, column 't': expected a time.*'2020-13-01'"),
        (["2020-01-01T00:00", "2020-01-01T00:00Z"], "line 3, column 't'"),
        (["2020-01-01", ""], "line 3, column 't': .* got an empty cell"),
        (["", ""], "column 't': expected times, got an empty column"),
        (["1", "2", "x"], "line 4, column 't': expected a time.*'x'"),
    ],
)
def test_bad_times_are_named(times, message, tmp_path):
    path = write(tmp_path, "t,x\n" + "".join(f"{time},1\n" for time in times))
    with pytest.raises(InputError, match=message):
        ticks(path)


def grid_of(times, values, **options):
    frame = polars.DataFrame({"t": times, "x": values})
    return on_grid(series_of(read_table(frame, time="t"), "t", None), **options)


@pytest.mark.parametrize("seed", range(5))
def test_resampling_is_what_a_slow_loop_does(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(400, 120, replace=False)) * 10
    times[1:40] = times[0] + 60 * np.arange(1, 40) + rng.integers(-20, 20, 39)
    times = np.unique(times)
    values = rng.normal(size=len(times))
    values[rng.random(len(times)) < 0.1] = np.nan
    grid = grid_of(times, values, frequency=60)
    bins = {}
    for time, value in zip(times, values, strict=True):
        step = (time - times[0] + 30) // 60
        bins.setdefault(step, []).append(value)
    expected = [
        np.nan if np.isnan(bins.get(step, [np.nan])).all() else np.nanmean(bins[step])
        for step in range(max(bins) + 1)
    ]
    np.testing.assert_allclose(grid.series.numbers["x"], expected)
    empty = len(expected) - len(bins)
    assert f"{empty:,} of {len(expected):,} steps have no row" in grid.series.notes[-1]


def test_months_are_equal_steps_and_gaps_are_said():
    months = polars.datetime_range(
        polars.datetime(2019, 1, 1), polars.datetime(2021, 6, 1), "1mo", eager=True
    )
    whole = grid_of(months, range(30))
    assert whole.months
    assert not whole.series.notes
    some = grid_of(months.gather([n for n in range(30) if n != 7]), range(29))
    assert np.flatnonzero(np.isnan(some.series.numbers["x"])).tolist() == [7]
    ends = months.dt.offset_by("1mo").dt.offset_by("-1d")
    assert grid_of(ends, range(30)).months


def test_rows_out_of_order_are_sorted_and_repeats_taken_once(tmp_path):
    path = write(tmp_path, "t,s,x\n3,a,3\n1,a,1\n1,b,7\n2,a,2\n2,a,2\n2,b,8\n")
    series = series_of(read_table(path, time="t", text=["s"]), "t", "s")
    assert series.numbers["x"].tolist() == [1, 2, 3, 7, 8]
    assert series.offsets.tolist() == [0, 3, 5]
    assert "4 rows were not in order of time" in series.notes[0]
    assert "1 rows that repeat another" in series.notes[1]


def test_two_rows_at_one_time_are_refused(tmp_path):
    path = write(tmp_path, "t,x\n2020-10-25 01:00,1\n2020-10-25 02:00,2\n2020-10-25 02:00,3\n")
    table = read_table(path, time="t")
    with pytest.raises(InputError, match=r"line 4, column 't': .* again from .*line 3.*set back"):
        series_of(table, "t", None)
    path = write(tmp_path, "t,s,x\n1,,1\n")
    with pytest.raises(InputError, match="line 2, column 's': expected the name of a series"):
        series_of(read_table(path, time="t", text=["s"]), "t", "s")


def test_a_spring_gap_of_the_clock_is_a_step_without_row():
    hours = ["00:00", "01:00", "03:00", "04:00"]
    frame = polars.DataFrame({"t": [f"2020-03-29 {hour}" for hour in hours], "x": range(4)})
    grid = on_grid(series_of(read_table(frame, time="t"), "t", None))
    assert "1 of 5 steps have no row" in grid.series.notes[-1]


def test_grids_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="most of them empty"):
        grid_of([0, 1, 2, 10**9], range(4))
    with pytest.raises(InputError, match="two rows or more"):
        grid_of([0], [1])
    for wrong in ("0", "x", -1, "1h"):
        with pytest.raises(InputError, match="expected a frequency"):
            grid_of([0, 1, 2], range(3), frequency=wrong)
