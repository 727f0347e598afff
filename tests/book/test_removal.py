"""Deleting trials and studies, and collecting what nothing names, while others write."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from itertools import islice
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import func, select

from trialbook.book import schema
from trialbook.book.blobs import IN_ROW_BYTES
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.removal import (
    ABANDONED_FILE_S,
    Garbage,
    collect_garbage,
    find_garbage,
    remove_study,
    remove_trial,
)
from trialbook.book.removal_mark import removals
from trialbook.book.seals import seal_of
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import (
    BookReadOnlyError,
    InvalidInputError,
    NotFoundError,
    TrialbookWarning,
)
from trialbook.records.blobs import Blob
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds

NOTHING = Garbage(0, 0, 0, 0, 0)


def _code(*contents: bytes) -> tuple[Snapshot, list[Blob]]:
    blobs = [Blob.of(content) for content in contents]
    files = tuple(
        FileEntry(f"f{i}.py", "100644", b.size_bytes, b.digest) for i, b in enumerate(blobs)
    )
    return Snapshot.of(Kind.CODE, Coverage.of(()), CodeState(None, files)), blobs


def _trial(storage: BookStorage, study_id: int, tmp_path: Path, *contents: bytes) -> int:
    """A finished trial with code, a console and an artifact; its id."""
    snapshot, blobs = _code(*contents)
    trial_id = storage.claim(study_id).trial_id
    attempt = storage.begin_attempt(
        trial_id, snapshots=[snapshot], blobs=blobs, seeds=Seeds(trial=1)
    )
    storage.set_trial_param(trial_id, "x", 0.5, optuna.distributions.FloatDistribution(0, 1))
    attempt.log({"loss": 1.0}, 0, 0.0)
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"artifact of " + str(trial_id).encode() + b"\0" * IN_ROW_BYTES)
    attempt.add_artifact("artifact", artifact, "application/octet-stream")
    console = Blob.of(f"console of {trial_id}".encode())
    outcome = OutcomeState(EndReason.COMPLETE, stdout=Console(console.digest, 12, 12))
    attempt.end(outcome, [console])
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    return trial_id


def _count(storage: BookStorage, table) -> int:
    with storage.book.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def _tombstones(storage: BookStorage):
    t = schema.trial.c
    with storage.book.reading() as connection:
        return connection.execute(
            select(t.number, t.state, t.record_digest, t.deleted, t.params, t.user_attrs)
            .where(t.deleted.is_not(None))
            .order_by(t.number)
        ).all()


def test_a_deleted_trial_leaves_a_tombstone_and_nothing_else(storage, study_id, tmp_path):
    _trial(storage, study_id, tmp_path, b"a")
    reader = Reader(storage.book)
    trial = reader.trial("digits/0")
    remove_trial(storage.book, trial)
    ((number, state, digest, deleted, params, attrs),) = _tombstones(storage)
    assert (number, state, digest) == (0, TrialState.COMPLETE.value, trial.record_digest)
    assert abs(deleted - time.time()) < 60
    assert (params, attrs) == ("{}", "{}")
    for table in ("attempt", "series", "artifact", "rerun", "trial_value"):
        assert _count(storage, getattr(schema, table)) == 0
    with pytest.raises(NotFoundError):
        remove_trial(storage.book, trial)


def test_deleting_leaves_the_seal_and_numbers_as_they_were(storage, study_id, tmp_path):
    for _ in range(3):
        _trial(storage, study_id, tmp_path, b"a")
    before = seal_of(storage.book, study_id)
    remove_trial(storage.book, Reader(storage.book).trial("digits/1"))
    assert seal_of(storage.book, study_id) == before
    assert verify(storage.book).mismatches == ()
    _trial(storage, study_id, tmp_path, b"a")
    assert [t.number for t in Reader(storage.book).trials("digits")] == [0, 2, 3]


def test_optuna_no_longer_sees_a_trial_that_another_process_deleted(storage, study_id, url):
    study = optuna.load_study(study_name="digits", storage=storage)
    for value in (0.0, 1.0):
        study.add_trial(create_trial(value=value))
    assert study.best_trial.number == 0
    other = Book.open(url)
    remove_trial(other, Reader(other).trial("digits/0"))
    other.close()
    assert [t.number for t in study.trials] == [1]
    assert study.best_trial.number == 1


def test_a_running_trial_is_deleted_only_when_that_is_meant(storage, study_id):
    trial_id = storage.claim(study_id).trial_id
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
    trial = Reader(storage.book).trial("digits/0")
    study = Reader(storage.book).study("digits")
    with pytest.raises(InvalidInputError, match="running: 0"):
        remove_trial(storage.book, trial)
    with pytest.raises(InvalidInputError, match="running: 0"):
        remove_study(storage.book, study)
    assert Reader(storage.book).study("digits").states == {"RUNNING": 1}
    remove_trial(storage.book, trial, running=True)
    attempt.log({"loss": 1.0}, 0, 0.0)
    # The program that still runs it goes on undisturbed; its result is not counted.
    with pytest.warns(TrialbookWarning):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert _count(storage, schema.series) == 0
    assert Reader(storage.book).study("digits").states == {}


def test_a_deleted_study_is_gone_and_its_name_is_free(storage, study_id, tmp_path):
    _trial(storage, study_id, tmp_path, b"a")
    storage.set_study_user_attr(study_id, "k", "v")
    reader = Reader(storage.book)
    remove_study(storage.book, reader.study("digits"))
    assert reader.studies() == []
    assert storage.get_all_studies() == []
    with pytest.raises(NotFoundError, match="was deleted"):
        reader.study("digits")
    assert len(_tombstones(storage)) == 1
    assert _count(storage, schema.attempt) == _count(storage, schema.study_attr) == 0
    again = storage.create_new_study([StudyDirection.MAXIMIZE], "digits")
    assert again != study_id
    assert reader.study("digits").directions == ("maximize",)
    (old, new) = sorted(verify(storage.book).seals, key=lambda s: s.trials, reverse=True)
    assert (old.study_deleted, old.deleted, new.study_deleted) == (True, 1, False)


def test_only_what_nothing_names_is_collected(storage, study_id, tmp_path):
    kept = _trial(storage, study_id, tmp_path, b"shared", b"only in 0")
    _trial(storage, study_id, tmp_path, b"shared", b"only in 1")
    assert find_garbage(storage.book) == NOTHING
    remove_trial(storage.book, Reader(storage.book).trial("digits/1"))
    found = find_garbage(storage.book)
    size = len(b"only in 1") + len(f"console of {kept + 1}") + len("artifact of 2") + IN_ROW_BYTES
    files = 0 if storage.book.blob_directory is None else 1
    assert found == Garbage(tombstones=0, snapshots=1, blobs=3, size_bytes=size, files=files)
    assert find_garbage(storage.book) == found
    assert collect_garbage(storage.book) == found
    assert find_garbage(storage.book) == NOTHING
    whole = verify(storage.book)
    assert (whole.mismatches, whole.blobs) == ((), 4)
    attempt = Reader(storage.book).trial("digits/0").attempt
    assert Reader(storage.book).blob(attempt.artifacts[0].digest).startswith(b"artifact of")


def test_what_optuna_deleted_is_collected_too(storage, study_id, tmp_path):
    _trial(storage, study_id, tmp_path, b"a")
    storage.set_study_user_attr(study_id, "secret", "v")
    optuna.delete_study(study_name="digits", storage=storage)
    assert find_garbage(storage.book).tombstones == 2
    collected = collect_garbage(storage.book)
    assert (collected.tombstones, collected.snapshots, collected.blobs) == (2, 2, 3)
    for table in ("attempt", "series", "artifact", "trial_value", "blob", "snapshot", "study_attr"):
        assert _count(storage, getattr(schema, table)) == 0
    ((_, _, digest, _, params, _),) = _tombstones(storage)
    assert params == "{}"
    assert digest is not None
    assert find_garbage(storage.book) == NOTHING


def test_stray_files_go_and_those_that_are_being_written_stay(storage, study_id, tmp_path, path):
    _trial(storage, study_id, tmp_path, b"a")
    directory = path.with_name("book.db.blobs")
    (directory / "ab").mkdir(exist_ok=True)
    (directory / "ab" / "ab12").write_bytes(b"left behind by a crash")
    (directory / "new-fresh").write_bytes(b"being written")
    (directory / "new-old").write_bytes(b"left behind")
    old = time.time() - ABANDONED_FILE_S - 60
    os.utime(directory / "new-old", (old, old))
    assert collect_garbage(storage.book) == Garbage(0, 0, 0, 0, 2)
    left = {p.name for p in directory.rglob("*") if p.is_file()}
    assert "new-fresh" in left
    assert len(left) == 2


def test_a_process_that_remembers_what_was_collected_stores_it_again(
    storage, study_id, tmp_path, url
):
    """The writer has stored a snapshot and its blobs; they go; it begins the next trial."""
    _trial(storage, study_id, tmp_path, b"the code")
    other = Book.open(url)
    remove_trial(other, Reader(other).trial("digits/0"))
    with other.reading() as connection:
        before = removals(connection)
    assert collect_garbage(other).blobs == 3
    with other.reading() as connection:
        assert removals(connection) != before  # for whoever has looked in between
    other.close()
    _trial(storage, study_id, tmp_path, b"the code")
    assert verify(storage.book).mismatches == ()
    snapshot, _ = _code(b"the code")
    assert Reader(storage.book).snapshot(snapshot.digest) == snapshot


def test_collecting_never_takes_what_others_are_storing(storage, study_id, url, tmp_path):
    """Two processes run trials that share contents; this one deletes and collects meanwhile."""
    writer = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from optuna.trial import TrialState
        from trialbook.book.storage import BookStorage
        from trialbook.records.blobs import Blob
        from trialbook.records.code import CodeState, FileEntry
        from trialbook.records.coordinates import Kind, Snapshot
        from trialbook.records.coverage import Coverage
        from trialbook.records.execution import EndReason, OutcomeState, Seeds

        storage = BookStorage({url!r})
        file, go = Path(sys.argv[1]), Path(sys.argv[2])
        turn = 0
        while (turns := int(go.read_text())) >= 0:
            if turn >= turns:  # everything is verified each round: it must not grow too fast
                time.sleep(0.001)
                continue
            turn += 1
            part = turn // 5  # shared by some trials of both, and then by none any more
            contents = [b"small %d" % part, b"L" * ({IN_ROW_BYTES} + 1 + part)]
            blobs = [Blob.of(content) for content in contents]
            files = tuple(FileEntry(f"f{{i}}", "100644", b.size_bytes, b.digest)
                          for i, b in enumerate(blobs))
            code = Snapshot.of(Kind.CODE, Coverage.of(()), CodeState(None, files))
            trial_id = storage.claim({study_id}).trial_id
            attempt = storage.begin_attempt(
                trial_id, snapshots=[code], blobs=blobs, seeds=Seeds(trial=turn))
            file.write_bytes(b"A" * ({IN_ROW_BYTES} + 10 + part))
            attempt.add_artifact("a", file, "text/plain")
            attempt.end(OutcomeState(EndReason.COMPLETE))
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        storage.close()
        """
    )
    go = tmp_path / "go"

    def allow(turns: int) -> None:
        draft = go.with_name("draft")
        draft.write_text(str(turns))
        draft.replace(go)

    allow(20)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", writer, str(tmp_path / f"file-{n}"), str(go)],
            stderr=subprocess.PIPE,
        )
        for n in range(2)
    ]
    reader = Reader(storage.book)
    rounds = removed = collected = 0
    try:
        while not list(reader.trials("digits", states=["COMPLETE"])):  # they still start
            assert all(process.poll() is None for process in writers)
            time.sleep(0.05)
        while rounds < 10 or removed < 20 or not collected:
            assert all(process.poll() is None for process in writers)
            for trial in islice(reader.trials("digits", states=["COMPLETE"]), 100):
                remove_trial(storage.book, trial)
                removed += 1
            collected += collect_garbage(storage.book).blobs
            assert verify(storage.book).mismatches == ()
            rounds += 1
            allow(20 * (rounds + 1))
    finally:
        allow(-1)
        ends = [(process.communicate()[1], process.returncode) for process in writers]
    assert ends == [(b"", 0), (b"", 0)]
    assert verify(storage.book).mismatches == ()


def test_drafts_that_come_and_go_do_not_disturb_collecting(storage, study_id, tmp_path, path):
    _trial(storage, study_id, tmp_path, b"a")
    directory = path.with_name("book.db.blobs")
    stop = threading.Event()

    def write_drafts(writer: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            draft = directory / f"new-{writer}-{count}"
            draft.write_bytes(b"x")
            draft.unlink()

    threads = [threading.Thread(target=write_drafts, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(80):
            assert find_garbage(storage.book) == NOTHING
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_nothing_is_removed_from_a_book_that_is_only_read(storage, study_id, tmp_path, url):
    _trial(storage, study_id, tmp_path, b"a")
    book = Book.open(url, create=False, read_only=True)
    with pytest.raises(BookReadOnlyError):
        remove_trial(book, Reader(book).trial("digits/0"))
    with pytest.raises(BookReadOnlyError):
        collect_garbage(book)
    book.close()
