"""The read side of a book, on books that real writes have made."""

from __future__ import annotations

import math
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import update

from trialbook.book import schema
from trialbook.book.book import Book
from trialbook.book.reading import CHUNK, Reader
from trialbook.book.removal import remove_trial
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    BadReferenceError,
    BookCorruptError,
    BookNotFoundError,
    BookReadOnlyError,
    NotFoundError,
)
from trialbook.records.blobs import Blob
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import Kind
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds
from trialbook.records.references import TrialReference
from trialbook.records.study import StudyRecord, StudySpec, TrialRecord

from .conftest import config_snapshot

UNIT = FloatDistribution(0, 1)


@pytest.fixture
def reader(storage: BookStorage) -> Reader:
    return Reader(storage.book)


def _tracked(storage: BookStorage, study_id: int, tmp_path: Path) -> int:
    """One trial under tracking, with everything that can be recorded; its id."""
    trial_id = storage.claim(study_id).trial_id
    console = Blob.of(b"line 1\nline 2 \xff\n")
    attempt = storage.begin_attempt(
        trial_id, snapshots=[config_snapshot(layers=2)], seeds=Seeds(trial=9, study=1)
    )
    storage.set_trial_param(trial_id, "lr", 0.25, UNIT)
    storage.set_trial_param(trial_id, "kind", 1, CategoricalDistribution(["a", None, "b"]))
    storage.set_trial_param(trial_id, "n", 3.0, IntDistribution(1, 5))
    storage.set_trial_user_attr(trial_id, "note", ["x", {"y": math.inf}])
    for step in range(4):
        attempt.log({"loss": 1.0 / (step + 1), "nan": math.nan}, step, 100.0 + step)
    attempt.log({"mixed": 5.0}, 2**62, 1.0)
    attempt.log({"mixed": -math.inf}, -3, 2.0)
    storage.set_trial_intermediate_value(trial_id, 7, 0.5)
    attempt.answered(False)
    attempt.answered(True)
    (tmp_path / "m.bin").write_bytes(b"\0" * 100_000)
    attempt.add_artifact("models/m.bin", tmp_path / "m.bin", "application/octet-stream")
    attempt.returned(0.5)
    outcome = OutcomeState(
        EndReason.COMPLETE, stdout=Console(console.digest, 16, 16), cpu_s=1.5, gaps=("a gap",)
    )
    attempt.end(outcome, [console])
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    return trial_id


def test_a_trial_comes_back_whole(storage, study_id, reader, tmp_path):
    _tracked(storage, study_id, tmp_path)
    trial = reader.trial("digits/0")
    assert (trial.reference, trial.state, trial.values, trial.current) == (
        "digits/0", "COMPLETE", (0.5,), 1,
    )  # fmt: skip
    assert [(p.name, p.value, p.internal) for p in trial.params] == [
        ("lr", 0.25, 0.25), ("kind", None, 1), ("n", 3, 3.0),
    ]  # fmt: skip
    assert isinstance(trial.params[2].value, int)
    assert trial.user_attrs == {"note": ["x", {"y": math.inf}]}
    attempt = trial.attempt
    assert attempt.seeds == Seeds(trial=9, study=1)
    assert attempt.prune_answers == (False, True)
    assert attempt.returned == 0.5
    assert attempt.end_reason is EndReason.COMPLETE
    assert attempt.outcome.gaps == ("a gap",)
    assert [(a.name, a.size_bytes) for a in attempt.artifacts] == [("models/m.bin", 100_000)]
    assert attempt.coordinates.of(Kind.CONFIG) == config_snapshot(layers=2).digest
    assert attempt.coordinates.of(Kind.CODE) is None
    assert trial.record_digest is not None
    summaries = {s.metric: s for s in attempt.series}
    assert list(summaries) == ["loss", "mixed", "nan", "objective"]
    loss, mixed, nan = summaries["loss"], summaries["mixed"], summaries["nan"]
    assert (loss.count, loss.first_step, loss.last_step) == (4, 0, 3)
    assert (loss.last, loss.minimum, loss.maximum) == (0.25, 0.25, 1.0)
    assert (mixed.first_step, mixed.last_step, mixed.last) == (2**62, -3, -math.inf)
    assert (nan.minimum, nan.maximum) == (None, None)
    assert math.isnan(nan.last)


