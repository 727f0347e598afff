"""What a run tells while it goes on: values and the interface that shows them.

Nothing is drawn here; the command line implements ``Progress``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trialbook.records.study import TrialState


@dataclass(frozen=True, slots=True)
class BestSoFar:
    """The best trial until now: its number and its value."""

    number: int
    value: float


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands.

    Args:
        study: Name of the study.
        done: Finished trials of the study that count towards the budget.
        budget: Total of trials, ``None`` for no limit.
        running: Trials that run now.
        states: Number of the study's trials in each state.
        best: ``None`` while no trial is complete, for several objectives, and of replicates.
        elapsed_s: Seconds since the run began.
        left_s: Estimate of the seconds that are left, ``None`` while unknown or without a limit.
        isolation: How trials are kept apart, and why; ``None`` until a worker says so.
    """

    study: str
    done: int
    budget: int | None
    running: int = 0
    states: Mapping[TrialState, int] = field(default_factory=dict)
    best: BestSoFar | None = None
    elapsed_s: float = 0.0
    left_s: float | None = None
    isolation: str | None = None

    @property
    def to_go(self) -> int | None:
        """Trials until the budget is met, ``None`` without one."""
        return None if self.budget is None else max(0, self.budget - self.done)


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """One trial that ended during the run.

    Args:
        number: Its number.
        state: Its state.
        values: Its values, ``None`` without any.
        error: What went wrong, in one line; ``None`` when nothing did.
    """

    number: int
    state: str
    values: tuple[float, ...] | None
    error: str | None


class Progress(Protocol):
    """Shows how a run goes on. Called in the coordinator's main thread."""

    def began(self, state: RunState) -> None:
        """The run begins, or has nothing to do."""

    def changed(self, state: RunState) -> None:
        """Numbers changed; at most a few times a second."""

    def trial_ended(self, trial: TrialEnd, state: RunState) -> None:
        """A trial ended."""

    def said(self, text: str) -> None:
        """Something the user should know now."""

    def ended(self, state: RunState) -> None:
        """The run is over, for whatever reason."""


class Silence:
    """A progress that shows nothing."""

    def began(self, state: RunState) -> None:
        """Nothing."""

    def changed(self, state: RunState) -> None:
        """Nothing."""

    def trial_ended(self, trial: TrialEnd, state: RunState) -> None:
        """Nothing."""

    def said(self, text: str) -> None:
        """Nothing."""

    def ended(self, state: RunState) -> None:
        """Nothing."""
