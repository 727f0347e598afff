"""The verdict of a rerun, and the typed differences that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What the comparison of a rerun with the recorded attempt says."""

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within tolerance"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class ResultDifference:
    """One result that did not come out the same.

    Args:
        what: ``param``, ``returned``, ``end``, ``point``, ``series``, ``prune`` or ``artifact``.
        name: The param, metric or artifact.
        step: The step of a point, else ``None``.
        index: Which point of the series, from 0, else ``None``.
        recorded: What the book has; ``None`` when it has nothing.
        rerun: What the rerun gave; ``None`` when it gave nothing.
        tolerated: Whether the declared tolerance covers it.
    """

    what: str
    name: str
    recorded: Any
    rerun: Any
    step: int | None = None
    index: int | None = None
    tolerated: bool = False


@dataclass(frozen=True, slots=True)
class CoordinateDifference:
    """One way in which a coordinate differs.

    Args:
        kind: ``code``, ``data``, ``config``, ``environment`` or ``execution``.
        what: Which item: a path, a package, a key.
        recorded: Its recorded value, ``None`` when it was not there.
        here: Its value now, ``None`` when it is not there.
    """

    kind: str
    what: str
    recorded: str | None
    here: str | None


@dataclass(frozen=True, slots=True)
class RerunReport:
    """Everything that one rerun said.

    Args:
        reference: ``STUDY/NUMBER``.
        verdict: The verdict.
        reason: Why, in one sentence: always there when not comparable.
        points: Number of points compared.
        params: Number of params compared.
        artifacts: Number of artifacts compared.
        differences: Results that differ, the first point first.
        coordinates: Coordinates that differ.
        rtol: Declared relative tolerance.
        atol: Declared absolute tolerance.
        elapsed_s: Seconds that the rerun took.
    """

    reference: str
    verdict: Verdict
    reason: str | None = None
    points: int = 0
    params: int = 0
    artifacts: int = 0
    differences: tuple[ResultDifference, ...] = ()
    coordinates: tuple[CoordinateDifference, ...] = ()
    rtol: float = 0.0
    atol: float = 0.0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RerunRecord:
    """A rerun as the book keeps it; ``at_s`` is seconds since the epoch."""

    rerun_id: int
    at_s: float
    host: str
    report: RerunReport
