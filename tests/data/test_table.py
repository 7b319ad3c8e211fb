"""Tables out of files: round trips, times, and every bad input with its place."""

import gzip
import os
import zipfile

import numpy as np
import polars
import pytest

from unrecur import CorruptFileError, InputError
from unrecur.data import text_tables
from unrecur.data.resample import on_grid
from unrecur.data.series import series_of
from unrecur.data.table import read_table
from unrecur.data.times import instant

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
    quoted = '\ufeff"a\n(m)","b"\n"1","x ""y"""\n"2",""\n'
    frame = read_table(write(tmp_path, quoted)).frame
    assert frame.to_dict(as_series=False) == {"a\n(m)": [1.0, 2.0], "b": ['x "y"', None]}


def test_no_row_is_lost_whatever_is_read(tmp_path):
    """Marks for inches in a column that is not read once hid all rows between two of them."""
    rows = "".join(f"{n},{n % 7}.5,pipe\n" for n in range(300))
    path = write(tmp_path, "x,y,size\n" + rows.replace("\n", '"\n', 1))
    with pytest.raises(InputError, match="line 2: expected quotation marks"):
        read_table(path, ["y"])
    path = write(tmp_path, "x,y,size\n" + rows.replace("pipe", '"5"" pipe"'))
    assert read_table(path, ["y"]).frame.height == 300


@pytest.mark.parametrize(
    "value", ["0,006", "1.234,5", "12%", "$3.50", "3 €", "1,234,567.8", "-1 000,5"]
)
def test_numbers_in_another_notation_are_no_text(value, tmp_path):
    path = write(tmp_path, "n;x\n0;1\n1;?\n" + "".join(f"{n};{value}\n" for n in range(2, 9)))
    with pytest.raises(
        InputError, match=r"line 4, column 'x': expected a number like 1234\.5, got"
    ):
        read_table(path)
    for other in ("1.2.3", "10:30", "a,b", "1-2", "x%"):
        path = write(tmp_path, f"n;x\n0;{other}\n1;{other}\n")
        assert read_table(path).frame["x"].to_list() == [other, other]


