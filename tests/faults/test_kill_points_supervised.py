"""SIGKILL at the N-th write call of a run's trial, worker and coordinator; the study goes on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.testing import invariants

from .supervised import Lab

pytestmark = pytest.mark.slow

# Loaded by every interpreter of the run before anything else; only the process whose part is asked
# for counts, and one process dies a run.
_SITE = """
import os, sys
def role():
    argv = sys.orig_argv
    if any(a.endswith("start.py") for a in argv):
        return argv[-3]
    return "coordinator" if "run" in argv else None
if role() == os.environ["KILLED_ROLE"]:
    sys.path.insert(0, {here!r})
    from fatal import Points
    del sys.path[0]
    class Once(Points):
        # A child rehearses with a book of its own before it forks trials, and a worker renews its
        # lease an unknown number of times before its first claim: that is of no interest.
        counts = role() == "coordinator"
        def statement(self, text):
            if role() == "worker" and text.startswith("UPDATE tb_study SET next_number"):
                Once.counts = True
            super().statement(text)
        def point(self, what):
            self.count += self.counts
            if self.count != self._fatal:
                return
            try:
                mark = os.open(os.environ["KILLED_MARK"], os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                return
            os.write(mark, what.encode())
            os.kill(os.getpid(), 9)
    def begun():
        Once.counts = True
    os.register_at_fork(after_in_child=begun)
    Once(int(os.environ["KILLED_POINT"])).install(os.environ["KILLED_PLACE"])
"""

_OBJECTIVE = """
import os
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    found = trial.load_checkpoint()
    for step in range(0 if found is None else int(found.read_text()), 4):
        trial.log({"loss": x}, step=step)
        trial.report(x, step)
        if step == 1:
            (trial.dir / "state").write_text("2")
            trial.save_checkpoint(trial.dir / "state")
    trial.set_user_attr("note", "n")
    (trial.dir / "model").write_bytes(b"weights" * 40_000)
    trial.log_artifact(trial.dir / "model")
    return x
"""

EVERY_POINT = bool(os.environ.get("TRIALBOOK_EVERY_KILL_POINT"))
CHOSEN = {"child": (3, 14, 22, 31, 40), "worker": (2, 5, 6), "coordinator": (3, 6)}

AFTER_CLAIM = 6
"""The point of a worker after its claim: number, trial, attempt, worker, and the COMMIT."""


def _lab(place: Path, number: int) -> Lab:
    place = place / str(number)
    place.mkdir()
    (place / "site").mkdir()
    here = str(Path(__file__).parent)
    (place / "site" / "sitecustomize.py").write_text(_SITE.format(here=here))
    lab = Lab(place, f"sqlite:///{place / 'book.db'}")
    BookStorage(lab.url).close()  # how a book is made has its own kill points
    lab.write(_OBJECTIVE, "budget: {trials: 2}\nretries: {backoff_s: 0}")
    return lab


def _killed(lab: Lab, role: str, point: int) -> str | None:
    """Run until a process dies at that point, then go on; at what it died, if it did."""
    mark = lab.place / "mark"
    path = os.pathsep.join([str(lab.place / "site"), os.environ.get("PYTHONPATH", "")])
    killing = {"ROLE": role, "POINT": str(point), "MARK": str(mark), "PLACE": str(lab.place)}
    status, said = lab.run(PYTHONPATH=path, **{f"KILLED_{k}": v for k, v in killing.items()})
    died = mark.read_text() if mark.exists() else None
    if status != 0:
        assert died is not None, said
        assert role == "coordinator", (died, said)
        status, said = lab.run()
        assert status == 0, (died, said)
    return died


@pytest.mark.parametrize("role", CHOSEN)
def test_killed_at_a_write(tmp_path: Path, role: str) -> None:
    deaths = 0
    for point in range(1, 500) if EVERY_POINT else CHOSEN[role]:
        lab = _lab(tmp_path, point)
        died = _killed(lab, role, point)
        at = f"{role} killed at {point}: {died}"
        trials = lab.trials()
        assert [trial.state for trial in trials] == ["COMPLETE"] * 2, at
        for trial in trials:
            assert trial.values == (trial.params[0].value,), at
            assert [a.end_reason for a in trial.attempts][-1] == "complete", at
            assert [s.count for s in trial.series] == [4, 4], at
        assert invariants(lab.url, overdue_s=0.25) == [], at
        if role == "worker" and point == AFTER_CLAIM:
            assert died == "after COMMIT"
            assert [len(trial.attempts) for trial in trials] == [2, 1], at
        deaths += died is not None
        if EVERY_POINT and died is None:
            break
    assert deaths >= (5 if EVERY_POINT else len(CHOSEN[role]) - 1)
