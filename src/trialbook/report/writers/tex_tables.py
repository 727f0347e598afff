"""Tables in LaTeX: booktabs, numbers aligned by siunitx, text that wraps.

A table that fits on a page floats; a longer one is a ``longtable``, which breaks over pages and
needs a one-column page. One that is too wide is split, and shrinks where that is not enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trialbook.analysis.columns import Cell, Column, Table
from trialbook.report.carrying import pdf
from trialbook.report.document import TableBlock
from trialbook.report.labels import shortened
from trialbook.report.numbers import NO_CELL, table_text
from trialbook.report.writers.captions import ended
from trialbook.report.writers.table_layout import GAP, LaidColumn, excerpt, parts
from trialbook.report.writers.tex_text import siunitx, tex, tex_caption, tex_cell

LINE = 84
"""Characters of a small line on a page with usual margins; a narrower one shrinks what floats."""
LONGEST_FLOAT = 40
"""Lines of a table that still floats."""

Rows = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column with what siunitx is told of its digits; empty where it cannot align them."""

    laid: LaidColumn
    column: Column
    digits: str

    def kind(self) -> str:
        if self.laid.numeric:
            return f"S[table-format={self.digits}]" if self.digits else "r"
        return "l" if self.laid.share is None else f"T{{{self.laid.share}}}"

    def heading(self) -> str:
        text = self.laid.heading
        if not self.laid.numeric:
            return tex(text)
        if len(text) <= self.laid.width:
            return f"{{{tex(text)}}}"
        return rf"{{\TBhead{{{0.66 * self.laid.wrapped:.2f}em}}{{{tex(text)}}}}}"

    def cell(self, row: tuple[Cell, ...]) -> str:
        value = row[self.laid.index]
        if self.digits and isinstance(value, (int, float)):
            number = siunitx(value, self.column.holds)
            if number:
                return number
        text = tex(NO_CELL) if value is None else tex_cell(self.fitting(value), self.column.holds)
        return f"{{{text}}}" if self.laid.numeric else text

    def fitting(self, value: Cell) -> Cell:
        """A value that a page is high enough for: a row of LaTeX's does not break over pages."""
        if not isinstance(value, str) or self.laid.share is None:
            return value
        return shortened(value, int(self.laid.share * LINE - GAP) * LONGEST_FLOAT)

    def lines(self, row: tuple[Cell, ...]) -> int:
        """How many lines its cell of this row takes, about."""
        if self.laid.share is None:
            return 1
        text = table_text(row[self.laid.index], self.column.holds)
        return math.ceil(len(text) / max(1.0, self.laid.share * LINE - GAP)) or 1


_Part = tuple[_Column, ...]


def tex_table(block: TableBlock) -> str:
    """A table with caption, label and reference."""
    shown = excerpt(block)
    laid = [
        tuple(_column(block.table, shown.rows, column) for column in part)
        for part in parts(block.table, shown.rows, LINE)
    ]
    text = ended(block.caption) if shown.note else block.caption
    caption = tex_caption(text, [shown.note] if shown.note else [])
    caption = rf"\caption{{{caption}}}\label{{\TBlabel tab:{block.name}}}"
    mark = rf"\TBmark{{{pdf.mark_digits(block.reference)}}}"
    below = mark + rf"\TBreference{{{tex(str(block.reference))}}}"
    if sum(_lines(shown.rows, part) for part in laid) > LONGEST_FLOAT:
        return _long(shown.rows, laid, caption, below)
    body = "\n\\par\\medskip\n".join(_tabular(shown.rows, part) for part in laid)
    begin, end = r"\begin{table}" + "\n" + r"\centering\small", r"\end{table}"
    return "\n".join((begin, caption, r"\par\smallskip", body, below, end))


def _tabular(rows: Rows, part: _Part) -> str:
    return "\n".join(
        (
            r"\TBfit{%",
            rf"\begin{{tabular}}{{{_kinds(part)}}}",
            r"\toprule",
            _heading(part),
            r"\midrule",
            *_body(rows, part),
            r"\bottomrule",
            r"\end{tabular}}",
        )
    )


def _long(rows: Rows, laid: list[_Part], caption: str, below: str) -> str:
    lines = [r"{\small"]
    for number, part in enumerate(laid):
        again = rf"\multicolumn{{{len(part)}}}{{l}}{{\tablename~\thetable{{}} (continued)}}\\"
        head = (r"\toprule", _heading(part), r"\midrule")
        if number:  # longtable counts each part
            lines.append(r"\addtocounter{table}{-1}")
        lines += [
            rf"\begin{{longtable}}{{{_kinds(part)}}}",
            again if number else caption + r"\\",
            *head,
            r"\endfirsthead",
            again,
            *head,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *_body(rows, part),
            r"\end{longtable}",
        ]
    return "\n".join((*lines, below, "}"))


def _column(table: Table, rows: Rows, laid: LaidColumn) -> _Column:
    column = table.columns[laid.index]
    values = [row[laid.index] for row in rows] if laid.numeric else []
    numbers = [siunitx(v, column.holds) for v in values if isinstance(v, (int, float))]
    return _Column(laid, column, _digits([number for number in numbers if number]))


def _digits(numbers: list[str]) -> str:
    """How many digits stand before and after the point, and a sign; empty with exponents."""
    if not numbers or any("e" in number for number in numbers):
        return ""
    sign = "-" if any(number.startswith("-") for number in numbers) else ""
    split = [number.lstrip("-").partition(".") for number in numbers]
    whole = max(len(before) for before, _, _ in split)
    return f"{sign}{whole}.{max(len(after) for _, _, after in split)}"


def _kinds(part: _Part) -> str:
    return "".join(column.kind() for column in part)


def _heading(part: _Part) -> str:
    return " & ".join(column.heading() for column in part) + r" \\"


def _body(rows: Rows, part: _Part) -> list[str]:
    if not rows:
        return [rf"\multicolumn{{{len(part)}}}{{l}}{{no rows}} \\"]
    return [" & ".join(column.cell(row) for column in part) + r" \\" for row in rows]


def _lines(rows: Rows, part: _Part) -> int:
    return 3 + sum(max(column.lines(row) for column in part) for row in rows)
