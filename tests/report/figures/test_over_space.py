"""Figures over the search space: every study is drawn, or refused with a reason."""

from __future__ import annotations

from functools import partial

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from trialbook.analysis.searches import importance as importance_analysis
from trialbook.analysis.searches.search import search_of
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import NotApplicableError, NotFoundError
from trialbook.report.charts import Band, Cells, Curves, Labels, Points, Role, Scale
from trialbook.report.figures import importance as importance_figure
from trialbook.report.figures.kinds import FigureOptions, FigureSource, figure_kind

KINDS = ("slice", "contour", "parallel", "rank", "importance", "sensitivity")
STUDIES = (
    "empty",
    "single",
    "all_failed",
    "all_pruned",
    "plain",
    "two_objectives",
    "three_objectives",
    "conditional",
    "long_names",
    "hostile",
    "strange_values",
)
_NOTHING = {
    "empty": "no complete, feasible trial",
    "all_failed": "5 failed",
    "all_pruned": "8 pruned",
}
REFUSED = dict.fromkeys(KINDS, _NOTHING) | {
    "importance": _NOTHING | dict.fromkeys(["single", "strange_values"], "at least 20"),
    "sensitivity": _NOTHING
    | dict.fromkeys(["single", "strange_values"], "at least 10")
    | dict.fromkeys(
        ["long_names", "hostile", "two_objectives", "three_objectives"], "too few trials are near"
    ),
}
"""By kind: studies that it refuses, and what the reason says."""


