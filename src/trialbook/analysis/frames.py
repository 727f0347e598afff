"""A study as a pandas frame, when pandas is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.tables import TrialRow, rows_of
from trialbook.errors import MissingPackageError
from trialbook.records.coordinates import Kind
from trialbook.records.marks import mark_summary

if TYPE_CHECKING:
    import pandas as pd


def frame(study: StudyOrName, *, storage: Storage = None) -> pd.DataFrame:
    """A frame of one row a trial, ordered by trial number, with a plain index.

    Columns, named as in Optuna's ``trials_dataframe`` where it has them:

    * ``number``, ``state`` (text);
    * ``value``, or ``values_0``, ``values_1``, ... with several objectives: ``float64``, NaN where
      a trial has none;
    * ``datetime_start``, ``datetime_complete`` (local wall time), ``duration``: NaT where unknown;
    * ``params_NAME`` for every param of any trial, as the objective saw it;
    * ``user_attrs_NAME``; ``metrics_NAME``: last value of the attempt that counts, ``float64``;
    * ``differs``: in what code, data, configuration, environment, objective and the arguments of
      the program differ from those of the best trial, or of the one that ``coordinate_changes``
      names, on one line; empty when in nothing, ``None`` for a trial that was not tracked;
    * ``coverage``: the least complete coordinate's, and ``coverage_code`` and so on for each:
      ``complete``, ``partial`` or ``absent``, ``None`` for a trial that was not tracked.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        MissingPackageError: pandas is not installed.
        NotFoundError: There is no such study.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPackageError(
            "a frame needs pandas, which is not installed", hint="pip install pandas"
        ) from error
    with opened(storage, study) as reader:
        record = reader.study(name_of(study))
        directions = record.directions
        rows = list(rows_of(reader, record, reader.trials(record.name)))
    started = [row.started for row in rows]
    completed = [row.completed for row in rows]
    columns: dict[str, Any] = {
        "number": pandas.Series([row.number for row in rows], dtype="int64"),
        "state": pandas.Series([row.state for row in rows], dtype=object),
    }
    for objective in range(len(directions)):
        name = "value" if len(directions) == 1 else f"values_{objective}"
        columns[name] = pandas.Series(
            [None if row.values is None else row.values[objective] for row in rows],
            dtype="float64",
        )
    columns["datetime_start"] = pandas.Series(started, dtype="datetime64[us]")
    columns["datetime_complete"] = pandas.Series(completed, dtype="datetime64[us]")
    columns["duration"] = columns["datetime_complete"] - columns["datetime_start"]
    for name in _names(row.params for row in rows):
        columns[f"params_{name}"] = pandas.Series([row.params.get(name) for row in rows])
    for name in _names(row.user_attrs for row in rows):
        columns[f"user_attrs_{name}"] = pandas.Series(
            [row.user_attrs.get(name) for row in rows], dtype=object
        )
    for name in _names(row.metrics for row in rows):
        columns[f"metrics_{name}"] = pandas.Series(
            [row.metrics.get(name) for row in rows], dtype="float64"
        )
    columns["differs"] = pandas.Series(
        [mark_summary(row.differs) if row.coverage else None for row in rows], dtype=object
    )
    columns.update(_coverage(rows))
    return pandas.DataFrame(columns)


def _coverage(rows: Sequence[TrialRow]) -> dict[str, Any]:
    import pandas

    levels: dict[str, list[str | None]] = {
        "coverage": [row.worst_coverage and str(row.worst_coverage) for row in rows]
    }
    for kind in Kind:
        levels[f"coverage_{kind}"] = [
            str(row.coverage[kind]) if kind in row.coverage else None for row in rows
        ]
    return {name: pandas.Series(column, dtype=object) for name, column in levels.items()}


def _names(mappings: Any) -> list[str]:
    """Every key, in the order in which they first appear."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
