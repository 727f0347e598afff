"""One running trial: its limits of time, and what becomes of it when the run is asked to stop.

A trial whose time is over gets SIGTERM, then a grace to end by itself. One that is to stop for the
run's sake is told so through the page that it shares with its supervisor: when it never asks, it
has a grace as well; once it has been told, it may take the time that its checkpoint needs, within
its limits.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trialbook.records.execution import EndReason
from trialbook.records.retries import TrialLimits
from trialbook.tracking.beacon import StopCause, stop_text

if TYPE_CHECKING:
    from trialbook.running.supervision import SupervisedChild

LIMIT_GRACE_S = 10.0
"""Between SIGTERM and SIGKILL for a trial whose time is over, at the most."""

_REASONS = {
    StopCause.PREEMPTED: EndReason.PREEMPTED,
    StopCause.TIMED_OUT: EndReason.TIMED_OUT,
    StopCause.STALLED: EndReason.STALLED,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a supervisor ends a trial."""

    reason: EndReason
    message: str


class TrialWatch:
    """Looks at one trial, from its beginning to its end.

    Args:
        child: The child that runs it.
        limits: Its limits of time.
        grace_s: How long it may go on after a request to stop when it never asks; after the end of
            a limit it has ten seconds at the most.
    """

    def __init__(self, child: SupervisedChild, limits: TrialLimits, grace_s: float) -> None:
        self._child = child
        self._limits = limits
        self._grace_s = grace_s
        self._began_s = self._progressed_s = time.monotonic()
        self._stop: tuple[StopCause, float, float] | None = None

    @property
    def cause(self) -> Cause | None:
        """Why this supervisor wants the trial to end; ``None`` while it may run."""
        if self._stop is None:
            return None
        cause, limit_s, _ = self._stop
        return Cause(_REASONS[cause], stop_text(cause, limit_s))

    def ask_to_stop(self) -> None:
        """The run is to stop: let the trial know."""
        if self._stop is None:
            self._request(StopCause.PREEMPTED, 0.0, self._grace_s)

    def is_overdue(self) -> bool:
        """Look at the clock; whether the trial must be killed now."""
        now = time.monotonic()
        if self._child.beacon.progressed():
            self._progressed_s = now
        over = self._limit_over(now)
        if self._stop is None:
            if over is not None:
                self._end_for(*over)
            return False
        cause, _, deadline_s = self._stop
        if cause is StopCause.PREEMPTED and self._child.beacon.has_asked:
            return over is not None
        return now > deadline_s

    def _limit_over(self, now: float) -> tuple[StopCause, float] | None:
        """The limit that is over, if one is: what it means, and the limit in seconds."""
        limits = self._limits
        if limits.trial_s is not None and now - self._began_s > limits.trial_s:
            return StopCause.TIMED_OUT, limits.trial_s
        if limits.progress_s is not None and now - self._progressed_s > limits.progress_s:
            return StopCause.STALLED, limits.progress_s
        return None

    def _end_for(self, cause: StopCause, limit_s: float) -> None:
        self._request(cause, limit_s, min(LIMIT_GRACE_S, self._grace_s))
        self._child.signal_trial(signal.SIGTERM)

    def _request(self, cause: StopCause, limit_s: float, grace_s: float) -> None:
        self._stop = (cause, limit_s, time.monotonic() + grace_s)
        self._child.beacon.request_stop(cause, limit_s)
