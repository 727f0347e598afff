"""Which figures a report has of a study, what they are called, and which settings it tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import create_trial

from trialbook.analysis.isolation import IsolationUse
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.records.adjustments import Adjustment
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.retries import TrialLimits
from trialbook.records.study import StudySpec
from trialbook.report.document import (
    Command,
    Facts,
    FigureBlock,
    Notice,
    Paragraph,
    TableBlock,
)
from trialbook.report.figures.kinds import FigureOptions
from trialbook.report.sections.selecting import selecting
from trialbook.report.sections.settings import settings
from trialbook.report.source import ReportOptions, ReportSource, report_source

NAMES = ["accuracy", "latency", "memory", "energy", "cost"]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[BookStorage]:
    storage = BookStorage(tmp_path / "book.db")
    yield storage
    storage.close()


def source(storage: BookStorage, objectives: int, chosen: int | None = None) -> ReportSource:
    """Twelve trials with so many objectives; each is the best in one of them."""
    study = optuna.create_study(storage=storage, directions=["minimize"] * objectives)
    storage.set_study_system_attr(study._study_id, "study:metric_names", NAMES[:objectives])
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    study.add_trials(
        create_trial(
            params={"x": number / 12, "y": number / 12},
            distributions=space,
            values=[float((number - index) % 12) for index in range(objectives)],
        )
        for number in range(12)
    )
    storage.flush()
    return report_source(
        Reader(storage.book),
        study.study_name,
        ReportOptions(figure=FigureOptions(objective=chosen)),
    )


def test_a_figure_of_one_objective_is_there_for_each_of_several(storage: BookStorage) -> None:
    blocks = source(storage, 2).figures("front", "slice", "edf")
    figures = [block for block in blocks if isinstance(block, FigureBlock)]
    assert [f.name for f in figures] == ["front", "slice-0", "slice-1", "edf-0", "edf-1"]
    assert [f.reference.trials for f in figures[1:3]] == [(0,), (1,)]
    assert [f.reference.made.objective for f in figures] == [0, 0, 1, 0, 1]
    for figure, name in zip(figures[1:], ["accuracy", "latency"] * 2, strict=True):
        assert figure.chart.caption.startswith(f"Objective {name} (lower is better), one of 2")
        assert figure.chart.title.endswith(f": {name}")


def test_of_one_objective_nothing_is_told_apart(storage: BookStorage) -> None:
    (figure,) = source(storage, 1).figures("slice")
    assert isinstance(figure, FigureBlock)
    assert (figure.name, figure.chart.title) == ("slice", "Value against each param")
    assert "bjective" not in figure.chart.caption


def test_a_chosen_objective_is_the_only_one(storage: BookStorage) -> None:
    blocks = source(storage, 2, chosen=1).figures("slice", "hypervolume")
    figures = [block for block in blocks if isinstance(block, FigureBlock)]
    assert [f.name for f in figures] == ["slice", "hypervolume"]
    assert figures[0].reference.trials == (1,)
    assert [f.reference.made.objective for f in figures] == [1, 0]


def test_of_many_objectives_the_first_four_are_drawn_and_the_way_to_others_is_told(
    storage: BookStorage,
) -> None:
    *figures, said, how = source(storage, 5).figures("slice")
    assert [f.name for f in figures if isinstance(f, FigureBlock)] == [
        f"slice-{index}" for index in range(4)
    ]
    assert isinstance(said, Notice)
    assert "the first 4 of 5" in said.text
    assert isinstance(how, Command)
    assert "plot --all DIR --objective 4 " in how.text


def test_a_reason_is_given_once_where_it_is_that_of_all_objectives(storage: BookStorage) -> None:
    small = source(storage, 2)
    (same,) = small.figures("compute")
    assert isinstance(same, Notice)
    assert same.text.startswith("Best value so far against compute: not shown, because ")
    own = [block.text for block in small.figures("sensitivity") if isinstance(block, Notice)]
    assert [text.partition(":")[0] for text in own] == [
        "Value around the best trial of accuracy",
        "Value around the best trial of latency",
    ]
    assert own[0] != own[1].replace("latency", "accuracy")


def test_settings_that_did_not_hold_are_not_told_as_if_they_had(storage: BookStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE] * 2, "two")
    search = SearchSettings(pruner=ComponentSettings("MedianPruner", {}))
    storage.set_study_spec(study_id, StudySpec(search, limits=TrialLimits(trial_s=60.0)))
    storage.flush()
    read = report_source(Reader(storage.book), "two", ReportOptions())
    own = replace(read.account, isolation=IsolationUse("auto", {"none": 3}))
    blocks = settings(replace(read, account=own)).blocks
    told = {f.label: f for block in blocks if isinstance(block, Facts) for f in block.facts}
    assert "without effect" in told["pruner"].note
    assert told["isolation"].value == "none: in the process that called study.optimize"
    assert told["tries again"].value == "3 after a lost worker"
    assert (told["limit of a trial"].value, told["limit of a trial"].note[:4]) == ("none", "60 s")


def test_a_tie_is_told_by_number_and_not_taken_for_a_count(storage: BookStorage) -> None:
    study = optuna.create_study(storage=storage)

    def ties() -> object:
        reader = Reader(storage.book)
        found = selecting(report_source(reader, study.study_name, ReportOptions(figures=False)))
        facts = [fact for block in found.blocks if isinstance(block, Facts) for fact in block.facts]
        return next(fact.value for fact in facts if fact.label == "trials with the same value")

    seen = []
    for _ in range(4):
        study.add_trial(create_trial(value=1.0))
        seen.append(ties())
    assert seen == ["none", "number 1", "numbers 1, 2", "numbers 1-3"]


def test_changes_of_the_budget_are_told_or_that_nobody_kept_them(storage: BookStorage) -> None:
    found = source(storage, 1)

    def told(**fields: object) -> tuple[list[str], list[TableBlock]]:
        spec = StudySpec(**fields)  # type: ignore[arg-type]
        blocks = settings(replace(found, study=replace(found.study, spec=spec))).blocks
        texts = [block.text for block in blocks if isinstance(block, (Notice, Paragraph))]
        return texts, [block for block in blocks if isinstance(block, TableBlock)]

    texts, tables = told(keeps_adjustments=True)
    whole = "Not changed after the study was created: seed, budget, retries, "
    assert f"{whole}limits, lease and default." in texts
    assert not tables

    raised = Adjustment("budget.trials", 5, 12, 5, 1.5e9)
    texts, (table,) = told(keeps_adjustments=True, adjustments=(raised,))
    assert table.table.rows == (("budget.trials", "5", "12", 5, "2017-07-14 02:40:00 UTC"),)
    assert "Not changed after the study was created: seed." in texts
    assert not [text for text in texts if "is not known" in text]

    texts, tables = told()
    assert "Not changed after the study was created: seed." in texts
    assert [text for text in texts if "default were changed since is not known" in text]
