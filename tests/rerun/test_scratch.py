"""The scratch study, under real Optuna trials."""

from __future__ import annotations

import math
import warnings

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from trialbook.records.distributions import distribution_text
from trialbook.records.study import ParamRecord
from trialbook.rerun.order import RecordedTrial
from trialbook.rerun.scratch import (
    RecordedAnswers,
    ReplayPruner,
    ReplaySampler,
    ReplayStopped,
    ScratchStorage,
)

IDENTITY = RecordedTrial("digits", ("maximize",), 37, 4711, {"dataset": "a"}, {})


def recorded(study: optuna.Study, number: int = 0) -> tuple[ParamRecord, ...]:
    """The params of a trial as the book gives them out."""
    trial = study.trials[number]
    return tuple(
        ParamRecord(
            name,
            value,
            trial.distributions[name].to_internal_repr(value),
            distribution_text(trial.distributions[name]),
        )
        for name, value in trial.params.items()
    )


class Scratch:
    def __init__(self, params=(), prune_answers=(), identity=IDENTITY):
        self.reported: list[tuple[int, float]] = []
        self.answers = RecordedAnswers(params, prune_answers)
        self.storage = ScratchStorage(
            identity, self.answers, lambda step, value: self.reported.append((step, value))
        )
        self.study = optuna.Study(
            identity.study, self.storage, ReplaySampler(self.answers), ReplayPruner(self.answers)
        )


def space(trial: optuna.Trial) -> dict[str, object]:
    values: dict[str, object] = {
        "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        "step": trial.suggest_float("step", 0.0, 1.0, step=0.1),
        "depth": trial.suggest_int("depth", 1, 64, log=True),
        "kind": trial.suggest_categorical("kind", ["sgd", "adam", None, True, 3, 0.5]),
        "single": trial.suggest_categorical("single", ["only"]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna remarks on tuples as choices
        values["shape"] = trial.suggest_categorical("shape", [(64, 32), (128,), ()])
    if values["depth"] > 1:
        values["drop"] = trial.suggest_float("drop", 0.0, 0.5)
    return values


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_param_comes_back_as_the_objective_saw_it(seed):
    seen: list[dict[str, object]] = []
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(lambda trial: seen.append(space(trial)) or 0.0, n_trials=1)
    scratch = Scratch(recorded(study))
    again = space(scratch.study.ask())
    assert again == seen[0]
    assert [type(value) for value in again.values()] == [type(v) for v in seen[0].values()]


def test_the_trial_has_the_recorded_number_name_and_directions():
    study = Scratch(identity=RecordedTrial("a/b", ("minimize", "maximize"), 2, 9)).study
    trial = study.ask()
    assert type(trial) is optuna.Trial
    assert (trial.number, trial._trial_id, study.study_name) == (2, 9, "a/b")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    told = study.tell(trial, [1.0, 2.0])
    assert (told.number, told.state, told.values) == (2, TrialState.COMPLETE, [1.0, 2.0])


def test_prune_answers_come_in_order_and_not_beyond_the_record():
    scratch = Scratch(prune_answers=(False, True))
    trial = scratch.study.ask()
    trial.report(1.0, 0)
    assert trial.should_prune() is False
    trial.report(math.nan, 1)
    assert trial.should_prune() is True
    with pytest.raises(ReplayStopped):
        trial.should_prune()
    assert "2 recorded calls" in scratch.answers.stopped
    assert scratch.reported[0] == (0, 1.0)


def test_a_step_that_was_reported_before_is_ignored_as_in_optuna():
    scratch = Scratch()
    trial = scratch.study.ask()
    trial.report(1.0, 0)
    with pytest.warns(UserWarning, match="already reported"):
        trial.report(2.0, 0)
    assert scratch.reported == [(0, 1.0)]


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda t: t.suggest_float("rate", 0, 1), "asked for param 'rate', which the recorded"),
        (lambda t: t.suggest_float("lr", 0, 2), "from another distribution"),
        (lambda t: t.suggest_int("lr", 0, 1), "from another distribution"),
        (lambda t: t.suggest_categorical("new", ["one"]), "asked for param 'new'"),
        (lambda t: t.study.trials, "looked at the study's trials"),
        (lambda t: t.study.best_trial, "looked at the study's trials"),
        (lambda t: t.study.best_value, "looked at the study's trials"),
        (lambda t: t.study.get_trials(states=(TrialState.COMPLETE,)), "looked at the study's"),
        (lambda t: t.study.trials_dataframe(), "looked at the study's trials"),
        (lambda t: t.study.enqueue_trial({"lr": 0.1}), "enqueued another trial"),
        (lambda t: t.study.ask(), "another trial was asked for"),
    ],
)
def test_what_is_not_in_the_record_stops_the_replay_with_the_reason(ask, reason):
    lr = ParamRecord("lr", 0.5, 0.5, distribution_text(FloatDistribution(0, 1)))
    scratch = Scratch((lr,))
    trial = scratch.study.ask()
    with pytest.raises(ReplayStopped):
        try:
            ask(trial)
        except Exception as error:  # an objective that survives what it can catch
            pytest.fail(f"an objective could catch {error!r}")
    assert reason in scratch.answers.stopped


def test_an_objective_that_swallows_the_stop_gets_no_further():
    scratch = Scratch()
    trial = scratch.study.ask()
    for ask in (
        lambda: trial.suggest_float("x", 0, 1),
        lambda: trial.report(1.0, 0),
        lambda: trial.should_prune(),
        lambda: trial.set_user_attr("a", 1),
    ):
        with pytest.raises(ReplayStopped):
            ask()
    assert "param 'x'" in scratch.answers.stopped


def test_a_script_may_look_and_enqueue_before_its_trial():
    scratch = Scratch()
    assert scratch.study.trials == []
    scratch.study.enqueue_trial({"lr": 0.1})
    trial = scratch.study.ask()
    assert trial.number == 37
    assert scratch.answers.stopped is None
    assert any("saw none" in note for note in scratch.answers.notes)


def test_attributes_are_as_recorded_and_can_be_set():
    scratch = Scratch(identity=RecordedTrial("s", ("minimize",), 0, 1, {"d": 1}, {"given": 2}))
    trial = scratch.study.ask()
    assert trial.study.user_attrs == {"d": 1}
    assert trial.user_attrs == {"given": 2}
    trial.set_user_attr("own", [1])
    assert trial.user_attrs == {"given": 2, "own": [1]}
    trial.set_constraint("c", 1.0)
    assert trial.constraints == {"c": 1.0}


def test_distributions_of_every_kind_are_recognised():
    for distribution in (
        FloatDistribution(0.0, 1.0, step=0.25),
        IntDistribution(1, 9, step=2),
        CategoricalDistribution((1, 1.5, "a", None, math.nan)),
    ):
        text = distribution_text(distribution)
        answers = RecordedAnswers((ParamRecord("p", None, 1.0, text),), ())
        assert answers.internal("p", distribution) == 1.0
