"""A worker that the network cuts off from the book for longer than its lease, and then heals.

Two machines work on a study whose book is on a third. Neither is told of the cut: what they send
vanishes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.records.execution import EndReason
from trialbook.records.study import TrialRecord
from trialbook.testing import invariants

from .supervised import wait_until

if TYPE_CHECKING:
    from ..machines import Machine, Network
    from ..postgres import Server

pytestmark = pytest.mark.slow

LEASE_S = 3.0
BUDGET = 8
POINTS = 20

_OBJECTIVE = """
import socket
import time
from pathlib import Path

HERE = Path({place!r})
POINTS = {points}


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(POINTS):
        trial.log({{"loss": x + step}}, step=step)
    (HERE / f"waits-{{trial.number}}-{{socket.gethostname()}}").touch()
    while not (HERE / "open").exists() and not (HERE / f"open-{{trial.number}}").exists():
        time.sleep(0.02)
    (HERE / f"done-{{trial.number}}-{{socket.gethostname()}}").touch()
    return x + (10 if socket.gethostname() == "alpha" else 0)
"""
_STUDY = f"""
study: s
objective: train.py:objective
seed: 7
sampler: RandomSampler
budget: {{trials: 1}}
lease: {LEASE_S}
retries: {{backoff_s: 0}}
"""


class Site:
    """A study that two machines work on."""

    def __init__(self, network: Network, url: str, place: Path) -> None:
        self.network = network
        self.url = url
        self.place = place
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        (place / "train.py").write_text(_OBJECTIVE.format(place=str(place), points=POINTS))
        (place / "s.yaml").write_text(_STUDY)
        self.storage = BookStorage(url)
        self.open(0)
        self.begin("desk", "run", "s.yaml")
        self.wait("desk")
        study_id = self.storage.get_study_id_from_name("s")
        spec = self.storage.get_study_record(study_id).spec
        assert spec is not None
        more = replace(spec, search=replace(spec.search, trials=BUDGET))
        self.storage.set_study_spec(study_id, more)

    def begin(self, name: str, *command: str) -> None:
        """Let a machine work."""
        machine: Machine = self.network[name]
        with self.said(name).open("w") as said:
            self.workers[name] = subprocess.Popen(
                machine.command(sys.executable, "-m", "trialbook", *command),
                cwd=self.place,
                env={**os.environ, **machine.environment, "TRIALBOOK_STORAGE": self.url},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def said(self, name: str) -> Path:
        """The file of what a machine's command printed."""
        return self.place / f"{name}.out"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition while the machines work."""

        def holds() -> bool:
            ended = [name for name, process in self.workers.items() if process.poll() is not None]
            assert not ended, self.said(ended[0]).read_text()
            return bool(condition())

        wait_until(holds, within_s=150)

    def wait(self, name: str) -> None:
        """Wait until a machine has done its work."""
        assert self.workers.pop(name).wait(150) == 0, self.said(name).read_text()

    def open(self, number: int | None = None) -> None:
        """Let one trial end, or all."""
        (self.place / ("open" if number is None else f"open-{number}")).touch()

    def trials(self) -> list[TrialRecord]:
        """The trials as the book has them, seen from the desk."""
        return list(Reader(self.storage.book).trials("s"))

    def held(self) -> dict[str | None, int]:
        """The numbers of the RUNNING trials, by host."""
        found = [trial for trial in self.trials() if trial.state == "RUNNING"]
        return {trial.attempts[-1].host: trial.number for trial in found if trial.attempts}

    def end(self) -> None:
        """End what a failed test has left running."""
        for process in self.workers.values():
            process.kill()
            process.wait()
        self.storage.close()


@pytest.fixture
def site(network: Network, network_postgres: Server, tmp_path: Path) -> Iterator[Site]:
    with network["desk"].entered():
        site = Site(network, network_postgres.new_user("bob", secrets.token_hex()), tmp_path)
        try:
            yield site
        finally:
            network.heal()
            site.end()


def test_a_machine_that_was_cut_off_loses_its_trial_and_goes_on(site: Site) -> None:
    for name in ("alpha", "beta"):
        site.begin(name, "worker", "s", "--trust")
    site.until(lambda: len(site.held()) == 2)
    lost = site.held()["alpha"]

    site.until(lambda: (site.place / f"waits-{lost}-alpha").exists())
    site.network.cut("alpha", "database")
    lease_s = site.trials()[lost].attempts[-1].lease_s
    assert lease_s is not None
    site.until(lambda: site.trials()[lost].state == "WAITING")  # beta says that it is lost
    assert time.time() > lease_s
    site.open(site.held()["beta"])
    site.until(lambda: site.held().get("beta") == lost)
    # Alpha ends its trial while nobody hears of it.
    site.open(lost)
    site.until(lambda: (site.place / f"done-{lost}-alpha").exists())
    site.network.heal()
    site.until(lambda: site.held().get("alpha") not in (None, lost))
    site.open()
    for name in ("alpha", "beta"):
        site.wait(name)

    trials = site.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * BUDGET
    ends = [(a.host, a.end_reason) for a in trials[lost].attempts]
    assert ends == [("alpha", EndReason.LOST), ("beta", EndReason.COMPLETE)]
    assert "was taken over by another worker" in site.said("alpha").read_text()
    for trial in trials:
        x = trial.params[0].value
        counts = trial.attempts[-1].host
        assert trial.values == (x + (10 if counts == "alpha" else 0),)
        assert trial.current == len(trial.attempts)
        series = {summary.metric: summary for summary in trial.attempts[-1].series}
        assert series["loss"].count == POINTS
    assert invariants(site.url, "s") == []
