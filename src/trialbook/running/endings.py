"""How a trial ended whose own process could not say so, and the report of any end.

The worker writes such an end; the study's budgets decide in the book whether the trial is tried
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trialbook import errors
from trialbook.book.retrying import Fate
from trialbook.errors import BookError
from trialbook.records.execution import EndReason
from trialbook.records.retries import QUARANTINED
from trialbook.records.workers import Claim
from trialbook.running.messages import Finished, Returned
from trialbook.running.supervision import SupervisedChild
from trialbook.running.watch import Cause

if TYPE_CHECKING:
    from trialbook.book.storage import BookStorage


@dataclass(frozen=True, slots=True)
class Ending:
    """How a trial ended.

    Args:
        reason: Why.
        message: The same in words.
        died: Whether its process died without a word, and nobody here ended it.
    """

    reason: EndReason
    message: str
    died: bool = False


def abandoned() -> Ending:
    """The user wants no more of a trial."""
    return Ending(EndReason.ABANDONED, "the run was interrupted")


def asked_again() -> Ending:
    """Whoever asked for a trial to stop can wait no longer."""
    return Ending(EndReason.PREEMPTED, "the trial was asked to stop once more before it had")


def coordinator_gone() -> Ending:
    """The command that a worker belongs to is gone."""
    return Ending(EndReason.LOST, "the command that ran this trial was gone")


def ending_of(child: SupervisedChild, cause: Cause | None) -> Ending:
    """How a trial ended that was not told.

    Args:
        child: Its child; the trial is over.
        cause: Why this supervisor wanted it to end, ``None`` when it did not.
    """
    if child.failed is not None:
        fault = child.failed.fault
        kind = getattr(errors, fault.kind, None)
        # The trial could not be recorded, which is no fault of its own.
        ours = isinstance(kind, type) and issubclass(kind, BookError)
        if cause is None and "MemoryError" in fault.what:
            return Ending(EndReason.OUT_OF_MEMORY, fault.what)
        return Ending(EndReason.LOST if ours else EndReason.FAILED, fault.what)
    if cause is not None:
        return Ending(cause.reason, cause.message)
    death = child.death
    if death is not None and death.exit_code is not None:
        message = f"the trial's process {death} before the objective returned"
        return Ending(EndReason.FAILED, message)
    if child.ran_out_of_memory:
        return Ending(
            EndReason.OUT_OF_MEMORY, "the kernel killed the trial's process: out of memory"
        )
    how = "is gone" if death is None or death.signal is None else str(death)
    return Ending(EndReason.LOST, f"the trial's process {how}", died=True)


def report_of(
    storage: BookStorage, claim: Claim, child: SupervisedChild, ending: Ending | None
) -> Finished | Returned:
    """Write a trial's end, unless its own process has, and say what came of it.

    Args:
        storage: The book.
        claim: The trial.
        child: The child that ran it.
        ending: How it ended, ``None`` when its process has told.
    """
    fenced = str(EndReason.FENCED)
    error = None if child.told is None else child.told.error
    reason = None if child.told is None else child.told.given_back
    if ending is not None:
        outcome, blobs = child.outcome(ending.reason, ending.message, died=ending.died)
        fate = storage.end_dead_attempt(claim.trial_id, outcome, blobs=blobs, attempt=claim.attempt)
        error = ending.message
        reason = None if fate is Fate.OVER else str(ending.reason)
        if fate is Fate.OVER and storage.is_overtaken(claim.trial_id, claim.attempt):
            reason = fenced
    trial = storage.get_trial(claim.trial_id)
    # Whoever has taken the trial over may have finished it already.
    if reason == fenced or not trial.state.is_finished():
        return Returned(claim.trial_id, claim.number, claim.attempt, reason or fenced, error)
    quarantine = trial.system_attrs.get(QUARANTINED)
    if quarantine is not None and error is not None:
        error = f"{error}; not tried again: {quarantine}"
    elif error is not None and claim.attempt > 1:
        error = f"{error}; not tried again after {claim.attempt} attempts (--retries allows more)"
    return Finished(
        claim.trial_id,
        claim.number,
        trial.state.name,
        None if trial.values is None else tuple(trial.values),
        error if trial.state.name == "FAIL" else None,
        child.told is not None and child.told.stop,
    )
