"""How ``trialbook show STUDY/N`` prints the attempts of a trial: how each ended, and what counts.

A trial with one attempt that ran to its end has one line; every other history is told in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trialbook.analysis.details import counted_until
from trialbook.analysis.places import Place
from trialbook.cli.compute_page import hardware_text, job_text
from trialbook.cli.output import (
    Cell,
    Column,
    duration_text,
    json_text,
    number_text,
    size_text,
    time_text,
    write_heading,
    write_line,
    write_table,
)
from trialbook.cli.wording import counted, outcome_text, scalar_text
from trialbook.records.execution import EndReason
from trialbook.records.study import AttemptRecord, TrialRecord

_ORDINARY = (None, EndReason.COMPLETE, EndReason.PRUNED, EndReason.FAILED)
_METRICS_NAMED = 8


def write_attempts(trial: TrialRecord, places: Sequence[Place]) -> None:
    """Print the section, if the trial has attempts.

    Args:
        trial: The trial.
        places: Where each of its attempts ran.
    """
    if not trial.attempts:
        return
    write_line()
    write_heading("ATTEMPTS")
    jobs = any(attempt.job or attempt.launch for attempt in trial.attempts)
    whole = len(trial.attempts) > 1 or any(a.end_reason not in _ORDINARY for a in trial.attempts)
    columns = (
        Column("ATTEMPT", right=True),
        Column("STARTED"),
        *([Column("ENDED")] if whole else []),
        Column("DURATION", right=True),
        Column("END"),
        Column("HOST"),
        *([Column("PID", right=True)] if whole else []),
        *([Column("JOB")] if jobs else []),
        Column("DETAIL", wide=True),
    )
    write_table(columns, (_row(a, whole=whole, jobs=jobs) for a in trial.attempts), indent=2)
    if len({place.hardware for place in places}) > 1:
        for attempt, place in zip(trial.attempts, places, strict=True):
            hardware = hardware_text(place.hardware) or "hardware that is not recorded"
            write_line(f"    - attempt {attempt.number} ran on {hardware}")
    for attempt in trial.attempts:
        for line in _notes(trial, attempt):
            write_line(f"    - {line}")


def _row(attempt: AttemptRecord, *, whole: bool, jobs: bool) -> tuple[str, ...]:
    return (
        str(attempt.number),
        time_text(attempt.started_s),
        *([time_text(attempt.ended_s)] if whole else []),
        duration_text(None if attempt.ended_s is None else attempt.ended_s - attempt.started_s),
        "running" if attempt.end_reason is None else str(attempt.end_reason),
        attempt.host or "",
        *(["" if attempt.pid is None else str(attempt.pid)] if whole else []),
        *([job_text(attempt.launcher, attempt.job, attempt.launch)] if jobs else []),
        outcome_text(attempt.outcome),
    )


def _notes(trial: TrialRecord, attempt: AttemptRecord) -> Iterator[str]:
    yield from _checkpoint_notes(attempt)
    gaps = () if attempt.outcome is None else attempt.outcome.gaps
    for gap in gaps:
        yield gap if len(trial.attempts) == 1 else f"attempt {attempt.number}: {gap}"
    reported = _reported(attempt)
    what = counted_text(trial, attempt)
    if reported and what != "all":
        said = "does not count" if what == "nothing" else f"counts {what}"
        yield f"attempt {attempt.number} {said}; it reported: {reported}"


def counted_text(trial: TrialRecord, attempt: AttemptRecord) -> str:
    """What counts of an attempt: ``all``, ``nothing`` or ``up to its checkpoint 2``."""
    until = counted_until(trial)
    if attempt.number not in until:
        return "nothing"
    checkpoint = until[attempt.number]
    return "all" if checkpoint is None else f"up to its checkpoint {checkpoint}"


def _reported(attempt: AttemptRecord) -> str:
    """What an attempt returned, and the last value of each metric."""
    parts = []
    if attempt.returned is not None:
        parts.append(f"returned {_returned(attempt.returned)}")
    told = [s for s in attempt.series if not s.withheld]
    shown = told[:_METRICS_NAMED]
    parts.extend(
        f"{s.metric} {number_text(s.last)} at step {s.last_step}" for s in shown if s.count
    )
    if len(told) > len(shown):
        parts.append(f"{len(told) - len(shown)} more")
    return ", ".join(parts)


def _returned(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(scalar_text(item) for item in value)
    return scalar_text(value)


def _checkpoint_notes(attempt: AttemptRecord) -> Iterator[str]:
    origin, saved = attempt.resumed_from, attempt.checkpoints
    if origin is not None:
        yield (
            f"attempt {attempt.number} went on from checkpoint {origin.number} "
            f"of attempt {origin.attempt}"
        )
    if saved:
        last = saved[-1]
        yield (
            f"attempt {attempt.number} saved {counted(len(saved), 'checkpoint')}, the last at "
            f"{time_text(last.created_s)} ({size_text(last.size_bytes)}"
            f"{'' if last.kept else ', its content is gone'})"
        )


def attempt_facts(trial: TrialRecord) -> Iterator[tuple[Cell, ...]]:
    """The attempts as lines of CSV: section, name, field, value."""
    for attempt in trial.attempts:
        name, outcome = str(attempt.number), attempt.outcome
        end = None if attempt.end_reason is None else str(attempt.end_reason)
        yield "attempt", name, "end", end
        yield "attempt", name, "counts", counted_text(trial, attempt)
        yield "attempt", name, "started_s", attempt.started_s
        yield "attempt", name, "ended_s", attempt.ended_s
        yield "attempt", name, "pid", attempt.pid
        if outcome is not None:
            for field in ("signal", "exit_code", "exception", "message"):
                yield "attempt", name, field, getattr(outcome, field)
        if attempt.returned is not None:
            yield "attempt", name, "returned", json_text(attempt.returned, indent=None)
        for checkpoint in attempt.checkpoints:
            saved = f"{checkpoint.attempt}/{checkpoint.number}"
            yield "checkpoint", saved, "digest", checkpoint.digest
            yield "checkpoint", saved, "size_bytes", checkpoint.size_bytes
        if attempt.resumed_from is not None:
            origin = f"{attempt.resumed_from.attempt}/{attempt.resumed_from.number}"
            yield "attempt", name, "resumed_from", origin
