"""A worker whose own clock is wrong by a day: leases are on the clock of the database."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.testing import invariants

from .supervised import Lab, wait_until

pytestmark = pytest.mark.slow

# Read by every interpreter of the run before anything else.
_SITE = """
import time
_plain, _plain_ns = time.time, time.time_ns
time.time = lambda: _plain() + {off_s}
time.time_ns = lambda: _plain_ns() + {off_s} * 10**9
"""

# Where every core is busy, a renewal may be late by a second.
LEASE_S = 3.0

_OBJECTIVE = """
import time
from pathlib import Path
here = Path(__file__).parent
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    (here / f"began-{trial.number}").touch()
    (here / "clock").write_text(str(time.time()))
    while not (here / "go").exists():
        time.sleep(0.05)
    return x
"""

_PREEMPTED = OutcomeState(EndReason.PREEMPTED)


def _wrong_clock(place: Path, off_s: int) -> dict[str, str]:
    """Variables of processes whose clock is off, as far as Python tells the time.

    Nothing else of a worker does. (libfaketime is no way to it: it breaks ``time.sleep``.)
    """
    site = place / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE.format(off_s=off_s))
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    ("database", "off_s"), [("sqlite", 86400), ("postgresql", 86400), ("postgresql", -86400)]
)
def test_a_clock_that_is_off_by_a_day_neither_takes_nor_loses_a_trial(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, off_s: int
) -> None:
    lab = Lab(tmp_path, request.getfixturevalue("url" if database == "sqlite" else "postgres_url"))
    lab.write(_OBJECTIVE, "budget: {trials: 2}\nretries: {backoff_s: 0}\n", LEASE_S)
    run = lab.begin(**_wrong_clock(tmp_path, off_s))
    try:
        wait_until((tmp_path / "began-0").exists)
        wait_until(lambda: (tmp_path / "clock").read_text())
        shown_s = float((tmp_path / "clock").read_text())
        assert abs(shown_s - time.time() - off_s) < 600
        storage = BookStorage(lab.url, create=False)
        study_id = storage.get_study_id_from_name("s")
        mine = Holder(WorkerIdentity("a" * 32, "elsewhere", 1), LEASE_S)
        storage.leases.register(mine.worker, study_id)
        claim = storage.claim(study_id, holder=mine)
        assert isinstance(claim, Claim)
        storage.begin_attempt(
            claim.trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
        )
        until_s = time.monotonic() + LEASE_S * 1.3
        while time.monotonic() < until_s:  # both leases are over, if not renewed
            held = storage.leases.renew("a" * 32, [claim.attempt_id], LEASE_S)
            assert held == {claim.attempt_id}
            assert storage.reap(study_id) == []
            time.sleep(LEASE_S / 10)
        (lease,) = [t.attempts[-1].lease_s for t in lab.trials() if t.number == 0]
        assert lease is not None
        assert abs(lease - time.time()) < 60
        storage.end_dead_attempt(claim.trial_id, _PREEMPTED)
        storage.close()
        (tmp_path / "go").touch()
        said, _ = run.communicate(timeout=150)
        assert run.returncode == 0, said
    finally:
        lab.end()
    ends = [[a.end_reason for a in trial.attempts] for trial in lab.trials()]
    assert ends == [[EndReason.COMPLETE], [EndReason.PREEMPTED, EndReason.COMPLETE]]
    assert invariants(lab.url, overdue_s=0.25) == []
