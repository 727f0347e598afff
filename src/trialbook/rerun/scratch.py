"""The scratch study on which a recorded trial is replayed: its answers, storage, sampler, pruner.

A real ``optuna.Trial`` of the recorded number lives on an in-memory storage that holds one study
and one trial. What it suggests and whether it prunes is what the book says; nothing is searched.
Where the objective leaves the record, :class:`ReplayStopped` unwinds it and the reason is kept.
Running the objective is in ``replay.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trialbook.book.texts import checked_name, json_text
from trialbook.records.distributions import distribution_text
from trialbook.records.study import ParamRecord
from trialbook.rerun.compare import same_distribution
from trialbook.rerun.order import RecordedTrial
from trialbook.running.one_by_one import OneByOneSampler

_STUDY_ID = 0


class ReplayStopped(BaseException):
    """The objective left the record; not an ``Exception``, so that no objective handles it."""


class RecordedAnswers:
    """What the book answers to the objective's questions, and where the record was left.

    Args:
        params: The recorded params.
        prune_answers: Each recorded answer of ``should_prune``, in order.
    """

    def __init__(self, params: Sequence[ParamRecord], prune_answers: Sequence[bool]) -> None:
        self._params = {param.name: param for param in params}
        self._prune_answers = tuple(prune_answers)
        self._asked_to_prune = 0
        self.stopped: str | None = None
        self.notes: list[str] = []

    def stop(self, reason: str) -> NoReturn:
        """Unwind the objective; the first reason is the one that counts.

        Raises:
            ReplayStopped: Always.
        """
        if self.stopped is None:
            self.stopped = reason
        raise ReplayStopped(self.stopped)

    def note(self, text: str) -> None:
        """Keep a remark for the report, once."""
        if text not in self.notes:
            self.notes.append(text)

    def internal(self, name: str, distribution: BaseDistribution) -> float:
        """The recorded internal value of a param.

        Raises:
            ReplayStopped: The recorded trial asked for no such param, or from another
                distribution.
        """
        if self.stopped is not None:
            self.stop(self.stopped)
        param = self._params.get(name)
        if param is None:
            recorded = ", ".join(self._params) or "none"
            self.stop(
                f"the objective asked for param {name!r}, which the recorded trial never asked "
                f"for (it asked for: {recorded})"
            )
        asked = distribution_text(distribution)
        if not same_distribution(param.distribution, asked):
            self.stop(
                f"the objective asked for param {name!r} from another distribution: "
                f"{asked}, recorded {param.distribution}"
            )
        return param.internal

    def prune(self) -> bool:
        """The next recorded answer of ``should_prune``.

        Raises:
            ReplayStopped: The recorded trial asked no further time.
        """
        if self.stopped is not None:
            self.stop(self.stopped)
        index = self._asked_to_prune
        if index == len(self._prune_answers):
            self.stop(
                f"the objective called should_prune a time more than recorded "
                f"({index} recorded calls)"
            )
        self._asked_to_prune += 1
        return self._prune_answers[index]


class ReplaySampler(OneByOneSampler):
    """Feeds the recorded internal values through the distribution that the objective asks with."""

    def __init__(self, answers: RecordedAnswers) -> None:
        self._answers = answers

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The recorded value as the objective saw it, tuples and all."""
        internal = self._answers.internal(param_name, param_distribution)
        return param_distribution.to_external_repr(internal)


class ReplayPruner(optuna.pruners.BasePruner):
    """Answers each ``should_prune`` as recorded, whatever was reported."""

    def __init__(self, answers: RecordedAnswers) -> None:
        self._answers = answers

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """The next recorded answer."""
        return self._answers.prune()


