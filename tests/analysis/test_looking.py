"""What can be asked of a book from Python, on a book that real searches made."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import trialbook
from trialbook import analysis
from trialbook.book.book import Book
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    BadReferenceError,
    BookNotFoundError,
    InvalidInputError,
    NotABookError,
    NotFoundError,
)
from trialbook.records.coordinates import Kind
from trialbook.records.coverage import Level
from trialbook.records.references import TrialReference


def test_studies_and_trials_by_name(recorded):
    names = [study.name for study in analysis.studies(storage=recorded.storage)]
    assert names == sorted([recorded.odd, "digits", "empty", "two"])
    study = analysis.study("digits", storage=recorded.storage)
    assert study.states == {"COMPLETE": 6, "PRUNED": 1, "FAIL": 1}
    trial = analysis.trial("digits/2", storage=recorded.storage)
    assert (trial.state, trial.attempt.outcome.exception) == ("FAIL", "ValueError")
    for reference in (("digits", 2), (TrialReference("digits", 2),)):
        same = analysis.trial(*reference, storage=recorded.storage)
        assert same.record_digest == trial.record_digest
    numbers = [t.number for t in analysis.trials("digits", storage=recorded.storage)]
    assert numbers == list(range(8))
    (best,) = analysis.best("digits", storage=recorded.storage)
    assert analysis.trial("digits/best", storage=recorded.storage).number == best.number
    values = [t.values[0] for t in analysis.best("digits", 6, storage=recorded.storage)]
    assert values == sorted(values)


@pytest.mark.parametrize("storage", ["path", "url", "Path", "book", "storage", "environment"])
def test_a_book_is_found_in_every_form(recorded, storage, monkeypatch):
    path = recorded.storage
    forms = {
        "path": lambda: path,
        "url": lambda: f"sqlite:///{path}",
        "Path": lambda: Path(path),
        "book": lambda: Book.open(path, read_only=True),
        "storage": lambda: BookStorage(path),
        "environment": lambda: None,
    }
    if storage == "environment":
        monkeypatch.setenv("TRIALBOOK_STORAGE", path)
    given = forms[storage]()
    assert analysis.study("digits", storage=given).name == "digits"
    assert analysis.study("digits", storage=given).name == "digits"
    if storage in ("book", "storage"):
        given.close()


def test_an_optuna_study_stands_for_its_name_and_brings_its_book(recorded):
    storage = BookStorage(recorded.storage)
    study = optuna.load_study(study_name="digits", storage=storage)
    assert analysis.study(study).name == "digits"
    assert analysis.best(study)[0].number == study.best_trial.number
    assert analysis.trial(study).number == study.best_trial.number
    assert analysis.trial(study, 3).number == 3
    assert len(list(analysis.trials(study, states=["COMPLETE"]))) == 6
    two = optuna.load_study(study_name="two", storage=storage)
    assert [t.number for t in analysis.front(two)] == [t.number for t in two.best_trials]
    with pytest.raises(InvalidInputError, match="its own storage"):
        analysis.study(study, storage=recorded.storage)
    storage.close()


def test_what_a_study_of_this_process_has_pending_is_seen(tmp_path):
    study = trialbook.create_study(study_name="live", storage=str(tmp_path / "b.db"), seed=1)

    @trialbook.tracked_objective(seed=1)
    def objective(trial):
        trial.log({"loss": 0.5})
        (summary,) = analysis.trial(study, trial.number).attempt.series
        return summary.last

    study.optimize(objective, n_trials=1)
    assert study.best_value == 0.5


def test_a_study_that_lies_elsewhere_is_no_book():
    study = optuna.create_study()
    with pytest.raises(NotABookError, match="InMemoryStorage") as caught:
        analysis.study(study)
    assert "BookStorage" in caught.value.hint


def test_a_book_that_is_not_there_is_said_and_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ask in (analysis.studies, lambda: analysis.trial("x/0"), lambda: analysis.frame("x")):
        with pytest.raises(BookNotFoundError):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_several_objectives_have_no_best(recorded):
    with pytest.raises(BadReferenceError, match="2 objectives"):
        analysis.best("two", storage=recorded.storage)
    assert [t.number for t in analysis.front("two", storage=recorded.storage)] == [0, 1]


def test_the_detail_of_a_tracked_trial_has_all_coordinates_and_the_console(recorded):
    detail = analysis.detail("digits/0", storage=recorded.storage)
    assert [item.kind for item in detail.coordinates] == list(Kind)
    assert all(item.snapshot is not None for item in detail.coordinates)
    code = detail.coordinates[0].snapshot.state
    assert {entry["path"] for entry in code["files"]} >= {"search.py", "conf.yaml"}
    assert detail.console.stdout == "trial 0 \x1b[31mred\x1b[0m\n"


def test_a_trial_of_plain_optuna_is_not_tracked(recorded):
    detail = analysis.detail("two/0", storage=recorded.storage)
    assert detail.trial.attempts == ()
    for item in detail.coordinates:
        assert (item.snapshot, item.coverage.level) == (None, Level.ABSENT)
        assert item.coverage.reasons == ("not tracked",)


def test_rows_say_on_one_line_what_a_trial_is(recorded):
    rows = list(analysis.trial_rows("digits", storage=recorded.storage))
    assert [row.state for row in rows[:4]] == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    first = rows[0]
    assert set(first.metrics) == {"loss", "nan", "objective"}
    assert math.isnan(first.metrics["nan"])
    assert set(first.coverage) == set(Kind)
    assert first.worst_coverage in (Level.COMPLETE, Level.PARTIAL)
    assert first.duration_s > 0
    assert list(first.params) == ["x", "depth", "kind"]
    odd = list(analysis.trial_rows(recorded.odd, storage=recorded.storage))
    assert [row.state for row in odd] == ["COMPLETE", "RUNNING", "WAITING"]
    assert all(row.worst_coverage is None for row in odd)
    assert odd[2].duration_s is None
    assert list(analysis.trial_rows("empty", storage=recorded.storage)) == []
    with pytest.raises(NotFoundError):
        list(analysis.trial_rows("nothing", storage=recorded.storage))


def test_summaries_name_the_best_trial(recorded):
    summaries = {s.study.name: s for s in analysis.study_summaries(storage=recorded.storage)}
    best = analysis.trial("digits/best", storage=recorded.storage)
    found = summaries["digits"]
    assert (found.best_trial, found.best_value) == (best.number, best.values[0])
    assert summaries["two"].best_trial is summaries["empty"].best_value is None
    assert summaries[recorded.odd].best_value == math.inf


def test_looking_executes_nothing_and_imports_neither_the_objective_nor_torch(recorded):
    code = (
        "import sys; from trialbook import analysis\n"
        f"s = {recorded.storage!r}\n"
        "analysis.detail('digits/0', storage=s); analysis.diff('digits/0', 'digits/5', storage=s)\n"
        "print(sorted({'search', 'torch', 'sklearn', 'pickle_evil'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == "[]\n"
