"""What a verification has found so far, and which digests something has named until now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trialbook.book.rows import DAMAGE
from trialbook.errors import TrialbookError


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that is not what the book says it is.

    Args:
        kind: ``record``, ``points``, ``value``, ``snapshot``, ``blob``, ``study``, ``seal`` or
            ``database``.
        where: The trial, metric, file or digest concerned.
        what: What is wrong, one sentence.
    """

    kind: str
    where: str
    what: str


@dataclass(slots=True)
class Findings:
    """What one verification finds on its way.

    Attributes:
        mismatches: Everything that is wrong so far.
        trials: Number of records computed again.
        series: Number of metrics decoded.
        blobs: Number of blobs hashed.
        not_read: Number of blobs at artifact locations that were not to be read.
        snapshots_named: Digest of a snapshot to the first that names it.
        blobs_named: Digest of a blob to the first that names it.
        snapshots_done: Snapshots that were hashed.
    """

    mismatches: list[Mismatch] = field(default_factory=list)
    trials: int = 0
    series: int = 0
    blobs: int = 0
    not_read: int = 0
    snapshots_named: dict[str, str] = field(default_factory=dict)
    blobs_named: dict[str, str] = field(default_factory=dict)
    snapshots_done: set[str] = field(default_factory=set)

    def found(self, kind: str, where: str, what: str) -> None:
        """Note a mismatch."""
        self.mismatches.append(Mismatch(kind, where, what))

    @contextmanager
    def watching(self, kind: str, where: str) -> Iterator[None]:
        """Note what cannot be read instead of stopping."""
        try:
            yield
        except TrialbookError as error:
            self.found(kind, where, error.what)
        except DAMAGE as error:
            self.found(kind, where, f"it cannot be read: {type(error).__name__}: {error}")
