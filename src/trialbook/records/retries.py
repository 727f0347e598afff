"""When a trial that did not come to its result is tried again: budgets, waits, quarantine.

Each cause has a budget of its own. An attempt that ended for a cause whose budget is used up ends
the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trialbook.records.execution import EndReason

QUARANTINE_DEATHS = 3
"""A trial that so many processes died of, without a word, is not tried again."""

QUARANTINED = "trialbook:quarantined"
"""The system attribute of a trial in quarantine; its value is the reason, in one sentence."""

LONGEST_WAIT_S = 300.0


@dataclass(frozen=True, slots=True)
class RetryBudgets:
    """How many times a trial is tried again, by cause.

    Args:
        lost: For attempts whose worker was lost or preempted, both together.
        out_of_memory: For attempts that ran out of memory.
        failed: For attempts that the objective's own exception or a limit of time ended.
        backoff_s: Seconds before the first retry of a cause; each further one waits twice as
            long, five minutes at the most. The wait is spread by half of it, up and down.
    """

    lost: int = 3
    out_of_memory: int = 1
    failed: int = 0
    backoff_s: float = 1.0


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What ends a trial that takes too long; ``None`` for no limit.

    Args:
        trial_s: Seconds that one attempt may take.
        progress_s: Seconds that may pass without a point, a report or a checkpoint.
    """

    trial_s: float | None = None
    progress_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended.

    Args:
        reason: The reason.
        died: Whether its process died without a word.
    """

    reason: EndReason
    died: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Try the trial again, after so many seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try the trial again.

    Args:
        quarantine: Why it is in quarantine, in one sentence; ``None`` when it is not.
    """

    quarantine: str | None = None


_CAUSES = {
    EndReason.LOST: "lost",
    EndReason.PREEMPTED: "lost",
    EndReason.OUT_OF_MEMORY: "out_of_memory",
    EndReason.FAILED: "failed",
    EndReason.TIMED_OUT: "failed",
    EndReason.STALLED: "failed",
}


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of a cause's budget a trial has used.

    Args:
        cause: ``lost``, ``out_of_memory`` or ``failed``: a field of ``RetryBudgets``.
        used: How many of its attempts ended for it.
        budget: How many retries there are for it.
    """

    cause: str
    used: int
    budget: int


def budget_use(history: Sequence[Ending], budgets: RetryBudgets) -> BudgetUse | None:
    """Which retry the last ending led to, of how many; ``None`` when it has no budget.

    Args:
        history: How the attempts of a trial ended, oldest first.
        budgets: The study's budgets.
    """
    cause = _CAUSES.get(history[-1].reason) if history else None
    if cause is None:
        return None
    used = sum(_CAUSES.get(ending.reason) == cause for ending in history)
    return BudgetUse(cause, used, getattr(budgets, cause))


def decision(history: Sequence[Ending], budgets: RetryBudgets, spread: float) -> Retry | GiveUp:
    """Whether a trial is tried again.

    Args:
        history: How its attempts ended, oldest first; the last one is the one to decide on.
        budgets: The study's budgets.
        spread: A random number from 0 up to 1, for the wait.
    """
    last = history[-1]
    use = budget_use(history, budgets)
    if use is None:
        return GiveUp()
    deaths = sum(ending.died for ending in history)
    if last.died and deaths >= QUARANTINE_DEATHS:
        return GiveUp(f"{deaths} processes that ran this trial died without a word")
    if use.used > use.budget:
        return GiveUp()
    # Exponential backoff with jitter; a wait that all share would bring them back all at once.
    wait_s = min(budgets.backoff_s * 2.0 ** (use.used - 1), LONGEST_WAIT_S)
    return Retry(wait_s * (0.5 + spread))
