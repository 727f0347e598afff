"""How the selected trial is run again, and what came of it when somebody did."""

from __future__ import annotations

from collections.abc import Iterator

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.details import TrialDetail
from trialbook.records.verdict import RerunRecord
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, moment

_SHOWN = 20


def rerunning(source: ReportSource) -> Section:
    """The exact command, and the stored verdicts."""
    found = source.selected or source.front_first
    if found is None:
        blocks: tuple[Block, ...] = (
            Notice("No trial is selected, so there is none to run again."),
        )
        return Section("rerun", "Running it again", blocks)
    return Section("rerun", "Running it again", tuple(_blocks(source, found)))


def _blocks(source: ReportSource, found: TrialDetail) -> Iterator[Block]:
    trial = found.trial
    attempt = trial.attempt
    if attempt is None or attempt.seeds is None:
        yield Notice(
            f"Trial {trial.number} was not tracked, so it cannot be run again: neither its code "
            "nor its environment is recorded."
        )
        return
    yield source.command(
        f"rerun {source.trial_name(trial.number)}",
        "Restores the code, checks data and environment, runs the trial again with the recorded "
        "params and seed, and says whether the numbers came out the same.",
    )
    if not trial.reruns:
        yield Notice(f"Trial {trial.number} was not rerun.")
        return
    yield source.table(
        "reruns",
        f"Reruns of trial {trial.number}, the oldest first.",
        reruns_table(trial.reruns),
        trials=(trial.number,),
        shown=_SHOWN,
    )
    yield from _last(trial.reruns[-1])


def reruns_table(reruns: tuple[RerunRecord, ...]) -> Table:
    """One row a rerun."""
    return Table(
        (
            Column("verdict"),
            Column("points compared", Holds.INTEGER),
            Column("differences", Holds.INTEGER),
            Column("coordinates that differ", Holds.INTEGER),
            Column("relative tolerance", Holds.EXACT),
            Column("absolute tolerance", Holds.EXACT),
            Column("when"),
            Column("host"),
        ),
        tuple(_row(one) for one in reruns),
    )


def _row(one: RerunRecord) -> tuple[Cell, ...]:
    report = one.report
    return (
        str(report.verdict),
        report.points,
        len(report.differences),
        len(report.coordinates),
        report.rtol,
        report.atol,
        moment(one.at_s),
        one.host,
    )


def _last(one: RerunRecord) -> Iterator[Block]:
    report = one.report
    facts = [Fact("last verdict", str(report.verdict), note=report.reason or "")]
    if report.differences:
        first = report.differences[0]
        step = "" if first.step is None else f" at step {first.step}"
        facts.append(
            Fact(
                "first difference",
                f"{first.what} {first.name}{step}: {first.recorded!r} recorded, "
                f"{first.rerun!r} in the rerun",
            )
        )
    yield Facts(tuple(facts))
    if report.coordinates:
        named = ", ".join(f"{d.kind} ({d.what})" for d in report.coordinates[:5])
        more = len(report.coordinates) - 5
        yield Paragraph(
            f"{counted(len(report.coordinates), 'coordinate')} differed in the last rerun: {named}"
            + (f" and {more} more." if more > 0 else ".")
        )