def test_thousands_of_columns_are_told_apart(tmp_path):
    names = [f"c{number}" for number in range(30_000)]
    cells = ",".join(map(str, range(30_000)))
    path = write(tmp_path, f"{','.join(names)}\n{cells}\n")
    assert read_table(path, ["c29999"]).frame["c29999"].to_list() == [29999.0]
    with pytest.raises(InputError, match="got 'c7' 2 times"):
        read_table(write(tmp_path, f"{','.join(names)},c7\n{cells},0\n"))


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
        (
            'a,b\n1,5" pipe\n2,x\n3,6" pipe\n',
            "line 2: expected quotation marks around a whole cell",
        ),
        ('a,b\n1,2\n"3"x,4\n', "line 3: expected quotation marks around a whole cell"),
        ('a,b\n1,2\n3, "4"\n', "line 3: expected quotation marks .* no space before"),
        ("a,b\r1,2\r3,4\r", "line 1: expected lines that end in line feeds"),
        ("sep=;\na;b\n1;2\n", "line 1: expected the names of the columns, got 'sep=;'"),
        ('a,5" pipe\n' + "1,2\n" * 50_000, "line 1: expected quotation marks around"),
        ('a,"' + "x\n" * 140_000, "line 1: expected the names of the columns"),
        ("*,b\n1,2\n", r"expected plain names of columns, got '\*'"),
        ("^b$,b\n1,2\n", r"expected plain names of columns, got '\^b\$'"),
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
        ('{"a": 1}\n{"a": NaN}\n', "line 2: .*NaN is no JSON; write null"),
        ('\ufeff{"a": 1}\n', "line 1: .*byte order mark"),
        ('{"a": 1, "a": 2}\n', "line 1: .*stands twice"),
        (
            '{"a": 1}\n{"a": null}\n{"a": true}\n',
            "line 3: expected values of 'a' that are all true",
        ),
    ],
)
def test_bad_json_lines_are_named(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_table(write(tmp_path, content, "x.jsonl"))


def test_packed_tables_in_capitals_and_with_padding(tmp_path):
    content = gzip.compress(b"a,b\n1,2\n3,4\n")
    table = read_table(write(tmp_path, content, "X.CSV.GZ"))
    assert table.frame["b"].to_list() == [2.0, 4.0]
    with pytest.raises(CorruptFileError, match=r"p\.csv\.gz.*gzip"):
        read_table(write(tmp_path, content + bytes(100), "p.csv.gz"))


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
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match=r"pipe\.csv: expected a file, got"):
        read_table(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: expected a file, got"):
        read_table(tmp_path / "folder.csv")
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
        ("201513", 201513),
        ("20150132", 20150132),
        ("1420070400", 1420070400),
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
        (["1e19", "2e19"], "column 't': expected a time"),
        (["01/02/15", "02/02/15"], "column 't': expected times, like 2016.*got '01/02/15'"),
        (["2015-02-01", "02-02-15"], "line 3, column 't': expected a time.*'02-02-15'"),
        (["201501", "201502"], "column 't': expected times, got numbers .* like 201501"),
        (["20150131", "20150201"], "numbers that read as dates"),
        (["2015013100", "2015013101"], "numbers that read as dates"),
        (["20150131001559", "20150131001600"], "numbers that read as dates"),
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
    assert whole.series.notes == ["Time is counted in months."]
    some = grid_of(months.gather([n for n in range(30) if n != 7]), range(29))
    assert np.flatnonzero(np.isnan(some.series.numbers["x"])).tolist() == [7]
    ends = months.dt.offset_by("1mo").dt.offset_by("-1d")
    assert grid_of(ends, range(30)).months
    for other in (
        months.dt.offset_by("14d"),
        months.dt.offset_by("6h"),
        months.dt.replace_time_zone("Europe/Berlin"),
    ):
        grid = grid_of(other, range(30))
        assert (grid.months, grid.step, len(grid.series.numbers["x"])) == (True, 1, 30)


def test_months_are_cut_at_days():
    """A row of a month is before a time if its own day is."""
    firsts = polars.datetime_range(
        polars.datetime(2019, 1, 1), polars.datetime(2021, 6, 1), "1mo", eager=True
    )
    lasts = firsts.dt.offset_by("1mo").dt.offset_by("-1d")
    noons = lasts.dt.offset_by("12h")
    for rows in (firsts, firsts.dt.offset_by("14d"), lasts, lasts[1:], lasts[3:], noons):
        grid = grid_of(rows, range(len(rows)))
        ticks = rows.dt.epoch("us").to_numpy()
        days = ("01", "02", "15", "16", "29", "30", "31")
        cuts = [f"2020-03-{day}" for day in days] + ["2020-02-29", "2020-04-30", "2020-05-01"]
        for cut in [*cuts, *(f"{cut} 12:00" for cut in cuts)]:
            at = instant(cut)
            assert grid.position(at).tolist() == [int((ticks < at).sum())], (rows[0], cut)


@pytest.mark.parametrize("unit", ["s", "m", "h", "D", "W", "M", "ns"])
def test_times_of_numpy_in_any_unit(unit, tmp_path):
    times = np.datetime64("2020-01-01", unit) + np.arange(3)
    np.savez(tmp_path / "x.npz", t=times, x=np.arange(3.0))
    expected = times.astype("datetime64[us]").astype(np.int64).tolist()
    assert ticks(tmp_path / "x.npz") == expected


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
    hours = polars.datetime_range(
        polars.datetime(2019, 1, 1), polars.datetime(2019, 1, 2), "1h", eager=True
    )
    for wrong in ("nanh", "infd"):
        with pytest.raises(InputError, match="expected a frequency"):
            grid_of(hours, range(25), frequency=wrong)
    for wrong in ("0", "x", -1, "1h", "nan", "inf"):
        with pytest.raises(InputError, match="expected a frequency"):
            grid_of([0, 1, 2], range(3), frequency=wrong)
