"""What the replicates of a study came to: means with intervals, the winner's curse, comparisons.

A chosen configuration has the best of many noisy values, so that its value is better than what it
reaches on average. Run again under fresh seeds, it says how much (see ``docs/replicates.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trialbook.analysis.estimates import (
    LEVEL,
    Difference,
    Estimate,
    Floats,
    Interval,
    Method,
    estimate,
    paired_difference,
    unpaired_difference,
)
from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.replicated_runs import Runs, runs_of, same_runs
from trialbook.analysis.replication_notes import replication_notes
from trialbook.analysis.test_metrics import shown
from trialbook.book.reading import Reader
from trialbook.book.replicates import link, linked_studies, source_of
from trialbook.errors import NotApplicableError
from trialbook.records.replicates import ReplicationLink, ReplicationSource
from trialbook.records.shell_words import arguments
from trialbook.records.study import Direction, SeriesSummary, StudyRecord
from trialbook.records.test_metrics import is_test


@dataclass(frozen=True, slots=True)
class Gap:
    """The winner's curse: by how much the search's value is better than the replicated mean.

    Args:
        search: The value in the search.
        gap: Above 0 when the search's value is better than the mean of the replicates.
        interval: Of the gap, taking the search's value as given; ``None`` when there is none.
        below: How many of the replicates are worse than the search's value.
    """

    search: float
    gap: float
    interval: Interval | None
    below: int


@dataclass(frozen=True, slots=True)
class MetricEstimate:
    """The last value of one metric over the replicates of a configuration.

    Args:
        metric: Its name; a test metric's begins with ``test:``.
        estimate: Over the complete replicates that have it.
    """

    metric: str
    estimate: Estimate

    @property
    def is_test(self) -> bool:
        """Whether it is a test metric."""
        return is_test(self.metric)


@dataclass(frozen=True, slots=True, eq=False)
class ReplicatedConfiguration:
    """One configuration and what its replicates came to.

    Args:
        runs: The configuration and its replicates.
        estimates: One for each objective, over the complete replicates.
        gaps: Likewise; ``None`` where the search has no value of it.
        metrics: Sorted by name; test metrics only when they were asked for.
        unchanged: What the seeds did not change: ``runs`` (bit-identical, metrics too), ``values``
            (equal, while metrics differ), or empty when values differ or fewer than two are there.
    """

    runs: Runs
    estimates: tuple[Estimate, ...]
    gaps: tuple[Gap | None, ...]
    metrics: tuple[MetricEstimate, ...] = ()
    unchanged: str = ""

    @property
    def name(self) -> str:
        """What it is called: ``best (trial 12)``, ``default``."""
        return self.runs.name


@dataclass(frozen=True, slots=True)
class ConfigurationComparison:
    """The chosen configuration against another one.

    Args:
        first: Name of the chosen one.
        second: Name of the other one.
        objective: Index of the objective.
        difference: By how much the chosen one is better: above 0 when it is.
    """

    first: str
    second: str
    objective: int
    difference: Difference


@dataclass(frozen=True, slots=True, eq=False)
class Replication:
    """The replicates of a study.

    Args:
        study: Name of the study of replicates.
        link: What it is linked to.
        source: What that study is called now, or what became of it.
        directions: One for each objective.
        objectives: What they are called.
        configurations: The chosen one first.
        comparisons: With each of the others, by objective.
        notes: What a reader must know to judge it, one sentence each.
    """

    study: str
    link: ReplicationLink
    source: ReplicationSource
    directions: tuple[Direction, ...]
    objectives: tuple[str, ...]
    configurations: tuple[ReplicatedConfiguration, ...]
    comparisons: tuple[ConfigurationComparison, ...]
    notes: tuple[str, ...]

    @property
    def chosen(self) -> ReplicatedConfiguration:
        """The configuration that was chosen."""
        return self.configurations[0]

    @property
    def unfinished(self) -> int:
        """How many replicates are still to run, or run now."""
        return sum(one.runs.unfinished for one in self.configurations)

    @property
    def failed(self) -> int:
        """How many have failed."""
        return sum(one.runs.failed for one in self.configurations)


def replication(
    study: StudyOrName,
    *,
    storage: Storage = None,
    method: Method = "t",
    level: float = LEVEL,
) -> Replication:
    """What the replicates of a study came to.

    Args:
        study: The study whose configurations were replicated, or the study of replicates itself.
        storage: Where the book is; not with an Optuna study.
        method: How intervals of means are made: ``t`` or ``bootstrap``.
        level: Of every interval.

    Raises:
        NotFoundError: There is no such study.
        NotApplicableError: It has no replicates, or several studies of them; they are named.
        InvalidInputError: There is no such method or level.
    """
    with opened(storage, study) as reader:
        record = reader.study(name_of(study))
        found = replications(reader, record, method=method, level=level)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(one.study for one in found)
        raise NotApplicableError(
            f"study {record.name!r} has several studies of replicates", hint=f"name one: {names}"
        )
    raise NotApplicableError(
        f"study {record.name!r} has no replicates",
        hint="run: trialbook replicate --seeds 10 "
        + arguments(f"{record.name}/{'best' if len(record.directions) == 1 else 'NUMBER'}"),
    )


def replications(
    reader: Reader,
    study: StudyRecord,
    *,
    method: Method = "t",
    level: float = LEVEL,
    tests_by: str | None = None,
    once: str | None = None,
) -> tuple[Replication, ...]:
    """The replicates of a study, one for each study that is linked to it, by name.

    A linked study in which none is placed yet is left out.

    Args:
        reader: The open book.
        study: The source; of a study of replicates that one itself.
        method: How intervals of means are made.
        level: Of every interval.
        tests_by: Who shows test metrics, which the book then counts; ``None`` not to show them.
        once: As in ``test_metrics.shown``.

    Raises:
        BookCorruptError: A link cannot be read.
        BookReadOnlyError: Test metrics are asked for and cannot be counted.
    """
    own = link(reader.book, study.study_id)
    names = linked_studies(reader.book, study.uid) if own is None else [study.name]
    found = []
    for name in names:
        record = reader.study(name)
        linked = link(reader.book, record.study_id)
        if linked is not None:
            tests = _tests(reader, name, tests_by, once)
            found.append(_replication(reader, record, linked, tests, method, level))
    return tuple(one for one in found if one.configurations)


def _tests(
    reader: Reader, study: str, by: str | None, once: str | None
) -> Mapping[str, Sequence[SeriesSummary]]:
    """Test metrics of the complete replicates by their references, when they are asked for."""
    if by is None:
        return {}
    return shown(reader, list(reader.trials(study, states=["COMPLETE"])), by=by, once=once)


def _replication(
    reader: Reader,
    record: StudyRecord,
    linked: ReplicationLink,
    tests: Mapping[str, Sequence[SeriesSummary]],
    method: Method,
    level: float,
) -> Replication:
    found = runs_of(reader, record)
    # The chosen one first; the others as they were placed.
    found.sort(key=lambda runs: runs.configuration.key != linked.chosen)
    configurations = tuple(
        _configuration(reader, record, runs, tests, method, level) for runs in found
    )
    comparisons = tuple(
        ConfigurationComparison(configurations[0].name, other.name, objective, difference)
        for other in configurations[1:]
        for objective, difference in enumerate(
            _differences(configurations[0].runs, other.runs, record.directions, level)
        )
    )
    names = record.metric_names or (
        ("objective",)
        if len(record.directions) == 1
        else tuple(f"objective {index}" for index in range(len(record.directions)))
    )
    return Replication(
        record.name,
        linked,
        source_of(reader.book, linked),
        record.directions,
        names,
        configurations,
        comparisons,
        tuple(replication_notes(configurations, names)),
    )


def _configuration(
    reader: Reader,
    record: StudyRecord,
    runs: Runs,
    tests: Mapping[str, Sequence[SeriesSummary]],
    method: Method,
    level: float,
) -> ReplicatedConfiguration:
    values = runs.values[runs.complete]
    estimates = tuple(
        estimate(values[:, objective], method=method, level=level)
        for objective in range(len(record.directions))
    )
    searched = runs.configuration.values
    gaps = tuple(
        None
        if searched is None or not found.count
        else _gap(searched[objective], values[:, objective], found, direction)
        for objective, (found, direction) in enumerate(
            zip(estimates, record.directions, strict=True)
        )
    )
    last = runs.last_values(tests)
    metrics = tuple(
        MetricEstimate(name, estimate(last[name], method=method, level=level))
        for name in sorted(last)
    )
    return ReplicatedConfiguration(
        runs, estimates, gaps, metrics, same_runs(reader, runs) if len(values) > 1 else ""
    )


def _gap(searched: float, values: Floats, found: Estimate, direction: Direction) -> Gap:
    """Above 0 when the search's value is better."""
    sign = 1.0 if direction == "maximize" else -1.0
    interval = found.interval
    if interval is not None:
        ends = sorted((sign * (searched - interval.low), sign * (searched - interval.high)))
        interval = Interval(ends[0], ends[1], interval.level, interval.method)
    below = int((sign * values < sign * searched).sum())
    gap = sign * (searched - found.mean)
    return Gap(searched, gap or 0.0, interval, below)  # never -0.0


def _differences(
    first: Runs, second: Runs, directions: Sequence[Direction], level: float
) -> Iterable[Difference]:
    """By how much the first is better in each objective: in pairs where seeds are shared."""
    pairs = first.pairs(second)
    for objective, direction in enumerate(directions):
        sign = 1.0 if direction == "maximize" else -1.0
        if len(pairs):
            yield paired_difference(
                sign * first.values[pairs[:, 0], objective],
                sign * second.values[pairs[:, 1], objective],
                level=level,
            )
        else:
            yield unpaired_difference(
                sign * _complete(first, objective), sign * _complete(second, objective), level=level
            )


def _complete(runs: Runs, objective: int) -> Floats:
    found: Floats = runs.values[runs.complete, objective]
    return found
