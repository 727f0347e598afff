"""Where a content is named: by attempts that kept it, and by studies that had it as an input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy import insert

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.located import (
    Keeping,
    Use,
    identities,
    is_size_known,
    keepings,
    running_here,
    seals_before,
    uses,
)
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_study, remove_trial
from trialbook.book.seals import sealed
from trialbook.book.storage import BookStorage
from trialbook.records.blobs import Blob
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataFile, DataState, InputState
from trialbook.records.execution import Console, EndReason, OutcomeState, Seeds
from trialbook.records.figure_references import study_key

FULL = Coverage.of(())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


MODEL, LOG = b"weights", Blob.of(b"epoch 1\n")
SOURCE, TABLE, FIXTURE, SETTINGS = (digest(each) for each in (b"code", b"a,b", b"read", b"conf"))


def code(loaded: bool) -> Snapshot:
    files = (
        FileEntry("model.py", "100644", 4, SOURCE, base="outside-1", loaded=loaded, embedded=False),
        FileEntry("train.py", "100644", 4, SOURCE, loaded=loaded, embedded=False),
    )
    return Snapshot.of(Kind.CODE, FULL, CodeState(None, files))


DATA = Snapshot.of(
    Kind.DATA,
    FULL,
    DataState(
        (
            InputState("all", "directory", "d", "/d", digest(b"d"), 3, (DataFile("x", 3, TABLE),)),
            InputState("train", "file", "t.csv", "/t.csv", TABLE, 3),
        ),
        (DataFile("/f.txt", 1_234_567, FIXTURE),),
    ),
)
CONFIG = Snapshot.of(Kind.CONFIG, FULL, ConfigState("conf.yaml", SETTINGS))


@pytest.fixture
def run(storage: BookStorage, tmp_path: Path) -> Callable[..., tuple[int, Attempt]]:
    """Runs a trial of a study: snapshots, an artifact, a console; its id and attempt."""

    def run(
        study_id: int,
        snapshots: Iterable[Snapshot] = (CONFIG,),
        artifact: bytes | None = MODEL,
        state: TrialState | None = TrialState.COMPLETE,
        trial_id: int | None = None,
    ) -> tuple[int, Attempt]:
        if trial_id is None:
            trial_id = storage.create_new_trial(study_id)
        attempt = storage.begin_attempt(
            trial_id, snapshots=list(snapshots), blobs=[], seeds=Seeds(trial=1)
        )
        if artifact is not None:
            (tmp_path / "file").write_bytes(artifact)
            attempt.add_artifact("model.bin", tmp_path / "file", "application/octet-stream")
        console = Console(LOG.digest, 8, 8)
        if state is not None:
            attempt.end(OutcomeState(EndReason.COMPLETE, stdout=console, stderr=console), [LOG])
            storage.set_trial_state_values(trial_id, state, [0.5])
        return trial_id, attempt

    return run


def test_every_attempt_that_kept_a_content_is_found_and_what_counts_comes_first(
    storage, study_id, run
):
    other = storage.create_new_study([StudyDirection.MINIMIZE], "another")
    waiting, _ = run(study_id, state=None)
    run(other)
    run(study_id, artifact=b"other weights")
    run(study_id)
    storage.flush()

    found, count = keepings(storage.book, digest(MODEL), 10)

    assert found == (
        Keeping("artifact", "model.bin", "another", 0, "COMPLETE", 1, True),
        Keeping("artifact", "model.bin", "digits", 0, "RUNNING", 1, True),
        Keeping("artifact", "model.bin", "digits", 2, "COMPLETE", 1, True),
    )
    assert count == 3
    assert keepings(storage.book, digest(MODEL), 2) == (found[:2], 3)
    assert keepings(storage.book, digest(b"never"), 2) == ((), 0)
    assert waiting


def test_an_earlier_attempt_is_found_behind_the_one_that_counts(storage, study_id, run):
    trial_id, _ = run(study_id, state=None)
    storage.flush()
    with storage.book.writing() as connection:
        row = {"trial_id": trial_id, "number": 2, "started": 1.0, "prune_answers": ""}
        new = connection.execute(insert(schema.attempt).values(row)).inserted_primary_key[0]
        kept = {"attempt_id": new, "name": "m", "digest": digest(MODEL), "size": 7}
        connection.execute(insert(schema.artifact).values({**kept, "media_type": "x/y"}))
        connection.execute(schema.trial.update().values(attempt=2))

    found, _ = keepings(storage.book, digest(MODEL), 10)

    assert [(k.attempt, k.counts) for k in found] == [(2, True), (1, False)]


def test_what_was_written_to_a_console_is_found(storage, study_id, run):
    run(study_id)

    found, count = keepings(storage.book, LOG.digest, 10)

    assert [(k.how, k.study, k.number) for k in found] == [("stdout", "digits", 0)]
    assert count == 1


def test_what_was_deleted_is_not_found(storage, study_id, run):
    other = storage.create_new_study([StudyDirection.MINIMIZE], "another")
    for which in (study_id, study_id, other):
        run(which, [code(True), DATA])
    reader = Reader(storage.book)
    remove_trial(storage.book, reader.trial("digits/1"))
    remove_study(storage.book, reader.study("another"))

    assert [(k.study, k.number) for k in keepings(storage.book, digest(MODEL), 9)[0]] == [
        ("digits", 0)
    ]
    assert {(u.study, u.trials) for u in uses(storage.book, SOURCE)} == {("digits", 1)}


def test_the_studies_that_had_a_content_as_input_are_found(storage, study_id, run):
    other = storage.create_new_study([StudyDirection.MINIMIZE], "another")
    for which, loaded in ((study_id, True), (study_id, True), (study_id, False), (other, True)):
        run(which, [code(loaded), DATA, CONFIG])

    assert uses(storage.book, SOURCE) == (
        Use(Kind.CODE, "outside-1:model.py", "loaded", "another", 1, 0, 0),
        Use(Kind.CODE, "train.py", "loaded", "another", 1, 0, 0),
        Use(Kind.CODE, "outside-1:model.py", "kept", "digits", 1, 2, 2),
        Use(Kind.CODE, "outside-1:model.py", "loaded", "digits", 2, 0, 1),
        Use(Kind.CODE, "train.py", "kept", "digits", 1, 2, 2),
        Use(Kind.CODE, "train.py", "loaded", "digits", 2, 0, 1),
    )
    assert [(u.name, u.role, u.study, u.trials) for u in uses(storage.book, TABLE)] == [
        ("all: x", "input", "another", 1),
        ("train", "input", "another", 1),
        ("all: x", "input", "digits", 3),
        ("train", "input", "digits", 3),
    ]
    assert {(u.name, u.role) for u in uses(storage.book, FIXTURE)} == {
        ("/f.txt", "read undeclared")
    }
    assert {(u.name, u.role) for u in uses(storage.book, SETTINGS)} == {
        ("conf.yaml", "configuration")
    }
    assert uses(storage.book, digest(b"never")) == ()


def test_a_size_that_nothing_has_need_not_be_hashed(storage, study_id, run):
    run(study_id, [DATA])

    sizes = (len(MODEL), len(LOG.content or b""), 1_234_567, 3, 123, 456_7, 999)
    assert [is_size_known(storage.book, size) for size in sizes] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_seal_is_found_for_as_many_trials_as_it_covers(storage, study_id):
    study = optuna.load_study(study_name="digits", storage=storage)
    seals = []
    for value in range(7):
        seals.append(sealed(storage.book, study_id).seal)
        study.add_trial(optuna.trial.create_trial(value=float(value)))
    now = sealed(storage.book, study_id).seal

    assert list(seals_before(storage.book, study_id).items()) == [
        (seal, count) for count, seal in enumerate([*seals, now])
    ]


def test_studies_are_known_by_their_keys_also_when_they_are_gone(storage, study_id):
    other = storage.create_new_study([StudyDirection.MINIMIZE], "another")
    reader = Reader(storage.book)
    keys = {record.name: study_key(record.uid) for record in reader.studies()}
    remove_study(storage.book, reader.study("another"))

    found = identities(storage.book, {*keys.values(), "0" * 32})

    assert {key: (s.study_id, s.name, s.deleted_s is None) for key, s in found.items()} == {
        keys["digits"]: (study_id, "digits", True),
        keys["another"]: (other, "another", False),
    }


def test_the_attempts_that_run_here_are_known_by_the_number_of_their_trial(storage, study_id, run):
    run(study_id)
    run(study_id, state=None)
    storage.flush()

    assert [(k.study, k.number, k.attempt) for k in running_here(storage.book, 1)] == [
        ("digits", 1, 1)
    ]
    assert running_here(storage.book, 0) == ()
