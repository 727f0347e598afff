"""Tables as CSV, and the index that says what each file shows."""

from __future__ import annotations

import csv
import hashlib
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.records.figure_references import figure_reference
from trialbook.report.writers.csv import csv_text, tables_of, write

from ..documents import HOSTILE, document

_CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


def _read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def test_each_table_and_the_table_behind_each_figure_is_a_file(tmp_path):
    written = write(document(), tmp_path)
    names = [named.name for named in tables_of(document())]
    assert names[:3] == ["params", "empty", "points"]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "csv/index.csv", *(f"csv/{name}.csv" for name in names),
    ]  # fmt: skip
    assert _read(tmp_path / "csv/empty.csv") == [_read(tmp_path / "csv/params.csv")[0]]


def test_the_header_has_units_and_numbers_are_whole(tmp_path):
    write(document(), tmp_path)
    rows = _read(tmp_path / "csv/params.csv")
    assert rows[0][:4] == ["param plain", "trials", "time (s)", "value"]
    assert rows[2][1:4] == ["1", "0.123456789", "0.30000000000000004"]
    assert rows[-2][:4] == ["", "", "NaN", "-inf"]
    assert rows[-1][:4] == ["'=plain", "-1", "-0.5", "1e-300"]


def test_the_index_knows_each_file_by_its_content(tmp_path):
    write(document(), tmp_path)
    header, *rows = _read(tmp_path / "csv/index.csv")
    assert header == ["file", "caption", "reference", "sha256"]
    for name, caption, text, digest in rows:
        assert caption
        assert hashlib.sha256((tmp_path / "csv" / name).read_bytes()).hexdigest() == digest
        assert figure_reference(text).studies[0].name == "digits"


def test_the_same_document_gives_the_same_bytes(tmp_path):
    first, second = write(document(), tmp_path / "a"), write(document(), tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_hostile_text_is_no_formula_and_no_line_of_its_own(tmp_path):
    for text in (*HOSTILE, "=1+1", "@SUM(A1)", "-2+3", " =1", "\ufeff=1", "\t1", "＝1", "a\r\n=1"):
        write(document(text), tmp_path)
        for path in (tmp_path / "csv").iterdir():
            content = path.read_text()
            assert all(c == "\n" or c.isprintable() for c in content)
            for row in _read(path)[1:]:
                assert not row[0].strip("\ufeff ").startswith(("=", "@", "＝", "\t", "-"))


@given(st.lists(st.tuples(_CELLS, _CELLS), max_size=4))
def test_any_table_reads_back_with_its_shape_and_its_numbers(rows):
    text = csv_text(Table((Column("a"), Column("b", Holds.NUMBER, "s")), tuple(rows)))
    assert text.count("\n") == len(rows) + 1
    read = list(csv.reader(text.splitlines()))
    assert read[0] == ["a", "b (s)"]
    for row, cells in zip(rows, read[1:], strict=True):
        for value, cell in zip(row, cells, strict=True):
            if isinstance(value, float) and not isinstance(value, bool):
                assert math.isnan(value) if cell == "NaN" else float(cell) == value
            elif isinstance(value, int) and not isinstance(value, bool):
                assert int(cell) == value