@pytest.fixture(scope="module")
def source(shelf):
    book = Book.open(shelf.storage, create=False, read_only=True)
    reader = Reader(book)

    def of(study, **options):
        search = search_of(reader, shelf.names[study])
        return FigureSource(reader, search, FigureOptions(**options))

    yield of
    book.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small forests and few resamples: what they say is tested where they are computed."""
    monkeypatch.setattr(importance_analysis, "TREES", 2)
    monkeypatch.setattr(
        importance_figure, "importances", partial(importance_analysis.importances, resamples=5)
    )


def panels(chart):
    return [panel for row in chart.panels for panel in row if panel is not None]


def marks(chart, kind):
    return [mark for panel in panels(chart) for mark in panel.marks if isinstance(mark, kind)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("study", STUDIES)
def test_each_study_is_drawn_or_refused_with_a_reason_and_a_next_step(source, study, kind):
    if study in REFUSED[kind]:
        with pytest.raises(NotApplicableError, match=REFUSED[kind][study]) as refused:
            figure_kind(kind).chart(source(study))
        assert refused.value.hint
        return
    chart = figure_kind(kind).chart(source(study))
    assert chart.kind == kind
    assert chart.caption.endswith(".")
    assert chart.table.rows
    for panel in panels(chart):
        for axis in (panel.x, panel.y):
            assert axis.limits is None or axis.limits[0] < axis.limits[1]
            assert axis.scale is not Scale.LOG or axis.limits is None or axis.limits[0] > 0
    for mark in marks(chart, Points):
        assert len(mark.x) == len(mark.y)
        assert mark.colors is None or len(mark.colors) == len(mark.x)
        assert np.isfinite(mark.y).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_study_makes_the_same_figure(source, kind):
    def drawn():
        chart = figure_kind(kind).chart(source("plain", marks=30))
        return chart.caption, chart.notes, chart.table, [m.x.tolist() for m in marks(chart, Points)]

    assert drawn() == drawn()


@pytest.mark.parametrize("kind", ["slice", "rank", "contour", "parallel"])
def test_what_is_sampled_says_so_and_keeps_the_best(source, kind):
    chart = figure_kind(kind).chart(source("plain", marks=30))
    assert any("chosen at random (seed 0), the best among them" in note for note in chart.notes)
    (best,) = chart.trials
    if kind == "parallel":
        (curves,) = marks(chart, Curves)
        assert len(curves.colors) == 5
    else:
        points = [mark for mark in marks(chart, Points) if mark.style is Role.BEST]
        assert points
        assert all(f"trial {best}" in mark.label for mark in points)
    assert len(chart.table.rows) > 30  # the table has every trial


def test_a_slice_has_a_panel_a_param_with_its_scale_and_range(source):
    chart = figure_kind("slice").chart(source("plain"))
    scales = {panel.x.label: panel.x.scale for panel in panels(chart)}
    assert scales == {
        "lr": Scale.LOG,
        "momentum": Scale.LINEAR,
        "layers": Scale.LINEAR,
        "units": Scale.LOG,
        "optimizer": Scale.CATEGORY,
    }
    lr = panels(chart)[0].x
    assert lr.limits[0] < 1e-5 < 1e-1 < lr.limits[1]


def test_infeasible_trials_are_told_apart_and_do_not_squash_the_rest(tmp_path):
    storage = BookStorage(tmp_path / "book.db")
    study = optuna.create_study(storage=storage, study_name="bound", direction="maximize")
    space = {"x": FloatDistribution(0.0, 1.0)}
    for value, bound in ((0.1, -1), (0.2, 0), (0.25, 1), (0.3, 1), (1e9, 1)):
        study.add_trial(
            create_trial(
                value=value,
                params={"x": value % 1},
                distributions=space,
                system_attrs={"constraints": [bound]},
            )
        )
    reader = Reader(storage.book)
    chart = figure_kind("slice").chart(FigureSource(reader, search_of(reader, "bound")))
    (apart,) = [mark for mark in marks(chart, Points) if mark.style is Role.INFEASIBLE]
    assert apart.y.tolist() == [0.25, 0.3]
    assert chart.trials == (1,)
    assert any("1 of 3 infeasible trials is not drawn" in note for note in chart.notes)
    storage.close()


def test_of_a_param_that_few_trials_have_the_panel_says_so(source):
    titles = {p.x.label: p.title for p in panels(figure_kind("slice").chart(source("conditional")))}
    assert titles["model"] == ""
    assert titles["svm.C"] == "in 12 of 40 trials"


def test_pairs_that_no_trial_has_together_say_so(source):
    for kind in ("contour", "rank"):
        chart = figure_kind(kind).chart(source("conditional"))
        empty = [(p.x.label, p.y.label) for p in panels(chart) if p.empty]
        assert empty == [("svm.C", "forest.depth"), ("svm.kernel", "forest.depth")]
        assert all(not panel.marks for panel in panels(chart) if panel.empty)
        assert {panel.color.label for panel in panels(chart)} == {panels(chart)[0].color.label}


def test_a_matrix_takes_four_params_or_those_that_are_asked_for(source):
    chart = figure_kind("contour").chart(source("long_names"))
    assert len(panels(chart)) == 6
    assert any("4 of 10 params are shown, the most important" in note for note in chart.notes)
    asked = figure_kind("rank").chart(source("plain", params=("units", "lr", "layers")))
    assert [(p.x.label, p.y.label) for p in panels(asked)] == [
        ("units", "lr"),
        ("units", "layers"),
        ("lr", "layers"),
    ]
    assert not any("params are shown" in note for note in asked.notes)
    with pytest.raises(NotFoundError):
        figure_kind("rank").chart(source("plain", params=("unit", "lr")))


def test_a_surface_is_drawn_only_where_there_are_enough_trials(source):
    chart = figure_kind("contour").chart(source("plain", params=("lr", "momentum")))
    (cells,) = marks(chart, Cells)
    assert cells.contours
    assert np.isnan(cells.values).any()  # beyond the hull
    few = figure_kind("contour").chart(source("strange_values", params=("lr", "momentum")))
    assert not marks(few, Cells)
    assert any("no surface over lr and momentum" in note for note in few.notes)


def test_an_infinite_best_is_named(source):
    chart = figure_kind("slice").chart(source("strange_values"))
    assert any("the study's best trial, 1, has the value -inf" in note for note in chart.notes)
    assert chart.trials == (3,)


def test_parallel_lines_pass_below_what_a_trial_was_not_asked(source):
    chart = figure_kind("parallel").chart(source("conditional"))
    (curves,) = marks(chart, Curves)
    assert len(curves.x) == 40 * 6  # five axes and a gap each
    assert np.isnan(curves.y).sum() == 40
    assert any("n/a" in mark.texts for mark in marks(chart, Labels))
    assert "log scale for svm.C" in chart.caption


def test_importance_names_evaluators_settings_versions_and_what_is_left_out(source):
    chart = figure_kind("importance").chart(source("conditional"))
    for said in ("PED-ANOVA (target_quantile=0.1", "Optuna 5", "seed 0"):
        assert said in chart.caption
    assert any(note.startswith("fANOVA says nothing: of ") for note in chart.notes)
    chart = figure_kind("importance").chart(source("plain"))
    assert "fANOVA (n_trees=2" in chart.caption


def test_sensitivity_draws_no_line_beyond_near_trials(source):
    chart = figure_kind("sensitivity").chart(source("conditional"))
    ends = {}
    for panel in panels(chart):
        near = [m for m in panel.marks if isinstance(m, Points)]
        for band in (m for m in panel.marks if isinstance(m, Band)):
            xs = np.concatenate([mark.x for mark in near])
            ends[panel.x.label] = (band.x.min() - xs.min(), band.x.max() - xs.max())
    assert ends == {"forest.depth": (pytest.approx(0), pytest.approx(0))}
    with pytest.raises(NotApplicableError, match="too few trials are near the best"):
        figure_kind("sensitivity").chart(source("long_names"))
