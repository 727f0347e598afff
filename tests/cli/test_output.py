"""Tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.cli.output import (
    Column,
    csv_cell,
    duration_text,
    json_text,
    number_text,
    size_text,
    write_csv,
    write_json_rows,
    write_table,
)


def _strict(text: str):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Point:
    value: float
    colour: Colour
    at: datetime
    more: tuple[object, ...]


def test_records_become_strict_json():
    point = Point(math.nan, Colour.RED, datetime(2026, 1, 2, 3, 4, 5), (1, -0.0, None, b"\x00"))
    assert _strict(json_text(point)) == {
        "value": {"$float": "nan"},
        "colour": "red",
        "at": "2026-01-02T03:04:05",
        "more": [1, -0.0, None, {"$bytes": "00"}],
    }


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(_VALUES)
def test_any_value_is_strict_ascii_json_that_a_terminal_does_not_act_upon(value):
    text = json_text(value)
    _strict(text)
    assert text.isascii()
    assert all(c == "\n" or c.isprintable() for c in text)


def test_rows_are_one_array_even_when_there_are_none():
    for rows in ([], [{"a": 1}], [{"a": 1}, {"a": math.inf}]):
        out = io.StringIO()
        write_json_rows(iter(rows), out)
        assert len(_strict(out.getvalue())) == len(rows)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text):
    assert csv_cell(text).startswith("'")


def test_numbers_are_numbers_in_csv_and_nothing_is_nothing():
    cells = [-1, -0.5, math.nan, math.inf, -math.inf, None, True, False, 0.1 + 0.2]
    assert [csv_cell(c) for c in cells] == [
        "-1", "-0.5", "nan", "inf", "-inf", "", "true", "false", "0.30000000000000004",
    ]  # fmt: skip


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_a_csv_row_is_a_line(rows):
    out = io.StringIO()
    write_csv(("a", "b"), rows, out)
    assert len(out.getvalue().split("\n")) == len(rows) + 2
    assert len(list(csv.reader(io.StringIO(out.getvalue())))) == len(rows) + 1


def test_tables_are_whole_and_aligned_away_from_a_terminal(capsys):
    name = "n" * 400
    rows = [(name, "1"), ("大文字", "22"), ("\x1b[31m", "333")]
    write_table((Column("NAME"), Column("COUNT", right=True)), rows)
    lines = capsys.readouterr().out.split("\n")
    assert lines[1] == f"{name}      1"
    assert lines[2] == "大文字" + " " * (400 - 6) + "     22"
    assert lines[3].startswith(r"\x1b[31m")


def test_a_long_table_is_written_by_chunks(capsys):
    write_table((Column("N"),), ((str(n),) for n in range(2500)))
    assert capsys.readouterr().out.split() == ["N", *map(str, range(2500))]


def test_quantities_read_as_people_write_them():
    assert [duration_text(s) for s in (None, 0.1234, 59, 185, 7620, math.nan)] == [
        "", "0.123 s", "59 s", "3 min 05 s", "2 h 07 min", "",
    ]  # fmt: skip
    assert [size_text(s) for s in (0, 812, 1434, 5 * 2**40)] == [
        "0 B", "812 B", "1.4 KiB", "5.0 TiB",
    ]  # fmt: skip
    assert number_text(0.1 + 0.2) == "0.30000000000000004"
    assert number_text(0.1 + 0.2, brief=True) == "0.3"
    assert number_text(math.inf, brief=True) == "inf"
