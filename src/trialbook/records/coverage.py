"""Coverage: how complete a recorded coordinate is, and why not when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much of a coordinate was observed."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete a coordinate is.

    Args:
        level: ``complete``, ``partial`` or ``absent``.
        reasons: Why it is not complete, or a remark on a complete one; one sentence each.
    """

    level: Level
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, gaps: tuple[str, ...] | list[str], remarks: tuple[str, ...] = ()) -> Coverage:
        """Complete when nothing is missing, else partial with every gap as a reason."""
        level = Level.PARTIAL if gaps else Level.COMPLETE
        return cls(level, (*gaps, *remarks))

    @classmethod
    def absent(cls, reason: str) -> Coverage:
        """Nothing was observed, for this reason."""
        return cls(Level.ABSENT, (reason,))

    def lacking(self, gap: str) -> Coverage:
        """This coverage with one more gap; never better than partial."""
        if gap in self.reasons:
            return self
        level = Level.PARTIAL if self.level is Level.COMPLETE else self.level
        return Coverage(level, (*self.reasons, gap))
