"""Studies from one book into another, and into one file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import select, text, update

from trialbook.book import (
    brought_blobs,
    copied_rows,
    postgres_setup,
    schema,
    study_contents,
)
from trialbook.book.artifact_location import contents_outside, set_artifact_location
from trialbook.book.blobs import IN_ROW_BYTES, BlobStore
from trialbook.book.book import Book
from trialbook.book.copying import copy_study
from trialbook.book.exporting import export_study
from trialbook.book.reading import Reader
from trialbook.book.record_digest import record_digest
from trialbook.book.removal import collect_garbage, find_garbage, remove_study
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import (
    BookCorruptError,
    BookError,
    BookFullError,
    InvalidInputError,
    NotFoundError,
)
from trialbook.records.workers import Claim
from trialbook.testing import invariants

from .moved import WORKER, make_study, whole


@pytest.fixture
def source(storage: BookStorage, tmp_path: Path) -> Book:
    """A book that holds the study ``digits``, with everything that can be recorded."""
    make_study(storage, tmp_path)
    storage.close()
    return storage.book


@pytest.fixture
def target(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Book]:
    """An empty book on the other database."""
    if url.startswith("sqlite"):
        there: str = request.getfixturevalue("postgres_book_url")
    else:
        there = f"sqlite:///{tmp_path / 'there.db'}"
    book = Book.open(there)
    yield book
    book.close()


def sizes(book: Book) -> dict[str, int]:
    """The blobs of a book."""
    with book.reading() as connection:
        b = schema.blob.c
        return {row.digest: row.size for row in connection.execute(select(b.digest, b.size))}


def test_there_and_back_and_into_a_file_everything_is_as_it_was(
    source: Book, target: Book, tmp_path: Path
) -> None:
    before = whole(source)
    here = Book.open(tmp_path / "back.db")
    done = copy_study(source, target, "digits")
    assert not done.was_there
    # What the other study and the deleted trial have printed does not go over.
    assert done.blobs == len(before["blob"]) - 2
    copy_study(target, here, "digits")
    exported = export_study(here, "digits", tmp_path / "digits.db")
    file = Book.open(tmp_path / "digits.db", create=False, read_only=True)
    left = [row["worker_id"] for row in before["worker"] if row["ended"] is None]
    assert left == [WORKER.worker_id]
    before["worker"][0] |= {"state": "left", "ended": before["worker"][0]["seen"]}
    seals = {done.seal, exported.seal}
    for book in (target, here, file):
        found = whole(book)
        if book is file:
            # Who gave it away cannot know whose hands it comes back from.
            assert [study.pop("origin") for study in found["study"]] == [None]
            assert [study.pop("origin") for study in before["study"]] == ["f" * 64]
        for table, rows in before.items():
            if table in ("blob", "snapshot"):
                continue
            assert found[table] == rows, table
        assert found["blob"].items() <= before["blob"].items()
        assert all(row in before["snapshot"] for row in found["snapshot"])
        assert invariants(book) == []
        checked = verify(book)
        (seal,) = checked.seals
        seals.add(seal.seal)
        assert checked == verify(here)
        assert find_garbage(book).empty  # no content came without being named
        with book.reading() as connection:
            for trial_id, digest in connection.execute(
                select(schema.trial.c.trial_id, schema.trial.c.record_digest).where(
                    schema.trial.c.record_digest.is_not(None), schema.trial.c.deleted.is_(None)
                )
            ).all():
                assert record_digest(connection, trial_id) == digest
    assert len(seals) == 1
    assert verify(source, "digits").seals[0].seal in seals
    assert sorted(path.name for path in tmp_path.glob("digits.db*")) == ["digits.db"]
    for book in (here, file):
        book.close()


def test_what_is_in_memory_at_once_is_bounded(
    source: Book, target: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copied_rows, "PORTION", 2)
    monkeypatch.setattr(copied_rows, "PAYLOAD_BYTES", 150)
    monkeypatch.setattr(brought_blobs, "TOGETHER_BYTES", 10)
    monkeypatch.setattr(study_contents, "_IDS", 2)
    monkeypatch.setattr(study_contents, "_DOCUMENTS", 1)
    copy_study(source, target, "digits")
    assert whole(target)["tb_series"] == whole(source)["tb_series"]
    assert invariants(target) == []


def test_a_study_goes_on_in_the_book_that_it_was_copied_to(source: Book, target: Book) -> None:
    copy_study(source, target, "digits", name="moved")
    there = BookStorage(target.url)
    study_id = there.get_study_id_from_name("moved")
    record = there.get_study_record(study_id)
    assert record.origin == "f" * 64
    for _ in range(3):  # two that wait, and a new one
        claim = there.claim(study_id)
        assert isinstance(claim, Claim)
        there.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    assert [trial.number for trial in there.get_all_trials(study_id)] == [*range(4), *range(5, 10)]
    new = there.create_new_study([StudyDirection.MINIMIZE])  # no id is given twice
    there.create_new_trial(new, create_trial(value=1.0))
    assert invariants(there.book) == []
    there.close()
    with pytest.raises(BookError, match="trial 7 is WAITING here and COMPLETE there"):
        copy_study(source, target, "digits")


def test_again_nothing_is_done_and_another_state_is_refused(source: Book, target: Book) -> None:
    first = copy_study(source, target, "digits", name="elsewhere")
    again = copy_study(source, target, "digits")
    assert (again.was_there, again.study, again.blobs) == (True, "elsewhere", 0)
    assert (again.seal, again.trials) == (first.seal, first.trials) == (first.seal, 9)
    with target.writing() as connection:
        connection.execute(
            update(schema.trial).where(schema.trial.c.number == 2).values(record_digest="0" * 64)
        )
    with pytest.raises(BookError, match="in another state: trial 2 has another record there"):
        copy_study(source, target, "digits")
    remove_study(target, Reader(target).study("elsewhere"))
    with pytest.raises(BookError, match="keeps the digest of another trial 2"):
        copy_study(source, target, "digits")


@pytest.mark.parametrize("how", ["rm", "Optuna"])
def test_a_study_that_went_on_takes_the_place_of_its_deleted_copy(
    source: Book, target: Book, how: str
) -> None:
    copy_study(source, target, "digits")
    here, there = BookStorage(source.url), BookStorage(target.url)
    study_id = here.get_study_id_from_name("digits")
    for _ in range(3):
        claim = here.claim(study_id)
        assert isinstance(claim, Claim)
        here.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(BookError, match=r"trial 7 is COMPLETE here and WAITING there"):
        copy_study(source, target, "digits")
    if how == "rm":
        remove_study(target, Reader(target).study("digits"))
    else:
        there.delete_study(there.get_study_id_from_name("digits"))
    copy_study(source, target, "digits")
    for table in ("trial", "attempt", "tb_series", "tb_launch", "tb_checkpoint"):
        assert whole(target)[table] == whole(source)[table]
    assert [seal.study_deleted for seal in verify(target).seals] == [False]
    assert invariants(target) == []
    assert find_garbage(target).tombstones == 0
    here.close()
    there.close()


def test_what_cannot_be_copied_is_refused_and_leaves_nothing(source: Book, target: Book) -> None:
    there = BookStorage(target.url)
    there.create_new_study([StudyDirection.MINIMIZE], "digits")
    with pytest.raises(InvalidInputError, match="another study of the name 'digits'") as caught:
        copy_study(source, target, "digits")
    assert "--as NAME" in str(caught.value)
    with pytest.raises(NotFoundError, match="no study 'nix'"):
        copy_study(source, target, "nix")
    with pytest.raises(InvalidInputError, match="NUL"):
        copy_study(source, target, "digits", name="a\0")
    with pytest.raises(InvalidInputError, match="into its own book"):
        copy_study(source, Book.open(source.url), "digits")
    here = BookStorage(source.url)
    study_id = here.get_study_id_from_name("digits")
    here.claim(study_id)
    with pytest.raises(InvalidInputError, match="are running, .*: 7") as caught:
        copy_study(source, target, "digits", name="a")
    assert "trialbook drain" in str(caught.value)
    with target.reading() as connection:
        assert connection.scalars(select(schema.study.c.name)).all() == ["digits"]
        assert connection.scalars(select(schema.blob.c.digest)).all() == []
    here.close()
    there.close()


def test_a_content_that_is_damaged_is_named(source: Book, target: Book) -> None:
    with source.writing() as connection:
        digest = connection.scalars(
            select(schema.blob.c.digest).where(schema.blob.c.size < IN_ROW_BYTES)
        ).first()
        changed = schema.blob.update().where(schema.blob.c.digest == digest)
        connection.execute(changed.values(content=b"other"))
    with pytest.raises(BookCorruptError, match="not what its digest says") as caught:
        copy_study(source, target, "digits")
    assert caught.value.where == f"blob {digest}"
    assert verify(target).seals == ()


def test_large_contents_go_where_the_other_book_keeps_its_own(
    source: Book, target: Book, tmp_path: Path
) -> None:
    set_artifact_location(target, str(tmp_path / "shared"))
    copy_study(source, target, "digits")
    large = [d for d, size in sizes(source).items() if size > IN_ROW_BYTES]
    assert contents_outside(target) == len(large) >= 3
    export_study(target, "digits", tmp_path / "digits.db")
    shutil.rmtree(tmp_path / "shared")
    file = Book.open(tmp_path / "digits.db", create=False, read_only=True)
    assert whole(file)["blob"].keys() >= set(large)
    assert invariants(file) == []
    file.close()


def test_contents_that_arrived_do_not_come_again_and_those_that_went_do(
    source: Book, target: Book
) -> None:
    brought: list[list[str]] = []

    def interrupted(of: Book, to: Book, blobs, said: Callable[[int], None]) -> None:
        brought.append(list(blobs))
        if len(brought) == 1:
            half = dict(list(blobs.items())[:4])
            brought_blobs.bring(of, to, half, said)
            raise KeyboardInterrupt
        brought_blobs.bring(of, to, blobs, said)
        if len(brought) == 2:  # somebody tidies up before the rows come
            assert collect_garbage(to).blobs == len(brought[0])

    with pytest.raises(KeyboardInterrupt):
        copy_study(source, target, "digits", bringing=interrupted)
    with target.reading() as connection:
        assert connection.scalars(select(schema.study.c.name)).all() == []
    copy_study(source, target, "digits", bringing=interrupted)
    assert [len(some) for some in brought] == [(n := len(brought[0])), n - 4, n]
    assert invariants(target) == []


def test_a_long_copy_is_not_cut_off_by_the_limits_of_ordinary_transactions(
    source: Book, target: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a server: a write transaction ends with its time, and with a client's silence."""
    monkeypatch.setattr(postgres_setup, "TRANSACTION_TIMEOUT_S", 1)
    monkeypatch.setattr(postgres_setup, "IDLE_TIMEOUT_S", 1)

    def dawdle(step: str) -> None:
        if step.startswith("trial"):
            time.sleep(1.5)

    copy_study(source, target, "digits", progress=dawdle)
    assert invariants(target) == []


