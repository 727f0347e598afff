"""Disks that fill up, go read-only or damage a file, and files that somebody deletes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from trialbook.book.artifact_location import set_artifact_location
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.errors import (
    ArtifactLocationError,
    BookCorruptError,
    BookError,
    BookForeignError,
    BookFullError,
    BookReadOnlyError,
    TrialbookError,
)
from trialbook.records.blobs import Blob
from trialbook.records.execution import Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec, TrialRecord
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.testing import invariants

HERE = Holder(WorkerIdentity("a" * 32, "here", 1), 60.0)


def _mounted(place: Path, *arguments: str) -> None:
    place.mkdir()
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB."""
    place = tmp_path / "small"
    _mounted(place, "-t", "tmpfs", "-o", "size=2m", "none")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def failing_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system that the kernel turns read-only at an error, as it does with a disk."""
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no ext4 here: {error}")
    place = tmp_path / "disk"
    _mounted(place, "-o", "loop,errors=remount-ro", str(image))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _device(place: Path) -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        device, where, *_ = line.split()
        if where == str(place):
            return Path(device)
    raise AssertionError("not mounted")


def _opened(place: Path) -> tuple[BookStorage, int]:
    storage = BookStorage(place / "book.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    storage.set_study_spec(study_id, StudySpec(retries=RetryBudgets(backoff_s=0.0)))
    storage.leases.register(HERE.worker, study_id)
    return storage, study_id


def _trial(storage: BookStorage, study_id: int, size: int = 20_000) -> int:
    """One leased trial with an artifact's worth of content, told; its number."""
    claim = storage.claim(study_id, holder=HERE)
    assert isinstance(claim, Claim)
    attempt = storage.begin_attempt(
        claim.trial_id,
        snapshots=[],
        blobs=[Blob.of(os.urandom(size))],
        seeds=Seeds(trial=1),
        claimed=claim.attempt,
    )
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.set_trial_user_attr(claim.trial_id, "note", "n" * 500)
    storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [float(claim.number)])
    return claim.number


def _values(storage: BookStorage) -> dict[int, tuple[float, ...] | None]:
    return {t.number: t.values for t in Reader(storage.book).trials("s") if t.state == "COMPLETE"}


def test_a_disk_that_fills_up_costs_no_result(small_disk: Path) -> None:
    storage, study_id = _opened(small_disk)
    told: list[int] = []
    with pytest.raises(BookFullError) as refused:
        while True:
            told.append(_trial(storage, study_id))
    assert len(told) > 5
    assert refused.value.hint
    assert str(small_disk) in str(refused.value)
    assert _values(storage) == {n: (float(n),) for n in told}
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    for held in list(storage._held):  # what was pending has not been forgotten
        storage.set_trial_state_values(held, TrialState.COMPLETE, [float(len(told))])
        told.append(len(told))
    storage.flush()
    told.append(_trial(storage, study_id))
    assert set(told) <= set(_values(storage))
    storage.close()
    assert invariants(f"sqlite:///{small_disk / 'book.db'}", overdue_s=0.25) == []


def test_a_disk_that_goes_read_only_in_mid_trial_costs_no_result(failing_disk: Path) -> None:
    storage, study_id = _opened(failing_disk)
    told = [_trial(storage, study_id) for _ in range(3)]
    claim = storage.claim(study_id, holder=HERE)
    assert isinstance(claim, Claim)
    attempt = storage.begin_attempt(
        claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
    )
    attempt.log({"loss": 1.0}, 0, 0.0)
    storage.flush()
    device = _device(failing_disk)
    trigger = Path("/sys/fs/ext4") / device.name / "trigger_fs_error"
    if not trigger.exists():
        pytest.skip("this kernel cannot pretend an error of a file system")
    trigger.write_text("a test")
    attempt.log({"loss": 2.0}, 1, 0.0)
    with pytest.raises(BookError) as refused:
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [9.0])
    assert isinstance(refused.value, (BookReadOnlyError, BookFullError)), refused.value
    assert refused.value.hint
    assert _values(storage) == {n: (float(n),) for n in told}  # reading goes on
    with pytest.raises(TrialbookError):
        storage.close()  # what is pending is not dropped without a word
    storage.book.close()
    subprocess.run(["umount", "-l", str(failing_disk)], check=True)
    subprocess.run(["e2fsck", "-fy", failing_disk.parent / "image"], capture_output=True)
    image = str(failing_disk.parent / "image")
    subprocess.run(["mount", "-o", "loop", image, str(failing_disk)], check=True)
    again = BookStorage(failing_disk / "book.db", create=False)
    assert _values(again) == {n: (float(n),) for n in told}
    _trial(again, study_id)
    again.close()
    assert invariants(f"sqlite:///{failing_disk / 'book.db'}", overdue_s=0.25) == []


