"""Larger contents at a location: a shared directory, and a server that speaks S3."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from trialbook.book import blob_parts, place_garbage, row_contents, schema
from trialbook.book.artifact_location import (
    artifact_location,
    set_artifact_location,
    try_artifact_location,
)
from trialbook.book.artifact_setting import Beside, Elsewhere, InDatabase, checked_url, setting_of
from trialbook.book.attempt import Attempt
from trialbook.book.blobs import IN_ROW_BYTES, BlobStore
from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.removal import collect_garbage, find_garbage, remove_trial
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import (
    ArtifactLocationError,
    BookCorruptError,
    InvalidInputError,
)
from trialbook.records.blobs import Blob
from trialbook.records.checkpoints import Told
from trialbook.records.execution import Seeds

if TYPE_CHECKING:
    from ..s3 import S3Server

    S3 = tuple[S3Server, str]

MIB = 1 << 20
_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
_KEYS = _KEY + ":wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY@"
_USER = "me:" + "word@"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts of a size that is quickly written."""
    monkeypatch.setattr(blob_parts, "PART_BYTES", 256 * 1024)
    return 256 * 1024


@pytest.fixture(params=["directory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        found: str = request.getfixturevalue("s3")[1]
        return found
    return str(tmp_path / "shared")


@pytest.fixture
def book_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'book.db'}"


@pytest.fixture
def storage(book_url: str) -> Iterator[BookStorage]:
    """A book that waits two seconds for what is away."""
    storage = BookStorage(book_url, patience_s=2.0)
    yield storage
    storage.close()


@pytest.fixture
def attempt(storage: BookStorage) -> Attempt:
    return begun(storage)


def begun(storage: BookStorage, *blobs: Blob) -> Attempt:
    from optuna.study import StudyDirection

    studies = [study._study_id for study in storage.get_all_studies()]
    study_id = studies[0] if studies else storage.create_new_study([StudyDirection.MINIMIZE], "s")
    return storage.begin_attempt(
        storage.create_new_trial(study_id), snapshots=[], blobs=blobs, seeds=Seeds(trial=1)
    )


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that repeat nowhere."""
    block = hashlib.sha256(str(seed).encode()).digest()
    found = bytearray()
    while len(found) < size_bytes:
        block = hashlib.sha256(block).digest()
        found += block * 8
    return bytes(found[:size_bytes])


def kept(attempt: Attempt, tmp_path: Path, data: bytes, name: str = "model") -> str:
    """Keep an artifact; its digest."""
    file = tmp_path / "file"
    file.write_bytes(data)
    record = attempt.add_artifact(name, file, "application/octet-stream")
    assert record.digest == hashlib.sha256(data).hexdigest()
    return record.digest


def row_of(storage: BookStorage, digest: str) -> tuple[bytes | None, str | None]:
    b = schema.blob.c
    with storage.book.reading() as connection:
        row = connection.execute(select(b.content, b.location).where(b.digest == digest)).one()
    return row.content, row.location


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("parts", [1, 2.5])
def test_contents_go_there_and_come_back(
    location: str, storage, attempt, tmp_path: Path, small_parts: int, parts: float
) -> None:
    set_artifact_location(storage.book, location)
    data = content(int(parts * small_parts))
    digest = kept(attempt, tmp_path, data)
    listed, place = row_of(storage, digest)
    whole = parts <= 1
    assert place is not None
    assert place.startswith("1:")
    assert (listed is None, place.endswith("/")) == (whole, not whole)
    assert Reader(storage.book).blob(digest) == data
    found = verify(storage.book)
    assert (found.mismatches, found.blobs, found.not_read) == ((), 1, 0)
    assert verify(storage.book, artifacts=False).not_read == 1


def test_small_contents_stay_in_rows_and_one_object_is_the_content(
    storage, attempt, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    set_artifact_location(storage.book, str(shared))
    small, large = content(IN_ROW_BYTES), content(IN_ROW_BYTES + 1)
    assert row_of(storage, kept(attempt, tmp_path, small)) == (small, None)
    digest = kept(attempt, tmp_path, large)
    (file,) = files(shared)
    assert file == shared / storage.book.book_id / digest[:2] / digest
    assert file.read_bytes() == large
    mask = os.umask(0)
    os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~mask  # others share the directory


def test_what_was_kept_before_a_change_of_location_stays_readable(
    storage, attempt, tmp_path: Path, s3: S3
) -> None:
    places = ["beside", str(tmp_path / "shared"), s3[1], "database:3MiB", str(tmp_path / "shared")]
    kept_at = {}
    for number, place in enumerate(places):
        set_artifact_location(storage.book, place)
        data = content(100_000, seed=number)
        kept_at[kept(attempt, tmp_path, data, name=str(number))] = data
    for digest, data in kept_at.items():
        assert Reader(storage.book).blob(digest) == data
    assert verify(storage.book).mismatches == ()
    locations = [row_of(storage, digest)[1] for digest in kept_at]
    numbers = [text.partition(":")[0] if text and ":" in text else text for text in locations]
    assert numbers[1:] == ["1", "2", None, "1"]
    other = BookStorage(storage.url)  # another process finds all of it in the book
    assert artifact_location(other.book) == Elsewhere(f"file://{tmp_path / 'shared'}", 1)
    other.close()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"?" + path.read_bytes()[1:]), "is not what"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cut short"),
        (lambda path: path.unlink(), "is not there"),
    ],
)
@pytest.mark.parametrize("parts", [1, 3])
def test_damage_is_named(
    storage, attempt, tmp_path: Path, small_parts: int, damage: Callable, said: str, parts: int
) -> None:
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    digest = kept(attempt, tmp_path, content(parts * small_parts))
    file = files(tmp_path / "shared")[-1]
    damage(file)
    with pytest.raises(BookCorruptError, match=said) as caught:
        Reader(storage.book).blob(digest)
    assert digest in str(caught.value)
    if parts > 1:
        assert file.name in str(caught.value)
    (mismatch,) = verify(storage.book).mismatches
    assert (mismatch.kind, digest in mismatch.where) == ("blob", True)
    assert "artifact model of s/0, attempt 1" in mismatch.where


_UPLOAD = """
import sys
from trialbook.book import blob_parts
from trialbook.book.storage import BookStorage
from trialbook.records.execution import Seeds

blob_parts.PART_BYTES = int(sys.argv[3])
storage = BookStorage(sys.argv[1])
trial_id = storage.create_new_trial(storage.get_all_studies()[0]._study_id)
attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))
attempt.add_artifact("model", sys.argv[2], "application/octet-stream")
"""


@pytest.mark.slow
def test_an_upload_that_was_killed_goes_on_with_what_is_missing(
    storage, attempt, tmp_path: Path, small_parts: int, s3: S3
) -> None:
    import threading

    server, place = s3
    set_artifact_location(storage.book, place)
    reached, go_on = threading.Event(), threading.Event()

    def fourth_waits(method: str, path: str) -> None:
        if method == "PUT" and ".parts/00003-" in path:
            reached.set()
            go_on.wait(60)

    server.fault = fourth_waits
    data = content(6 * small_parts - 5)
    (tmp_path / "file").write_bytes(data)
    arguments = [storage.url, str(tmp_path / "file"), str(small_parts)]
    process = subprocess.Popen([sys.executable, "-c", _UPLOAD, *arguments])
    try:
        assert reached.wait(60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.fault = lambda method, path: (503, "SlowDown") if ".parts/00003-" in path else None
        go_on.set()
    sent = set(server.puts())
    server.fault = lambda method, path: None
    server.requests.clear()
    before = {path for path in sent if ".parts/00003-" not in path}
    assert len(before) == 3
    digest = kept(attempt, tmp_path, data)
    again = server.puts()
    assert not before & set(again)
    assert 2 <= len(again) <= 3  # the fourth may have arrived after all, from a dead process
    assert Reader(storage.book).blob(digest) == data
    server.requests.clear()
    kept(attempt, tmp_path, data, name="twice")
    assert server.puts() == []


def test_a_server_that_refuses_for_a_moment_is_asked_again(
    book_url: str, tmp_path: Path, s3: S3, caplog: pytest.LogCaptureFixture
) -> None:
    server, place = s3
    storage = BookStorage(book_url, patience_s=60.0)
    set_artifact_location(storage.book, place)
    refused = 0

    def fault(method: str, path: str) -> tuple[int, str] | None:
        nonlocal refused
        refused += method == "PUT"
        return (500, "InternalError") if method == "PUT" and refused < 6 else None

    server.fault = fault
    with caplog.at_level(logging.WARNING, "trialbook"):
        digest = kept(begun(storage), tmp_path, content(100_000))
    assert Reader(storage.book).blob(digest) == content(100_000)
    storage.close()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "a content cannot be written" in told[0]
    assert "trying again for up to 60 s" in told[0]
    assert told[1].endswith("it is back")


def test_what_will_not_change_is_told_at_once(storage, attempt, tmp_path: Path, s3: S3) -> None:
    server, place = s3
    set_artifact_location(storage.book, place)
    storage.book.outage.patience_s = 600.0
    server.fault = lambda method, path: (403, "AccessDenied")
    with pytest.raises(ArtifactLocationError, match="Forbidden|AccessDenied") as caught:
        kept(attempt, tmp_path, content(100_000))
    assert caught.value.where == place
    assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")
    server.fault = lambda method, path: None
    with pytest.raises(ArtifactLocationError, match="bucket does not exist"):
        set_artifact_location(storage.book, "s3://nobody-made-this/x")
    assert artifact_location(storage.book) == Elsewhere(place, 1)


def test_a_server_that_is_away_is_waited_for_once(storage, attempt, tmp_path: Path, s3: S3) -> None:
    server, place = s3
    set_artifact_location(storage.book, place)
    server.fault = lambda method, path: (500, "InternalError")
    start = time.monotonic()
    with pytest.raises(ArtifactLocationError, match="cannot be reached"):
        kept(attempt, tmp_path, content(100_000))
    assert time.monotonic() - start >= 2.0
    requests = len(server.requests)
    with pytest.raises(ArtifactLocationError, match="cannot be reached"):
        kept(attempt, tmp_path, content(100_000))
    assert len(server.requests) < requests + 8  # one try, with what the client itself repeats
    server.fault = lambda method, path: None
    assert Reader(storage.book).blob(kept(attempt, tmp_path, content(100_000)))


def test_a_share_that_is_not_mounted_is_not_written_to(storage, attempt, tmp_path: Path) -> None:
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    digest = kept(attempt, tmp_path, content(100_000))
    shutil.move(tmp_path / "shared", tmp_path / "elsewhere")
    (tmp_path / "shared").mkdir()  # the mount point
    for act in (
        lambda: kept(attempt, tmp_path, content(100_000, seed=1)),
        lambda: Reader(storage.book).blob(digest),
        lambda: verify(storage.book),
        lambda: try_artifact_location(storage.book),
    ):
        with pytest.raises(ArtifactLocationError, match="is not there") as caught:
            act()
        assert "mount" in (caught.value.hint or "")
    assert files(tmp_path / "shared") == []
    assert find_garbage(storage.book).unreached == (f"file://{tmp_path / 'shared'}",)
    assert verify(storage.book, artifacts=False).mismatches == ()


def test_what_the_record_is_made_of_does_not_depend_on_the_location(
    storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Code and consoles lie in rows when their location is away: a result is never held up."""
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    shutil.rmtree(tmp_path / "shared")
    blob = Blob.of(content(200_000))
    begun(storage, blob)
    assert row_of(storage, blob.digest) == (blob.content, None)
    assert "lies in the database instead" in caplog.text
    too_large = Blob.of(content(3 * MIB))
    with pytest.raises(ArtifactLocationError):
        begun(storage, too_large)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_database_takes_contents_up_to_its_limit(
    database: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for slices in ("_SQLITE_SLICE_BYTES", "_SERVER_SLICE_BYTES"):
        monkeypatch.setattr(row_contents, slices, MIB // 2)  # the content has a whole number of it
    url = request.getfixturevalue("postgres_url" if database == "postgresql" else "book_url")
    storage = BookStorage(url)
    try:
        default = InDatabase() if database == "postgresql" else Beside()
        assert artifact_location(storage.book) == default
        set_artifact_location(storage.book, "database:2MiB")
        attempt = begun(storage)
        data = content(2 * MIB)
        digest = kept(attempt, tmp_path, data)
        assert row_of(storage, digest) == (data, None)
        with pytest.raises(ArtifactLocationError, match="too large") as caught:
            kept(attempt, tmp_path, data + b"!", name="larger")
        assert "trialbook storage init --artifacts URL --storage " in (caught.value.hint or "")
        # A content that turns out longer than was said is refused as well.
        with pytest.raises(ArtifactLocationError, match="too large"):
            BlobStore(storage.book).taken_in(iter([data, b"!"]), 100)
        if database == "postgresql":
            with pytest.raises(InvalidInputError, match="SQLite file"):
                set_artifact_location(storage.book, "beside")
        assert Reader(storage.book).blob(digest) == data
        assert len(Reader(storage.book).trial("s/0").attempt.artifacts) == 1
    finally:
        storage.close()


@pytest.mark.parametrize(
    "text",
    [
        f"s3://{_KEYS}bucket/x",
        f"s3://{_KEY}@bucket/x",
        f"sftp://{_USER}host/x",
        "https://host/x?sig=abcdef",
        "s3://bucket/x?secret=word",
        f"s3://bucket/x?endpoint_url=http://{_USER}host",
        "abfs://box@account.dfs.core.windows.net/x?sv=2020&sig=abcdef",
    ],
)
def test_credentials_are_refused_and_not_repeated(storage, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        set_artifact_location(storage.book, text)
    for secret in ("wJalrX", "AKIAIO", "word", "abcdef"):
        assert secret not in str(caught.value)
    assert artifact_location(storage.book) == Beside()


@pytest.mark.parametrize(
    "text",
    [
        "bedise",
        "",
        "s3://",
        "s3:///",
        "zip://a::s3://b/c",
        "database:1KiB",
        "database:9GiB",
        "database:x",
        "file://relative/x",
        "s3://bucket/*",
    ],
)
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        setting_of(text, on_sqlite=True)


def test_settings_as_people_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("./shared", f"{tmp_path}/shared", f"file://{tmp_path}/shared"):
        assert setting_of(text, on_sqlite=False) == Elsewhere(f"file://{tmp_path}/shared")
    assert setting_of("database:256MiB", on_sqlite=True) == InDatabase(256 * MIB)
    assert setting_of("database:5000000", on_sqlite=True) == InDatabase(5_000_000)
    assert checked_url("S3://bucket/a/b/") == "s3://bucket/a/b"
    for text in ("s3://b/x?endpoint_url=http://host:9000", "sftp://me@host/x"):
        assert checked_url(text) == text


def test_the_endpoint_may_stand_in_the_url(
    storage, attempt, tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, place = s3
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    set_artifact_location(storage.book, f"{place}?endpoint_url={server.url}")
    digest = kept(attempt, tmp_path, content(100_000))
    assert Reader(storage.book).blob(digest) == content(100_000)
    assert len(server.puts()) == 1


def test_checkpoints_go_there_and_leave_when_the_trial_has_finished(
    location: str, storage, attempt, tmp_path: Path, small_parts: int
) -> None:
    from optuna.trial import TrialState

    set_artifact_location(storage.book, location)
    file = tmp_path / "state"
    for turn in range(4):
        file.write_bytes(content(small_parts + 100) + bytes([turn]) * (2 * small_parts))
        assert attempt.save_checkpoint(file, Told({}, {}, {}))
    b, c = schema.blob.c, schema.checkpoint.c
    with storage.book.reading() as connection:
        there = connection.scalars(
            select(b.location).join(schema.checkpoint, c.digest == b.digest)
        ).all()
    assert len(there) == 2
    assert all(text.endswith("/") for text in there)
    assert verify(storage.book).mismatches == ()
    assert find_garbage(storage.book).files == 0
    storage.set_trial_state_values(attempt.trial_id, TrialState.COMPLETE, [1.0])
    with storage.book.reading() as connection:
        assert connection.scalars(select(b.location)).all() == []
    if "shared" in location:
        assert files(tmp_path / "shared") == []


def test_garbage_is_what_no_row_names_and_is_old(
    location: str,
    storage,
    attempt,
    tmp_path: Path,
    small_parts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_artifact_location(storage.book, location)
    shared = content(2 * small_parts)
    first = kept(attempt, tmp_path, shared + b"one")
    second = kept(begun(storage), tmp_path, shared + b"two")  # two of its three parts are the same
    BlobStore(storage.book).taken_in(iter([content(100_000, seed=9)]), 100_000)  # and never named
    assert find_garbage(storage.book).files == 0  # it may be an upload that is going on
    remove_trial(storage.book, Reader(storage.book).trial("s/0"), running=True)
    found = find_garbage(storage.book)
    assert (found.blobs, found.files) == (1, 1)
    assert collect_garbage(storage.book) == found
    assert Reader(storage.book).blob(second) == shared + b"two"
    monkeypatch.setattr(place_garbage, "ABANDONED_FILE_S", -60.0)
    assert find_garbage(storage.book).files == 1
    assert collect_garbage(storage.book).files == 1
    assert find_garbage(storage.book).empty
    assert verify(storage.book).mismatches == ()
    assert first != second


def test_garbage_of_a_book_on_a_server(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_garbage, "ABANDONED_FILE_S", -60.0)
    storage = BookStorage(postgres_url)
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    kept(begun(storage), tmp_path, content(100_000))
    digest = kept(begun(storage), tmp_path, content(100_001))
    BlobStore(storage.book).taken_in(iter([content(100_000, seed=9)]), 100_000)  # never named
    remove_trial(storage.book, Reader(storage.book).trial("s/0"), running=True)
    found = find_garbage(storage.book)
    assert (found.blobs, found.files) == (1, 2)
    assert collect_garbage(storage.book) == found
    assert find_garbage(storage.book).empty
    assert verify(storage.book).mismatches == ()
    assert Reader(storage.book).blob(digest) == content(100_001)
    storage.close()


def test_books_at_one_url_leave_each_other_alone(
    storage, attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = str(tmp_path / "shared")
    monkeypatch.setattr(place_garbage, "ABANDONED_FILE_S", -60.0)
    other = BookStorage(f"sqlite:///{tmp_path / 'other.db'}")
    for book in (storage.book, other.book):
        set_artifact_location(book, location)
    digest = kept(attempt, tmp_path, content(100_000))
    assert collect_garbage(other.book).files == 0
    other.close()
    assert Reader(storage.book).blob(digest) == content(100_000)


@pytest.mark.parametrize("what", ["artifact", "code"])
def test_what_is_collected_while_it_is_stored_is_stored_again(
    storage, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process removes the objects after this one found them there, and before it names
    them: the narrowest place of the race."""
    monkeypatch.setattr(place_garbage, "ABANDONED_FILE_S", -60.0)
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    attempt = begun(storage)
    data = content(100_000)
    other = Book.open(storage.url)
    collected = []
    taken_in = BlobStore.taken_in

    def taken(self, *arguments, **more):
        found = taken_in(self, *arguments, **more)
        if not collected:
            collected.append(collect_garbage(other).files)
        return found

    monkeypatch.setattr(BlobStore, "taken_in", taken)
    if what == "artifact":
        digest = kept(attempt, tmp_path, data)
    else:
        digest = Blob.of(data).digest
        begun(storage, Blob.of(data))
    assert collected == [1]
    other.close()
    assert Reader(storage.book).blob(digest) == data
    assert verify(storage.book).mismatches == ()


@pytest.mark.slow
def test_collecting_never_takes_what_others_are_storing(
    storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes keep the same few contents; this one deletes and collects without mercy."""
    monkeypatch.setattr(place_garbage, "ABANDONED_FILE_S", -60.0)
    set_artifact_location(storage.book, str(tmp_path / "shared"))
    begun(storage)
    writer = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from optuna.trial import TrialState
        from trialbook.book.storage import BookStorage
        from trialbook.records.execution import Seeds

        storage = BookStorage(sys.argv[1])
        study_id = storage.get_all_studies()[0]._study_id
        file = Path(sys.argv[2])
        for turn in range(40):
            trial_id = storage.create_new_trial(study_id)
            attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=turn))
            file.write_bytes(b"A" * (70_000 + turn % 7))
            attempt.add_artifact("a", file, "text/plain")
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        storage.close()
        """
    )
    arguments = [sys.executable, "-c", writer, storage.url]
    writers = [
        subprocess.Popen([*arguments, str(tmp_path / f"f{n}")], stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    reader, collected = Reader(storage.book), 0
    while not list(reader.trials("s", states=["COMPLETE"])):  # they still start
        assert all(process.poll() is None for process in writers)
        time.sleep(0.05)
    while any(process.poll() is None for process in writers):
        for trial in reader.trials("s", states=["COMPLETE"]):
            remove_trial(storage.book, trial)
        collected += collect_garbage(storage.book).files
    ends = [(process.communicate()[1], process.returncode) for process in writers]
    assert ends == [("", 0), ("", 0)]
    assert collected
    assert verify(storage.book).mismatches == ()


@pytest.mark.slow
def test_without_fsspec_the_package_is_named_and_short_contents_are_kept(
    storage, tmp_path: Path, s3: S3
) -> None:
    set_artifact_location(storage.book, s3[1])
    program = textwrap.dedent(
        """
        import sys
        sys.modules["fsspec"] = None
        from trialbook.book.blobs import BlobStore
        from trialbook.book.book import Book
        from trialbook.errors import MissingPackageError
        from trialbook.records.blobs import Blob

        store = BlobStore(Book.open(sys.argv[1]))
        try:
            store.taken_in(iter([b"x" * 100_000]), 100_000)
        except MissingPackageError as error:
            print(error)
        (found,) = store.prepared([Blob.of(b"y" * 100_000)])
        print(found.location, len(found.content))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, storage.url], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "artifacts of this book lie at a URL, which needs the package fsspec",
        f"  at: {s3[1]}",
        "  try: pip install 'trialbook[remote]'",
        "None 100000",
    ], done.stderr


@pytest.mark.slow
def test_a_forked_process_stores_what_its_parent_could(
    storage, attempt, tmp_path: Path, s3: S3
) -> None:
    set_artifact_location(storage.book, s3[1])
    kept(attempt, tmp_path, content(100_000))
    program = textwrap.dedent(
        """
        import os, sys
        from trialbook.book.blobs import BlobStore
        from trialbook.book.storage import BookStorage

        storage = BookStorage(sys.argv[1])
        store = storage._shelf.blobs
        parent = store.taken_in(iter([b"x" * 100_000]), 100_000)
        child = os.fork()
        if child == 0:
            found = store.taken_in(iter([b"y" * 100_000]), 100_000)
            os._exit(7 if found.location else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, storage.url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "7\n", done.stderr


@pytest.mark.slow
def test_a_large_content_is_never_whole_in_memory(storage, attempt, tmp_path: Path, s3: S3) -> None:
    set_artifact_location(storage.book, s3[1])
    with (tmp_path / "large").open("wb") as file:
        for part in range(6):
            file.write(bytes([part]) * (16 * MIB))
    program = textwrap.dedent(
        """
        import hashlib, resource, sys
        from trialbook.book.reading import Reader
        from trialbook.book.storage import BookStorage
        from trialbook.records.execution import Seeds

        storage = BookStorage(sys.argv[1])
        trial_id = storage.create_new_trial(storage.get_all_studies()[0]._study_id)
        attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        small = sys.argv[3]
        record = attempt.add_artifact("small", small, "text/plain")  # loads what is needed
        before = peak()
        record = attempt.add_artifact("large", sys.argv[2], "text/plain")
        there = peak()
        sha = hashlib.sha256()
        for chunk in Reader(storage.book).blob_chunks(record.digest):
            sha.update(chunk)
        assert sha.hexdigest() == record.digest
        print((there - before) >> 20, (peak() - before) >> 20)
        """
    )
    (tmp_path / "small").write_bytes(content(100_000))
    arguments = [storage.url, str(tmp_path / "large"), str(tmp_path / "small")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    up, down = map(int, done.stdout.split())
    assert up < 72
    assert down < 72
