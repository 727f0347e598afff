"""How ``trialbook show STUDY/N`` prints: everything that is recorded of one trial."""

from __future__ import annotations

import json
from collections.abc import Iterator

from trialbook.analysis.details import TrialDetail
from trialbook.cli.attempts_page import attempt_facts, counted_text, write_attempts
from trialbook.cli.compute_page import job_text, place_facts_csv, place_text
from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    duration_text,
    json_text,
    json_value,
    number_text,
    on_terminal,
    size_text,
    time_text,
    write_csv,
    write_heading,
    write_json,
    write_line,
    write_table,
)
from trialbook.cli.wording import (
    coordinate_text,
    differs_text,
    distribution_text,
    duration_s,
    resources_text,
    scalar_text,
    short_digest,
    values_text,
    verdict_text,
)
from trialbook.records.marks import mark_summary
from trialbook.records.retries import QUARANTINED
from trialbook.records.study import AttemptRecord, TrialRecord
from trialbook.records.test_metrics import WITHHELD


def write_trial(detail: TrialDetail, format: Format, lines: int) -> None:  # noqa: A002
    """Print a trial.

    Args:
        detail: The trial.
        format: How.
        lines: How many lines of the console's end a table shows.
    """
    match format:
        case Format.JSON:
            write_json(_json(detail))
        case Format.CSV:
            write_csv(("section", "name", "field", "value"), _csv(detail))
        case Format.TABLE:
            _write_page(detail, lines)


def _json(detail: TrialDetail) -> dict[str, object]:
    trial = json_value(detail.trial)
    for param in trial["params"]:
        param["distribution"] = json_value(json.loads(param["distribution"]))
    for attempt, record in zip(trial["attempts"], detail.trial.attempts, strict=True):
        attempt["counts"] = counted_text(detail.trial, record)
    return {
        "trial": trial,
        "attempt": None if detail.attempt is None else detail.attempt.number,
        "differs": detail.differs,
        "changes": {
            "against": None if detail.against is None else detail.against.number,
            "differs": detail.changes,
        },
        "duration_s": duration_s(detail.trial),
        "places": detail.places,
        "coordinates": {
            str(item.kind): {
                "coverage": item.coverage,
                "digest": None if item.snapshot is None else item.snapshot.digest,
                "state": None if item.snapshot is None else item.snapshot.state,
            }
            for item in detail.coordinates
        },
        "console": detail.console,
        "console_problem": detail.console_problem,
    }


def _csv(detail: TrialDetail) -> Iterator[tuple[Cell, ...]]:
    """Every fact on a line of its own."""
    trial = detail.trial
    yield "trial", trial.reference, "state", trial.state
    for index, value in enumerate(trial.values or ()):
        yield "value", str(index), "value", value
    yield "trial", trial.reference, "duration_s", duration_s(trial)
    yield "trial", trial.reference, "record_digest", trial.record_digest
    for text in detail.differs:
        yield "trial", trial.reference, "differs", text
    if detail.against is not None:
        for text in detail.changes:
            yield "trial", trial.reference, f"differs from trial {detail.against.number}", text
    for param in trial.params:
        yield "param", param.name, "value", _cell(param.value)
    for item in detail.coordinates:
        yield "coordinate", str(item.kind), "coverage", str(item.coverage.level)
        for reason in item.coverage.reasons:
            yield "coordinate", str(item.kind), "reason", reason
        if item.snapshot is not None:
            yield "coordinate", str(item.kind), "digest", item.snapshot.digest
    attempt = detail.attempt
    yield "trial", trial.reference, "attempt", None if attempt is None else attempt.number
    for metric in detail.series:
        yield "metric", metric.metric, "count", metric.count
        yield "metric", metric.metric, "last", metric.last
        yield "metric", metric.metric, "min", metric.minimum
        yield "metric", metric.metric, "max", metric.maximum
    for artifact in () if attempt is None else attempt.artifacts:
        yield "artifact", artifact.name, "digest", artifact.digest
        yield "artifact", artifact.name, "size_bytes", artifact.size_bytes
    yield from attempt_facts(trial)
    for record, place in zip(trial.attempts, detail.places, strict=True):
        yield from place_facts_csv(str(record.number), place)
    for rerun in trial.reruns:
        yield "rerun", str(rerun.rerun_id), "verdict", str(rerun.report.verdict)
    for key, value in trial.user_attrs.items():
        yield "user_attr", key, "value", _cell(value)


def _cell(value: object) -> Cell:
    if value is None:
        return "null"
    return value if isinstance(value, (str, int, float)) else json_text(value, indent=None)


def _write_page(detail: TrialDetail, lines: int) -> None:
    trial, attempt = detail.trial, detail.attempt
    write_heading(trial.reference)
    for name, text in _head(detail):
        if text:
            write_line(f"  {name:<12}{text}")
    _write_params(trial)
    _write_coordinates(detail)
    if attempt is not None:
        _write_metrics(detail)
        _write_artifacts(attempt)
    write_attempts(trial, detail.places)
    _write_reruns(trial)
    if trial.user_attrs:
        _section("ATTRIBUTES")
        for key, value in trial.user_attrs.items():
            write_line(f"  {key} = {scalar_text(value)}")
    _write_traceback(attempt)
    _write_console(detail, lines)


