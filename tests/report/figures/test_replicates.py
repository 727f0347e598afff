"""The figure of replicates: every value, each mean, and what the search had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trialbook.analysis.searches.search import search_of
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import NotApplicableError
from trialbook.report.charts import Chart, Curves, Intervals, Points, Role
from trialbook.report.figures.kinds import FigureSource, figure_kind

from ...analysis.test_replication import BEST, DEFAULT, Told


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    storage = BookStorage(tmp_path / "book.db")
    yield Told(storage)
    storage.close()


def drawn(told: Told, study: str = "s") -> Chart:
    reader = Reader(told.storage.book)
    return figure_kind("replicates").chart(FigureSource(reader, search_of(reader, study)))


def test_each_configuration_has_a_row_with_its_values_mean_and_search_value(told: Told):
    told.place(BEST, 3)
    told.place(DEFAULT, 3)
    told.tell(0.90, 0.92, 0.94, 0.8, None, 0.84)
    chart = drawn(told)
    ((panel,),) = chart.panels
    assert panel is not None
    assert [label for _, label in panel.y.ticks or ()] == ["best (trial 7)", "default"]
    marks = {type(mark): mark for mark in panel.marks if getattr(mark, "style", None) != Role.BEST}
    points, means, lines = marks[Points], marks[Intervals], marks[Curves]
    assert isinstance(points, Points)
    assert np.array_equal(points.x, [0.90, 0.92, 0.94, 0.8, np.nan, 0.84], equal_nan=True)
    assert isinstance(means, Intervals)
    assert means.x == pytest.approx([0.92, 0.82])
    assert isinstance(lines, Curves)
    assert np.isnan(lines.x).sum() == 2  # three seeds
    (star,) = [m for m in panel.marks if isinstance(m, Points) and m.style == Role.BEST]
    assert star.x == pytest.approx([0.95])
    assert chart.trials == (7,)
    assert "1 of 3 replicates of default did not complete" in chart.notes[0]
    assert len(chart.table.rows) == 6
    assert "Student's t" in chart.caption


@pytest.mark.parametrize("values", [(), (0.9,), (0.9, 0.9), (None, None), (float("inf"), 0.9)])
def test_few_equal_failed_and_infinite_replicates_are_drawn(told: Told, values):
    told.place(replace(BEST, values=None), 2)
    told.tell(*values)
    chart = drawn(told)
    ((panel,),) = chart.panels
    assert panel is not None
    complete = [value for value in values if value is not None]
    assert bool(panel.empty) == (not complete) == (not panel.marks)


def test_a_study_of_replicates_draws_its_own(told: Told):
    told.place(BEST, 2)
    told.tell(0.9, 0.95)
    assert drawn(told, "s.replicates").trials == ()


def test_without_replicates_the_reason_is_told(told: Told):
    with pytest.raises(NotApplicableError, match="no replicates"):
        drawn(told)
