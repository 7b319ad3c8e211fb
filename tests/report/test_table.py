"""The end of a study in a terminal."""

import io
import math
from statistics import fmean, stdev

import pytest
from rich.cells import cell_len
from rich.console import Console

from report.fake_results import MODELS, fake_results
from unrecur.report.table import print_results, summary_table
from unrecur.report.text import ABSENT


def printed(results, width=80):
    out = io.StringIO()
    print_results(results, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def test_fits_80_columns_and_shows_every_number():
    results = fake_results()
    text = printed(results)
    assert max(map(cell_len, text.splitlines())) <= 80
    table = text[: text.index("Recurrence")].splitlines()
    lines = {line.split()[0]: line.split() for line in table if line.strip()}
    tests = [row["metric"]["test"] for row in results["rows"] if row["model"] == "gru"]
    assert lines["gru"][1:5] == ["100k", f"{fmean(tests):.3f}", "±", f"{stdev(tests):.2g}"]
    assert lines["gru"][7:] == ["16", "unknown"]
    assert lines["stable-lstm"][7:] == ["8", "proved"]
    assert lines["markov"][5] == ABSENT  # counted, not trained


def test_shows_the_verdict_its_reasons_and_the_truncation():
    text = " ".join(printed(fake_results()).split())
    for sentence in (
        "→ Recurrence is not needed",
        "The best feed-forward model (tcn) is within 2% of the best recurrent one.",
        "+0.52% [\N{MINUS SIGN}0.09%, +1.17%] gru on 16 inputs (7.620) against gru (7.580) nats",
        "Both families beat the Markov floor (8.24 nats per frame) in every seed.",
        "k = 8 inputs. On the test split it then has 7.729 against 7.709 nats per frame",
    ):
        assert sentence in text


def test_an_interrupted_study():
    results = fake_results(MODELS[:1], 1)
    results["verdict"] = results["truncation"] = None
    results["rows"][0] |= {"speed": None, "memory": None, "certificate": None, "metric": {}}
    text = printed(results)
    assert "… No verdict yet" in text
    assert "No window is known" in text
    assert next(line for line in text.splitlines() if "lstm" in line).split()[2:] == [ABSENT] * 5


def test_markup_and_control_characters_do_nothing():
    results = fake_results(MODELS[:1], 1)
    results["rows"][0]["model"] = "[red]x[/] :fire:"
    results["task"]["title"] = "[/nothing is open]"
    results["verdict"]["headline"] = "\x1b[2J[link=http://x]gone"
    results["verdict"]["reasons"] = ["[bold]\x07\u202ereason"]
    text = printed(results)
    for literal in ("[red]x[/] :fire:", "[/nothing is open]", "[2J[link=http://x]gone", "[bold]"):
        assert literal in text
    for control in ("\x1b[2J", "\x07", "\u202e"):
        assert control not in text


@pytest.mark.parametrize("name", ["m" * 200, "模" * 60])
def test_long_names_fit(name):
    results = fake_results(MODELS[:2], 2)
    for row in results["rows"]:
        row["model"] = name + row["model"]
        row["certificate"]["evidence"] = "proved on these inputs"
        row["metric"]["test"] *= 1e-9
    text = printed(results)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "lstm" in text  # the end of a name is what tells variants apart


def test_nan_is_absent():
    results = fake_results(MODELS[:1], 1)
    results["rows"][0]["metric"]["test"] = math.nan
    assert "nan" not in printed(results)
    assert summary_table(results).row_count == 1
