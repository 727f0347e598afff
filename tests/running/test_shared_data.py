"""A data file that one worker has hashed is not read again by workers that share nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from time import sleep, time_ns
from typing import Any

import pytest

from trialbook.errors import InputsChangedError
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState

OLD_NS = 1_600_000_000_000_000_000
SIZE = 1 << 20


def _write(path: Path, content: bytes, mtime_ns: int = OLD_NS) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.mark.slow
def test_the_book_tells_what_another_worker_has_hashed(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "budget: {{trials: {}}}\nisolation: none\ndata: {{train: train.bin}}"
    lab.write("def objective(trial): return trial.suggest_float('x', 0, 1)")
    train = lab.place / "train.bin"
    _write(train, b"a" * SIZE)
    settled_ns = time_ns() + 2_050_000_000
    while time_ns() < settled_ns:  # else it is too young to be told of
        sleep(0.05)
    lab.run(settings.format(1))
    _write(train, b"b" * SIZE)  # same size and time: only reading it would tell
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))

    lab.run(settings.format(2))

    first, second = (lab.snapshot(trial, Kind.DATA) for trial in lab.trials())
    assert first.state_as(DataState).inputs == second.state_as(DataState).inputs
    assert second.coverage.reasons == (
        "train: 1 file hashed by another worker, told by path, size and time",
    )
    with pytest.raises(InputsChangedError, match="train"):
        lab.run(settings.format(3), paranoid=True)
    _write(train, b"b" * SIZE, OLD_NS + 1)
    with pytest.raises(InputsChangedError, match="train"):
        lab.run(settings.format(3))
