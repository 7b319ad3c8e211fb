"""An audit in a terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from report.fake_audit import all_proved, emptied, two_recurrences
from unrecur import _check
from unrecur.report.audit_table import print_audit


def printed(record, width=80):
    out = io.StringIO()
    print_audit(record, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("make", [all_proved, two_recurrences])
def test_fits_80_columns_and_says_the_advice(make):
    record = make()
    text = printed(record)
    assert max(map(cell_len, text.splitlines())) <= 80
    said = " ".join(text.split())
    for found in record["recurrences"]:
        assert f"{found['name']}: {found['kind']}" in said
        for each in found["advice"]:
            assert f"{each['say']} {each['why']}" in said


def test_shows_every_window():
    record = all_proved()
    (found,) = record["recurrences"]
    row = next(line for line in printed(record).splitlines() if line.strip().startswith("output"))
    tiers = ("proved", "proved on these inputs", "statistical", "measured")
    ks = {w["tier"]: w["k"] for w in found["windows"] if (w["of"], w["eps"]) == ("output", 0.1)}
    assert row.split()[2:] == [str(ks[tier]) for tier in tiers]


def test_long_windows_keep_the_columns():
    record = two_recurrences()
    for found in record["recurrences"]:
        found["curve"]["limit"] = 1_000_000
        for window in found["windows"]:
            window["k"], window["known"] = None, True
    text = printed(record)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert ">1,000,000" in text


def test_names_the_units_that_do_not_forget():
    record = two_recurrences()
    units = record["recurrences"][1]["cells"][0]["units"]
    units["kinds"] = {"counter": {"count": 70, "names": [f"c[{i}]" for i in range(64)]}}
    units["kinds"]["dead"] = {"count": 1, "names": ["h[3]"]}
    said = " ".join(printed(record).split())
    assert "counters 70 (c[0], c[1], c[2], c[3], c[4], c[5], …); dead 1 (h[3])." in said


def test_null_everywhere_and_no_recurrence():
    for make in (all_proved, two_recurrences):
        text = printed(emptied(make()))
        assert "None" not in text
        assert "nan" not in text.split()
    assert printed({"recurrences": []}) == "No recurrence was looked at.\n"
    with pytest.raises(_check.InputError, match="a list 'recurrences'"):
        printed({})


def test_markup_and_control_characters_do_nothing():
    record = all_proved()
    (found,) = record["recurrences"]
    found["name"] = "[red]x[/] :fire:"
    found["advice"][0] = {"about": "truncate", "say": "[/nothing]\x1b[2J", "why": "[bold]\u202e"}
    found["notes"] = ["[link=http://x]\x07"]
    text = printed(record)
    for literal in ("[red]x[/] :fire:", "[/nothing]", "[bold]", "[link=http://x]"):
        assert literal in text
    for control in ("\x1b[2J", "\x07", "\u202e"):
        assert control not in text
