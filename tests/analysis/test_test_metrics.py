"""Test metrics: nobody sees them by accident, and each time that somebody does is counted."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest

import trialbook
from trialbook import analysis
from trialbook.analysis.test_metrics import begun_after, exposure, shown
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.errors import BookReadOnlyError, InvalidMetricError

SECRET = 0.7311


@trialbook.tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.log({"accuracy": x}, step=0)
    trial.log_test({"accuracy": SECRET - 0.1}, step=0)
    trial.log_test({"accuracy": SECRET, "loss": float("nan")}, step=1)
    return x


@pytest.fixture
def study(storage):
    study = trialbook.create_study(storage=storage, study_name="s", direction="maximize")
    study.optimize(objective, n_trials=2)
    return study


def test_values_are_nowhere_unless_they_are_asked_for(study, storage):
    trial = analysis.trial("s/0", storage=storage)
    held = {s.metric: s for s in trial.series}
    assert held["test:accuracy"].count == 2
    assert held["test:accuracy"].withheld
    assert held["test:loss"].withheld
    assert not held["accuracy"].withheld
    assert str(SECRET) not in repr(trial)
    assert str(SECRET) not in repr(analysis.detail("s/0", storage=storage))
    assert str(SECRET) not in repr(list(analysis.trial_rows("s", storage=storage)))
    assert not [name for name in analysis.frame("s", storage=storage) if "test:" in name]
    reader = Reader(storage.book)
    assert set(reader.trial_series(trial)) == {"accuracy"}
    assert set(reader.series(trial.attempt.attempt_id)) == {"accuracy"}
    for frozen in study.get_trials():
        assert str(SECRET) not in repr(frozen)
    assert exposure(reader, reader.study("s")).showings == ()


def test_a_showing_is_counted_with_what_was_shown(study, storage):
    metrics = analysis.reveal_test_metrics("s/1", storage=storage)
    accuracy, loss = metrics
    assert (accuracy.metric, accuracy.last_step) == ("accuracy", 1)
    assert (accuracy.last, accuracy.minimum) == (SECRET, SECRET - 0.1)
    assert np.isnan(loss.last)
    reader = Reader(storage.book)
    found = exposure(reader, reader.study("s"))
    assert [(s.by, s.trials) for s in found.showings] == [("python", (1,))]
    analysis.reveal_test_metrics("s/0", storage=storage)
    found = exposure(reader, reader.study("s"))
    assert found.trials == (0, 1)
    assert found.first_s == found.showings[0].at_s


def test_trials_that_began_after_a_showing_are_told(study, storage):
    reader = Reader(storage.book)

    def after() -> int:
        found = exposure(reader, reader.study("s"))
        return begun_after(found, analysis.search("s", storage=storage))

    assert after() == 0
    analysis.reveal_test_metrics("s/0", storage=storage)
    assert after() == 0
    study.optimize(objective, n_trials=2)
    analysis.reveal_test_metrics("s/3", storage=storage)
    assert after() == 2


def test_a_report_that_is_written_again_is_the_same_showing(study, storage):
    reader = Reader(storage.book)
    trials = [reader.trial("s/0"), reader.trial("s/1")]
    for _ in range(2):
        shown(reader, trials, by="report", once="the seal")
    shown(reader, trials, by="report", once="another seal")
    assert len(exposure(reader, reader.study("s")).showings) == 2


def test_what_cannot_be_counted_is_not_shown(tmp_path, monkeypatch):
    storage = trialbook.BookStorage(tmp_path / "book.db")
    study = trialbook.create_study(storage=storage, study_name="s")
    study.optimize(objective, n_trials=1)
    storage.close()

    def refuse(self):
        raise BookReadOnlyError("the book is open for reading only")

    monkeypatch.setattr(Book, "writable", refuse)
    with pytest.raises(BookReadOnlyError, match="could not be counted"):
        analysis.reveal_test_metrics("s/0", storage=tmp_path / "book.db")


def test_a_reader_that_only_reads_still_counts(tmp_path):
    storage = trialbook.BookStorage(tmp_path / "book.db")
    trialbook.create_study(storage=storage, study_name="s").optimize(objective, n_trials=1)
    storage.close()
    assert analysis.reveal_test_metrics("s/0", storage=tmp_path / "book.db")
    book = Book.open(tmp_path / "book.db", create=False, read_only=True)
    reader = Reader(book)
    assert len(exposure(reader, reader.study("s")).showings) == 1
    book.close()


def test_a_showing_moves_with_the_study(study, storage, tmp_path):
    from trialbook.book.copying import copy_study

    analysis.reveal_test_metrics("s/1", storage=storage)
    other = Book.open(tmp_path / "other.db")
    copy_study(storage.book, other, "s")
    reader = Reader(other)
    assert exposure(reader, reader.study("s")).trials == (1,)
    other.close()


def test_trial_log_keeps_away_from_their_names(storage):
    study = optuna.create_study(storage=storage, study_name="names")

    @trialbook.tracked_objective
    def careless(trial):
        with pytest.raises(InvalidMetricError, match="begins as test metrics") as caught:
            trial.log({"test:accuracy": 1.0})
        assert "log_test" in caught.value.hint
        with pytest.raises(InvalidMetricError):
            trial.log_test({"test:accuracy": 1.0})
        return 0.0

    study.optimize(careless, n_trials=1)


def test_samplers_and_pruners_do_not_see_them(study, storage):
    seen = json.dumps([t.intermediate_values for t in study.get_trials()])
    assert str(SECRET) not in seen
    assert not [key for t in study.get_trials() for key in (*t.user_attrs, *t.system_attrs)]


def test_show_withholds_them_until_it_is_asked(study, storage, capsys, monkeypatch):
    from trialbook.cli.main import exit_code_of_command

    storage.flush()
    # A server's password travels in the environment, as it does for a user.
    url = storage.url
    assert exit_code_of_command(["show", "s/0", "--storage", url]) == 0
    page = capsys.readouterr().out
    assert "withheld" in page
    assert str(SECRET) not in page
    assert exit_code_of_command(["show", "s/0", "--test", "--storage", url]) == 0
    assert str(SECRET) in capsys.readouterr().out
    assert exit_code_of_command(["show", "s/0", "--storage", url, "--format", "json"]) == 0
    assert str(SECRET) not in capsys.readouterr().out
    reader = Reader(storage.book)
    assert [s.by for s in exposure(reader, reader.study("s")).showings] == ["show"]
    assert exit_code_of_command(["show", "s", "--test", "--storage", url]) == 2
