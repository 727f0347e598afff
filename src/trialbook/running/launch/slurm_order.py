"""What a job on a node is told: the launch's order, as one text in the job's environment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from trialbook.running.launch.contract import WorkerOrder

ORDER = "TRIALBOOK_SLURM_ORDER"
PYTHON = "TRIALBOOK_SLURM_PYTHON"


@dataclass(frozen=True, slots=True)
class SlurmOrder:
    """The order of one launch.

    Args:
        launch_id: Id of the launch.
        study: Name of the study.
        arguments: Options of ``trialbook worker``.
        requeues: How often a job may be put back into the queue.
    """

    launch_id: str
    study: str
    arguments: tuple[str, ...]
    requeues: int

    @classmethod
    def of(cls, order: WorkerOrder, requeues: int) -> SlurmOrder:
        """Of a launcher's order."""
        return cls(order.launch_id, order.study, order.arguments, requeues)

    @classmethod
    def parsed(cls, text: str) -> SlurmOrder:
        """From ``text()``."""
        read = json.loads(text)
        return cls(**{**read, "arguments": tuple(read["arguments"])})

    def text(self) -> str:
        """JSON in ASCII, on one line."""
        return json.dumps(asdict(self))

    @property
    def share(self) -> tuple[int | None, float | None]:
        """The worker's own share: trials and hours, each ``None`` where none was given."""
        trials, hours = self._given("--trials"), self._given("--hours")
        return None if trials is None else int(trials), None if hours is None else float(hours)

    def _given(self, option: str) -> str | None:
        found = None
        for argument, following in zip(self.arguments, (*self.arguments[1:], ""), strict=True):
            if argument == option:
                found = following
        return found

    def with_share(self, trials: int | None, hours: float | None) -> SlurmOrder:
        """The same order with what is left of the share; the later of two options counts."""
        added: tuple[str, ...] = ()
        if trials is not None:
            added += ("--trials", str(trials))
        if hours is not None:
            added += ("--hours", repr(hours))
        return replace(self, arguments=(*self.arguments, *added))

    def command(self, python: str, index: int) -> tuple[str, ...]:
        """The command line of one worker."""
        return WorkerOrder(self.launch_id, self.study, self.arguments).command(python, index)
