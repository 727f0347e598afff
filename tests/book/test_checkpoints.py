"""Checkpoints in the book: what counts of each attempt, what is kept, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import select, update

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.record_digest import document, record_digest, trial_fields
from trialbook.book.removal import collect_garbage, find_garbage, remove_trial
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import AttemptFencedError, InvalidInputError
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.checkpoints import Resumption, Told
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec, TrialRecord

LOST = OutcomeState(EndReason.LOST)
NOTHING = Told({}, {}, {})
LARGE = 200_000


@pytest.fixture
def study_id(storage: BookStorage) -> int:
    study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "digits")
    spec = StudySpec(retries=RetryBudgets(lost=10, backoff_s=0.0))
    storage.set_study_spec(study_id, spec)
    return study_id


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """A file with this content, to be saved."""

    def write(content: bytes = b"weights", name: str = "model.bin") -> Path:
        path = tmp_path / "work" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def begun(storage: BookStorage, trial_id: int) -> Attempt:
    return storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))


def again(storage: BookStorage, trial_id: int, outcome: OutcomeState = LOST) -> Attempt:
    """The next attempt of a trial whose attempt is lost with its process."""
    attempt = storage.held_attempt(trial_id)
    if attempt is not None:
        storage.flush()
        storage._held.pop(trial_id)
    assert storage.end_dead_attempt(trial_id, outcome) == "retried"
    assert storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    return begun(storage, trial_id)


def finished(storage: BookStorage, trial_id: int, value: float = 0.5) -> TrialRecord:
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
    return record_of(storage, trial_id)


def record_of(storage: BookStorage, trial_id: int) -> TrialRecord:
    return Reader(storage.book).trial(f"digits/{storage.get_trial(trial_id).number}")


def load(attempt: Attempt, tmp_path: Path) -> Resumption:
    place = tmp_path / f"restored-{attempt.number}"
    place.mkdir(exist_ok=True)
    return attempt.load_checkpoint(lambda: place)


def rows(storage: BookStorage) -> list[Any]:
    with storage.book.reading() as connection:
        return list(
            connection.execute(
                select(schema.checkpoint).order_by(schema.checkpoint.c.checkpoint_id)
            )
        )


def contents(storage: BookStorage) -> set[str]:
    with storage.book.reading() as connection:
        return set(connection.scalars(select(schema.blob.c.digest)))


def values(storage: BookStorage, trial: TrialRecord, metric: str = "loss") -> list[float]:
    return Reader(storage.book).trial_series(trial)[metric].values.tolist()


def stretch(attempt: Attempt, first: int, end: int, offset: float = 0.0) -> None:
    """Log and report steps; values tell which attempt gave them."""
    for step in range(first, end):
        attempt.log({"loss": step + offset}, step, 0.0)
        attempt.report(step, step + offset, 0.0)
        attempt.answered(False)


def test_a_checkpoint_is_a_tar_archive_of_what_was_saved(
    storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    attempt = begin()
    path = saved(b"weights")
    assert attempt.save_checkpoint(path, NOTHING)
    path.write_bytes(b"changed later")
    (row,) = rows(storage)
    content = Reader(storage.book).blob(row.digest)
    assert digest_of_bytes(content) == row.digest
    assert len(content) == row.size
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        assert archive.getnames() == ["trialbook-checkpoint.json", "content/model.bin"]
        member = archive.extractfile("content/model.bin")
        assert member is not None
        assert member.read() == b"weights"


def test_a_first_attempt_has_nothing_to_go_on_from(
    begin: Callable[..., Attempt], tmp_path: Path
) -> None:
    def never() -> Path:
        raise AssertionError

    assert begin().load_checkpoint(never) == Resumption(None)


def test_points_up_to_the_checkpoint_count_and_then_the_successors(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    stretch(first, 0, 3)
    first.save_checkpoint(saved(b"three"), NOTHING)
    stretch(first, 3, 5)  # lost with the process, and done again
    second = again(storage, first.trial_id)
    found = load(second, tmp_path)
    assert found.path is not None
    assert found.path.name == "model.bin"
    assert found.path.read_bytes() == b"three"
    assert found.reports == {0: 0.0, 1: 1.0, 2: 2.0}
    stretch(second, 3, 6, 0.5)
    trial = finished(storage, first.trial_id)
    assert values(storage, trial) == [0.0, 1.0, 2.0, 3.5, 4.5, 5.5]
    assert values(storage, trial, "objective") == [0.0, 1.0, 2.0, 3.5, 4.5, 5.5]
    assert trial.prune_answers == (False,) * 6
    (loss, _) = trial.series
    assert (loss.count, loss.first_step, loss.last_step) == (6, 0, 5)
    assert (loss.minimum, loss.maximum, loss.last) == (0.0, 5.5, 5.5)
    # Each attempt's own points stay readable as they are.
    own = Reader(storage.book).series(first.attempt_id)["loss"].values.tolist()
    assert own == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [a.number for a in trial.attempts] == [1, 2]
    assert trial.attempts[1].resumed_from is not None
    assert trial.attempts[1].resumed_from.attempt == 1
    assert verify(storage.book).mismatches == ()


def test_a_chain_of_attempts_one_of_which_saves_nothing(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    attempt = begin()
    trial_id = attempt.trial_id
    stretch(attempt, 0, 2)
    attempt.save_checkpoint(saved(b"a"), NOTHING)
    attempt = again(storage, trial_id)
    load(attempt, tmp_path)
    stretch(attempt, 2, 4, 0.2)  # loads, saves nothing, dies
    attempt = again(storage, trial_id)
    load(attempt, tmp_path)
    stretch(attempt, 2, 5, 0.3)
    attempt.save_checkpoint(saved(b"c"), NOTHING)
    stretch(attempt, 5, 6, 0.3)
    attempt = again(storage, trial_id)
    found = load(attempt, tmp_path)
    assert found.path is not None
    assert found.path.read_bytes() == b"c"
    stretch(attempt, 5, 7, 0.4)
    trial = finished(storage, trial_id)
    wanted = [0.0, 1.0, 2.3, 3.3, 4.3, 5.4, 6.4]
    assert values(storage, trial) == pytest.approx(wanted)
    assert len(trial.prune_answers) == 7
    assert verify(storage.book).mismatches == ()


def test_an_attempt_that_loads_nothing_begins_anew(
    storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    first = begin()
    stretch(first, 0, 3)
    first.save_checkpoint(saved(), NOTHING)
    second = again(storage, first.trial_id)
    stretch(second, 0, 1, 0.5)
    trial = finished(storage, first.trial_id)
    assert values(storage, trial) == [0.5]
    assert trial.stitched is None


def test_optuna_sees_the_whole_curve_while_it_runs_and_afterwards(
    path: Path,
    storage: BookStorage,
    study_id: int,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    other = BookStorage(path)
    first = begin()
    trial_id = first.trial_id
    stretch(first, 0, 3)
    first.save_checkpoint(saved(), NOTHING)
    storage.flush()
    assert other.get_trial(trial_id).intermediate_values == {0: 0.0, 1: 1.0, 2: 2.0}
    second = again(storage, trial_id)
    assert other.get_trial(trial_id).intermediate_values == {}
    load(second, tmp_path)
    for reader in (storage, other):
        assert reader.get_trial(trial_id).intermediate_values == {0: 0.0, 1: 1.0, 2: 2.0}
    stretch(second, 3, 4, 0.5)
    storage.flush()
    whole = {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.5}
    assert other.get_trial(trial_id).intermediate_values == whole
    finished(storage, trial_id)
    fresh = BookStorage(path)
    for reader in (storage, other, fresh):
        (trial,) = reader.get_all_trials(study_id)
        assert trial.intermediate_values == whole
    other.close()
    fresh.close()


def test_a_finished_trial_that_reported_nothing_more_keeps_its_curve(
    path: Path,
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    stretch(first, 0, 2)
    first.save_checkpoint(saved(), NOTHING)
    load(again(storage, first.trial_id), tmp_path)
    finished(storage, first.trial_id)
    other = BookStorage(path)
    assert other.get_trial(first.trial_id).intermediate_values == {0: 0.0, 1: 1.0}
    other.close()


def test_attributes_and_artifacts_up_to_the_checkpoint_are_the_successors(
    url: str,
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    trial_id = first.trial_id
    storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    storage.set_trial_user_attr(trial_id, "before", {"a": [1, float("inf")]})
    storage.set_trial_system_attr(trial_id, "completed_rung_0", 1.5)
    first.add_artifact("plot", saved(b"early", "plot.svg"), "image/svg+xml")
    first.save_checkpoint(saved(), NOTHING)
    storage.set_trial_user_attr(trial_id, "after", 2)
    first.add_artifact("late", saved(b"late", "late.svg"), "image/svg+xml")
    second = again(storage, trial_id)
    assert storage.get_trial(trial_id).user_attrs == {}
    found = load(second, tmp_path)
    assert found.user_attrs == {"before": {"a": [1, float("inf")]}}
    storage.flush()
    other = BookStorage(url)
    assert other.get_trial(trial_id).user_attrs == found.user_attrs
    assert other.get_trial(trial_id).system_attrs["completed_rung_0"] == 1.5
    other.close()
    trial = finished(storage, trial_id)
    assert trial.attempt is not None
    assert [artifact.name for artifact in trial.attempt.artifacts] == ["plot"]


def test_the_last_two_contents_are_kept_and_rows_stay(
    storage: BookStorage, path: Path, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    attempt = begin()
    for number in range(4):
        attempt.save_checkpoint(saved(os.urandom(LARGE), f"{number}.bin"), NOTHING)
    found = rows(storage)
    assert [row.number for row in found] == [1, 2, 3, 4]
    assert [row.kept for row in found] == [0, 0, 1, 1]
    assert contents(storage) == {row.digest for row in found[2:]}
    files = [file for file in Path(f"{path}.blobs").rglob("*") if file.is_file()]
    assert {file.name for file in files} == {row.digest for row in found[2:]}
    assert find_garbage(storage.book).empty
    finished(storage, attempt.trial_id)
    assert contents(storage) == set()
    assert not [file for file in Path(f"{path}.blobs").rglob("*") if file.is_file()]
    assert [row.kept for row in rows(storage)] == [0, 0, 0, 0]
    assert verify(storage.book).mismatches == ()


def test_letting_contents_go_makes_nobody_read_the_study_again(
    path: Path, storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    from trialbook.book.removal_mark import removals

    with storage.book.reading() as connection:
        before = removals(connection)
    attempt = begin()
    for _ in range(3):
        attempt.save_checkpoint(saved(), NOTHING)
    with storage.book.reading() as connection:
        assert removals(connection) == before


def test_garbage_collection_leaves_what_can_be_gone_on_from(
    url: str,
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    first.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    collect_garbage(storage.book)
    second = again(storage, first.trial_id)
    assert load(second, tmp_path).path is not None
    # The trial is finished by somebody who knows of no checkpoints.
    other = BookStorage(url)
    other.set_trial_state_values(first.trial_id, TrialState.FAIL)
    other.close()
    assert contents(storage) != set()
    collect_garbage(storage.book)
    assert contents(storage) == set()
    assert verify(storage.book).mismatches == ()


def test_nothing_is_kept_of_a_trial_that_is_not_tried_again(
    storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    attempt = begin()
    attempt.save_checkpoint(saved(), NOTHING)
    failed = OutcomeState(EndReason.FAILED)
    assert storage.end_dead_attempt(attempt.trial_id, failed) == "failed"
    assert contents(storage) == set()


def test_deleting_a_trial_takes_its_checkpoints_along(
    storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    attempt = begin()
    attempt.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    remove_trial(storage.book, record_of(storage, attempt.trial_id), running=True)
    assert rows(storage) == []
    assert collect_garbage(storage.book).blobs == 1


def damaged_file(storage: BookStorage, path: Path, digest: str) -> Path:
    return Path(f"{path}.blobs") / digest[:2] / digest


@pytest.mark.parametrize("how", ["cut short", "changed", "missing", "row gone"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    storage: BookStorage,
    path: Path,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
    how: str,
) -> None:
    attempt = begin()
    good = os.urandom(LARGE)
    stretch(attempt, 0, 1)
    attempt.save_checkpoint(saved(good), NOTHING)
    stretch(attempt, 1, 2)
    attempt.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    newest = rows(storage)[-1]
    file = damaged_file(storage, path, newest.digest)
    content = file.read_bytes()
    match how:
        case "cut short":
            file.write_bytes(content[:-1000])
        case "changed":
            file.write_bytes(content[:-2000] + b"?" + content[-1999:])
        case "missing":
            file.unlink()
        case "row gone":
            with storage.book.writing() as connection:
                connection.execute(
                    schema.blob.delete().where(schema.blob.c.digest == newest.digest)
                )
    named = [m.where for m in verify(storage.book).mismatches]
    assert len(named) == 1
    assert "checkpoint 2 of digits/0, attempt 1" in named[0]
    second = again(storage, attempt.trial_id)
    found = load(second, tmp_path)
    assert found.path is not None
    assert found.path.read_bytes() == good
    (gap,) = found.gaps
    assert gap.startswith("checkpoint 2 of attempt 1 was not usable: ")
    trial = finished(storage, attempt.trial_id)
    assert values(storage, trial) == [0.0]
    assert verify(storage.book).mismatches == ()


def test_when_all_are_damaged_the_attempt_begins_anew(
    storage: BookStorage,
    path: Path,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    attempt = begin()
    attempt.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    damaged_file(storage, path, rows(storage)[0].digest).write_bytes(b"")
    found = load(again(storage, attempt.trial_id), tmp_path)
    assert found.path is None
    assert len(found.gaps) == 1
    assert finished(storage, attempt.trial_id).stitched is None


def test_a_fenced_attempt_keeps_no_checkpoint(
    path: Path,
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    stretch(first, 0, 1)
    first.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    other = BookStorage(path)
    second = again(other, first.trial_id)
    stretch(first, 1, 2, 0.9)
    assert not first.save_checkpoint(saved(os.urandom(LARGE)), NOTHING)
    assert len(rows(storage)) == 1
    assert contents(storage) == {rows(storage)[0].digest}
    found = load(second, tmp_path)
    assert found.reports == {0: 0.0}
    stretch(second, 1, 2, 0.1)
    finished(other, first.trial_id)
    stretch(first, 2, 3, 0.9)
    with pytest.warns(match="does not count"):
        storage.set_trial_state_values(first.trial_id, TrialState.COMPLETE, [9.0])
    trial = record_of(other, first.trial_id)
    assert values(other, trial) == [0.0, 1.1]
    # What the late writer added is kept with its own attempt, and the record still holds.
    assert Reader(other.book).series(first.attempt_id)["loss"].values.tolist() == [0.0, 1.9, 2.9]
    assert verify(other.book).mismatches == ()
    other.close()


def test_an_ended_attempt_saves_and_loads_nothing(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    attempt = again(storage, begin().trial_id)
    finished(storage, attempt.trial_id)
    with pytest.raises(AttemptFencedError):
        attempt.save_checkpoint(saved(), NOTHING)
    with pytest.raises(AttemptFencedError):
        load(attempt, tmp_path)
    assert contents(storage) == set()


def test_what_cannot_be_saved_is_refused(
    storage: BookStorage, begin: Callable[..., Attempt], tmp_path: Path
) -> None:
    attempt = begin()
    with pytest.raises(InvalidInputError, match="nowhere"):
        attempt.save_checkpoint(tmp_path / "nowhere", NOTHING)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="no file or directory"):
        attempt.save_checkpoint(tmp_path / "pipe", NOTHING)
    assert rows(storage) == []


def test_a_directory_comes_back_as_it_was(
    storage: BookStorage, begin: Callable[..., Attempt], tmp_path: Path
) -> None:
    source = tmp_path / "model"
    (source / "parts" / "empty").mkdir(parents=True)
    (source / "parts" / "é.bin").write_bytes(b"1" * 1000)
    (source / ("long" * 40)).write_bytes(b"")
    (source / "last").symlink_to("parts/é.bin")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    first = begin()
    first.save_checkpoint(source, NOTHING)
    path = load(again(storage, first.trial_id), tmp_path).path
    assert path is not None
    assert path.name == "model"
    assert (path / "parts" / "empty").is_dir()
    assert (path / "parts" / "é.bin").read_bytes() == b"1" * 1000
    assert (path / ("long" * 40)).read_bytes() == b""
    assert (path / "last").read_bytes() == b"1" * 1000
    assert os.access(path / "run.sh", os.X_OK)


def test_the_digest_covers_what_was_gone_on_from_and_nothing_else_of_it(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    trial_id = first.trial_id
    stretch(first, 0, 2)
    storage.flush()
    stretch(first, 2, 3)
    first.save_checkpoint(saved(), NOTHING)
    stretch(first, 3, 4)
    load(again(storage, trial_id), tmp_path)
    trial = finished(storage, trial_id)

    def computed() -> str:
        with storage.book.reading() as connection:
            return record_digest(connection, trial_id)

    assert computed() == trial.record_digest
    with storage.book.reading() as connection:
        whole = document(connection, trial_id, trial_fields(connection, trial_id))
    (link,) = whole["current"]["resumed"]
    assert (link["attempt"], link["checkpoint"]) == (1, 1)
    assert [(metric, count) for metric, count, _ in link["series"]] == [
        ("loss", 3),
        ("objective", 3),
    ]
    changes: list[tuple[Any, dict[str, Any]]] = [
        (schema.attempt, {"prune_answers": "0110"}),
        (schema.checkpoint, {"digest": "0" * 64}),
        (schema.checkpoint, {"number": 7}),
        (schema.checkpoint, {"position": '{"points":{"loss":2},"prune_answers":3}'}),
        (schema.attempt, {"resumed_from": None}),
    ]
    for table, change in changes:
        with storage.book.writing() as connection:
            before = connection.execute(select(table)).first()
            assert before is not None
            names = list(change)
            key = next(iter(table.primary_key.columns))
            # Of attempts the changed one is the one that has the value in question.
            number = 2 if "resumed_from" in change else 1
            chosen = table.c.number == number if table is schema.attempt else key == before[0]
            old = connection.execute(select(table).where(chosen)).one()
            connection.execute(update(table).where(chosen).values(change))
        assert computed() != trial.record_digest, change
        with storage.book.writing() as connection:
            back = {name: getattr(old, name) for name in names}
            connection.execute(update(table).where(key == getattr(old, key.name)).values(back))
        assert computed() == trial.record_digest


def test_a_trial_that_never_resumed_is_digested_as_before(
    storage: BookStorage, begin: Callable[..., Attempt], saved: Callable[..., Path]
) -> None:
    attempt = begin()
    attempt.save_checkpoint(saved(), NOTHING)
    finished(storage, attempt.trial_id)
    with storage.book.reading() as connection:
        whole = document(connection, attempt.trial_id, trial_fields(connection, attempt.trial_id))
    assert "resumed" not in whole["current"]


def test_missing_points_of_an_earlier_attempt_are_named(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    stretch(first, 0, 2)
    first.save_checkpoint(saved(), NOTHING)
    load(again(storage, first.trial_id), tmp_path)
    with storage.book.writing() as connection:
        connection.execute(
            schema.series.delete().where(
                schema.series.c.attempt_id == first.attempt_id, schema.series.c.metric == "loss"
            )
        )
    for end in (None, TrialState.FAIL):
        if end is not None:  # a result is taken all the same
            storage.set_trial_state_values(first.trial_id, end)
        (mismatch,) = verify(storage.book).mismatches
        assert mismatch.where == "digits/0, attempt 2"
        assert mismatch.what == "attempt 1 has 0 points of metric 'loss', its checkpoint 1 says 2"


def test_overwritten_reports_count_as_they_were_at_the_checkpoint(
    storage: BookStorage,
    begin: Callable[..., Attempt],
    saved: Callable[..., Path],
    tmp_path: Path,
) -> None:
    first = begin()
    trial_id = first.trial_id
    for step, value in ((0, 1.0), (1, 2.0), (0, 3.0)):
        storage.set_trial_intermediate_value(trial_id, step, value)
    first.save_checkpoint(saved(), NOTHING)
    storage.set_trial_intermediate_value(trial_id, 1, 9.0)
    second = again(storage, trial_id)
    assert load(second, tmp_path).reports == {0: 3.0, 1: 2.0}
    trial = finished(storage, trial_id)
    points = Reader(storage.book).trial_series(trial)["objective"]
    assert points.steps.tolist() == [0, 1]
    assert points.values.tolist() == [3.0, 2.0]
    assert verify(storage.book).mismatches == ()


_MID_CHECKPOINT = """
import os, signal, sys
from pathlib import Path
from trialbook.book import checkpoints
from trialbook.book.blobs import BlobStore
from trialbook.book.packing import Package
from trialbook.book.storage import BookStorage
from trialbook.records.checkpoints import Told
from trialbook.records.execution import Seeds

