"""From records to a plan: everything that a rerun needs, and everything that would stop it.

Pure: the records go in, values come out. What has to be looked up on this machine (data files,
restored code, environment) is decided in ``inputs.py``, ``restore.py`` and ``run.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trialbook.errors import RerunError
from trialbook.records.code import CodeState, EntryPoint
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.data import DataState
from trialbook.records.environment import EnvironmentState
from trialbook.records.execution import EndReason, LaunchState, Seeds
from trialbook.records.recorded_command import RecordedCommand, recorded_command
from trialbook.records.study import AttemptRecord, ParamRecord, StudyRecord, TrialRecord

FIXED_PARAMS = "fixed_params"
"""Optuna's system attribute of a trial that was enqueued."""

_OWN_ENDS = (EndReason.COMPLETE, EndReason.PRUNED, EndReason.FAILED)


@dataclass(frozen=True, slots=True)
class RecordedStates:
    """The states of an attempt's five coordinates."""

    code: CodeState
    data: DataState
    config: ConfigState
    environment: EnvironmentState
    launch: LaunchState


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """What is to be run again, and as what.

    Args:
        reference: ``STUDY/NUMBER``.
        attempt_id: The attempt that counts.
        trial: The trial as recorded.
        study: Its study as recorded.
        attempt: The attempt as recorded.
        seeds: Its seeds.
        states: What its coordinates were.
        command: The recorded command line.
        cautions: What may keep the rerun from coming out the same, one sentence each.
    """

    reference: str
    trial: TrialRecord
    study: StudyRecord
    attempt: AttemptRecord
    seeds: Seeds
    states: RecordedStates
    command: RecordedCommand
    cautions: tuple[str, ...] = ()

    @property
    def entry(self) -> EntryPoint:
        """How the objective is found."""
        return self.states.launch.entry

    @property
    def params(self) -> tuple[ParamRecord, ...]:
        """The recorded params."""
        return self.trial.params

    @property
    def initial_attrs(self) -> Mapping[str, Any]:
        """User attributes that the trial had when it started.

        An enqueued trial may have been given some, and they cannot be told from those that the
        objective set; any other trial starts with none.
        """
        return self.trial.user_attrs if FIXED_PARAMS in self.trial.system_attrs else {}


def rerun_plan(
    study: StudyRecord, trial: TrialRecord, snapshots: Mapping[Kind, Snapshot]
) -> RerunPlan:
    """The plan for running a recorded trial again.

    Args:
        study: The study.
        trial: The trial.
        snapshots: Those of the attempt that counts; absent ones are left out.

    Raises:
        RerunError: It cannot be run again; the message has every reason.
    """
    attempt = trial.attempt
    problems = list(_problems(trial, attempt, snapshots))
    if problems or attempt is None or attempt.seeds is None:
        raise RerunError(
            f"trial {trial.reference} cannot be run again: " + "; ".join(problems),
            hint=f"see what is recorded with 'trialbook show {trial.reference}'",
        )
    states = RecordedStates(
        code=snapshots[Kind.CODE].state_as(CodeState),
        data=snapshots[Kind.DATA].state_as(DataState),
        config=snapshots[Kind.CONFIG].state_as(ConfigState),
        environment=snapshots[Kind.ENVIRONMENT].state_as(EnvironmentState),
        launch=snapshots[Kind.EXECUTION].state_as(LaunchState),
    )
    return RerunPlan(
        reference=trial.reference,
        trial=trial,
        study=study,
        attempt=attempt,
        seeds=attempt.seeds,
        states=states,
        command=recorded_command(states.launch.argv),
        cautions=(*_cautions(states, attempt.seeds), *_cautions_of_earlier(trial, attempt)),
    )


def _problems(
    trial: TrialRecord, attempt: AttemptRecord | None, snapshots: Mapping[Kind, Snapshot]
) -> Iterator[str]:
    """Why a trial cannot be run again."""
    if trial.state in ("RUNNING", "WAITING"):
        yield f"it is {trial.state}, so there is nothing yet to compare with"
        return
    if attempt is None:
        yield "it was never executed under tracking"
        return
    missing = [kind.value for kind in Kind if kind not in snapshots]
    if missing:
        yield f"its objective was not tracked (no {', '.join(missing)} recorded)"
    if attempt.seeds is None:
        yield "no seeds are recorded"
    if attempt.end_reason not in _OWN_ENDS:
        reason = attempt.end_reason.value if attempt.end_reason else "unknown"
        yield f"its attempt did not come to an end of its own ({reason})"
    elif attempt.outcome is not None and attempt.outcome.signal is not None:
        yield f"its process was killed by {attempt.outcome.signal}"
    launch = snapshots.get(Kind.EXECUTION)
    if launch is not None:
        entry = launch.state_as(LaunchState).entry
        if entry.how == "none":
            yield f"its objective cannot be found again: {entry.reason}"


def _cautions_of_earlier(trial: TrialRecord, attempt: AttemptRecord) -> Iterator[str]:
    """What the attempts that this one continues had otherwise: a rerun is this one's alone."""
    for earlier in trial.continued:
        others = [
            kind.value
            for kind in (Kind.CODE, Kind.DATA, Kind.CONFIG, Kind.ENVIRONMENT)
            if earlier.coordinates.of(kind) != attempt.coordinates.of(kind)
        ]
        if others:
            named = ", ".join(others)
            yield (
                f"attempt {attempt.number} went on from a checkpoint of attempt {earlier.number}, "
                f"of which other {named} {'is' if len(others) == 1 else 'are'} recorded"
            )
        if earlier.seeds != attempt.seeds:
            yield f"attempt {earlier.number}, which it continues, was seeded otherwise"


def _cautions(states: RecordedStates, seeds: Seeds) -> Iterator[str]:
    """What may keep a rerun from coming out the same."""
    if states.config.redacted:
        keys = ", ".join(states.config.redacted)
        yield f"credentials were left out of the recorded config ({keys})"
    if states.launch.redacted and states.launch.entry.how == "script":
        places = ", ".join(states.launch.redacted)
        yield f"credentials were left out of the recorded command line ({places})"
    if not seeds.set_globals:
        yield "global random generators were not seeded (trials ran side by side in threads)"
    if states.environment.interpreter.hash_seed == "random":
        yield "the recorded process hashed text with a random seed (PYTHONHASHSEED was not set)"
