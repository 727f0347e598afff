"""How ``trialbook show STUDY`` and ``trialbook best`` print: a study's head and its trials."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from trialbook.analysis.coordinate_changes import CoordinateChanges, changes_of
from trialbook.analysis.isolation import IsolationUse, isolation_of
from trialbook.analysis.searches.asked import AskedSearch, Part, asked_searches, component_uses
from trialbook.analysis.status import StudyStatus, study_status
from trialbook.analysis.tables import TrialRow, rows_of
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.book.coordinate_rows import NamedCoordinates, named_coordinates
from trialbook.book.launch_rows import Launched, launched
from trialbook.book.reading import Reader
from trialbook.book.replicates import link, linked_studies, source_of
from trialbook.book.seals import seal_of
from trialbook.cli.compute_page import compute_json, compute_text, write_hosts
from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    duration_text,
    json_text,
    on_terminal,
    time_text,
    write_csv,
    write_heading,
    write_line,
    write_note,
    write_table,
)
from trialbook.cli.wording import (
    changes_text,
    counted,
    params_text,
    scalar_text,
    states_text,
    values_text,
)
from trialbook.records.config import ComponentSettings
from trialbook.records.execution import EndReason
from trialbook.records.marks import mark_summary, marked_kinds
from trialbook.records.study import StudyRecord, StudySpec, TrialRecord

_ON_TERMINAL = 30
_NUMBERS_NAMED = 10


def write_study(reader: Reader, study: StudyRecord, format: Format, limit: int | None) -> None:  # noqa: A002
    """Print a study.

    Args:
        reader: The open book.
        study: The study.
        format: How.
        limit: The last so many trials, 0 for all, ``None`` for what suits the output.
    """
    if limit is None and format is Format.TABLE and on_terminal():
        limit = _ON_TERMINAL
    trials = reader.trials(study.name, last=limit or None, brief=format is not Format.JSON)
    rows = rows_of(reader, study, trials)
    match format:
        case Format.JSON:
            _write_json(reader, study, rows)
        case Format.CSV:
            write_trials_csv(study, reader.param_names(study.name), rows)
        case Format.TABLE:
            named = named_coordinates(reader.book, study.study_id)
            ways = launched(reader.book, study.study_id)
            changes = changes_of(reader, study, named, ways)
            status = _write_head(reader, study, named, ways, changes)
            total = sum(study.states.values())
            if total:
                write_line()
                several = len(status.compute.hosts) > 1
                write_trials_table(study, rows, marked=bool(changes.groups), placed=several)
            if limit and total > limit:
                write_note(f"the last {limit} of {counted(total, 'trial')}; --limit 0 shows all")


def _write_json(reader: Reader, study: StudyRecord, rows: Iterator[TrialRow]) -> None:
    """One object, its trials written as they are read."""
    named = named_coordinates(reader.book, study.study_id)
    ways = launched(reader.book, study.study_id)
    best = reader.leader(study)
    status = study_status(reader, study.name)
    head = {
        "study": study,
        "endings": status.endings,
        "retries": status.retries,
        "quarantined": status.quarantined,
        "differing": status.differing,
        "changes": _changes_json(changes_of(reader, study, named, ways)),
        "compute": compute_json(status.compute),
        "best": None if best is None else best.number,
        "seal": seal_of(reader.book, study.study_id),
    }
    sys.stdout.write(json_text(head)[:-2] + ',\n  "trials": [')
    separator = "\n    "
    for row in rows:
        sys.stdout.write(separator + json_text(row_json(row), indent=None))
        separator = ",\n    "
    sys.stdout.write("]\n}\n" if separator == "\n    " else "\n  ]\n}\n")


def _changes_json(changes: CoordinateChanges) -> dict[str, object]:
    """What trials are held against, and those that differ from it, by what differs."""
    reference = changes.reference
    return {
        "against": None if reference is None else reference.number,
        "groups": [
            {"trials": group.trials, "differs": group.texts, "weighs": group.weighs}
            for group in changes.groups
        ],
    }


def row_json(row: TrialRow) -> dict[str, object]:
    """A row with what follows from it."""
    return {
        "number": row.number,
        "state": row.state,
        "values": row.values,
        "params": row.params,
        "metrics": row.metrics,
        "user_attrs": row.user_attrs,
        "started": row.started,
        "completed": row.completed,
        "duration_s": row.duration_s,
        "coverage": {str(kind): level for kind, level in row.coverage.items()} or None,
        "attempts": row.attempts,
        "differs": row.differs,
        "host": row.host,
        "launch": row.launch,
        "job": row.job,
        "record_digest": row.record_digest,
    }


def _write_head(
    reader: Reader,
    study: StudyRecord,
    named: Sequence[NamedCoordinates],
    ways: Sequence[Launched],
    changes: CoordinateChanges,
) -> StudyStatus:
    """Print what is known of a study; how it is doing."""
    status = study_status(reader, study.name)
    write_heading(study.name)
    asked = asked_searches(reader, named)
    isolation = isolation_of(study, ways)
    for name, text in _head(reader, study, status, asked, changes, isolation):
        if text:
            write_line(f"  {name:<12}{text}")
    write_hosts(status.compute)
    return status


def _head(
    reader: Reader,
    study: StudyRecord,
    status: StudyStatus,
    asked: Sequence[AskedSearch],
    changes: CoordinateChanges,
    isolation: IsolationUse,
) -> Iterator[tuple[str, str]]:
    yield "directions", ", ".join(study.directions)
    yield "trials", states_text(study)
    yield "retries", _retries(status)
    yield "quarantine", _quarantine(status)
    yield "differing", changes_text(changes)
    yield "compute", compute_text(status.compute)
    own = link(reader.book, study.study_id)
    best = reader.leader(study)
    if best is not None:
        yield "best", f"trial {best.number}: {values_text(best.values, brief=on_terminal())}"
    yield "replicates", ", ".join(linked_studies(reader.book, study.uid))
    if own is not None:
        chosen = f"{own.chosen}, chosen among {counted(own.trials, 'trial')}"
        yield "source", f"study {source_of(reader.book, own).text}: {chosen}"
    yield "created", time_text(study.created_s)
    spec = study.spec
    if spec is None:
        yield "search", "not recorded: the study was not made by Trialbook"
    else:
        yield "objective", spec.objective or ""
    parts: tuple[Part, ...] = ("sampler", "pruner")
    for part in parts:
        for use in (uses := component_uses(study, asked, part)):
            trials = f" in trials {numbers_text(use.trials)}" if len(uses) > 1 else ""
            yield part, f"{_component(use.component)}{trials}"
    if spec is not None:
        yield "seed", _seed(spec)
        yield "budget", _budget(spec.search.trials, spec.search.hours)
        yield "isolation", isolation.text or ""
        for key, value in spec.tags.items():
            yield "tag", f"{key}={value}"
        for change in spec.change_texts:
            yield "changed", change
    for key, value in study.user_attrs.items():
        yield "attribute", f"{key}={scalar_text(value)}"
    yield "seal", seal_of(reader.book, study.study_id)


def _retries(status: StudyStatus) -> str:
    """What came of attempts without a result; empty when every one had its own."""
    ordinary = (EndReason.COMPLETE, EndReason.PRUNED, EndReason.FAILED)
    parts = [f"{n:,} {reason}" for reason, n in status.endings.items() if reason not in ordinary]
    text = f"attempts without a result: {', '.join(parts)}" if parts else ""
    if not status.retries:
        return text
    waiting = f"{counted(len(status.retries), 'trial')} to be tried again"
    return f"{waiting}; {text}" if text else waiting


def _quarantine(status: StudyStatus) -> str:
    numbers = [str(trial.number) for trial in status.quarantined]
    if not numbers:
        return ""
    named = ", ".join(numbers[:_NUMBERS_NAMED])
    rest = f" and {len(numbers) - _NUMBERS_NAMED} more" if len(numbers) > _NUMBERS_NAMED else ""
    return f"{'trial' if len(numbers) == 1 else 'trials'} {named}{rest}"


def _seed(spec: StudySpec) -> str:
    if spec.search.seed is None:
        return ""
    sampler = spec.search.sampler
    is_digest = spec.seed_from_sampler and sampler is not None and sampler.lacks_seed
    return f"{spec.search.seed}{' (a digest of the order of the grid)' * is_digest}"


def _component(component: ComponentSettings) -> str:
    settings = ", ".join(f"{key}={scalar_text(v)}" for key, v in component.settings.items())
    own = "" if component.by_name else " (passed by the program)"
    if component.lacks_seed:
        own = " (passed by the program; the seed that put its grid in order is not recorded)"
    return f"{component.name}({settings}){own}"


def _budget(trials: int | None, hours: float | None) -> str:
    parts = []
    if trials is not None:
        parts.append(counted(trials, "trial"))
    if hours is not None:
        parts.append(f"{hours:g} hours")
    return ", ".join(parts)


def write_trials_table(
    study: StudyRecord,
    rows: Iterable[TrialRow],
    *,
    ranked: bool = False,
    marked: bool = False,
    placed: bool = False,
) -> None:
    """Print trials, one a line.

    Args:
        study: Their study.
        rows: The trials.
        ranked: Whether their rank stands in front.
        marked: Whether it is said in what they differ from the study.
        placed: Whether it is said on which host each ran.
    """
    columns = (
        *([Column("RANK", right=True)] if ranked else []),
        Column("TRIAL", right=True),
        Column("STATE"),
        Column("VALUE" if len(study.directions) == 1 else "VALUES", right=True),
        Column("DURATION", right=True),
        Column("COVERAGE"),
        *([Column("HOST")] if placed else []),
        *([Column("DIFFERS", wide=True)] if marked else []),
        Column("PARAMS", wide=True),
    )
    brief = on_terminal()
    write_table(
        columns,
        (
            (
                *([str(rank)] if ranked else []),
                str(row.number),
                row.state,
                values_text(row.values, brief=brief),
                duration_text(row.duration_s),
                _coverage(row),
                *([row.host or ""] if placed else []),
                *([_differs(row, brief=brief)] if marked else []),
                params_text(row.params, brief=brief),
            )
            for rank, row in enumerate(rows, 1)
        ),
    )


def _differs(row: TrialRow, *, brief: bool) -> str:
    """In what a trial differs; on a terminal only in which coordinates."""
    return ", ".join(marked_kinds(row.differs)) if brief else mark_summary(row.differs)


def _coverage(row: TrialRow) -> str:
    worst = row.worst_coverage
    if worst is None:
        return "" if row.state in ("WAITING", "RUNNING") else "not tracked"
    names = [str(kind) for kind, level in row.coverage.items() if level is worst]
    return str(worst) if len(names) == len(row.coverage) else f"{worst}: {', '.join(names)}"


def write_trials_csv(
    study: StudyRecord, param_names: Sequence[str], rows: Iterable[TrialRow]
) -> None:
    """Print trials as CSV, a column for each param that any trial of the study has."""
    count = len(study.directions)
    values = ["value"] if count == 1 else [f"values_{i}" for i in range(count)]
    times = ("started", "completed", "duration_s")
    header = ["number", "state", *values, *times, "coverage", "differs", "host", "launch", "job"]
    write_csv(
        [*header, *(f"params_{name}" for name in param_names)],
        (_csv(row, count, param_names) for row in rows),
    )


def _csv(row: TrialRow, objectives: int, param_names: Sequence[str]) -> tuple[Cell, ...]:
    return (
        row.number,
        row.state,
        *(row.values or (None,) * objectives),
        None if row.started is None else row.started.isoformat(),
        None if row.completed is None else row.completed.isoformat(),
        row.duration_s,
        None if row.worst_coverage is None else str(row.worst_coverage),
        mark_summary(row.differs) or None,
        row.host,
        row.launch,
        row.job,
        *(_cell(row.params[name]) if name in row.params else None for name in param_names),
    )


def _cell(value: object) -> Cell:
    if value is None:
        return "null"
    return value if isinstance(value, (str, int, float)) else json_text(value, indent=None)


def write_ranking(
    reader: Reader,
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    format: Format,  # noqa: A002
    *,
    ranked: bool = True,
) -> None:
    """Print chosen trials of a study, the best first; without ranks when they have none."""
    rows = list(rows_of(reader, study, trials))
    match format:
        case Format.JSON:
            from trialbook.cli.output import write_json_rows

            write_json_rows({"study": study.name, **row_json(row)} for row in rows)
        case Format.CSV:
            names = dict.fromkeys(chain.from_iterable(row.params for row in rows))
            write_trials_csv(study, list(names), rows)
        case Format.TABLE:
            marked = any(row.differs for row in rows)
            placed = len({row.host for row in rows}) > 1
            write_trials_table(study, rows, ranked=ranked, marked=marked, placed=placed)