def _head(detail: TrialDetail) -> Iterator[tuple[str, str]]:
    trial, attempt = detail.trial, detail.attempt
    yield "state", f"{trial.state}: {detail.unusable}" if detail.unusable else trial.state
    yield "differs", differs_text(detail.differs)
    if detail.against is not None and detail.changes:
        yield "differs", f"from {detail.against.text}: {mark_summary(detail.changes)}"
    yield "quarantine", str(trial.system_attrs.get(QUARANTINED, ""))
    yield "values", values_text(trial.values, brief=False)
    started = None if trial.started is None else trial.started.astimezone().timestamp()
    yield "started", time_text(started)
    yield "duration", duration_text(duration_s(trial))
    if attempt is None:
        yield "attempts", "not tracked"
    else:
        if not detail.counts:
            yield "shown", f"attempt {attempt.number}; its result is not the trial's"
        place = detail.place
        if place is not None:
            yield "ran on", place_text(place)
            yield "job", job_text(place.launcher, place.job, place.launch)
        yield "resources", resources_text(attempt.outcome)
        if attempt.seeds is not None:
            yield "seed", str(attempt.seeds.trial)
    yield "record", trial.record_digest or ""


def _section(title: str) -> None:
    write_line()
    write_heading(title)


def _write_params(trial: TrialRecord) -> None:
    if trial.params:
        _section("PARAMS")
        write_table(
            (Column("NAME"), Column("VALUE"), Column("DISTRIBUTION", wide=True)),
            (
                (p.name, scalar_text(p.value), distribution_text(p.distribution))
                for p in trial.params
            ),
            indent=2,
        )


def _write_coordinates(detail: TrialDetail) -> None:
    _section("COORDINATES")
    for item in detail.coordinates:
        digest = short_digest(None if item.snapshot is None else item.snapshot.digest)
        text = "" if item.snapshot is None else coordinate_text(item.kind, item.snapshot.state)
        write_line(f"  {item.kind:<12}  {item.coverage.level:<8}  {digest:<12}  {text}".rstrip())
        for reason in item.coverage.reasons:
            write_line(f"    - {reason}")


def _write_metrics(detail: TrialDetail) -> None:
    if not detail.series:
        return
    _section("METRICS")
    brief = on_terminal()
    columns = (
        Column("METRIC", wide=True),
        Column("COUNT", right=True),
        Column("LAST", right=True),
        Column("MIN", right=True),
        Column("MAX", right=True),
        Column("STEPS", right=True),
    )
    write_table(
        columns,
        (
            (
                metric.metric,
                f"{metric.count:,}",
                WITHHELD if metric.withheld else number_text(metric.last, brief=brief),
                number_text(metric.minimum, brief=brief),
                number_text(metric.maximum, brief=brief),
                "" if metric.count == 0 else f"{metric.first_step}..{metric.last_step}",
            )
            for metric in detail.series
        ),
        indent=2,
    )


def _write_artifacts(attempt: AttemptRecord) -> None:
    if attempt.artifacts:
        _section("ARTIFACTS")
        write_table(
            (
                Column("NAME", wide=True),
                Column("SIZE", right=True),
                Column("TYPE"),
                Column("SHA-256"),
            ),
            (
                (a.name, size_text(a.size_bytes), a.media_type, _whole_digest(a.digest))
                for a in attempt.artifacts
            ),
            indent=2,
        )


def _whole_digest(digest: str) -> str:
    return short_digest(digest) if on_terminal() else digest


def _write_reruns(trial: TrialRecord) -> None:
    if not trial.reruns:
        return
    _section("RERUNS")
    write_table(
        (Column("AT"), Column("VERDICT"), Column("HOST"), Column("DETAIL", wide=True)),
        (
            (time_text(r.at_s), str(r.report.verdict), r.host, verdict_text(r.report))
            for r in trial.reruns
        ),
        indent=2,
    )
    for rerun in trial.reruns:
        for item in rerun.report.coordinates:
            write_line(f"    - {item.kind} {item.what}: {item.recorded}, then {item.here}")


def _write_traceback(attempt: AttemptRecord | None) -> None:
    if attempt is None or attempt.outcome is None or not attempt.outcome.traceback:
        return
    _section("TRACEBACK")
    for line in attempt.outcome.traceback.rstrip("\n").split("\n"):
        write_line(f"  {line}")


def _write_console(detail: TrialDetail, lines: int) -> None:
    if detail.console_problem is not None:
        _section("CONSOLE")
        write_line(f"  cannot be read: {detail.console_problem}")
        return
    streams = (("STDOUT", detail.console.stdout), ("STDERR", detail.console.stderr))
    for title, text in streams:
        if not text or not lines:
            continue
        # Only a line feed ends a line: a progress bar's carriage returns stay in one.
        shown = text.rstrip("\n").split("\n")
        _section(title if len(shown) <= lines else f"{title} (last {lines} of {len(shown)} lines)")
        for line in shown[-lines:]:
            write_line(f"  {line}")
