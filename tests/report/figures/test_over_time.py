"""Figures over time as values: what each kind draws, leaves out and says of all kinds of study."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from trialbook.analysis.searches.search import Search, search_of
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.search_rows import AttemptRow
from trialbook.errors import NotApplicableError
from trialbook.records.execution import EndReason
from trialbook.report.charts import Chart, Curves, Line, Mark, Points, Role, Spans
from trialbook.report.figures.kinds import FigureOptions, FigureSource, figure_kind
from trialbook.report.figures.thinning import chosen, corners

SEVERAL = {"two_objectives", "three_objectives"}
NONE_COMPLETE = {"empty", "all_failed", "all_pruned"}
WITHOUT = {
    "history": {"empty"},
    "curves": {"empty", "all_failed", *SEVERAL},
    "edf": NONE_COMPLETE,
}
"""Studies of which a kind has nothing to show."""
WITH = {
    "compute": set(),
    "timeline": set(),
    "pruning": {"all_pruned", "plain", "long_names", "hostile"},
    "front": SEVERAL,
    "hypervolume": SEVERAL,
}
"""The only studies of which a kind has something to show."""


@pytest.fixture(scope="module")
def reader(shelf):
    book = Book.open(shelf.storage, create=False, read_only=True)
    yield Reader(book)
    book.close()


def drawn(reader, study: str | Search, kind: str, **options) -> Chart:
    found = search_of(reader, study) if isinstance(study, str) else study
    return figure_kind(kind).chart(FigureSource(reader, found, FigureOptions(**options)))


def marks(chart: Chart, kind: type[Mark]) -> list:
    panels = [panel for row in chart.panels for panel in row if panel is not None]
    return [mark for panel in panels for mark in panel.marks if isinstance(mark, kind)]


@pytest.mark.parametrize("kind", [*WITHOUT, *WITH])
def test_every_study_has_its_figure_or_a_reason(reader, shelf, kind):
    shown = WITH[kind] if kind in WITH else set(shelf.names) - WITHOUT[kind]
    for made_by, name in shelf.names.items():
        if made_by not in shown:
            with pytest.raises(NotApplicableError) as refused:
                drawn(reader, name, kind)
            # No step leads to pruned trials of several objectives, nor to reports of no trial.
            assert refused.value.hint or kind == "pruning"
            continue
        chart = drawn(reader, name, kind)
        assert chart.kind == kind
        assert chart.caption.endswith(".")
        assert chart.table.rows
        assert all(len(row) == len(chart.table.columns) for row in chart.table.rows)
        for mark in marks(chart, object):
            sizes = {
                len(value)
                for field in fields(mark)
                if isinstance(value := getattr(mark, field.name), np.ndarray)
                and field.name != "colors"
            }
            assert len(sizes) <= 1
            assert not sizes or min(sizes) > 0
            assert len(getattr(mark, "texts", ())) in {0, *sizes}
            for field in fields(mark):
                value = getattr(mark, field.name)
                if isinstance(value, np.ndarray):
                    assert not np.isinf(value).any()
        again = drawn(reader, name, kind)
        assert (again.caption, again.notes, again.table) == (
            chart.caption,
            chart.notes,
            chart.table,
        )


def test_many_values_are_sampled_and_that_is_said(reader, shelf):
    chart = drawn(reader, shelf.names["plain"], "history", marks=10)
    whole = drawn(reader, shelf.names["plain"], "history")
    (points,) = [m for m in marks(chart, Points) if m.style is Role.COMPLETE]
    (all_points,) = [m for m in marks(whole, Points) if m.style is Role.COMPLETE]
    assert len(points.x) == 10 < len(all_points.x)
    assert chart.notes[0].startswith(f"10 of {len(all_points.x)} values are drawn")
    assert whole.notes == ()
    assert chart.table == whole.table
    (line,), (all_line,) = marks(chart, Line), marks(whole, Line)
    np.testing.assert_array_equal(line.y, all_line.y)
    assert set(line.y[:-1]) <= set(points.y)  # every improvement has its point


def test_many_curves_are_sampled_the_best_among_them(reader, shelf):
    whole = drawn(reader, shelf.names["plain"], "curves")
    chart = drawn(reader, shelf.names["plain"], "curves", marks=12)
    count = {
        name: sum(np.isnan(m.x).sum() + 1 for m in marks(c, Curves))
        for name, c in (("some", chart), ("all", whole))
    }
    assert count["some"] == 12 < count["all"]
    assert f"12 of {count['all']} curves are drawn" in chart.notes[0]
    assert "pruned" in chart.notes[0]
    assert chart.trials == whole.trials
    assert {row[0] for row in chart.table.rows} >= set(chart.trials)
    ends = [m for m in marks(whole, Points) if m.style is Role.PRUNED]
    assert len(ends[0].x) == sum(np.isnan(m.x).sum() + 1 for m in marks(whole, Curves)[1:])


def _worked(search: Search, workers: int, reason: EndReason) -> Search:
    attempts = tuple(
        AttemptRow(
            attempt_id=at,
            trial_id=at,
            number=1,
            started_s=1e9 + at // workers * 10,
            ended_s=1e9 + at // workers * 10 + 6,
            end_reason=reason if at % 3 == 0 else EndReason.COMPLETE,
            worker_id=f"{at % workers:032x}",
            host="secret-host",
            resumed=False,
            prune_answers=(),
            executed=True,
        )
        for at in range(len(search))
    )
    return replace(search, attempts=attempts, attempt_trial=np.arange(len(search)))


@pytest.mark.parametrize("workers", [4, 130])
def test_shares_of_time_add_up_to_what_the_spans_took(reader, shelf, workers):
    found = search_of(reader, shelf.names["plain"])
    made = _worked(replace(found, numbers=np.arange(len(found))), workers, EndReason.LOST)
    single = drawn(reader, made, "timeline")
    shares = drawn(reader, made, "timeline", marks=10)
    assert "share of a row's time" in shares.notes[0]
    for label in ("complete", "lost"):
        took = [
            sum(float(np.sum(m.end - m.start)) for m in marks(chart, Spans) if m.label == label)
            for chart in (single, shares)
        ]
        assert took[0] > 0
        assert took[1] == pytest.approx(took[0], rel=0.01)
    assert len(shares.panels[0][0].y.categories) == min(workers, len(found), 64)


def test_what_a_worker_ran_at_once_has_rows_of_its_own(reader, shelf):
    made = _worked(search_of(reader, shelf.names["plain"]), 2, EndReason.FAILED)
    threads = replace(made, attempts=tuple(replace(a, worker_id="f" * 32) for a in made.attempts))
    chart = drawn(reader, threads, "timeline", anonymous=True)
    assert chart.panels[0][0].y.categories == ("worker 1", "worker 1 (2)")
    assert "several rows" in chart.notes[0]
    for mark in marks(chart, Spans):
        for row in (0.0, 1.0):
            inside = mark.row == row
            assert (np.diff(np.sort(mark.start[inside])) >= 6).all()


def test_hosts_are_numbered_when_asked(reader, shelf):
    made = _worked(search_of(reader, shelf.names["plain"]), 3, EndReason.FAILED)
    named = drawn(reader, made, "timeline")
    assert named.panels[0][0].y.categories[0].startswith("secret-host")
    chart = drawn(reader, made, "timeline", anonymous=True)
    assert chart.panels[0][0].y.categories == ("worker 1", "worker 2", "worker 3")
    assert "secret-host" not in repr(chart.table)


def test_the_reference_point_is_in_the_caption(reader, shelf):
    chart = drawn(reader, shelf.names["two_objectives"], "hypervolume", reference_point=(2.0, -1.0))
    assert "objective" not in chart.caption.split("point")[1].split("(")[0]
    assert "value 0 2, value 1 -1 (chosen)" in chart.caption


def test_pairs_of_three_objectives(reader, shelf):
    chart = drawn(reader, shelf.names["three_objectives"], "front")
    assert [[panel is not None for panel in row] for row in chart.panels] == [
        [True, False],
        [True, True],
    ]
    assert chart.panels[1][1].x.label.startswith("objective 1")
    assert chart.panels[1][1].y.label.startswith("objective 2")


def test_thinning():
    assert chosen(3, 5).tolist() == [0, 1, 2]
    kept = chosen(1000, 20, keep=np.array([7, 999]), seed=1)
    assert len(kept) == 20
    assert {7, 999} <= set(kept.tolist())
    assert kept.tolist() == sorted(set(chosen(1000, 20, keep=np.array([999, 7]), seed=1).tolist()))
    assert len(chosen(10, 2, keep=np.arange(5))) == 5
    values = np.array([np.nan, np.nan, 3.0, 3.0, 3.0, 1.0, 1.0])
    assert corners(values).tolist() == [0, 2, 5, 6]
