"""SIGKILL at the N-th write call, for every N: what was acknowledged is there, and it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.records.study import TrialRecord
from trialbook.testing import invariants

from .kill_points import STEPS, TRIALS, value_of

pytestmark = pytest.mark.slow

EVERY_POINT = bool(os.environ.get("TRIALBOOK_EVERY_KILL_POINT"))
"""CI tries some of the points; with this variable all of them are tried."""


def _killed(program: str, place: Path, url: str, every: int) -> list[dict[str, Any]]:
    harness = Path(__file__).with_name("kill_points.py")
    step = "1" if EVERY_POINT else str(every)
    done = subprocess.run(
        [sys.executable, harness, program, place, url, step],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [line for line in lines if line["successor"] != 0]
    assert not failed, f"{failed[:3]}\n{done.stderr[-3000:]}"
    return lines


def _trials(url: str, study: str) -> list[TrialRecord]:
    book = Book.open(url, create=False, read_only=True)
    try:
        return list(Reader(book).trials(study))
    finally:
        book.close()


def _missing(trials: list[TrialRecord], acknowledged: list[dict[str, Any]]) -> list[str]:
    """What was acknowledged and is not there."""
    by_number = {trial.number: trial for trial in trials}
    missing = []
    for said in acknowledged:
        trial = by_number.get(said.get("number", 0))
        attempts = () if trial is None else trial.attempts
        mine = next((a for a in attempts if a.number == said.get("attempt")), None)
        there = {
            "study": trial is not None,
            "value": trial is not None and trial.values == (said.get("value"),),
            "param": trial is not None and [p.value for p in trial.params] == [said.get("param")],
            "points": mine is not None
            and all(s.count >= said.get("points", 0) for s in mine.series),
            "artifact": mine is not None and [a.name for a in mine.artifacts] == ["model"],
            "checkpoint": mine is not None and _went_on(trial, said),
        }
        missing += [
            f"{said}: {what}" for what, holds in there.items() if what in said and not holds
        ]
    return missing


def _went_on(trial: TrialRecord | None, said: dict[str, Any]) -> bool:
    """Whether the trial's result rests on a checkpoint that was acknowledged, or on a later one."""
    counts = None if trial is None else trial.attempt
    if counts is None or counts.number == said["attempt"]:
        return counts is not None
    return counts.resumed_from is not None


def _check(line: dict[str, Any], place: Path, program: str) -> None:
    """Hold one study against what its killed process was told to be done."""
    at = f"killed at {line['point']}: {line['said']}"
    log = place / str(line["point"]) / "acknowledged"
    acknowledged = [json.loads(text) for text in log.read_text().splitlines()]
    trials = _trials(line["url"], line["study"])
    assert _missing(trials, acknowledged) == [], at
    finished = [trial for trial in trials if trial.state == "COMPLETE"]
    assert len(finished) == TRIALS, at
    if program != "created":  # no point is missing or twice, from wherever a trial went on
        counts = {"loss": STEPS, "objective": STEPS}
        assert [{s.metric: s.count for s in t.series} for t in finished] == [counts] * TRIALS, at
    if program == "leased":  # no number is used up by a death
        assert [trial.values for trial in trials] == [(value_of(n),) for n in range(TRIALS)], at


@pytest.mark.parametrize(("program", "every"), [("leased", 5), ("optimize", 7), ("created", 4)])
def test_killed_at_each_write_on_sqlite(tmp_path: Path, program: str, every: int) -> None:
    lines = _killed(program, tmp_path, "", every)
    *killed, survivor = lines
    assert survivor["said"] == ""
    assert len(killed) >= 12
    for line in lines:
        _check(line, tmp_path, program)
        assert invariants(line["url"], overdue_s=0.25) == [], line


@pytest.mark.parametrize(("program", "every"), [("leased", 11), ("optimize", 17)])
def test_killed_at_each_write_on_postgresql(
    tmp_path: Path, postgres_url: str, program: str, every: int
) -> None:
    lines = _killed(program, tmp_path, postgres_url, every)
    assert lines[-1]["said"] == ""
    assert len(lines) >= 6
    for line in lines:
        _check(line, tmp_path, program)
    assert invariants(postgres_url, overdue_s=0.25) == []
