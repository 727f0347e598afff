"""What every probe of a coordinate has in common: one observation, and one cheap question.

The probes themselves live beside this file, one a coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trialbook.records.blobs import Blob
from trialbook.records.coordinates import Kind, Snapshot


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw.

    Args:
        snapshot: The coordinate's content-addressed value.
        blobs: Content that the snapshot names, each digest at most once. A probe that has handed
            out a blob before may hand it out again; the book stores it once.
    """

    snapshot: Snapshot
    blobs: tuple[Blob, ...] = ()


class Probe(Protocol):
    """Observes one coordinate; made once a process, asked before each trial."""

    @property
    def kind(self) -> Kind:
        """The coordinate that it observes."""
        ...

    def observe(self) -> Observation:
        """The coordinate as it is now.

        Raises:
            CaptureError: The coordinate cannot be observed, so no trial may run.
        """
        ...

    def changed(self) -> bool:
        """Whether ``observe`` could now give another snapshot than the last time.

        Takes less than a millisecond when nothing changed; ``True`` before the first observation.
        """
        ...
