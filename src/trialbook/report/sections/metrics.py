"""Every metric at the selected trial; test metrics apart, with how often they were shown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.details import TrialDetail
from trialbook.analysis.test_metrics import begun_after, exposure, has_test_metrics, shown
from trialbook.errors import BookReadOnlyError
from trialbook.records.series import OBJECTIVE, Series
from trialbook.records.study import SeriesSummary
from trialbook.records.test_metrics import is_test
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, moment


def metrics(source: ReportSource) -> Section:
    """Last, least and greatest value of each metric, with their steps; artifacts; test metrics."""
    found = source.selected or source.front_first
    if found is None:
        blocks: tuple[Block, ...] = (
            Notice("No trial is selected, so there are no metrics to show."),
        )
    else:
        blocks = (*_series(source, found), *_test(source, found), *_artifacts(source, found))
    return Section("metrics", metrics_title(source), blocks)


def metrics_title(source: ReportSource) -> str:
    """The heading of the section: of several objectives no trial is selected."""
    trial = "a trial of the front" if source.front_first is not None else "the selected trial"
    return f"Metrics of {trial}"


def _series(source: ReportSource, found: TrialDetail) -> Iterator[Block]:
    trial = found.trial
    points = source.reader.trial_series(trial)
    named = {name: series for name, series in points.items() if not is_test(name) and len(series)}
    if not named:
        yield Notice(f"Trial {trial.number} logged no metric and reported no value.")
        return
    yield source.table(
        "best-metrics",
        f"Metrics of trial {trial.number}."
        + f" The metric {OBJECTIVE} is what it reported to the pruner." * (OBJECTIVE in named),
        series_table(named),
        trials=(trial.number,),
    )


def series_table(named: dict[str, Series]) -> Table:
    """One row a metric: number of points; last, least and greatest value, each with its step."""
    return Table(
        (
            Column("metric", Holds.CODE),
            Column("points", Holds.INTEGER),
            Column("last", Holds.NUMBER),
            Column("at step", Holds.INTEGER),
            Column("least", Holds.NUMBER),
            Column("at its step", Holds.INTEGER),
            Column("greatest", Holds.NUMBER),
            Column("at that step", Holds.INTEGER),
        ),
        tuple(_row(name, series) for name, series in named.items()),
    )


def _row(name: str, series: Series) -> tuple[Cell, ...]:
    steps, values = series.steps, series.values
    last = (float(values[-1]), int(steps[-1]))
    if np.isnan(values).all():
        return (name, len(series), *last, None, None, None, None)
    least, greatest = int(np.nanargmin(values)), int(np.nanargmax(values))
    return (
        name,
        len(series),
        *last,
        float(values[least]),
        int(steps[least]),
        float(values[greatest]),
        int(steps[greatest]),
    )


def _test(source: ReportSource, found: TrialDetail) -> Iterator[Block]:
    trial = found.trial
    if not has_test_metrics(trial):
        yield Notice(
            f"No test metric is recorded of trial {trial.number} (trial.log_test): its numbers are "
            "on data that the search could look at.",
        )
        yield from _exposure(source)
        return
    try:
        # The same report of the same book is one showing: its number must not grow by itself.
        values = shown(source.reader, [trial], by="report", once=source.seal.seal)[trial.reference]
    except BookReadOnlyError as error:
        yield Notice(f"Test metrics are not shown: {error.what}.", Tone.WARNING)
        return
    yield source.table(
        "test-metrics",
        f"Test metrics of trial {trial.number}, which no sampler, pruner or selection was given.",
        held_out_table(values),
        trials=(trial.number,),
    )
    yield from _exposure(source)


def held_out_table(values: tuple[SeriesSummary, ...]) -> Table:
    """One row a test metric."""
    return Table(
        (
            Column("test metric", Holds.CODE),
            Column("points", Holds.INTEGER),
            Column("last", Holds.NUMBER),
            Column("at step", Holds.INTEGER),
            Column("least", Holds.NUMBER),
            Column("greatest", Holds.NUMBER),
        ),
        tuple((v.metric, v.count, v.last, v.last_step, v.minimum, v.maximum) for v in values),
    )


def _exposure(source: ReportSource) -> Iterator[Block]:
    seen = exposure(source.reader, source.study)
    if seen.first_s is None:
        return
    facts = [
        Fact("times that test metrics were shown", len(seen.showings), Holds.INTEGER),
        Fact("trials of which they were shown", len(seen.trials), Holds.INTEGER),
    ]
    if seen.replicates:
        times = sum(len(one.showings) for one in seen.replicates)
        facts += [
            Fact("times that those of replicates were shown", times, Holds.INTEGER),
            Fact("replicates of which they were shown", seen.replicated_trials, Holds.INTEGER),
        ]
    yield Facts((*facts, Fact("shown first", moment(seen.first_s))))
    after = begun_after(seen, source.search)
    text = f"Test metrics of {seen.text} have been shown so far; a report is a showing too. "
    if after:
        text += (
            f"The search went on afterwards: {counted(after, 'trial')} began after they were shown "
            "first. "
        )
    else:
        text += "The search did not go on afterwards: no tracked trial has begun since. "
    yield Paragraph(
        f"{text}Each look that can change what is done next uses the test data up a little."
    )


def _artifacts(source: ReportSource, found: TrialDetail) -> Iterator[Block]:
    attempt = found.trial.attempt
    if attempt is None or not attempt.artifacts:
        return
    table = Table(
        (
            Column("artifact", Holds.CODE),
            Column("size", Holds.INTEGER, "byte"),
            Column("SHA-256", Holds.DIGEST),
        ),
        tuple((one.name, one.size_bytes, one.digest) for one in attempt.artifacts),
    )
    yield source.table(
        "artifacts",
        f"Files that trial {found.trial.number} kept.",
        table,
        trials=(found.trial.number,),
    )
