"""``study.optimize`` shares the digests of large data files through the book, as workers do."""

from __future__ import annotations

import os
from pathlib import Path
from time import sleep, time_ns

import pytest

import trialbook
from trialbook.book.reading import Reader
from trialbook.capture.shared_digests import SHARED_FROM_BYTES
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState

OLD_NS = 1_600_000_000_000_000_000


def objective(trial: trialbook.TrackedTrial) -> float:
    return trial.suggest_float("x", 0, 1)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(OLD_NS, OLD_NS))


def test_a_file_that_another_process_has_hashed_is_not_read(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large.bin"
    _write(large, b"a" * SHARED_FROM_BYTES)
    settled_ns = time_ns() + 2_050_000_000
    while time_ns() < settled_ns:  # else it is too young to be told of
        sleep(0.05)
    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(data={"train": large})(objective), n_trials=1)
    _write(large, b"b" * SHARED_FROM_BYTES)  # same size and time: only reading it would tell
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))

    study = trialbook.load_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(data={"train": large})(objective), n_trials=1)

    reader = Reader(trialbook.BookStorage(url).book)
    found = []
    for number in range(2):
        attempt = reader.trial(f"s/{number}").attempt
        assert attempt is not None
        digest = attempt.coordinates.of(Kind.DATA)
        assert digest is not None
        found.append(reader.snapshot(digest))
    first, second = found
    assert first.state_as(DataState).inputs == second.state_as(DataState).inputs
    assert "hashed by another worker" in second.coverage.reasons[0]
