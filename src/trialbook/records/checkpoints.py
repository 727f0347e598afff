"""Checkpoints: what an attempt left behind, so that the trial's next attempt goes on from there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Position:
    """How far an attempt had come at one moment.

    Args:
        points: Metric to the count of points that the attempt itself had logged; what
            ``trial.report`` gave counts under ``objective``. A metric that is not there has none.
        prune_answers: How often the attempt itself had been answered by ``should_prune``.
    """

    points: dict[str, int] = field(default_factory=dict)
    prune_answers: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """One checkpoint as the book gives it out.

    Args:
        checkpoint_id: The book's id.
        attempt: Number of the attempt that saved it.
        number: 1 for the attempt's first.
        digest: SHA-256 of the content: a tar archive of the file or directory that was saved.
        size_bytes: Length of the content.
        created_s: When it was saved, seconds since the epoch.
        position: How far that attempt had come.
        generators: Random generator to its kind, for those whose states the content holds.
        kept: Whether the content is still in the book.
    """

    checkpoint_id: int
    attempt: int
    number: int
    digest: str
    size_bytes: int
    created_s: float
    position: Position
    generators: dict[str, str]
    kept: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What a tracked trial adds to the file of a checkpoint.

    Args:
        generators: State of each random generator by name, as JSON in the tagged form takes it.
        kinds: Random generator to its kind, such as ``MT19937``.
        next_steps: Metric to the step that ``trial.log`` gives its next point by itself.
    """

    generators: dict[str, Any]
    kinds: dict[str, str]
    next_steps: dict[str, int]


@dataclass(frozen=True, slots=True)
class Resumption:
    """What an attempt finds when it goes on from a checkpoint, or looks for one.

    Args:
        path: The restored file or directory; ``None`` when there was no usable checkpoint.
        gaps: Checkpoints that could not be used, and why: one sentence each.
        generators: As in ``Told``.
        next_steps: As in ``Told``.
        reports: The trial's reports up to the checkpoint: step to value.
        user_attrs: User attributes that the earlier attempts had set by then.
    """

    path: Path | None
    gaps: tuple[str, ...] = ()
    generators: dict[str, Any] = field(default_factory=dict)
    next_steps: dict[str, int] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
