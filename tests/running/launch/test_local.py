"""Workers as processes of this machine: the contract of launchers, and what is local's own."""

from __future__ import annotations

from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.testing.launching import LauncherContract


class TestContract(LauncherContract):
    engine = "local"

    def half_failing(self, launcher: Launcher, order: WorkerOrder) -> None:
        (order.directory / "1.log").mkdir()