class ScratchStorage(BaseStorage):
    """One study and one trial in memory, with the recorded name and number.

    Until the trial exists the study looks new: scripts count or list its trials before they go
    on. Once the trial runs, other trials cannot be looked at or made, because what the recorded
    trial saw of them is not known.

    Args:
        trial: Which trial of which study.
        answers: Where leaving the record is told.
        report: Called with step and value of each ``trial.report`` that counts.
    """

    def __init__(
        self,
        trial: RecordedTrial,
        answers: RecordedAnswers,
        report: Callable[[int, float], None],
    ) -> None:
        self._identity = trial
        self._answers = answers
        self._report = report
        self._trial: FrozenTrial | None = None
        self._study_user_attrs = dict(trial.study_attrs)
        self._study_system_attrs: dict[str, Any] = {}

    # The study.

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """The one study, when it is asked for by its name."""
        if study_name is not None and study_name != self._identity.study:
            self._answers.stop(f"another study was created in the same storage: {study_name!r}")
        return _STUDY_ID

    def delete_study(self, study_id: int) -> None:
        """Ignored before the trial, which starts from nothing anyway."""
        if self._trial is not None:
            self._answers.stop("the objective deleted its study")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Kept in memory."""
        self._study_user_attrs = {**self._study_user_attrs, key: value}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Kept in memory."""
        self._study_system_attrs = {**self._study_system_attrs, key: value}

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of the one study."""
        if study_name != self._identity.study:
            raise KeyError(f"No such study {study_name}.")
        return _STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """The recorded name."""
        return self._identity.study

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The recorded directions."""
        return [StudyDirection[direction.upper()] for direction in self._identity.directions]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The recorded attributes, with what was set since."""
        return self._study_user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What was set since the process started."""
        return self._study_system_attrs

    def get_all_studies(self) -> list[Any]:
        """Other studies of the book are not known here."""
        self._answers.stop("the studies of the storage were listed")

    # The trial.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin the one trial; templates (enqueued trials) before it are ignored."""
        if template_trial is not None:
            if self._trial is not None:
                self._answers.stop("the objective added or enqueued another trial")
            return -1
        if self._trial is not None:
            self._answers.stop("another trial was asked for before the replayed one ended")
        self._trial = FrozenTrial(
            trial_id=self._identity.trial_id,
            number=self._identity.number,
            state=TrialState.RUNNING,
            params={},
            distributions={},
            user_attrs=dict(self._identity.attrs),
            system_attrs={},
            value=None,
            intermediate_values={},
            datetime_start=datetime.now(),  # noqa: DTZ005 (as Optuna keeps it)
            datetime_complete=None,
        )
        return self._identity.trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep a param; one that no sampler saw (a single choice) must be in the record too."""
        self._answers.internal(param_name, distribution)
        trial = self._updatable(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """End the trial."""
        trial = self._updatable(trial_id)
        if state == TrialState.RUNNING:
            return False
        trial.state = state
        if values is not None:
            trial.values = list(values)
        trial.datetime_complete = datetime.now()  # noqa: DTZ005 (as Optuna keeps it)
        return True

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Keep a reported point, and pass it on to the results."""
        trial = self._updatable(trial_id)
        self._report(step, intermediate_value)
        trial.intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Kept in memory; what the book refuses is refused alike."""
        json_text(value, f"the attribute {checked_name(key, 'an attribute')!r}")
        self._updatable(trial_id).user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Kept in memory."""
        self._updatable(trial_id).system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A copy of the one trial; another one's content is not known."""
        return copy.deepcopy(self._held(trial_id))

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """The id of the one trial."""
        if self._trial is None or trial_number != self._identity.number:
            raise KeyError(f"No trial with trial number {trial_number} exists.")
        return self._identity.trial_id

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """No trials before the replayed one; during it, they cannot be known."""
        if states == (TrialState.WAITING,):
            return []  # Optuna's own look for enqueued trials, when one is asked for
        if self._trial is not None:
            self._answers.stop(
                "the objective looked at the study's trials (such as study.trials or "
                "study.best_trial), and what it saw then was not recorded"
            )
        self._answers.note("the script looked at the study's trials before this one and saw none")
        return []

    def _held(self, trial_id: int) -> FrozenTrial:
        if self._trial is None or trial_id != self._identity.trial_id:
            raise KeyError(f"No trial with trial_id {trial_id} exists.")
        return self._trial

    def _updatable(self, trial_id: int) -> FrozenTrial:
        trial = self._held(trial_id)
        if self._answers.stopped is not None:
            self._answers.stop(self._answers.stopped)
        self.check_trial_is_updatable(trial_id, trial.state)
        return trial
