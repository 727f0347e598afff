"""Proofs of what is kept: code, data, environment, machines, files, and how whole that is."""

from __future__ import annotations

from collections.abc import Sequence

from trialbook.analysis.compute import ComputeUse
from trialbook.analysis.coordinate_changes import Version
from trialbook.analysis.gaps import Gaps
from trialbook.analysis.trial_numbers import numbers_text
from trialbook.records.code import CodeState
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.records.environment import EnvironmentState
from trialbook.report.proofs.proof import NAMED, TRACK, Proof, chosen_trial, missing
from trialbook.report.source import ReportSource, snapshot_state
from trialbook.report.wording import are, counted

_SHORT = 12


def code(source: ReportSource) -> Proof:
    """The code of all trials, whole: each version that they ran with."""
    state = None if source.shown is None else snapshot_state(source.shown, Kind.CODE, CodeState)
    if source.shown is None or state is None:
        return missing(f"no code is recorded: {TRACK}")
    lacking = _lacking(source, Kind.CODE)
    if lacking:
        return lacking
    versions = source.account.changes.versions[Kind.CODE]
    states = [source.reader.snapshot(one.digest).state_as(CodeState) for one in versions]
    where = f"the code of trial {source.shown.trial.number}"
    if len(versions) > 1:
        where = f"the code of {counted(len(versions), 'version')}"
    without = sum(not entry.embedded for one in states for entry in one.files)
    if without:
        return missing(f"{where} is kept but for {counted(without, 'file')}: release those too")
    if not all(one.loaded for one in states):
        return missing(f"of {where} no loaded file is known: {TRACK}")
    if len(versions) == 1:
        same = _of_all(source, Kind.CODE)
        return Proof(
            f"{same}{where}: {counted(len(state.files), 'file')}, kept in the book with their "
            f"contents, identity {state.identity[:_SHORT]} (section Code, data and environment)"
            f"{_other_objectives(source)}"
        )
    named = [
        f"{_trials(version)} identity {one.identity[:_SHORT]}"
        for version, one in zip(versions, states, strict=True)
    ]
    return Proof(
        f"{len(versions)} different: {_first(named)}; each kept in the book with the contents of "
        "its files (sections Exclusions and Code, data and environment)"
    )


def data(source: ReportSource) -> Proof:
    """Their inputs, with digests."""
    state = None if source.shown is None else snapshot_state(source.shown, Kind.DATA, DataState)
    if state is None:
        return missing(f"no data is recorded: {TRACK}")
    lacking = _lacking(source, Kind.DATA)
    if lacking:
        return lacking
    versions = source.account.changes.versions[Kind.DATA]
    states = [source.reader.snapshot(one.digest).state_as(DataState) for one in versions]
    if not all(one.inputs for one in states):
        return missing("no input is declared: name them in tracked_objective(data={...})")
    unread = sorted({i.name for one in states for i in one.inputs if not i.verified})
    if unread:
        return missing(f"the content of {', '.join(unread)} was never hashed: run with --paranoid")
    if len(versions) > 1:
        named = [
            f"{_trials(version)} {_inputs(one)}"
            for version, one in zip(versions, states, strict=True)
        ]
        return Proof(
            f"{len(versions)} different, with SHA-256: {_first(named)} (section Exclusions)"
        )
    read = f"; {counted(len(state.undeclared), 'file')} more read" if state.undeclared else ""
    same = _of_all(source, Kind.DATA)
    inputs = counted(len(state.inputs), "input")
    return Proof(f"{same}{inputs} with SHA-256: {_inputs(state)}{read}")


def environment(source: ReportSource) -> Proof:
    """Interpreter and packages."""
    shown = source.shown
    state = None if shown is None else snapshot_state(shown, Kind.ENVIRONMENT, EnvironmentState)
    if state is None or not state.packages:
        return missing(f"no environment is recorded: {TRACK}")
    lacking = _lacking(source, Kind.ENVIRONMENT)
    if lacking:
        return lacking
    python = state.interpreter
    others = source.account.changes.changed((Kind.ENVIRONMENT,))
    return Proof(
        f"{python.implementation} {python.version} and all {len(state.packages)} installed "
        f"distributions with versions, {sum(p.record_digest is not None for p in state.packages)} "
        f"of them with digests; {counted(len(state.lock_files), 'lock file')}"
        + (f"; {counted(others, 'trial')} had another (section Exclusions)" if others else "")
    )


def hardware(use: ComputeUse) -> Proof:
    """The machines of all attempts."""
    known = [host for host in use.hosts if host.hardware]
    if not known or len(known) < len(use.hosts):
        return missing(f"the machines of some attempts are not recorded: {TRACK}")
    return Proof(f"processors and GPUs of {counted(len(known), 'host')} (section Compute)")


def coverage(gaps: Gaps) -> Proof:
    """Whether all coordinates of all trials are recorded."""
    if not gaps.tracked or gaps.untracked > 0:
        return missing(f"{counted(gaps.untracked, 'trial')} ran untracked: {TRACK}")
    partial = [str(kind) for kind in Kind if not gaps.complete(kind)]
    if partial:
        return missing(
            f"{', '.join(partial)} {are(len(partial))} not complete in some "
            "trials: the section What was not recorded has the reasons"
        )
    return Proof(f"all five coordinates of all {counted(gaps.tracked, 'trial')} are complete")


def artifacts(source: ReportSource) -> Proof:
    """Files that the selected trial kept."""
    found = source.selected or source.front_first
    attempt = None if found is None else found.trial.attempt
    if found is None or attempt is None or not attempt.artifacts:
        return missing(
            f"{chosen_trial(source)} kept no file: keep its model with trial.log_artifact"
        )
    kept = counted(len(attempt.artifacts), "file")
    return Proof(f"{kept} of trial {found.trial.number}, by SHA-256")


def _lacking(source: ReportSource, kind: Kind) -> Proof | None:
    """That a coordinate is not recorded of every trial that began; ``None`` when it is."""
    gaps, unknown = source.account.gaps, source.account.changes.unknown.get(kind, ())
    without = gaps.untracked + len(unknown)
    if not without:
        return None
    return missing(f"{kind} is not recorded of {counted(without, 'trial')}: {TRACK}")


def _of_all(source: ReportSource, kind: Kind) -> str:
    """That all trials ran with one version; nothing where there is one trial alone."""
    count = sum(len(one.trials) for one in source.account.changes.versions[kind])
    return f"the same in all {count} trials, " if count > 1 else ""


def _other_objectives(source: ReportSource) -> str:
    """How many trials ran another function of the same code; empty when none did."""
    trials = source.account.changes.of_another_problem(())
    if not trials:
        return ""
    return f"; {counted(trials, 'trial')} ran another objective of it (section Exclusions)"


def _trials(version: Version) -> str:
    one = len(version.trials) == 1
    return f"{'trial' if one else 'trials'} {numbers_text(version.trials, NAMED)}"


def _inputs(state: DataState) -> str:
    named = ", ".join(f"{one.name} {one.digest[:_SHORT]}" for one in state.inputs[:NAMED])
    more = f" and {len(state.inputs) - NAMED} more" if len(state.inputs) > NAMED else ""
    return f"{named}{more}"


def _first(named: Sequence[str]) -> str:
    more = f", and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{', '.join(named[:NAMED])}{more}"
