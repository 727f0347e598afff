"""Which trials ran with other code, data, configuration, environment or program than the best."""

from __future__ import annotations

from collections.abc import Sequence

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.coordinate_changes import KINDS, ChangedTrials, CoordinateChanges
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.records.coordinates import Kind
from trialbook.report.document import Block, Notice, Paragraph, Tone
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, listed

_SHOWN = 20
_COMPARED = (*KINDS, Kind.EXECUTION)
CALLED = {
    Kind.CODE: "code",
    Kind.DATA: "data",
    Kind.CONFIG: "configuration",
    Kind.ENVIRONMENT: "environment",
    Kind.EXECUTION: "program",
}
"""What a report calls a coordinate; of the execution, what it compares of it."""


def differing(source: ReportSource) -> list[Block]:
    """Groups of trials with what differs, or that there are none; of which trials nobody knows."""
    changes = source.account.changes
    untracked = source.account.gaps.untracked
    if changes.reference is None:
        if not untracked:
            return [Paragraph("No trial has run yet.")]
        return [
            Notice(
                "Whether all trials ran with the same code, data and environment is not known: "
                f"{untracked} of them did not run under tracking."
            )
        ]
    blocks: list[Block] = _found(source, changes)
    if untracked:
        blocks.append(
            Notice(
                f"With what {counted(untracked, 'trial')} ran is not known: "
                f"{'it' if untracked == 1 else 'they'} did not run under tracking."
            )
        )
    for kind, numbers in changes.unknown.items():
        blocks.append(
            Notice(
                f"The {CALLED[kind]} of {counted(len(numbers), 'tracked trial')} cannot be "
                f"compared, since its record is missing: {numbers_text(numbers)}."
            )
        )
    return blocks


def _found(source: ReportSource, changes: CoordinateChanges) -> list[Block]:
    assert changes.reference is not None
    than = changes.reference.text
    if not changes.groups:
        same = [CALLED[kind] for kind in KINDS if changes.versions[kind]]
        if not same or changes.tracked == 1:
            return []
        return [
            Paragraph(
                f"{counted(changes.tracked, 'tracked trial')} ran with the same {listed(same)}: "
                "compared were the loaded files, declared data, keys of the configuration, "
                "interpreter, machine and packages, the objective, and the arguments of the "
                "program where it was neither a worker nor a notebook."
            )
        ]
    blocks: list[Block] = []
    weighing = changes.weighing
    if weighing:
        count = _count(weighing)
        kinds = [CALLED[k] for k in _COMPARED if any(group.said(k) for group in weighing)]
        blocks.append(
            Notice(
                f"{count} of {counted(changes.tracked, 'tracked trial')} did not run with the "
                f"{listed(kinds)} of {than}. They are not left out, but their values may not "
                "compare with the others.",
                Tone.WARNING,
            )
        )
    given = [group for group in changes.groups if group.other_arguments]
    if given:
        count = _count(given)
        blocks.append(
            Notice(
                f"The program of {counted(count, 'trial')} was given other arguments than that of "
                f"{than}. Whether they change what is measured, the program knows."
            )
        )
    light = [group for group in changes.groups if not group.weighs and group.differs_in(KINDS)]
    if light:
        blocks.append(
            Paragraph(
                f"{counted(_count(light), 'trial')} ran on another machine than {than}, or beside "
                "other packages, with the same code, data and configuration."
            )
        )
    blocks.append(
        source.table(
            "differing",
            f"Trials that ran with something else than {than}, and with what.",
            _table(changes.groups, anonymous=source.anonymous),
            shown=_SHOWN,
        )
    )
    return blocks


def _count(groups: Sequence[ChangedTrials]) -> int:
    return sum(len(group.trials) for group in groups)


def _table(groups: Sequence[ChangedTrials], *, anonymous: bool) -> Table:
    """One row a group, one column a coordinate in which any of them differs."""
    kinds = [kind for kind in _COMPARED if any(group.said(kind) for group in groups)]
    rows: list[tuple[Cell, ...]] = [
        (
            numbers_text(group.trials),
            len(group.trials),
            *(group.said(kind, anonymous=anonymous) for kind in kinds),
        )
        for group in groups
    ]
    return Table(
        (
            Column("trials"),
            Column("how many", Holds.INTEGER),
            *(Column(f"other {CALLED[kind]}") for kind in kinds),
        ),
        tuple(rows),
    )
