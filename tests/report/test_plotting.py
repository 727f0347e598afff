"""Figures of studies, as a notebook and a script ask for them."""

from __future__ import annotations

import pytest

from trialbook import report
from trialbook.analysis.opening import opened
from trialbook.analysis.replication import replication
from trialbook.book.seals import seal_of
from trialbook.errors import InvalidInputError, NotApplicableError, NotFoundError
from trialbook.report import plotting
from trialbook.report.carrying import html
from trialbook.report.figures.kinds import FigureOptions, figure_kind
from trialbook.report.plotting import PlotOptions, PlottedFigure, plot_all, plotted


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _reference(path):
    with path.open("rb") as file:
        return html.carried(file).carried[0].reference


def test_a_figure_carries_the_study_its_seal_and_the_trials_it_singles_out(shelf):
    path = report.plot("plain", "history", storage=shelf.storage)
    assert str(path) == "plain-history.html"
    reference = _reference(path)
    with opened(shelf.storage) as reader:
        study = reader.study("plain")
        assert reference.studies[0].seal == seal_of(reader.book, study.study_id)
    assert (reference.shows, reference.studies[0].uid) == ("history", study.uid)
    assert reference.trials == report.chart("plain", "history", storage=shelf.storage).trials


def test_an_objective_after_the_first_has_a_file_of_its_own(shelf):
    study, place = "two objectives", shelf.storage
    paths = [report.plot(study, "edf", objective=index, storage=place) for index in (0, 1)]
    paths.append(report.plot(study, "front", objective=1, storage=place))
    stem = paths[0].name.removesuffix("edf.html")
    assert [path.name for path in paths[1:]] == [f"{stem}edf-1.html", f"{stem}front.html"]


def test_a_hostile_name_of_a_study_makes_a_harmless_name_of_a_file(shelf, here):
    path = report.plot(shelf.names["hostile"], "history", storage=shelf.storage)
    assert path.parent.resolve() == here
    assert path.name.replace("-", "").replace(".", "").isalnum()


def test_an_anonymous_figure_names_no_study(shelf):
    path = report.plot("plain", "history", anonymous=True, storage=shelf.storage)
    assert path.name == "study-history.html"
    assert _reference(path).studies[0].name is None
    other = report.plot("plain", "history", "named.html", storage=shelf.storage)
    text = path.read_text()
    assert text.count("plain") < other.read_text().count("plain")


def test_a_figure_for_a_notebook_is_one_of_plotly(shelf):
    shown = report.figure("plain", "slice", params=["lr"], storage=shelf.storage)
    assert shown.layout.xaxis.title.text == "lr"
    assert shown.layout.xaxis.type == "log"


def test_notes_and_captions_are_told(shelf):
    options = PlotOptions(FigureOptions(marks=10))
    found = plotted("plain", "history", None, options, storage=shelf.storage)
    assert "complete trials" in found.caption
    assert any("10 of" in note for note in found.notes)


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        (None, ["history-0", "history-1", "edf-0", "edf-1", "front"]),
        (1, ["history", "edf", "front"]),
    ],
)
def test_all_figures_of_a_study_and_why_there_is_none_of_the_others(
    shelf, here, monkeypatch, objective, names
):
    few = ("history", "edf", "front", "curves", "replicates")  # the command's test draws them all
    monkeypatch.setattr(plotting, "KINDS", [figure_kind(kind) for kind in few])
    options = PlotOptions(FigureOptions(objective=objective))
    found = list(plot_all("two objectives", "all", "html", options, storage=shelf.storage))
    written = [one for one in found if isinstance(one, PlottedFigure)]
    refused = [one for one in found if not isinstance(one, PlottedFigure)]
    assert [one.path.stem for one in written] == names
    assert {path.stem for path in (here / "all").iterdir()} == set(names)
    last = written[len(names) - 2]
    assert last.caption.startswith("Objective 1 (higher is better), one of 2. Share of")
    # A reason that is the same for both objectives is given once.
    assert [one.kind for one in refused] == ["curves", "replicates"]
    assert all(one.reason for one in refused)


@pytest.mark.parametrize(
    ("study", "command"),
    [("plain", "--seeds 10 plain/best"), ("two objectives", "--seeds 10 'two objectives/NUMBER'")],
)
def test_how_to_replicate_is_told_without_a_best_of_several_objectives(shelf, study, command):
    with pytest.raises(NotApplicableError) as told:
        report.chart(study, "replicates", storage=shelf.storage)
    assert told.value.hint.endswith(command)
    with pytest.raises(NotApplicableError) as told:
        replication(study, storage=shelf.storage)
    assert told.value.hint.endswith(command)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("plain", "fornt"), {}, InvalidInputError),
        (("nowhere", "history"), {}, NotFoundError),
        (("plain", "front"), {}, NotApplicableError),
        (("empty", "history"), {}, NotApplicableError),
        (("plain", "history"), {"width": "nips"}, InvalidInputError),
        (("plain", "history"), {"colour": "red"}, InvalidInputError),
        (("plain", "history", "figure.gif"), {}, InvalidInputError),
        (("plain", "slice"), {"params": ["nothing"]}, (NotFoundError, InvalidInputError)),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(
    shelf, here, arguments, options, error
):
    with pytest.raises(error):
        report.plot(*arguments, storage=shelf.storage, **options)
    assert list(here.iterdir()) == []
