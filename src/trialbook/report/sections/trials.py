"""How many trials there are in each state, why some failed, and which cannot be selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trialbook.analysis.columns import Cell, Column, Holds, Table
from trialbook.analysis.searches.search import Search
from trialbook.records.study import TrialState
from trialbook.report.document import Block, Notice, Paragraph, Section, Tone
from trialbook.report.sections.differing import differing
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, state_text

STATES: tuple[TrialState, ...] = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_SHOWN = 20


def trials(source: ReportSource) -> Section:
    """Trials by state, with reasons for failures."""
    states = source.study.states
    table = Table(
        (Column("state"), Column("trials", Holds.INTEGER)),
        tuple((state_text(state), states.get(state, 0)) for state in STATES),
    )
    blocks: list[Block] = [source.table("states", "Trials by state.", table)]
    found = source.account.failures
    if not found.groups:
        blocks.append(Paragraph("No attempt failed, was lost or was tried again."))
    else:
        blocks.append(
            source.table(
                "failures",
                "Attempts that came to no result, by why; a trial that was tried again may have "
                "come to one later.",
                found.table(telling=not source.anonymous),
                shown=_SHOWN,
            )
        )
    if found.unexplained:
        blocks.append(
            Notice(
                f"Of {counted(found.unexplained, 'failed trial')} no reason is recorded: nobody "
                "executed them under tracking."
            )
        )
    return Section("trials", "Trials by state", tuple(blocks))


def exclusions(source: ReportSource) -> Section:
    """Which trials cannot be selected, and which ran with something else than the selected one."""
    found = source.account.exclusions
    count = counted(found.trials, "trial")
    blocks: list[Block] = [
        Paragraph(
            f"Of {count} that the study ever had, {found.eligible or 'none'} can be selected. The "
            "others cannot, for these reasons."
            if found.eligible < found.trials
            else f"Of {count} that the study ever had, none is left out of the selection for any "
            "of these reasons."
        ),
        source.table("exclusions", "Trials that cannot be selected.", found.table()),
    ]
    if found.deleted:
        blocks += [
            Notice(
                f"{counted(len(found.deleted), 'trial')} of the study was deleted. The seal still "
                "covers the digest of each one's record."
                if len(found.deleted) == 1
                else f"{len(found.deleted)} trials of the study were deleted. The seal still "
                "covers the digests of their records.",
                Tone.WARNING,
            ),
            source.table(
                "deleted", "What is left of deleted trials.", found.deleted_table(), shown=_SHOWN
            ),
        ]
    else:
        blocks.append(Paragraph("No trial was deleted from the book."))
    return Section("exclusions", "Exclusions", (*blocks, *differing(source)))


def all_trials(source: ReportSource) -> Section:
    """Every trial with its values and params, for the CSV file above all."""
    search = source.search
    if not len(search):
        return Section("all-trials", "All trials", (Notice("The study has no trial yet."),))
    return Section(
        "all-trials",
        "All trials",
        (
            source.table(
                "trials",
                "Every trial by number; the values of pruned trials are the last that they "
                "reported.",
                trials_table(search),
                shown=_SHOWN,
            ),
        ),
    )


def trials_table(search: Search) -> Table:
    """One row a trial: number, state, values, seconds, params."""
    columns = [Column("trial", Holds.INTEGER), Column("state")]
    columns += [Column(name, Holds.NUMBER) for name in search.objective_names]
    columns.append(Column("wall time", Holds.NUMBER, "s"))
    columns += [Column(param.name, Holds.NUMBER) for param in search.params]
    given = search.has_values.tolist()
    cells: list[list[Cell]] = [
        search.numbers.tolist(),
        [state_text(state) for state in search.states.tolist()],
    ]
    for index in range(search.objectives):
        values = search.values[:, index].tolist()
        cells.append([v if there else None for v, there in zip(values, given, strict=True)])
    cells.append([None if s != s else s for s in (search.ended_s - search.started_s).tolist()])
    for param in search.params:
        cells.append(
            _param_cells(param.internal.tolist(), param.space.tolist(), param.distributions)
        )
    return Table(tuple(columns), tuple(zip(*cells, strict=True)))


def _param_cells(
    internal: list[float], spaces: list[int], distributions: tuple[BaseDistribution, ...]
) -> list[Cell]:
    cells: list[Cell] = []
    for value, space in zip(internal, spaces, strict=True):
        if space < 0:
            cells.append(None)
            continue
        found = distributions[space].to_external_repr(value)
        plain = isinstance(found, (str, int, float, bool))
        cells.append(found if plain else repr(found))
    return cells