def test_points_blobs_snapshots_and_the_console_come_back(storage, study_id, reader, tmp_path):
    _tracked(storage, study_id, tmp_path)
    attempt = reader.trial("digits/0").attempt
    series = reader.series(attempt.attempt_id)
    assert series["mixed"].steps.tolist() == [2**62, -3]
    assert series["loss"].seconds.tolist() == [100.0, 101.0, 102.0, 103.0]
    assert np.isnan(series["nan"].values).all()
    digest = attempt.artifacts[0].digest
    assert reader.blob(digest) == b"\0" * 100_000
    reader.blob_to(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"\0" * 100_000
    assert reader.snapshot(attempt.coordinates.config) == config_snapshot(layers=2)
    console = reader.console(attempt)
    assert (console.stdout, console.stderr) == ("line 1\nline 2 \\xff\n", None)


def test_what_is_pending_of_a_running_trial_is_joined_from_its_parts(storage, study_id, reader):
    trial_id = storage.claim(study_id).trial_id
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    for values in ([3.0, 1.0], [math.nan], [2.0]):
        for value in values:
            attempt.log({"loss": value}, 0, 0.0)
        attempt.flush()
    trial = reader.trial("digits/0")
    assert (trial.state, trial.values, trial.record_digest) == ("RUNNING", None, None)
    (summary,) = trial.attempt.series
    assert (summary.count, summary.last, summary.minimum, summary.maximum) == (4, 2.0, 1.0, 3.0)
    assert trial.attempt.outcome is None
    assert reader.console(trial.attempt) == type(reader.console(trial.attempt))(None, None)


def test_trials_of_plain_optuna_have_no_attempt_unless_they_reported(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    study.enqueue_trial({"x": 0.5})
    study.add_trial(create_trial(value=1.0, params={"x": 0.1}, distributions={"x": UNIT}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    running = study.ask()
    trials = list(reader.trials("digits"))
    assert [t.state for t in trials] == ["RUNNING", "COMPLETE", "FAIL"]
    assert all(t.attempts == () and t.attempt is None and t.current == 0 for t in trials)
    running.report(1.0, 3)
    reported = reader.trial("digits/0").attempt
    assert (reported.seeds, reported.series[0].last_step) == (None, 3)


def test_trials_stream_by_number_in_chunks_and_can_be_chosen(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    count = CHUNK + 3
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    for number in range(count):
        state = states[number % 3]
        study.add_trial(
            create_trial(state=state, value=number if state is TrialState.COMPLETE else None)
        )
    assert [t.number for t in reader.trials("digits")] == list(range(count))
    failed = [t.number for t in reader.trials("digits", states=["FAIL"])]
    assert failed == list(range(1, count, 3))
    assert [t.number for t in reader.trials("digits", last=2)] == [count - 2, count - 1]
    assert [t.number for t in reader.trials("digits", states=["FAIL"], last=1)] == failed[-1:]
    assert len(list(reader.trials("digits", last=10 * count))) == count
    assert list(reader.trials("digits", states=[])) == []
    assert reader.study("digits").states == {
        "COMPLETE": (count + 2) // 3, "FAIL": (count + 1) // 3, "WAITING": count // 3,
    }  # fmt: skip


def test_a_study_comes_back_with_what_was_asked(storage, study_id, reader):
    spec = StudySpec(search=SearchSettings(seed=3, trials=40, hours=1.0), tags={"a": "b"})
    storage.set_study_spec(study_id, spec, origin="proof")
    storage.set_study_user_attr(study_id, "team", {"x": [1.0]})
    record = reader.study("digits")
    assert (record.spec, record.origin, record.user_attrs) == (
        spec,
        "proof",
        {"team": {"x": [1.0]}},
    )
    assert record.directions == ("minimize",)
    assert reader.studies() == [record]


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c",
        "runs/12",
        "best",
        "x/best",
        "with space  and\ttab",
        "\x1b[31mred\x1b[0m",
        "\u202egnp.exe",
        "<script>alert(1)</script>",
        "n" * 300,
        "大文字/😀",
        "'; DROP TABLE tb_study; --",
        "%_*?[a]",
    ],
)
def test_any_name_is_found_as_a_study_and_in_front_of_a_number(storage, reader, name):
    storage.create_new_study([StudyDirection.MINIMIZE], name)
    optuna.load_study(study_name=name, storage=storage).add_trial(create_trial(value=1.0))
    assert reader.study(name).name == name
    assert reader.trial(TrialReference(name, 0)).reference == f"{name}/0"
    assert reader.trial(f"{name}/best").number == 0
    found = reader.resolve(f"{name}/0")
    assert isinstance(found, TrialRecord)
    whole = reader.resolve(name)
    assert isinstance(whole, StudyRecord)
    assert whole.name == name


def test_a_text_that_reads_as_a_trial_is_one_when_its_study_exists(storage, reader):
    for name in ("runs", "runs/12"):
        storage.create_new_study([StudyDirection.MINIMIZE], name)
        optuna.load_study(study_name=name, storage=storage).add_trial(create_trial(value=1.0))
    with pytest.raises(NotFoundError, match="no trial 12"):
        reader.resolve("runs/12")
    assert reader.resolve("runs/0").reference == "runs/0"
    assert reader.resolve("runs/12/0").reference == "runs/12/0"


def test_what_is_not_there_is_named_with_what_is_near(storage, study_id, reader):
    with pytest.raises(NotFoundError) as caught:
        reader.study("digit")
    assert caught.value.hint == "did you mean 'digits'?"
    with pytest.raises(NotFoundError) as caught:
        reader.trial("digits/4")
    assert "no trial 4" in caught.value.what
    assert caught.value.hint == "it has no trials yet"
    with pytest.raises(NotFoundError, match="no complete trial"):
        reader.trial("digits/best")
    with pytest.raises(NotFoundError):
        list(reader.trials("nothing"))
    with pytest.raises(BadReferenceError):
        reader.trial("digits")
    with pytest.raises(NotFoundError, match="'zzz/best~3'|'zzz'"):
        reader.trial("zzz/best~3")
    optuna.load_study(study_name="digits", storage=storage).add_trial(create_trial(value=1.0))
    with pytest.raises(NotFoundError) as caught:
        reader.trial("digits/4")
    assert caught.value.hint == "its last one is 0"
    with pytest.raises(NotFoundError, match="only 1 complete"):
        reader.trial("digits/best~1")


def test_a_deleted_trial_says_when_it_was_deleted(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    study.add_trial(create_trial(value=1.0))
    study.add_trial(create_trial(value=2.0))
    digest = reader.trial("digits/0").record_digest
    remove_trial(storage.book, reader.trial("digits/0"))
    with pytest.raises(NotFoundError, match="was deleted on") as caught:
        reader.trial("digits/0")
    assert digest in caught.value.hint
    assert [t.number for t in reader.trials("digits")] == [1]
    assert reader.trial("digits/best").number == 1
    assert reader.study("digits").states == {"COMPLETE": 1}


def test_the_best_respects_constraints_and_refuses_several_objectives(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    for value, constraint in ((0.0, 1.0), (3.0, 0.0), (2.0, -1.0), (2.0, 0.0)):
        study.add_trial(create_trial(value=value, system_attrs={"constraints": [constraint]}))
    assert study.best_trial.number == reader.trial("digits/best").number == 2
    assert [t.number for t in reader.best("digits", 10)] == [2, 3, 1]
    assert reader.trial("digits/best~2").number == 1
    storage.create_new_study([StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE], "two")
    two = optuna.load_study(study_name="two", storage=storage)
    for values in ([1.0, 1.0], [2.0, 2.0], [2.0, 0.0]):
        two.add_trial(create_trial(values=values))
    with pytest.raises(BadReferenceError, match="2 objectives") as caught:
        reader.trial("two/best")
    assert caught.value.where == "its front (2): two/0, two/1"
    with pytest.raises(BadReferenceError):
        reader.best("two")
    assert [t.number for t in reader.front("two")] == [t.number for t in two.best_trials]


def test_only_infeasible_trials_have_no_best(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    study.add_trial(create_trial(value=0.0, system_attrs={"constraints": [1.0]}))
    with pytest.raises(NotFoundError, match="keeps its constraints"):
        reader.best("digits")


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308])
def test_values_come_back_bit_for_bit(storage, study_id, reader, value):
    storage.create_new_trial(study_id, create_trial(value=value))
    (found,) = reader.trial("digits/0").values
    assert math.copysign(1, found) == math.copysign(1, value)
    assert found == value


def test_param_names_are_those_of_every_trial_in_the_order_they_came(storage, study_id, reader):
    study = optuna.load_study(study_name="digits", storage=storage)
    for names in (["b", "a"], ["b", "c"], []):
        study.add_trial(
            create_trial(
                value=0.0,
                params=dict.fromkeys(names, 0.5),
                distributions=dict.fromkeys(names, UNIT),
            )
        )
    assert reader.param_names("digits") == ["b", "a", "c"]


def test_a_damaged_row_is_named_and_does_not_become_another_error(storage, study_id, reader):
    storage.create_new_trial(study_id, create_trial(value=1.0))
    for change in ({"params": "{"}, {"state": 77}, {"params": '{"lost": 1.0}'}):
        with storage.book.writing() as connection:
            connection.execute(update(schema.trial).values(**change))
        with pytest.raises(BookCorruptError, match="cannot be read") as caught:
            reader.trial("digits/0")
        assert caught.value.where == "digits/0"
        assert "verify" in caught.value.hint
        with storage.book.writing() as connection:
            connection.execute(update(schema.trial).values(params="{}", state=1))


def test_content_that_was_changed_is_never_given_out(storage, study_id, reader, tmp_path):
    _tracked(storage, study_id, tmp_path)
    attempt = reader.trial("digits/0").attempt
    with storage.book.writing() as connection:
        connection.execute(update(schema.snapshot).values(document="{}"))
        connection.execute(
            update(schema.blob).where(schema.blob.c.location.is_(None)).values(content=b"forged")
        )
    with pytest.raises(BookCorruptError):
        reader.snapshot(attempt.coordinates.config)
    with pytest.raises(BookCorruptError):
        reader.console(attempt)
    with pytest.raises(NotFoundError):
        reader.snapshot("0" * 64)


def test_a_book_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(BookNotFoundError):
        Book.open(tmp_path / "none.db", create=False, read_only=True)
    assert list(tmp_path.iterdir()) == []


def _only_readable(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def test_a_book_that_can_only_be_read_is_read(path, storage, study_id, tmp_path, monkeypatch):
    _tracked(storage, study_id, tmp_path)
    storage.close()
    place = tmp_path / "readonly"
    place.mkdir()
    for path in tmp_path.glob("book.db*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)
    (place / "book.db.lock").unlink(missing_ok=True)
    _only_readable(place)
    # Root may write anywhere; what SQLite and the book ask is answered as for anybody else.
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)
    before = sorted(place.rglob("*"))
    book = Book.open(place / "book.db", create=False, read_only=True)
    try:
        reader = Reader(book)
        trial = reader.trial("digits/best")
        assert len(reader.series(trial.attempt.attempt_id)) == 4
        assert len(reader.blob(trial.attempt.artifacts[0].digest)) == 100_000
        with pytest.raises(BookReadOnlyError), book.writing():
            pass
    finally:
        book.close()
        place.chmod(0o755)
        for path in place.rglob("*"):
            path.chmod(0o755)
    assert sorted(place.rglob("*")) == before


def test_one_reader_sees_what_others_write_meanwhile(storage, study_id, url):
    book = Book.open(url, create=False, read_only=True)
    reader = Reader(book)
    assert list(reader.trials("digits")) == []
    storage.create_new_trial(study_id, create_trial(value=1.0))
    assert [t.number for t in reader.trials("digits")] == [0]
    book.close()
