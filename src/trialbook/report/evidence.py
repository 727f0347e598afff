"""What the book holds that answers items of checklists: proofs, each found or missing.

A proof that is found says what it is, with figures that were computed from the book; one that is
missing says what would bring it about. They are made in ``proofs/``; which item rests on which
proofs is in ``checklist.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from trialbook.report.proofs import confirmed, executed, recorded, searched
from trialbook.report.proofs.proof import Proof, missing
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted


@dataclass(frozen=True, slots=True)
class Evidence:
    """All proofs of one study.

    Args:
        code: The code of all trials, whole: each version that they ran with.
        data: Their inputs, with digests.
        environment: Interpreter and packages.
        hardware: The machines of all attempts.
        space: Ranges and scales of every param.
        method: Sampler, pruner and seed of the study.
        selection: The rule and what it selected.
        configuration: All params of the selected trial, and what was fixed.
        seeds: Seeds of the trials.
        runs: How many trials there were in each state.
        exclusions: What became of those that cannot be selected.
        compute: CPU and GPU time of all attempts.
        runtime: Time of the selected trial, and the mean over attempts.
        coverage: Whether all coordinates of all trials are recorded.
        rerun: Whether the selected trial came out the same again.
        replicates: Mean, spread and interval under fresh seeds.
        test: Test metrics that the search never saw.
        artifacts: Files that the selected trial kept.
    """

    code: Proof
    data: Proof
    environment: Proof
    hardware: Proof
    space: Proof
    method: Proof
    selection: Proof
    configuration: Proof
    seeds: Proof
    runs: Proof
    exclusions: Proof
    compute: Proof
    runtime: Proof
    coverage: Proof
    rerun: Proof
    replicates: Proof
    test: Proof
    artifacts: Proof


PROOFS = tuple(field.name for field in fields(Evidence))


def evidence(source: ReportSource) -> Evidence:
    """What the book holds of a study; nothing when its records were verified and do not hold."""
    found = _evidence(source)
    wrong = 0 if source.verification is None else len(source.verification.mismatches)
    if not wrong:
        return found
    said = f"the records do not hold ({counted(wrong, 'mismatch', 'mismatches')}, section The seal)"
    return Evidence(*(missing(f"{said}: {getattr(found, name).text}") for name in PROOFS))


def _evidence(source: ReportSource) -> Evidence:
    use, gaps = source.account.compute, source.account.gaps
    return Evidence(
        code=recorded.code(source),
        data=recorded.data(source),
        environment=recorded.environment(source),
        hardware=recorded.hardware(use),
        space=searched.space(source),
        method=searched.method(source),
        selection=searched.selection(source),
        configuration=searched.configuration(source),
        seeds=searched.seeds(source),
        runs=executed.runs(source),
        exclusions=executed.exclusions(source),
        compute=executed.compute(source),
        runtime=executed.runtime(source),
        coverage=recorded.coverage(gaps),
        rerun=confirmed.rerun(source),
        replicates=confirmed.replicates(source),
        test=confirmed.test(source),
        artifacts=recorded.artifacts(source),
    )
