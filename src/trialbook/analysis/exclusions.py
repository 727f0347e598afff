"""Which trials cannot be selected, and why: nothing is left out without being counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.searches.search import Flags, Search
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.book.reading import Reader
from trialbook.book.study_facts import Tombstone, tombstones


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Trials that cannot be selected for one reason.

    Args:
        why: The reason.
        trials: Their numbers, ascending.
    """

    why: str
    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exclusions:
    """All trials of a study that cannot be selected.

    Args:
        groups: By reason; each trial is in one, a reason without trials is there too.
        deleted: What is left of the deleted ones.
        trials: Number of all trials, deleted ones too.
        eligible: Number of those that can be selected.
    """

    groups: tuple[Exclusion, ...]
    deleted: tuple[Tombstone, ...]
    trials: int
    eligible: int

    def table(self) -> Table:
        """One row a reason, with the numbers of the first trials."""
        return Table(
            (Column("why"), Column("trials", Holds.INTEGER), Column("numbers")),
            tuple(
                (group.why, len(group.trials), numbers_text(group.trials)) for group in self.groups
            ),
        )

    def deleted_table(self) -> Table:
        """One row a deleted trial."""
        return Table(
            (
                Column("trial", Holds.INTEGER),
                Column("state"),
                Column("record digest", Holds.DIGEST),
            ),
            tuple((one.number, one.state.lower(), one.record_digest) for one in self.deleted),
        )


def exclusions_of(reader: Reader, search: Search) -> Exclusions:
    """The trials of a study that cannot be selected."""
    complete = search.complete
    broken = complete & ~search.feasible
    missing = complete & search.feasible & ~search.eligible
    valueless = (search.states == "COMPLETE") & ~search.has_values
    gone = tombstones(reader.book, search.study.study_id)
    reasons: list[tuple[str, Flags]] = [
        ("pruned before it ended", search.states == "PRUNED"),
        ("failed", search.states == "FAIL"),
        ("breaks a constraint", broken),
        ("its value is NaN", missing),
        ("complete, without a value", valueless),
        ("still running", search.states == "RUNNING"),
        ("still waiting", search.states == "WAITING"),
    ]
    groups = [
        Exclusion(why, tuple(search.numbers[np.flatnonzero(chosen)].tolist()))
        for why, chosen in reasons
    ]
    groups.append(Exclusion("deleted from the book", tuple(one.number for one in gone)))
    return Exclusions(
        tuple(groups), gone, len(search) + len(gone), int(np.count_nonzero(search.eligible))
    )