storage = BookStorage(sys.argv[1])
path, point = Path(sys.argv[2]), sys.argv[3]
trial_id = storage.create_new_trial(storage.get_study_id_from_name("digits"))
attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
attempt.log({"loss": 1.0}, 0, 0.0)
attempt.save_checkpoint(path, Told({}, {}, {}))
attempt.log({"loss": 2.0}, 1, 0.0)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def dying_chunks(self):
    for number, chunk in enumerate(whole(self)):
        if number == 4:
            die()
        yield chunk

if point == "writing":
    whole = Package.chunks
    Package.chunks = dying_chunks
elif point == "written":
    checkpoints.save = die
elif point == "named":
    before = checkpoints.save
    def save(*arguments):
        before(*arguments)
        die()
    checkpoints.save = save
elif point == "committed":
    BlobStore.unlink = die
path.write_bytes(b"2" * len(path.read_bytes()))
attempt.save_checkpoint(path, Told({}, {}, {}))
"""


@pytest.mark.parametrize("point", ["writing", "written", "named", "committed"])
def test_killed_in_mid_checkpoint_leaves_the_old_one_or_the_new_one(
    storage: BookStorage, path: Path, study_id: int, tmp_path: Path, point: str
) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"1" * 5_000_000)
    done = subprocess.run(
        [sys.executable, "-c", _MID_CHECKPOINT, str(path), str(file), point],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert verify(storage.book).mismatches == ()
    (trial,) = storage.get_all_trials(study_id)
    found = load(again(storage, trial._trial_id), tmp_path)
    assert found.path is not None
    new = point == "committed"
    assert found.path.read_bytes() == (b"2" if new else b"1") * 5_000_000
    record = finished(storage, trial._trial_id)
    assert values(storage, record) == ([1.0, 2.0] if new else [1.0])
    assert verify(storage.book).mismatches == ()
