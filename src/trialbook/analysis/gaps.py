"""What was not recorded of a study's trials: coverage of each coordinate, reasons and counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.search import Search
from trialbook.book.reading import Reader
from trialbook.book.study_facts import CoverageUse, coverage_uses
from trialbook.records.coordinates import Kind
from trialbook.records.coverage import Level


@dataclass(frozen=True, slots=True)
class Gaps:
    """How complete the records of a study are.

    Args:
        trials: Number of living trials.
        tracked: Number of those whose coordinates were captured.
        waiting: Number of those that no worker has begun.
        uses: How many tracked trials have which coverage, by coordinate.
    """

    trials: int
    tracked: int
    waiting: int
    uses: tuple[CoverageUse, ...]

    @property
    def untracked(self) -> int:
        """Number of trials that began without being tracked."""
        return self.trials - self.tracked - self.waiting

    def complete(self, kind: Kind) -> bool:
        """Whether every trial that began has this coordinate in full."""
        return not self.untracked and bool(self.tracked) and self.count(kind) == self.tracked

    def count(self, kind: Kind, level: Level = Level.COMPLETE) -> int:
        """How many tracked trials have this coordinate at this level."""
        return sum(u.trials for u in self.uses if u.kind is kind and u.coverage.level is level)

    def table(self) -> Table:
        """One row a coordinate: how many trials have it complete, partial, absent."""
        levels = (Level.COMPLETE, Level.PARTIAL, Level.ABSENT)
        return Table(
            (Column("coordinate"), *(Column(str(level), Holds.INTEGER) for level in levels)),
            tuple((str(kind), *(self.count(kind, level) for level in levels)) for kind in Kind),
        )

    def reasons(self) -> Table:
        """One row a reason: the coordinate, how complete it is then, and how many trials."""
        rows = [
            (str(use.kind), str(use.coverage.level), use.trials, reason)
            for use in self.uses
            for reason in use.coverage.reasons
        ]
        merged: dict[tuple[str, str, str], int] = {}
        for kind, level, trials, reason in rows:
            merged[kind, level, reason] = merged.get((kind, level, reason), 0) + trials
        return Table(
            (
                Column("coordinate"),
                Column("coverage"),
                Column("trials", Holds.INTEGER),
                Column("reason"),
            ),
            tuple(
                (kind, level, trials, reason) for (kind, level, reason), trials in merged.items()
            ),
        )


def gaps_of(reader: Reader, search: Search) -> Gaps:
    """How complete the records of a study's trials are."""
    uses = coverage_uses(reader.book, search.study.study_id)
    tracked = sum(use.trials for use in uses if use.kind is Kind.CODE)
    waiting = int(np.count_nonzero((search.states == "WAITING") & (search.counting == 0)))
    return Gaps(len(search), tracked, waiting, uses)
