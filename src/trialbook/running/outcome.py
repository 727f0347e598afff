"""What a run is given besides its job, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trialbook.running.progress import RunState, TrialEnd


class RunEnd(StrEnum):
    """Why a run ended."""

    BUDGET = "the budget is met"
    TIME = "the time is over"
    STOPPED = "the study was asked to stop"
    DRAINED = "interrupted; the running trials were finished"
    ABANDONED = "interrupted; the running trials were abandoned"
    PREEMPTED = "a signal asked the run to stop"
    ASKED = "it was asked to leave"
    SHARE = "it has run as many trials as it was to"
    IDLE = "there was no trial to claim"


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of a run.

    Args:
        study: Name of the study.
        end: Why it ended.
        state: Where the study stands.
        trials: Trials that ended during the run, in the order of their end.
        given_back: Numbers of the trials that wait to be tried again by whoever goes on.
    """

    study: str
    end: RunEnd
    state: RunState
    trials: tuple[TrialEnd, ...]
    given_back: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run early.

    Args:
        time_s: Seconds, ``None`` for no limit.
        max_failures: Stop when the first so many trials all failed; 0 for never.
        trials: Claim no more than this, ``None`` for no limit.
    """

    time_s: float | None
    max_failures: int
    trials: int | None = None