def test_others_write_into_both_books_meanwhile(source: Book, target: Book) -> None:
    """Workers of other studies, and two copies of the same study at once."""
    stop = threading.Event()
    done: dict[str, int] = {}
    failed: list[BaseException] = []

    def work(url: str) -> None:
        try:
            storage = BookStorage(url)
            study_id = storage.create_new_study([StudyDirection.MINIMIZE], "busy")
            while not stop.is_set() or not done.get(url):
                claim = storage.claim(study_id)
                assert isinstance(claim, Claim)
                storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
                done[url] = done.get(url, 0) + 1
            storage.close()
        except BaseException as error:
            failed.append(error)

    results = []

    def copied() -> None:
        try:
            of, to = Book.open(source.url, read_only=True), Book.open(target.url)
            results.append(copy_study(of, to, "digits").was_there)
            to.close()
            of.close()
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(book.url,)) for book in (source, target)]
    copies = [threading.Thread(target=copied) for _ in range(2)]
    for thread in (*workers, *copies):
        thread.start()
    for thread in copies:
        thread.join()
    stop.set()
    for thread in workers:
        thread.join()
    assert failed == []
    assert sorted(results) == [False, True]
    assert invariants(source) == invariants(target) == []
    assert {s.study for s in verify(target).seals} == {"busy", "digits"}


