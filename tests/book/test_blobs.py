from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from trialbook.book import schema
from trialbook.book.attempt import Attempt
from trialbook.book.blobs import IN_ROW_BYTES, BlobStore, StaleError
from trialbook.book.reading import Reader
from trialbook.book.removal_mark import note_removal
from trialbook.book.storage import BookStorage
from trialbook.errors import BookCorruptError, BookError, InvalidInputError, NotFoundError
from trialbook.records.blobs import Blob
from trialbook.records.execution import Seeds

from .conftest import config_snapshot

Begin = Callable[..., Attempt]
LARGE = bytes(range(256)) * (IN_ROW_BYTES // 256 + 1)


def _keep(storage: BookStorage, study_id: int, *blobs: Blob) -> Attempt:
    return storage.begin_attempt(
        storage.create_new_trial(study_id), snapshots=[], blobs=blobs, seeds=Seeds(trial=1)
    )


def _files(storage: BookStorage) -> list[Path]:
    """The files of a book's blobs; on PostgreSQL all contents lie in rows."""
    directory = storage.book.blob_directory
    return [] if directory is None else sorted(p for p in directory.rglob("*") if p.is_file())


@pytest.mark.parametrize("content", [b"", b"small", LARGE])
def test_content_comes_back(storage: BookStorage, study_id: int, content: bytes) -> None:
    blob = Blob.of(content)
    _keep(storage, study_id, blob)
    assert BlobStore(storage.book).content(blob.digest) == content


def test_small_contents_lie_in_rows_and_large_ones_in_files(
    path: Path, storage: BookStorage, study_id: int
) -> None:
    _keep(storage, study_id, Blob.of(b"small"), Blob.of(LARGE))
    (file,) = _files(storage)
    assert file.name == hashlib.sha256(LARGE).hexdigest() == Blob.of(LARGE).digest
    assert file.read_bytes() == LARGE


def test_content_is_kept_once(url: str, storage: BookStorage, study_id: int) -> None:
    for _ in range(3):
        _keep(storage, study_id, Blob.of(LARGE), Blob.of(b"x"), Blob.of(b"x"))
    other = BookStorage(url)
    _keep(other, study_id, Blob.of(LARGE), Blob.of(b"x"))
    other.close()
    with storage.book.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.blob)) == 2
    assert len(_files(storage)) == (0 if storage.book.path is None else 1)


def test_content_from_a_path(tmp_path: Path, storage: BookStorage, study_id: int) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(LARGE)
    blob = Blob(Blob.of(LARGE).digest, len(LARGE), path=str(source))
    _keep(storage, study_id, blob)
    source.unlink()
    assert BlobStore(storage.book).content(blob.digest) == LARGE


@pytest.mark.parametrize("content", [b"small", LARGE])
def test_a_file_that_changed_since_it_was_hashed_is_refused(
    tmp_path: Path, storage: BookStorage, study_id: int, content: bytes
) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(content + b"!")
    with pytest.raises(BookError, match="changed while"):
        _keep(storage, study_id, Blob(Blob.of(content).digest, len(content), path=str(source)))
    assert _files(storage) == []
    assert Reader(storage.book).trial("digits/0").attempts == ()


def test_damage_is_named(path: Path, storage: BookStorage, study_id: int) -> None:
    small, large = Blob.of(b"small"), Blob.of(LARGE)
    _keep(storage, study_id, small, large)
    (file,) = _files(storage)
    file.write_bytes(LARGE[:-1] + b"?")
    with storage.book.writing() as connection:
        connection.execute(
            update(schema.blob).where(schema.blob.c.digest == small.digest).values(content=b"smell")
        )
    store = BlobStore(storage.book)
    for blob in (small, large):
        with pytest.raises(BookCorruptError, match="damaged") as caught:
            store.content(blob.digest)
        assert blob.digest in str(caught.value)
    file.unlink()
    with pytest.raises(BookCorruptError):
        store.content(large.digest)
    with pytest.raises(NotFoundError):
        store.content("0" * 64)


