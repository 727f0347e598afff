"""Which trial was selected and by which rule; with several objectives the front."""

from __future__ import annotations

import math

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.selection import Selection, selection
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section, Tone
from trialbook.report.source import ReportSource

_SHOWN = 20


def selecting(source: ReportSource) -> Section:
    """The rule, and what it selected."""
    found = selection(source.search)
    blocks: list[Block] = [Paragraph(" ".join(found.rule))]
    if source.search.objectives > 1:
        blocks += _front(source, found)
    elif found.number is None:
        blocks.append(Notice("No trial can be selected."))
    else:
        blocks.append(Facts(tuple(_facts(found))))
        if found.value is not None and math.isinf(found.value):
            blocks.append(
                Notice(
                    f"The selected value is infinite: Optuna ranks trial {found.number} first, but "
                    "no figure can show its value, and it may stand for a fault of the objective.",
                    Tone.WARNING,
                )
            )
    return Section("selection", "Selection", tuple(blocks))


def _facts(found: Selection) -> list[Fact]:
    facts = [
        Fact("selected trial", found.number, Holds.INTEGER),
        Fact("its value", found.value, Holds.EXACT),
        Fact("trials that could be selected", found.candidates, Holds.INTEGER),
        Fact("trials with the same value", _named(found.ties)),
    ]
    if found.next_value is not None:
        facts.append(
            Fact("next value", found.next_value, Holds.EXACT, note=f"trial {found.next_number}")
        )
    return facts


def _named(numbers: tuple[int, ...]) -> str:
    """Trials by their numbers, such that one number is not taken for a count of them."""
    if not numbers:
        return "none"
    return f"{'number' if len(numbers) == 1 else 'numbers'} {numbers_text(numbers)}"


def _front(source: ReportSource, found: Selection) -> list[Block]:
    if not found.front:
        return [Notice("The front is empty: no trial can be on it.")]
    search = source.search
    table = Table(
        (
            Column("trial", Holds.INTEGER),
            *(Column(name, Holds.NUMBER) for name in search.objective_names),
        ),
        tuple(
            (int(search.numbers[index]), *search.values[index].tolist()) for index in search.front
        ),
    )
    return [
        source.table(
            "pareto-front", "Trials on the front.", table, trials=found.front[:8], shown=_SHOWN
        )
    ]
