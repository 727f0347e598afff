"""The chosen configurations of studies against each other, as far as they were replicated.

A study's best value is the best of many noisy ones; what its configuration reaches under fresh
seeds is what can be compared (see ``analysis/replication.py``). Each pair of studies is compared by
Welch's t, its p-values adjusted by Holm's method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table, number_cell
from trialbook.analysis.comparison.significance import holm
from trialbook.analysis.comparison.studies import ComparedStudy
from trialbook.analysis.estimates import Difference, Estimate, ends_of, unpaired_difference
from trialbook.analysis.replication import Replication, replications
from trialbook.analysis.replication_notes import replication_notes
from trialbook.analysis.searches.search import Floats
from trialbook.book.reading import Reader


@dataclass(frozen=True, slots=True, eq=False)
class ReplicatedChoice:
    """The chosen configuration of a study under fresh seeds.

    Args:
        study: What the study is called.
        linked: Name of the study that holds the replicates.
        configuration: What the configuration is called.
        values: Shape (n,): of the complete replicates.
        estimate: Their mean with its interval.
        failed: How many replicates have failed.
        unfinished: How many are still to run.
    """

    study: str
    linked: str
    configuration: str
    values: Floats
    estimate: Estimate
    failed: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class ReplicatedPair:
    """Two studies' chosen configurations.

    Args:
        first: What the first study is called.
        second: What the second is called.
        difference: Mean of the first minus mean of the second.
        adjusted_p: Its p-value, adjusted for the number of pairs; ``None`` where there is no test.
    """

    first: str
    second: str
    difference: Difference
    adjusted_p: float | None


@dataclass(frozen=True, slots=True, eq=False)
class ReplicatedChoices:
    """What replicates say of the studies.

    Args:
        choices: Of the studies that were replicated, in their order.
        pairs: Each pair of them.
        absent: What the studies are called that were not replicated.
        notes: Of which replicates these are where that may be taken amiss, and what limits them.
    """

    choices: tuple[ReplicatedChoice, ...]
    pairs: tuple[ReplicatedPair, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def choices_table(self) -> Table:
        """One row a study."""
        return Table(
            (
                Column("study", Holds.CODE),
                Column("configuration"),
                Column("n", Holds.INTEGER),
                Column("failed", Holds.INTEGER),
                Column("to run", Holds.INTEGER),
                Column("mean", Holds.NUMBER),
                Column("sd", Holds.NUMBER),
                Column("low", Holds.NUMBER),
                Column("high", Holds.NUMBER),
                Column("interval"),
            ),
            tuple(_choice_row(choice) for choice in self.choices),
        )

    def pairs_table(self) -> Table:
        """One row a pair."""
        return Table(
            (
                Column("first", Holds.CODE),
                Column("second", Holds.CODE),
                Column("difference of means", Holds.NUMBER),
                Column("low", Holds.NUMBER),
                Column("high", Holds.NUMBER),
                Column("Welch p (Holm)", Holds.NUMBER),
                Column("remark"),
            ),
            tuple(
                (
                    pair.first,
                    pair.second,
                    number_cell(pair.difference.mean),
                    *ends_of(pair.difference.interval),
                    pair.adjusted_p,
                    pair.difference.remark,
                )
                for pair in self.pairs
            ),
        )


def replicated_choices(
    reader: Reader, studies: Sequence[ComparedStudy], *, anonymous: bool = False
) -> ReplicatedChoices:
    """The chosen configurations of studies with one objective, where they were replicated.

    Replicates belong to the study whose identity their link has, whatever it is called now. Of
    several studies of replicates the first by name counts that holds the study's best trial, else
    the first. One that is compared beside its own source is that source's and is not counted twice.
    """
    choices, absent, notes = [], [], []
    uids = {study.search.study.uid for study in studies}
    for study in studies:
        found = replications(reader, study.search.study)
        if not found:
            absent.append(study.name)
            continue
        if found[0].study == study.search.study.name:
            shown = found[0]
            of = "" if anonymous else f" of {shown.source.text}"
            notes.append(
                f"{study.name} holds replicates{of}: its trials run given configurations, and "
                "nothing was searched."
            )
            if shown.link.uid in uids:
                continue  # they are listed with that study
        else:
            shown = min(found, key=lambda one: not _holds_best(study, one))
            notes += _of_which(study, shown, len(found))
        chosen = shown.chosen
        limits = replication_notes([chosen], shown.objectives)
        notes += [f"Replicates of {study.name}: {note}" for note in limits]
        values = chosen.runs.values[chosen.runs.complete, 0]
        choices.append(
            ReplicatedChoice(
                study.name,
                shown.study,
                chosen.name,
                values[~np.isnan(values)],
                chosen.estimates[0],
                chosen.runs.failed,
                chosen.runs.unfinished,
            )
        )
    differences = [
        (one.study, two.study, unpaired_difference(one.values, two.values))
        for one, two in combinations(choices, 2)
    ]
    tested = [d.p_value for _, _, d in differences if d.p_value is not None]
    adjusted = iter(holm(tested))
    pairs = tuple(
        ReplicatedPair(first, second, d, None if d.p_value is None else next(adjusted))
        for first, second, d in differences
    )
    return ReplicatedChoices(tuple(choices), pairs, tuple(absent), tuple(notes))


def _holds_best(study: ComparedStudy, found: Replication) -> bool:
    best = study.search.best
    return best is not None and found.chosen.runs.configuration.trial == study.search.numbers[best]


def _of_which(study: ComparedStudy, shown: Replication, count: int) -> Iterator[str]:
    if count > 1:
        yield f"{study.name} has {count} studies of replicates; one of them is shown."
    if not _holds_best(study, shown):
        yield (
            f"The replicates of {study.name} are of {shown.chosen.name}, which is not its best "
            "trial now."
        )


def _choice_row(choice: ReplicatedChoice) -> tuple[Cell, ...]:
    found = choice.estimate
    return (
        choice.study,
        choice.configuration,
        found.count,
        choice.failed,
        choice.unfinished,
        number_cell(found.mean),
        number_cell(found.deviation),
        *ends_of(found.interval),
        found.lacking if found.interval is None else found.interval.method,
    )
