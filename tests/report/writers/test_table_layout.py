from __future__ import annotations

import pytest

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.report.document import TableBlock
from trialbook.report.writers.table_layout import GAP, excerpt, parts

from ..documents import reference


def table(columns: int, rows: int = 3, name: str = "column") -> Table:
    named = tuple(Column(f"{name} {at}", Holds.NUMBER) for at in range(columns))
    return Table(named, tuple(tuple(0.123456 * at for at in range(columns)) for _ in range(rows)))


def test_columns_that_fit_stand_beside_each_other_as_wide_as_they_are():
    found = table(4)
    (part,) = parts(found, found.rows, 100)
    assert [column.share for column in part] == [None] * 4


@pytest.mark.parametrize("line", [40, 80, 120])
def test_a_wide_table_is_split_and_each_part_begins_with_the_first_column(line):
    found = table(30)
    split = parts(found, found.rows, line)
    assert len(split) > 1
    assert all(part[0].index == 0 for part in split)
    assert [column.index for part in split for column in part[1:]] == list(range(1, 30))
    assert all(sum(column.width + GAP for column in part) <= line for part in split)
    assert min(len(part) for part in split) > max(len(part) for part in split) / 2


def test_text_shares_what_numbers_leave():
    columns = (Column("name"), Column("text"), Column("value", Holds.NUMBER))
    found = Table(columns, (("n" * 300, "word " * 40, 0.5),))
    (part,) = parts(found, found.rows, 100)
    name, text, value = part
    assert value.numeric
    assert value.share is None
    assert name.share is not None
    assert text.share is not None
    assert 0.5 < name.share + text.share < 1.0


def test_long_headings_lose_their_middle_and_stay_different():
    names = [f"{'optimizer.' * 10}group_{at}{'.coefficient' * 10}" for at in range(3)]
    found = Table(tuple(Column(name, Holds.NUMBER) for name in names), ((1.0, 2.0, 3.0),))
    headings = [column.heading for part in parts(found, found.rows, 100) for column in part]
    assert len(set(headings)) == 3
    assert max(map(len, headings)) <= 60


def test_an_empty_table_and_a_single_column_have_a_layout():
    assert len(parts(Table((Column("a"), Column("b"))), (), 80)) == 1
    wide = Table((Column("a"),), (("n" * 300,),))
    ((column,),) = parts(wide, wide.rows, 80)
    assert column.share is not None


def test_a_page_shows_as_many_rows_as_the_block_and_the_format_say_and_names_the_rest():
    block = TableBlock("params", "Params", table(2, rows=9), reference("table:params"), shown=5)
    assert len(excerpt(block).rows) == 5
    assert len(excerpt(block, 3).rows) == 3
    assert "first 3 of 9 rows" in excerpt(block, 3).note
    assert "csv/params.csv" in excerpt(block, 3).note
    whole = TableBlock("params", "Params", table(2, rows=9), reference("table:params"))
    assert excerpt(whole, 9).note == ""
