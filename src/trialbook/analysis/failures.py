"""Attempts that came to no result, grouped by why: reason, exception and signal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.book.reading import Reader
from trialbook.book.study_facts import Ending, endings
from trialbook.records.execution import EndReason

_MESSAGE = 160


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Attempts that ended in the same way.

    Args:
        became: What became of their trials: ``failed`` when the attempt is the one that counts,
            else ``tried again``.
        reason: Why they ended: ``exception``, ``lost``, ``returned NaN``; ``None`` where nobody
            recorded it.
        exception: Dotted type of the exception, ``None`` without one.
        signal: Name of the signal that killed the process, ``None`` without one.
        attempts: How many.
        trials: Numbers of their trials, ascending, each once.
        message: First line of what the first one said; empty without any.
    """

    became: str
    reason: str | None
    exception: str | None
    signal: str | None
    attempts: int
    trials: tuple[int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Failures:
    """What went wrong in a study.

    Args:
        groups: The largest first.
    """

    groups: tuple[FailureGroup, ...]

    @property
    def unexplained(self) -> int:
        """Number of attempts of which no reason is recorded."""
        return sum(group.attempts for group in self.groups if group.reason is None)

    def table(self, *, telling: bool = True) -> Table:
        """One row a group.

        Args:
            telling: Whether to show what the first of each group said, and the modules of
                exceptions: both may name people, machines and places.
        """
        columns = (
            Column("became"),
            Column("reason"),
            Column("exception", Holds.CODE),
            Column("attempts", Holds.INTEGER),
            Column("trials", Holds.INTEGER),
            Column("first trial", Holds.INTEGER),
        )
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (
                group.became,
                group.reason or "not recorded",
                _named(group.exception, telling) or group.signal or "",
                group.attempts,
                len(group.trials),
                group.trials[0],
                *([group.message] if telling else []),
            )
            for group in self.groups
        )
        return Table((*columns, *([Column("it said")] if telling else [])), rows)


def failures(study: StudyOrName, *, storage: Storage = None) -> Failures:
    """Why attempts of a study came to no result.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study.
    """
    with opened(storage, study) as reader:
        return failures_of(reader, reader.study(name_of(study)).study_id)


def failures_of(reader: Reader, study_id: int) -> Failures:
    """The same of a study of an open book."""
    groups: dict[tuple[str, str, str, str], list[Ending]] = defaultdict(list)
    for ending in endings(reader.book, study_id):
        key = (
            "failed" if ending.counts and ending.state == "FAIL" else "tried again",
            _reason(ending),
            ending.exception or "",
            ending.signal or "",
        )
        groups[key].append(ending)
    found = [_group(*key, members) for key, members in groups.items()]
    return Failures(tuple(sorted(found, key=lambda group: (-group.attempts, group.trials[0]))))


def _reason(ending: Ending) -> str:
    """Why an attempt came to no result; empty when nothing tells."""
    if ending.returned:
        return ending.returned
    if ending.reason is EndReason.FAILED and ending.exception:
        return "exception"  # that it failed is said already
    return "" if ending.reason is None else str(ending.reason)


def _named(exception: str | None, telling: bool) -> str | None:
    return exception if exception is None or telling else exception.rpartition(".")[2]


def _group(
    became: str, reason: str, exception: str, signal: str, members: list[Ending]
) -> FailureGroup:
    lines = (members[0].message or "").strip().splitlines()
    return FailureGroup(
        became=became,
        reason=reason.replace("_", " ") or None,
        exception=exception or None,
        signal=signal or None,
        attempts=len(members),
        trials=tuple(sorted({ending.trial for ending in members})),
        message=lines[0][:_MESSAGE] if lines else "",
    )
