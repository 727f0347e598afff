"""From what a child gave to the report: verdict, reason, differing coordinates. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from trialbook.records.coordinates import Snapshot
from trialbook.records.differences import coordinate_differences
from trialbook.records.verdict import (
    CoordinateDifference,
    RerunReport,
    ResultDifference,
    Verdict,
)
from trialbook.rerun.compare import ResultComparison, Tolerance, compared
from trialbook.rerun.plan import RerunPlan
from trialbook.rerun.results import ReplayOutcome, Results


@dataclass(frozen=True, slots=True)
class Circumstances:
    """In what a rerun differed from the recorded trial before it started.

    Args:
        differences: Code that was supplied with other content, and data that were accepted.
        allowed_data: Names of the inputs with other content, which were allowed.
    """

    differences: tuple[CoordinateDifference, ...] = ()
    allowed_data: tuple[str, ...] = ()


def judged(
    plan: RerunPlan,
    recorded: Results,
    outcome: ReplayOutcome,
    tolerance: Tolerance,
    environment: Snapshot,
    circumstances: Circumstances,
) -> RerunReport:
    """The report of one rerun.

    Args:
        plan: What was run again.
        recorded: What the book has.
        outcome: What the child gave.
        tolerance: What is accepted as the same number.
        environment: The recorded environment.
        circumstances: What differed before it started.
    """
    stopped = outcome.stopped
    comparison = compared(recorded, outcome.results, tolerance, cut_short=stopped is not None)
    verdict = comparison.verdict
    if stopped is not None:
        verdict = Verdict.DIFFERENT if _proven(comparison) else Verdict.NOT_COMPARABLE
    here = outcome.environment
    return RerunReport(
        reference=plan.reference,
        verdict=verdict,
        reason=_reason(plan, verdict, comparison, outcome, circumstances),
        points=comparison.points,
        params=comparison.params,
        artifacts=comparison.artifacts,
        differences=comparison.differences,
        coordinates=(
            *circumstances.differences,
            *(coordinate_differences(environment, Snapshot.from_document(here)) if here else ()),
        ),
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        elapsed_s=outcome.elapsed_s,
    )


def _proven(comparison: ResultComparison) -> bool:
    """Whether something came out otherwise before the record was left."""
    return any(
        difference.what in ("point", "artifact")
        and not difference.tolerated
        and difference.recorded is not None
        and difference.rerun is not None
        for difference in comparison.differences
    )


def _reason(
    plan: RerunPlan,
    verdict: Verdict,
    comparison: ResultComparison,
    outcome: ReplayOutcome,
    circumstances: Circumstances,
) -> str | None:
    parts: list[str] = []
    if verdict is Verdict.NOT_COMPARABLE:
        parts.append(outcome.stopped or "the rerun gave nothing to compare")
    elif outcome.stopped is not None:
        parts.append(f"it was stopped later: {outcome.stopped}")
    raised = _raised(comparison, outcome)
    if raised is not None:
        parts.append(raised)
    if circumstances.allowed_data:
        names = ", ".join(circumstances.allowed_data)
        parts.append(f"it ran on other data than recorded, as allowed ({names})")
    if verdict in (Verdict.NOT_COMPARABLE, Verdict.DIFFERENT):
        parts += [*outcome.notes, *plan.cautions]
    return "; ".join(parts) or None


def _raised(comparison: ResultComparison, outcome: ReplayOutcome) -> str | None:
    """What the rerun raised where the recorded trial did not."""
    if outcome.traceback is None or not any(d.what == "end" for d in comparison.differences):
        return None
    lines = [line for line in outcome.traceback.splitlines() if line and not line[0].isspace()]
    return f"the rerun raised {lines[-1][:300]}" if lines else None


def difference_text(difference: ResultDifference) -> str:
    """One difference as a phrase, such as ``loss at step 3: 0.5 recorded, 0.6 in the rerun``."""
    old, new = _shown(difference.recorded), _shown(difference.rerun)
    match difference.what:
        case "point":
            where = f"{difference.name} at step {difference.step}"
        case "series":
            where, old, new = f"points of {difference.name}", old, new
        case "param":
            where = f"param {difference.name}"
        case "artifact":
            where = f"artifact {difference.name}"
        case "prune":
            index = difference.index
            where = "calls of should_prune" if index is None else f"answer {index} of should_prune"
        case "end":
            where = "the trial's end"
        case _:
            where = difference.name
    return f"{where}: {old} recorded, {new} in the rerun"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else repr(value)


def unfinished(exit_code: int | None, signal: str | None, stderr: str) -> str:
    """Why a child gave no outcome, as a phrase."""
    how = f"was killed by {signal}" if signal is not None else f"exited with status {exit_code}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = f" ({lines[-1][:200]})" if lines else ""
    return f"the rerun's process {how} before the trial ended{last}"