class TestExport:
    """Into one file; what is special of it is SQLite's, so the source is too."""

    @pytest.fixture
    def source(self, path: Path, url: str, tmp_path: Path) -> Book:
        storage = BookStorage(url)
        make_study(storage, tmp_path)
        storage.close()
        return storage.book

    def test_it_is_read_where_nothing_can_be_written(self, source: Book, tmp_path: Path) -> None:
        place = tmp_path / "closed"
        place.mkdir()
        file = place / "digits.db"
        export_study(source, "digits", file)
        place.chmod(0o555)
        file.chmod(0o444)
        before = file.read_bytes()
        book = Book.open(file, create=False, read_only=True)
        assert verify(book).mismatches == ()
        assert Reader(book).study("digits").states["COMPLETE"] == 5
        assert os.listdir(place) == ["digits.db"]
        book.close()
        assert file.read_bytes() == before
        place.chmod(0o755)

    def test_a_trial_that_runs_in_it_makes_it_a_book_like_others(
        self, source: Book, tmp_path: Path
    ) -> None:
        file = tmp_path / "digits.db"
        export_study(source, "digits", file)
        storage = BookStorage(file)
        reading = Book.open(file, create=False, read_only=True)
        with reading.reading() as connection:  # somebody looks at it meanwhile
            connection.execute(text("SELECT 1"))
        study_id = storage.get_study_id_from_name("digits")
        claim = storage.claim(study_id)
        assert isinstance(claim, Claim)
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [1.0])
        with sqlite3.connect(file) as raw:
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()
        reading.close()
        storage.close()
        assert not file.with_name("digits.db-wal").exists()
        assert invariants(f"sqlite:///{file}") == []

    def test_a_file_that_is_there_or_in_use_stays(self, source: Book, tmp_path: Path) -> None:
        file = tmp_path / "digits.db"
        file.write_text("precious")
        with pytest.raises(InvalidInputError, match="there already"):
            export_study(source, "digits", file)
        assert file.read_text() == "precious"
        export_study(source, "digits", file, replace=True)
        export_study(source, "digits", file, replace=True)
        assert verify(Book.open(file, read_only=True)).mismatches == ()
        file.with_name("digits.db-wal").touch()
        with pytest.raises(InvalidInputError, match="in use as a book: digits.db-wal"):
            export_study(source, "digits", file, replace=True)
        assert source.path is not None
        with pytest.raises(InvalidInputError, match="in use as a book"):
            export_study(source, "digits", source.path, replace=True)
        with pytest.raises(InvalidInputError, match="directory is not there"):
            export_study(source, "digits", tmp_path / "none" / "digits.db")
        link = tmp_path / "link.db"
        link.symlink_to(source.path)
        with pytest.raises(InvalidInputError, match="in use as a book"):
            export_study(source, "digits", link, replace=True)
        assert list(tmp_path.glob("*.partial*")) == []

    def test_what_fails_leaves_no_file(
        self, source: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = 100_000
        monkeypatch.setattr(brought_blobs, "row_limit_bytes", lambda _: limit)
        with pytest.raises(BookFullError, match=f"one SQLite file takes {limit:,}") as caught:
            export_study(source, "digits", tmp_path / "digits.db")
        assert "storage copy" in str(caught.value)
        assert list(tmp_path.glob("digits.db*")) == []

    def test_large_contents_go_into_rows_piece_by_piece(
        self, source: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(brought_blobs, "_STREAMED_BYTES", 10)
        file = tmp_path / "digits.db"
        export_study(source, "digits", file)
        book = Book.open(file, create=False, read_only=True)
        with book.reading() as connection:
            b = schema.blob.c
            large = connection.execute(select(b.digest, b.size, b.content).where(b.size > 65536))
            found = {row.digest: (row.size, len(row.content)) for row in large}
        assert len(found) >= 3
        assert all(size == length for size, length in found.values())
        for digest in found:
            b"".join(BlobStore(book).chunks(digest))
        book.close()
