"""Digests from the stat cache are always those of the content."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trialbook.capture.cache_file import default_cache_dir
from trialbook.capture.stat_cache import StatCache

OLD_NS = 1_600_000_000_000_000_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record every file that the cache opens, by wrapping the real call."""
    paths: list[str] = []
    real = os.open

    def recording(path, *args, **kwargs):  # type: ignore[no-untyped-def]
        paths.append(os.fsdecode(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr("trialbook.capture.stat_cache.os.open", recording)
    return paths


@pytest.fixture(scope="module")
def settled_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files whose times are no longer racy; each test takes its own."""
    folder = tmp_path_factory.mktemp("settled")
    for number in range(20):
        (folder / f"{number}").write_bytes(b"content")
    deadline = (folder / "19").stat().st_ctime_ns + 2_050_000_000
    while time.time_ns() < deadline:
        time.sleep(0.05)
    return iter(sorted(folder.iterdir()))


@pytest.fixture
def settled(settled_files: Iterator[Path]) -> Path:
    """A file of this test's own, with content ``content``, whose times are no longer racy."""
    return next(settled_files)


def test_gives_digest_and_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 1000)
    assert StatCache(tmp_path / "cache").digest(path) == (sha256(b"abc" * 1000), 3000)


def test_settled_file_is_read_once_across_processes(
    settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = StatCache(tmp_path)
    first.digest(settled)
    first.save()
    paths = opened(monkeypatch)
    second = StatCache(tmp_path)
    assert second.digest(settled) == (sha256(b"content"), 7)
    if not second._on_network(settled.stat().st_dev):
        assert str(settled) not in paths
    second.digest(settled, rehash=True)
    assert str(settled) in paths


def test_racy_file_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write within the clock's grain could leave the same times."""
    path = tmp_path / "fresh"
    path.write_bytes(b"content")
    cache = StatCache(tmp_path / "cache")
    paths = opened(monkeypatch)
    for _ in range(3):
        assert cache.digest(path) == (sha256(b"content"), 7)
    assert paths.count(str(path)) == 3


def test_same_size_and_restored_mtime_is_noticed(settled: Path, tmp_path: Path) -> None:
    cache = StatCache(tmp_path)
    cache.digest(settled)
    status = settled.stat()
    settled.write_bytes(b"CONTENT")
    os.utime(settled, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert settled.stat().st_mtime_ns == status.st_mtime_ns
    assert cache.digest(settled) == (sha256(b"CONTENT"), 7)


def test_racy_writes_are_always_noticed(tmp_path: Path) -> None:
    """Writes within the clock's grain, same size and inode: git's racy problem."""
    cache = StatCache(tmp_path / "cache")
    path = tmp_path / "file"
    for number in range(300):
        content = b"%06d" % number
        path.write_bytes(content)
        os.utime(path, ns=(OLD_NS, OLD_NS))
        assert cache.digest(path)[0] == sha256(content)


def test_file_replaced_by_another_inode(tmp_path: Path, settled: Path) -> None:
    cache = StatCache(tmp_path / "cache")
    cache.digest(settled)
    other = tmp_path / "other"
    other.write_bytes(b"another")
    other.replace(settled)
    assert cache.digest(settled)[0] == sha256(b"another")


@pytest.mark.parametrize("junk", [b"", b"\x00\xff junk", b"\x92\x63\x80", b"\x92\x01\xc0"])
def test_broken_cache_is_no_error(tmp_path: Path, settled: Path, junk: bytes) -> None:
    cache = StatCache(tmp_path)
    cache.digest(settled)
    cache.save()
    (file,) = (tmp_path / "digests").glob("*.msgpack")
    file.write_bytes(junk)
    again = StatCache(tmp_path)
    assert again.digest(settled) == (sha256(b"content"), 7)
    again.save()


def test_unwritable_cache_is_no_error(tmp_path: Path, settled: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_bytes(b"a file where the directory should be")
    cache = StatCache(blocked)
    assert cache.digest(settled)[1] == 7
    cache.save()
    assert blocked.read_bytes().startswith(b"a file")


def test_cache_that_others_can_write_is_not_believed(tmp_path: Path, settled: Path) -> None:
    cache = StatCache(tmp_path)
    cache.digest(settled)
    cache.save()
    (file,) = (tmp_path / "digests").glob("*.msgpack")
    lie = file.read_bytes().replace(
        bytes.fromhex(sha256(b"content")), bytes.fromhex(sha256(b"lie"))
    )
    file.write_bytes(lie)
    assert StatCache(tmp_path).digest(settled)[0] == sha256(b"lie")  # the owner's own file
    file.chmod(0o666)
    assert StatCache(tmp_path).digest(settled)[0] == sha256(b"content")


def test_two_processes_saving_keep_both(
    tmp_path: Path, settled: Path, settled_files: Iterator[Path]
) -> None:
    other = next(settled_files)
    one, two = StatCache(tmp_path), StatCache(tmp_path)
    one.digest(settled)
    two.digest(other)
    one.save()
    two.save()
    keys = StatCache(tmp_path)._loaded()
    assert {os.fsencode(settled), os.fsencode(other)} <= set(keys)


def test_special_files_are_refused_and_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    cache = StatCache(tmp_path / "cache")
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(OSError, match="regular file"):
            cache.digest(path)
    with pytest.raises(FileNotFoundError):
        cache.digest(tmp_path / "missing")


def test_names_that_are_not_utf8(tmp_path: Path, settled: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9\n name")
    path.write_bytes(b"x")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    cache = StatCache(tmp_path / "cache")
    assert cache.digest(path) == (sha256(b"x"), 1)
    cache.digest(settled)
    cache.save()


def test_threads_share_one_cache(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}" for n in range(40)]
    for file in files:
        file.write_bytes(file.name.encode())
    cache = StatCache(tmp_path / "cache")
    wrong: list[str] = []

    def check() -> None:
        for file in files:
            if cache.digest(file)[0] != sha256(file.name.encode()):
                wrong.append(file.name)
        cache.save()

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "trialbook"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "trialbook"
