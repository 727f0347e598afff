"""The first section: what the study was, and what came of it, on half a page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trialbook.analysis.columns import Holds
from trialbook.analysis.searches.search import Floats
from trialbook.records.study import TrialState
from trialbook.report.document import Block, Fact, Facts, Notice, Section, Tone
from trialbook.report.sections.trials import STATES
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted, moment, state_text


def overview(source: ReportSource) -> Section:
    """What the study was, and what came of it."""
    study, search = source.study, source.search
    facts = [
        Fact("study", "withheld" if source.anonymous else study.name),
        Fact(
            "direction" if len(study.directions) == 1 else "directions", ", ".join(study.directions)
        ),
        Fact("trials", states_text(study.states)),
        *_result(source),
        Fact("created", moment(study.created_s)),
        Fact("first trial began", moment(_least(search.started_s)), note=_clock(source)),
        Fact("last trial ended", moment(_greatest(search.ended_s)), note=_clock(source)),
        Fact("seal", source.seal.seal, Holds.DIGEST, note=_seal_note(source)),
    ]
    blocks: list[Block] = [Facts(tuple(facts))]
    if source.holds_replicates:
        blocks.append(
            Notice(
                f"This study holds replicates of {source.replications[0].source.text}: its trials "
                "run a few given configurations under fresh seeds, and nothing was searched. The "
                "best of them had the luckiest seed; what a configuration reaches is told by the "
                "section on replicates.",
                Tone.WARNING,
            )
        )
    if not len(search):
        blocks.append(Notice("The study has no trial yet."))
    elif not search.complete.any():
        blocks.append(Notice("No trial of the study is complete, so none can be selected."))
    return Section("overview", "Overview", tuple(blocks))


def states_text(states: Mapping[TrialState, int]) -> str:
    """``40: 30 complete, 10 pruned``."""
    total = sum(states.values())
    parts = [f"{states[state]} {state_text(state)}" for state in STATES if states.get(state)]
    return f"{total}: {', '.join(parts)}" if parts else "0"


def _result(source: ReportSource) -> list[Fact]:
    search = source.search
    if search.objectives > 1:
        return [Fact("Pareto front", counted(len(search.front), "trial"))]
    best = search.best
    if best is None or source.selected is None:
        return [Fact("best value", None, Holds.EXACT, note="no trial can be selected")]
    number = int(search.numbers[best])
    return [Fact("best value", float(search.values[best, 0]), Holds.EXACT, note=f"trial {number}")]


def _seal_note(source: ReportSource) -> str:
    seal = source.seal
    if seal.unfinished:
        return f"not final: {counted(seal.unfinished, 'trial')} can still change it"
    return f"over {counted(seal.trials, 'trial')}"


def _least(values: Floats) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmin(values))


def _greatest(values: Floats) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmax(values))


def _clock(source: ReportSource) -> str:
    """What times of trials that nobody tracked are: Optuna records no time zone."""
    return "by local clocks where untracked" if source.account.gaps.untracked else ""
