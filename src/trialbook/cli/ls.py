"""``trialbook ls``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from trialbook.cli.options import common_options, format_option
from trialbook.cli.output import (
    Cell,
    Column,
    Format,
    number_text,
    on_terminal,
    time_text,
    write_csv,
    write_json_rows,
    write_note,
    write_table,
)
from trialbook.cli.wording import counted
from trialbook.records.study import TrialState

if TYPE_CHECKING:
    from trialbook.analysis import StudySummary


@click.command()
@format_option
@common_options
def ls(format: Format, storage: str | None) -> None:  # noqa: A002
    """List the studies of the book."""
    from trialbook import analysis

    summaries = analysis.study_summaries(storage=storage)
    match format:
        case Format.JSON:
            write_json_rows(map(_json, summaries))
        case Format.CSV:
            write_csv(_CSV, map(_csv, summaries))
        case Format.TABLE if summaries:
            write_table(_COLUMNS, map(_row, summaries))
        case Format.TABLE:
            write_note("the book holds no study yet")
    for summary in summaries:
        if summary.silent:
            write_note(
                f"{shlex.quote(summary.study.name)}: {counted(summary.silent, 'trial')} RUNNING "
                "without a sign of life from the worker; 'trialbook reap' tries again"
            )


_COLUMNS = (
    Column("STUDY", wide=True),
    Column("DIRECTIONS"),
    Column("TRIALS", right=True),
    Column("COMPLETE", right=True),
    Column("PRUNED", right=True),
    Column("FAIL", right=True),
    Column("RUNNING", right=True),
    Column("WAITING", right=True),
    Column("BEST", right=True),
    Column("TRIAL", right=True),
    Column("CREATED"),
)
_CSV = (
    "study",
    "directions",
    "trials",
    "complete",
    "pruned",
    "fail",
    "running",
    "waiting",
    "best_value",
    "best_trial",
    "created_s",
)
_STATES: tuple[TrialState, ...] = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


def _row(summary: StudySummary) -> tuple[str, ...]:
    study = summary.study
    return (
        study.name,
        ", ".join(study.directions),
        f"{sum(study.states.values()):,}",
        *(f"{study.states.get(state, 0):,}" for state in _STATES),
        number_text(summary.best_value, brief=on_terminal()),
        "" if summary.best_trial is None else str(summary.best_trial),
        time_text(study.created_s),
    )


def _csv(summary: StudySummary) -> tuple[Cell, ...]:
    study = summary.study
    return (
        study.name,
        " ".join(study.directions),
        sum(study.states.values()),
        *(study.states.get(state, 0) for state in _STATES),
        summary.best_value,
        summary.best_trial,
        study.created_s,
    )


def _json(summary: StudySummary) -> dict[str, object]:
    study = summary.study
    return {
        "study": study.name,
        "directions": study.directions,
        "trials": sum(study.states.values()),
        "states": {state: study.states.get(state, 0) for state in _STATES},
        "silent": summary.silent,
        "best_value": summary.best_value,
        "best_trial": summary.best_trial,
        "created_s": study.created_s,
        "tags": {} if study.spec is None else study.spec.tags,
        "user_attrs": study.user_attrs,
    }