def test_a_failed_transaction_leaves_no_file(storage: BookStorage, study_id: int) -> None:
    trial_id = storage.create_new_trial(study_id)
    with pytest.raises(NotFoundError):
        storage.begin_attempt(
            trial_id + 1, snapshots=[], blobs=[Blob.of(LARGE)], seeds=Seeds(trial=1)
        )
    # The file had taken its place: nothing names it, and the same content takes it again.
    assert all(not file.name.startswith("new-") for file in _files(storage))
    with pytest.raises(NotFoundError):
        BlobStore(storage.book).content(Blob.of(LARGE).digest)
    _keep(storage, study_id, Blob.of(LARGE))
    assert BlobStore(storage.book).content(Blob.of(LARGE).digest) == LARGE


def test_what_was_removed_is_stored_again(url: str, storage: BookStorage, study_id: int) -> None:
    """This process remembers what it has stored; another removes it all and collects garbage."""
    from trialbook.book.removal import collect_garbage, remove_trial

    blob, snapshot = Blob.of(LARGE), config_snapshot(layers=9)
    trial_id = storage.create_new_trial(study_id)
    storage.begin_attempt(trial_id, snapshots=[snapshot], blobs=[blob], seeds=Seeds(trial=1))
    other = BookStorage(url)
    remove_trial(other.book, Reader(other.book).trial("digits/0"), running=True)
    collect_garbage(other.book)
    assert _files(storage) == []
    attempt = storage.begin_attempt(
        storage.create_new_trial(study_id), snapshots=[snapshot], blobs=[blob], seeds=Seeds(trial=1)
    )
    assert attempt.number == 1
    assert Reader(other.book).blob(blob.digest) == LARGE
    assert Reader(other.book).snapshot(snapshot.digest) == snapshot
    other.close()


def test_artifacts_are_stored_at_once(
    tmp_path: Path, url: str, begin: Begin, storage: BookStorage
) -> None:
    attempt = begin()
    model = tmp_path / "model.npz"
    for content in (b"first", LARGE):
        model.write_bytes(content)
        record = attempt.add_artifact("model.npz", model, "application/octet-stream")
        assert (record.digest, record.size_bytes) == (Blob.of(content).digest, len(content))
    found = Reader(BookStorage(url).book).trial("digits/0").attempt
    assert found is not None
    assert found.artifacts == (record,)
    assert Reader(storage.book).blob(record.digest) == LARGE


def test_artifacts_that_cannot_be_kept(tmp_path: Path, begin: Begin) -> None:
    attempt = begin()
    with pytest.raises(FileNotFoundError):
        attempt.add_artifact("a", tmp_path / "missing", "text/plain")
    with pytest.raises(InvalidInputError):
        attempt.add_artifact("a\0", tmp_path, "text/plain")


def test_what_another_thread_learned_of_a_removal_is_no_proof_for_this_one(
    storage: BookStorage, study_id: int
) -> None:
    """One thread looks for its blobs, they are removed, another thread learns of the removal."""
    store = BlobStore(storage.book)
    mine, theirs = Blob.of(b"mine"), Blob.of(b"theirs")
    _keep(storage, study_id, mine)
    assert store.prepared([mine]) == []  # it is there
    assert store.mark_of(blobs=[mine]) is not None
    with storage.book.writing() as connection:
        connection.execute(delete(schema.blob).where(schema.blob.c.digest == mine.digest))
        note_removal(connection)
    prepared = store.prepared([theirs])
    with pytest.raises(StaleError), storage.book.writing() as connection:
        store.name(connection, prepared, relied_on=[theirs])  # the other thread learns of it
    assert store.mark_of(blobs=[mine]) is None
    with pytest.raises(StaleError), storage.book.writing() as connection:
        store.name(connection, [], relied_on=[mine])
    assert [item.digest for item in store.prepared([mine])] == [mine.digest]
