"""Thread counts and flags are set in the real libraries that are loaded."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import psutil
import pytest

from trialbook.capture.numerics import ThreadPools, determinism_flags
from trialbook.rerun.numerics import set_determinism, set_threads, set_threads_to_come


def test_loaded_libraries_get_the_recorded_number_of_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = ThreadPools().observed()
    if not before:
        pytest.skip("NumPy's BLAS is not one that threadpoolctl knows")
    recorded = [replace(pool, threads=1) for pool in before]
    try:
        set_threads(recorded)
        assert [pool.threads for pool in ThreadPools().observed()] == [1] * len(before)
    finally:
        set_threads(before)
    assert ThreadPools().observed() == before


def test_libraries_to_come_are_told_only_on_another_number_of_processors(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that what is set below is undone
    monkeypatch.delenv("OMP_NUM_THREADS")
    process = psutil.Process()
    usable = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count()
    set_threads_to_come(usable)
    assert "OMP_NUM_THREADS" not in os.environ
    set_threads_to_come(usable + 3)
    assert os.environ["OMP_NUM_THREADS"] == str(usable + 3)
    set_threads_to_come(usable + 4)
    assert os.environ["OMP_NUM_THREADS"] == str(usable + 3)


def test_flags_of_libraries_that_are_not_loaded_are_left_alone():
    assert set_determinism({"nothing.flag": True}) == ()


def test_flags_of_pytorch_are_set_as_recorded():
    pytest.importorskip("torch")
    before = determinism_flags()
    recorded = dict(before)
    recorded["torch.deterministic_algorithms"] = True
    recorded["torch.deterministic_warn_only"] = True
    recorded["torch.cudnn.benchmark"] = not before["torch.cudnn.benchmark"]
    recorded["torch.cudnn.deterministic"] = not before["torch.cudnn.deterministic"]
    recorded["torch.default_dtype"] = "torch.float64"
    recorded["torch.num_threads"] = 1
    try:
        assert set_determinism(recorded) == ()
        assert determinism_flags() == recorded
    finally:
        assert set_determinism(before) == ()
