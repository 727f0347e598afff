"""A data file that another worker has hashed is not read again, and one that changed is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import sleep, time_ns

import pytest

from trialbook.capture.data import DataProbe
from trialbook.capture.shared_digests import SHARED_FROM_BYTES
from trialbook.records.coverage import Level
from trialbook.records.data import DataState

OLD_NS = 1_600_000_000_000_000_000
LARGE, OTHER = b"a" * SHARED_FROM_BYTES, b"b" * SHARED_FROM_BYTES
REMARK = "train: 1 file hashed by another worker, told by path, size and time"


class Others:
    """What other workers have hashed, and what was asked of them."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(tuple(keys))
        return {key: self.digests[key] for key in keys if key in self.digests}


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture(scope="module")
def settled_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders with a large and a small file that no cache takes for touched just now."""
    top = tmp_path_factory.mktemp("settled")
    for number in range(40):
        (top / str(number)).mkdir()
        _write(top / str(number) / "large.bin", LARGE)
        _write(top / str(number) / "small.bin", b"small")
    deadline_ns = time_ns() + 2_050_000_000
    while time_ns() < deadline_ns:
        sleep(0.05)
    return iter(sorted(top.iterdir()))


@pytest.fixture
def folder(settled_folders: Iterator[Path]) -> Path:
    return next(settled_folders)


def _write(path: Path, content: bytes, mtime_ns: int = OLD_NS) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _probe(folder: Path, machine: Path, others: Others, **options: bool) -> DataProbe:
    return DataProbe({"train": folder}, base=folder, cache_dir=machine, ask=others, **options)


def _digests(probe: DataProbe) -> dict[str, str]:
    (train,) = probe.observe().snapshot.state_as(DataState).inputs
    return {file.path: file.digest for file in train.files}


def _hashed_by_another(folder: Path, tmp_path: Path, others: Others) -> None:
    probe = _probe(folder, tmp_path / "another", others)
    probe.observe()
    others.digests = {file.key: file.digest for file in probe.hashed_here}
    others.asked.clear()


def test_a_machine_tells_of_large_files_that_it_has_hashed(
    folder: Path, tmp_path: Path, others: Others
) -> None:
    probe = _probe(folder, tmp_path / "here", others)
    probe.observe()

    (file,) = probe.hashed_here

    assert file.path == str(folder / "large.bin")
    assert (file.size_bytes, file.mtime_ns) == (SHARED_FROM_BYTES, OLD_NS)
    assert file.digest == sha256(LARGE).hexdigest()
    assert others.asked == [(file.key,)]


def test_a_file_that_another_has_hashed_is_not_read(
    folder: Path, tmp_path: Path, others: Others
) -> None:
    _hashed_by_another(folder, tmp_path, others)
    _write(folder / "large.bin", OTHER)  # same size and time: only reading would tell

    probe = _probe(folder, tmp_path / "here", others)

    assert _digests(probe)["large.bin"] == sha256(LARGE).hexdigest()
    coverage = probe.observe().snapshot.coverage
    assert (coverage.level, coverage.reasons) == (Level.COMPLETE, (REMARK,))
    assert probe.hashed_here == (), "what was taken over is not passed on"


def test_what_was_taken_over_is_asked_for_again_by_the_next_process(
    folder: Path, tmp_path: Path, others: Others
) -> None:
    _hashed_by_another(folder, tmp_path, others)
    _probe(folder, tmp_path / "here", others).observe()
    others.digests.clear()
    _write(folder / "large.bin", OTHER)

    assert _digests(_probe(folder, tmp_path / "here", others))["large.bin"] == (
        sha256(OTHER).hexdigest()
    )


def test_paranoid_reads_and_asks_nobody(folder: Path, tmp_path: Path, others: Others) -> None:
    _hashed_by_another(folder, tmp_path, others)
    _write(folder / "large.bin", OTHER)

    probe = _probe(folder, tmp_path / "here", others, paranoid=True)
    probe.ask_others(others)

    assert _digests(probe)["large.bin"] == sha256(OTHER).hexdigest()
    assert others.asked == []


@pytest.mark.parametrize("change", ["time", "size", "replaced", "path"])
def test_a_file_that_changed_is_read(
    change: str, folder: Path, tmp_path: Path, others: Others
) -> None:
    _hashed_by_another(folder, tmp_path, others)
    large = folder / "large.bin"
    if change == "time":
        _write(large, OTHER, OLD_NS + 1)
    elif change == "size":
        _write(large, OTHER + b"b")
    elif change == "replaced":
        _write(folder / "new", OTHER)
        (folder / "new").replace(large)
    else:
        large.rename(folder / "renamed.bin")
        large = folder / "renamed.bin"

    digests = _digests(_probe(folder, tmp_path / "here", others))

    assert digests[large.name] == sha256(large.read_bytes()).hexdigest()


def test_what_this_machine_has_hashed_itself_is_not_asked_for(
    folder: Path, tmp_path: Path, others: Others
) -> None:
    _hashed_by_another(folder, tmp_path, others)
    _probe(folder, tmp_path / "another", others).observe()

    assert others.asked == []


def test_a_file_that_was_touched_just_now_is_kept_to_itself(tmp_path: Path, others: Others) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large.bin").write_bytes(LARGE)
    probe = _probe(tmp_path / "data", tmp_path / "here", others)
    probe.observe()

    assert probe.hashed_here == ()


def test_another_hosts_file_of_that_path_is_another_file(
    folder: Path, tmp_path: Path, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk of its own a machine may have anything there."""
    _hashed_by_another(folder, tmp_path, others)
    (known,) = others.digests
    monkeypatch.setattr("trialbook.capture.shared_digests.socket.gethostname", lambda: "other")

    _probe(folder, tmp_path / "here", others).observe()

    assert others.asked != [(known,)]


def test_on_a_network_mount_it_is_the_same_file_for_all(
    folder: Path, tmp_path: Path, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = (folder / "large.bin").stat().st_dev
    monkeypatch.setattr("trialbook.capture.stat_cache._network_devices", lambda: {device: True})
    monkeypatch.setattr("trialbook.capture.stat_cache._RACY_NETWORK_NS", 0)
    _hashed_by_another(folder, tmp_path, others)
    (known,) = others.digests
    monkeypatch.setattr("trialbook.capture.shared_digests.socket.gethostname", lambda: "other")

    assert _digests(_probe(folder, tmp_path / "here", others))["large.bin"] == (
        sha256(LARGE).hexdigest()
    )
    assert others.asked == [(known,)]
