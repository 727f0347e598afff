"""How ``trialbook status`` prints."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from trialbook.analysis.status import (
    BudgetStatus,
    HeldTrial,
    RetryStatus,
    StudyStatus,
    WorkerState,
    WorkerStatus,
)
from trialbook.cli.compute_page import (
    compute_facts,
    compute_json,
    compute_text,
    job_text,
    write_hosts,
)
from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    duration_text,
    json_value,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_table,
)
from trialbook.cli.wording import counted, differing_text, outcome_text, states_text
from trialbook.records.retries import BudgetUse
from trialbook.records.workers import WorkerIdentity

_NAMED = 20


def write_status(status: StudyStatus, format: Format, *, everybody: bool) -> None:  # noqa: A002
    """Print how a study is doing.

    Args:
        status: The status.
        format: How.
        everybody: Whether a table lists workers that are gone, too.
    """
    match format:
        case Format.JSON:
            write_json(status_json(status))
        case Format.CSV:
            write_csv(("section", "name", "field", "value"), _csv(status))
        case Format.TABLE:
            _write_page(status, everybody)


def status_json(status: StudyStatus) -> dict[str, object]:
    """The status as plain JSON values; the study by its name and states."""
    document: dict[str, object] = json_value(status)
    document["study"] = status.study.name
    document["compute"] = compute_json(status.compute)
    return {
        "study": status.study.name,
        "states": json_value(status.study.states),
        "left_s": status.left_s,
        **document,
    }


def _csv(status: StudyStatus) -> Iterator[tuple[Cell, ...]]:
    """Every fact on a line of its own."""
    study = status.study
    yield "study", study.name, "at_s", status.at_s
    for state, count in study.states.items():
        yield "study", study.name, state, count
    if status.budget is not None:
        for field in ("trials", "hours", "taken", "to_begin", "to_go"):
            yield "budget", study.name, field, getattr(status.budget, field)
    for field in ("finished", "recent_per_hour", "per_hour"):
        yield "throughput", study.name, field, getattr(status.throughput, field)
    for reason, count in status.endings.items():
        yield "attempts", study.name, str(reason), count
    for worker in status.workers:
        name = worker.worker.worker_id
        for field in ("host", "pid", "launcher", "job", "launch"):
            yield "worker", name, field, getattr(worker.worker, field)
        yield "worker", name, "state", str(worker.state)
        for field in ("silent_s", "finished", "per_hour"):
            yield "worker", name, field, getattr(worker, field)
        for trial in worker.holds:
            yield "worker", name, "holds", trial.number
    yield from compute_facts(status.compute)
    for trial in chain.from_iterable(worker.holds for worker in status.workers):
        yield "held", str(trial.number), "attempt", trial.attempt
        yield "held", str(trial.number), "lease_left_s", trial.lease_left_s
        yield "held", str(trial.number), "running_s", trial.running_s
    for retry in status.retries:
        yield "retry", str(retry.number), "attempt", retry.attempt
        yield "retry", str(retry.number), "reason", None if retry.reason is None else retry.reason
        yield "retry", str(retry.number), "wait_s", retry.wait_s
    for trial in status.expired:
        yield "expired", str(trial.number), "attempt", trial.attempt
    for number in status.unleased:
        yield "unleased", str(number), "trial", number
    for marked in status.differing:
        for text in marked.differs:
            yield "differing", str(marked.number), "differs", text
    for quarantined in status.quarantined:
        yield "quarantined", str(quarantined.number), "reason", quarantined.reason


def _write_page(status: StudyStatus, everybody: bool) -> None:
    write_heading(status.study.name)
    for name, text in _head(status):
        if text:
            write_line(f"  {name:<12}{text}")
    shown = [worker for worker in status.workers if everybody or not worker.is_gone]
    if shown:
        _section("WORKERS")
        write_table(_WORKER_COLUMNS, chain.from_iterable(map(_worker_rows, shown)), indent=2)
    write_hosts(status.compute, single=True)
    if status.retries:
        _section("TO BE TRIED AGAIN")
        write_table(_RETRY_COLUMNS, map(_retry_row, status.retries), indent=2)
    if status.quarantined:
        _section("IN QUARANTINE")
        write_table(
            (Column("TRIAL", right=True), Column("REASON", wide=True)),
            ((str(trial.number), trial.reason) for trial in status.quarantined),
            indent=2,
        )
    if status.unleased:
        _section("RUNNING WITHOUT A LEASE")
        write_line(f"  {_numbers(status.unleased)}; only the program that asked for it ends it")
    if status.expired:
        _section("LEASES THAT ARE OVER")
        holders = {worker.worker.worker_id: worker.worker for worker in status.workers}
        for trial in status.expired:
            write_line(f"  {_expired_text(trial, holders.get(trial.worker_id or ''))}")
        write_line(f"  to have them tried again: trialbook reap {shlex.quote(status.study.name)}")


def _section(title: str) -> None:
    write_line()
    write_heading(title)


def _head(status: StudyStatus) -> Iterator[tuple[str, str]]:
    yield "trials", states_text(status.study)
    yield "budget", _budget_text(status)
    yield "throughput", _throughput_text(status)
    yield "attempts", _endings_text(status)
    yield "workers", _workers_text(status)
    yield "differing", differing_text(status.differing)
    yield "compute", compute_text(status.compute)


def _budget_text(status: StudyStatus) -> str:
    budget = status.budget
    if budget is None:
        return "none"
    parts = []
    if budget.trials is not None:
        parts.append(f"{counted(budget.trials, 'trial')}, {_to_go_text(budget)}")
    if budget.hours is not None:
        parts.append(f"{budget.hours:g} hours a run")
    if status.left_s is not None:
        parts.append(f"about {_whole(max(1.0, status.left_s))} left")
    return ", ".join(parts)


def _to_go_text(budget: BudgetStatus) -> str:
    if not budget.to_go:
        return "met"
    begun = budget.to_go - (budget.to_begin or 0)
    return f"{budget.to_go:,} to go" + (f" ({begun:,} of them begun)" if begun else "")


def _throughput_text(status: StudyStatus) -> str:
    pace = status.throughput
    if pace.per_hour is None:
        return "no tracked trial has finished"
    return f"{_pace(pace.recent_per_hour)} an hour lately, {_pace(pace.per_hour)} an hour overall"


def _pace(per_hour: float | None) -> str:
    if per_hour is None:
        return ""
    return f"{per_hour:,.0f}" if per_hour >= 10 else f"{per_hour:.2g}"


def _endings_text(status: StudyStatus) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in status.endings.items())


_STATE_WORDS = {
    WorkerState.WORKING: "working",
    WorkerState.SILENT: "silent",
    WorkerState.LEFT: "left",
    WorkerState.DEAD: "found dead",
}


def _workers_text(status: StudyStatus) -> str:
    counts = Counter(worker.state for worker in status.workers)
    return ", ".join(f"{counts[state]:,} {w}" for state, w in _STATE_WORDS.items() if counts[state])


_WORKER_COLUMNS = (
    Column("HOST", wide=True),
    Column("PID", right=True),
    Column("JOB"),
    Column("STATE"),
    Column("SEEN", right=True),
    Column("TRIAL", right=True),
    Column("ATTEMPT", right=True),
    Column("RUNNING", right=True),
    Column("LEASE", right=True),
    Column("FINISHED", right=True),
    Column("AN HOUR", right=True),
)


def _worker_rows(worker: WorkerStatus) -> Iterator[tuple[str, ...]]:
    """A line, or one for each trial that it holds."""
    identity = worker.worker
    job = job_text(identity.launcher, identity.job, identity.launch) or identity.launcher
    head = (identity.host, str(identity.pid), job, str(worker.state), _ago(worker.silent_s))
    pace = (f"{worker.finished:,}", _pace(worker.per_hour))
    for index, trial in enumerate(worker.holds or (None,)):
        held = ("", "", "", "") if trial is None else _held_cells(trial)
        yield (*head, *held, *pace) if index == 0 else ("", "", "", "", "", *held, "", "")


def _held_cells(trial: HeldTrial) -> tuple[str, str, str, str]:
    lease = (
        f"over for {_whole(-trial.lease_left_s)}" if trial.is_over else _whole(trial.lease_left_s)
    )
    return str(trial.number), str(trial.attempt), _whole(trial.running_s), lease


def _whole(seconds: float) -> str:
    """A duration to the second: tenths would only flicker."""
    return duration_text(int(seconds))


def _ago(seconds: float) -> str:
    if seconds >= 48 * 3600:
        return f"{counted(int(seconds / 86400), 'day')} ago"
    return f"{_whole(seconds)} ago"


_RETRY_COLUMNS = (
    Column("TRIAL", right=True),
    Column("ATTEMPT", right=True),
    Column("REASON"),
    Column("RETRY"),
    Column("STARTS"),
    Column("DETAIL", wide=True),
)


def _retry_row(retry: RetryStatus) -> tuple[str, ...]:
    return (
        str(retry.number),
        str(retry.attempt),
        "given back" if retry.reason is None else str(retry.reason),
        _use_text(retry.use),
        "now" if not retry.wait_s else f"in {duration_text(max(1, round(retry.wait_s)))}",
        outcome_text(retry.last),
    )


def _use_text(use: BudgetUse | None) -> str:
    return "" if use is None else f"{use.used} of {use.budget}"


def _expired_text(trial: HeldTrial, worker: WorkerIdentity | None) -> str:
    holder = "its worker" if worker is None else f"process {worker.pid} on {worker.host}"
    return (
        f"trial {trial.number}, attempt {trial.attempt}: {holder} "
        f"gave no sign of life; over for {_whole(-trial.lease_left_s)}"
    )


def _numbers(numbers: tuple[int, ...]) -> str:
    named = ", ".join(map(str, numbers[:_NAMED]))
    rest = len(numbers) - _NAMED
    noun = "trial" if len(numbers) == 1 else "trials"
    return f"{noun} {named}" + (f" and {rest:,} more" if rest > 0 else "")