def _recorded(storage: BookStorage) -> list[TrialRecord]:
    reader = Reader(storage.book)
    trials = list(reader.trials("s"))
    for trial in trials:
        if trial.attempt is not None:
            for series in reader.series(trial.attempt.attempt_id).values():
                series.values.sum()
    return trials


@pytest.mark.slow
def test_a_damaged_page_is_never_served_in_silence(tmp_path: Path) -> None:
    """Each page of a book in turn: reading fails, or verify names it, or nothing is changed."""
    storage, study_id = _opened(tmp_path)
    for _ in range(12):
        _trial(storage, study_id, size=2000)
    storage.close()
    whole = tmp_path / "book.db"
    content = whole.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    original = BookStorage(whole, create=False)
    expected = _recorded(original)
    original.close()
    named, refusals = 0, list[TrialbookError]()
    pages = len(content) // size
    for page in range(pages):
        place = tmp_path / f"page{page}"
        place.mkdir()
        damaged = bytearray(content)
        start = page * size + (100 if page == 0 else 0)
        damaged[start : start + 700] = bytes(b ^ 0x5A for b in damaged[start : start + 700])
        damaged[(page + 1) * size - 700 : (page + 1) * size] = os.urandom(700)
        copy = place / "book.db"
        copy.write_bytes(damaged)
        try:
            storage = BookStorage(copy, create=False)
        except TrialbookError as error:
            refusals.append(error)
            continue
        try:
            found = _recorded(storage)
            mismatches = verify(storage.book).mismatches
        except TrialbookError as error:
            refusals.append(error)
        else:
            named += bool(mismatches)
            assert mismatches or found == expected, page
        finally:
            storage.book.close()
        shutil.rmtree(place)
    assert named + len(refusals) > pages * 0.5
    assert {type(error) for error in refusals} <= {BookCorruptError, BookForeignError}
    assert all(error.hint for error in refusals)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from faults import test_disks
storage, study_id = test_disks._opened(Path(sys.argv[1]))
storage.close()
storage = test_disks.BookStorage(Path(sys.argv[1]) / "book.db")
for _ in range(3):
    test_disks._trial(storage, study_id)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_log_that_is_deleted_while_closed_takes_the_last_trials_with_it(tmp_path: Path) -> None:
    """SQLite keeps commits there until a checkpoint. The book is whole, as it was before them.

    Nothing in the book can say what is gone; a seal that was printed before does.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = tmp_path / "kept"
    kept.mkdir()
    for file in ("book.db", "book.db-wal"):
        shutil.copy(tmp_path / file, kept / file)
    (tmp_path / "book.db-wal").unlink()
    with_log = BookStorage(kept / "book.db", create=False)
    seal = verify(with_log.book).seals[0].seal
    assert len(_values(with_log)) == 3
    with_log.close()
    without = BookStorage(tmp_path / "book.db", create=False)
    assert _values(without) == {}
    assert verify(without.book).mismatches == ()
    assert verify(without.book, "s", seal=seal).mismatches != ()
    _trial(without, without.get_study_id_from_name("s"))
    without.close()


@pytest.mark.parametrize("file", ["book.db-wal", "book.db"])
def test_a_file_that_is_deleted_while_open_is_noticed(tmp_path: Path, file: str) -> None:
    storage, study_id = _opened(tmp_path)
    _trial(storage, study_id)
    (tmp_path / file).rename(tmp_path / "taken")
    with pytest.raises(BookCorruptError, match="deleted or replaced") as refused:
        _trial(storage, study_id)
    assert "verify" in (refused.value.hint or "")
    (tmp_path / "taken").rename(tmp_path / file)
    _trial(storage, study_id)
    storage.close()
    assert invariants(f"sqlite:///{tmp_path / 'book.db'}", overdue_s=0.25) == []


def test_a_full_artifact_location_is_told_at_once_and_keeps_nothing_half(
    small_disk: Path, url: str, tmp_path: Path
) -> None:
    storage = BookStorage(url)
    set_artifact_location(storage.book, str(small_disk))
    trial_id = storage.create_new_trial(storage.create_new_study([StudyDirection.MINIMIZE], "s"))
    attempt = storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(1))
    (tmp_path / "model").write_bytes(os.urandom(3 << 20))
    with pytest.raises(ArtifactLocationError, match="No space left on device") as caught:
        attempt.add_artifact("model", tmp_path / "model", "application/octet-stream")
    assert (caught.value.hint or "").startswith("free some space there")
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    kept = attempt.add_artifact("model", tmp_path / "model", "application/octet-stream")
    assert len(Reader(storage.book).blob(kept.digest)) == 3 << 20
    storage.close()
