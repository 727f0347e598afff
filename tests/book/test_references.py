"""What the workers of a study are held against: the newest attempt, or what is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.removal import collect_garbage, find_garbage, remove_study, remove_trial
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.code import CodeState, EntryPoint, FileEntry
from trialbook.records.coordinates import CoordinateDigests, Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import LaunchState, Seeds
from trialbook.records.references import StudyReference

from .conftest import config_snapshot


def _code(content: bytes) -> tuple[Snapshot, list[Blob]]:
    blob = Blob.of(content)
    entry = FileEntry("train.py", "100644", blob.size_bytes, blob.digest, loaded=True)
    return Snapshot.of(Kind.CODE, Coverage.of(()), CodeState(None, (entry,))), [blob]


def _launch(*differs: str) -> Snapshot:
    state = LaunchState(
        host="here",
        user=None,
        pid=1,
        python="/python",
        argv=("python", '"differs":["code"]'),
        cwd="/",
        entry=EntryPoint("none"),
        bases={},
        sys_path=(),
        isolation="none",
        differs=differs,
    )
    return Snapshot.of(Kind.EXECUTION, Coverage.of(()), state)


def _attempt(storage: BookStorage, study_id: int, *snapshots: Snapshot, seed: int = 3) -> int:
    trial_id = storage.create_new_trial(study_id)
    seeds = Seeds(trial=1, decorator=seed)
    storage.begin_attempt(trial_id, snapshots=snapshots, seeds=seeds)
    return trial_id


def test_a_study_without_a_tracked_attempt_has_none(storage: BookStorage, study_id: int) -> None:
    storage.create_new_trial(study_id)

    assert storage.reference(study_id) is None
    assert storage.fix_reference(study_id) is None
    assert storage.reference(study_id) is None


def test_the_newest_attempt_is_the_reference(storage: BookStorage, study_id: int) -> None:
    _attempt(storage, study_id, config_snapshot(layers=1), seed=3)
    second = config_snapshot(layers=2)
    _attempt(storage, study_id, second, seed=4)

    expected = StudyReference(CoordinateDigests(config=second.digest), seed=4, fixed=False)
    assert storage.reference(study_id) == expected


def test_an_attempt_that_differs_never_is(storage: BookStorage, study_id: int) -> None:
    usual, other = config_snapshot(layers=1), config_snapshot(layers=2)
    _attempt(storage, study_id, usual, _launch())
    for _ in range(3):
        _attempt(storage, study_id, other, _launch("code: train.py"))

    found = storage.reference(study_id)
    assert found is not None
    assert found.coordinates.config == usual.digest


def test_what_is_fixed_stays_when_others_begin(storage: BookStorage, study_id: int) -> None:
    first = config_snapshot(layers=1)
    _attempt(storage, study_id, first)

    fixed = storage.fix_reference(study_id)
    _attempt(storage, study_id, config_snapshot(layers=2), seed=9)

    assert fixed == StudyReference(CoordinateDigests(config=first.digest), seed=3, fixed=True)
    assert storage.reference(study_id) == fixed
    assert storage.fix_reference(study_id) == fixed


def test_two_who_fix_it_at_once_agree(url: str, storage: BookStorage, study_id: int) -> None:
    _attempt(storage, study_id, config_snapshot(layers=1))
    others = [BookStorage(url) for _ in range(4)]
    found: list[StudyReference | None] = []
    threads = [
        threading.Thread(target=lambda s=other: found.append(s.fix_reference(study_id)))
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()

    assert found == [storage.reference(study_id)] * 4


def test_one_that_is_set_is_in_the_book_with_its_contents(
    storage: BookStorage, study_id: int
) -> None:
    code, blobs = _code(b"print(1)\n")

    storage.set_reference(study_id, [code], blobs, seed=7)

    expected = StudyReference(CoordinateDigests(code=code.digest), seed=7, fixed=True)
    assert storage.reference(study_id) == expected
    assert storage.snapshot(code.digest) == code
    assert Reader(storage.book).blob(blobs[0].digest) == b"print(1)\n"


def test_setting_again_takes_the_place_of_the_first(storage: BookStorage, study_id: int) -> None:
    for content in (b"one", b"two"):
        code, blobs = _code(content)
        storage.set_reference(study_id, [code], blobs)

    found = storage.reference(study_id)
    assert found is not None
    assert found.coordinates.code == code.digest


@pytest.mark.parametrize(
    "act",
    [
        lambda storage: storage.reference(99),
        lambda storage: storage.set_reference(99, []),
        lambda storage: storage.fix_reference(99),
    ],
)
def test_a_study_that_is_not_there_is_said(
    act: Callable[[BookStorage], object], storage: BookStorage
) -> None:
    with pytest.raises(NotFoundError):
        act(storage)


def test_collecting_keeps_what_a_fixed_reference_names(storage: BookStorage, study_id: int) -> None:
    code, blobs = _code(b"kept by the study alone")
    storage.set_reference(study_id, [code], blobs)

    assert find_garbage(storage.book).empty
    collect_garbage(storage.book)

    assert verify(storage.book).mismatches == ()
    assert storage.snapshot(code.digest) == code
    assert Reader(storage.book).blob(blobs[0].digest)


def test_collecting_keeps_what_was_fixed_when_its_trial_is_deleted(
    storage: BookStorage, study_id: int, begin: Callable[..., Attempt]
) -> None:
    trial_id = begin().trial_id
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    fixed = storage.fix_reference(study_id)
    remove_trial(storage.book, Reader(storage.book).trial("digits/0"))

    collect_garbage(storage.book)

    assert fixed is not None
    assert fixed.coordinates.config is not None
    assert storage.snapshot(fixed.coordinates.config)


def test_a_study_takes_its_reference_with_it(storage: BookStorage, study_id: int) -> None:
    code, blobs = _code(b"gone with the study")
    storage.set_reference(study_id, [code], blobs)

    remove_study(storage.book, storage.get_study_record(study_id))
    removed = collect_garbage(storage.book)

    assert (removed.snapshots, removed.blobs) == (1, 1)
    assert find_garbage(storage.book).empty


def test_optunas_deletion_leaves_it_to_be_collected(storage: BookStorage, study_id: int) -> None:
    code, blobs = _code(b"gone with the study")
    storage.set_reference(study_id, [code], blobs)

    storage.delete_study(study_id)
    removed = collect_garbage(storage.book)

    assert (removed.tombstones, removed.snapshots, removed.blobs) == (1, 1, 1)


def _reference_is(storage: BookStorage, text: str) -> None:
    with storage.book.writing() as connection:
        connection.exec_driver_sql(f"UPDATE tb_study SET reference = '{text}'")


def test_verifying_names_what_a_reference_lacks(storage: BookStorage, study_id: int) -> None:
    code, blobs = _code(b"removed by hand")
    storage.set_reference(study_id, [code], blobs)
    with storage.book.writing() as connection:
        connection.exec_driver_sql("DELETE FROM tb_snapshot")

    found = verify(storage.book, "digits").mismatches

    assert [(m.kind, m.what) for m in found] == [("snapshot", "it is not in the book")]
    assert "the code of the reference of digits" in found[0].where


def test_a_damaged_reference_is_named(storage: BookStorage, study_id: int) -> None:
    _reference_is(storage, '{"code": 1}')

    with pytest.raises(BookCorruptError):
        storage.reference(study_id)
    assert [m.where for m in verify(storage.book).mismatches] == ["the reference of digits"]
