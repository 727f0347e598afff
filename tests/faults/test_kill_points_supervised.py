"""SIGKILL at the N-th write call of a run's trial, worker and coordinator; the study goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from trialbook.book.storage import BookStorage
from trialbook.testing import invariants

from .supervised import Lab

pytestmark = pytest.mark.slow

# Loaded by every interpreter of the run before anything else; only a process whose part is asked
# for counts. What came to life after a death is spared, so that each trial dies once.
_SITE = """
import os, sys
from pathlib import Path
def role():
    argv = sys.orig_argv
    if any(a.endswith("start.py") for a in argv):
        return argv[-3]
    return "coordinator" if "run" in argv else None
if role() == os.environ["KILLED_ROLE"]:
    sys.path.insert(0, {here!r})
    from fatal import Points
    del sys.path[0]
    place = Path(os.environ["KILLED_PLACE"])
    points = [int(point) for point in os.environ["KILLED_POINTS"].split()]
    class Once(Points):
        # A child rehearses with a book of its own before it forks trials, and a worker renews its
        # lease an unknown number of times before a claim: that is of no interest.
        counts = role() == "coordinator"
        def begin(self):
            died = len(list(place.glob("died-*")))
            spared = place / f"spared-{{died}}"
            self.counts, self.count = died < len(points), 0
            if died and not spared.exists():
                spared.touch()
                self.counts = False
            self._fatal = points[died] if self.counts else 0
        def statement(self, text):
            if role() == "worker" and text.startswith("UPDATE tb_study SET next_number"):
                self.begin()
            super().statement(text)
        def point(self, what):
            self.count += self.counts
            if not self.counts or self.count != self._fatal:
                return
            (place / f"died-{{self._fatal}}").write_text(what)
            os.kill(os.getpid(), 9)
    once = Once(points[0])
    once.counts = once.counts and not list(place.glob("died-*"))
    os.register_at_fork(after_in_child=once.begin)
    once.install(str(place))
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
CHOSEN = {"child": (3, 14, 22, 31, 35), "worker": (2, 5, 6), "coordinator": (3, 6)}

AFTER_CLAIM = 6
"""The point of a worker after its claim: number, trial, attempt, worker, and the COMMIT."""


def _lab(place: Path, points: Sequence[int]) -> Lab:
    """A study with a trial for each death, and one more."""
    place = place / str(points[0])
    place.mkdir()
    (place / "site").mkdir()
    here = str(Path(__file__).parent)
    (place / "site" / "sitecustomize.py").write_text(_SITE.format(here=here))
    lab = Lab(place, f"sqlite:///{place / 'book.db'}")
    BookStorage(lab.url).close()  # how a book is made has its own kill points
    lab.write(_OBJECTIVE, f"budget: {{trials: {len(points) + 1}}}\nretries: {{backoff_s: 0}}")
    return lab


def _killed(lab: Lab, role: str, points: Sequence[int]) -> dict[int, str]:
    """Run until processes have died at those points, and to the end; at what each died."""
    path = os.pathsep.join([str(lab.place / "site"), os.environ.get("PYTHONPATH", "")])
    killing = {"ROLE": role, "POINTS": " ".join(map(str, points)), "PLACE": str(lab.place)}
    status, said = lab.run(PYTHONPATH=path, **{f"KILLED_{k}": v for k, v in killing.items()})
    died = {point: lab.place / f"died-{point}" for point in points}
    deaths = {point: mark.read_text() for point, mark in died.items() if mark.exists()}
    if status != 0:
        assert role == "coordinator", (deaths, said)
        assert deaths, said
        status, said = lab.run()
        assert status == 0, (deaths, said)
    return deaths


@pytest.mark.parametrize("role", CHOSEN)
def test_killed_at_a_write(tmp_path: Path, role: str) -> None:
    """Each process dies with a trial of its own; of coordinators a run has only one to lose."""
    chosen = range(1, 500) if EVERY_POINT else CHOSEN[role]
    together = 1 if role == "coordinator" else len(CHOSEN[role])
    deaths: dict[int, str] = {}
    for start in range(0, len(chosen), together):
        points = chosen[start : start + together]
        lab = _lab(tmp_path, points)
        died = _killed(lab, role, points)
        at = f"{role} killed at {died}"
        trials = lab.trials()
        assert [trial.state for trial in trials] == ["COMPLETE"] * (len(points) + 1), at
        for trial in trials:
            assert trial.values == (trial.params[0].value,), at
            assert [a.end_reason for a in trial.attempts][-1] == "complete", at
            assert [s.count for s in trial.series] == [4, 4], at
        assert invariants(lab.url, overdue_s=0.25) == [], at
        tries = [len(trial.attempts) for trial in trials]
        if role == "child" and not EVERY_POINT:  # tried again, unless it was only tidying up
            assert died[points[-1]].startswith("DELETE FROM tb_blob"), at
            assert tries == [2, 2, 2, 2, 1, 1], at
        if role == "worker" and AFTER_CLAIM in points:
            assert died[AFTER_CLAIM] == "after COMMIT"
            assert tries == [1 + (point == AFTER_CLAIM) for point in points] + [1], at
        deaths |= died
        if EVERY_POINT and len(died) < len(points):
            break
    assert len(deaths) >= (5 if EVERY_POINT else len(CHOSEN[role]))
