"""Samplers and pruners over trials that were lost with their process and tried again.

The processes are real and are killed; how far a trial had come by then is chosen. A search whose
trials are lost now and then is held against one in which none is.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal
from uuid import uuid4

import optuna
import pytest
from optuna.trial import TrialState

from trialbook import tracked_objective
from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.retrying import Fate
from trialbook.book.storage import BookStorage
from trialbook.book.verification import verify
from trialbook.records.config import ComponentSettings, SearchSettings
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.running.isolation import forked
from trialbook.running.run import RunEnd
from trialbook.running.study import Study, create_study, load_study

Moment = Literal["claimed", "begun", "sampled", "half", "all"]
"""How far a trial was when its process died.

Claimed and no more; its coordinates committed; asked for params of which none reached the book;
the first param in the book and the second not; everything in the book but the result.
"""
MOMENTS: tuple[Moment, ...] = ("claimed", "begun", "sampled", "half", "all")

Objective = Callable[[optuna.Trial], float]

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:Argument:FutureWarning"
)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if getattr(request, "param", "sqlite") == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        return found
    return f"sqlite:///{tmp_path / 'book.db'}"


class Search:
    """A study on a book, worked at by one process at a time, of which some are killed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.storage = BookStorage(url)

    def create(self, sampler: ComponentSettings, name: str = "s", **more: Any) -> Study:
        search = SearchSettings(sampler=sampler, pruner=more.pop("pruner", None), seed=5)
        spec = StudySpec(search=search, retries=RetryBudgets(lost=99, backoff_s=0.0))
        return create_study(storage=self.storage, study_name=name, spec=spec, **more)

    def complete(self, study: Study, objective: Objective, trials: int = 1) -> Study:
        """Run trials to their ends, as another worker would."""
        storage = BookStorage(self.url, create=False)
        try:
            again = load_study(study_name=study.study_name, storage=storage)
            for _ in range(trials):
                _run(storage, again, objective, lease_s=60.0)
        finally:
            storage.close()  # no thread of it is there when the next process is forked
        return again

    def lose(self, study: Study, objective: Objective) -> None:
        """Claim a trial in another process, which kills itself in the objective."""
        pid = forked()
        if pid == 0:
            signal.alarm(60)
            try:
                storage = BookStorage(self.url, create=False)
                again = load_study(study_name=study.study_name, storage=storage)
                # Leases are written as over already, so that nobody has to wait for their end.
                _run(storage, again, objective, lease_s=-1.0)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL

    def lose_at(self, study: Study, moment: Moment) -> None:
        def lost(trial: optuna.Trial) -> float:
            _write_nothing_by_itself()
            for at in MOMENTS[1:]:
                if at == "sampled":
                    trial.suggest_float("x", 0, 1)
                elif at == "half":
                    _held(trial).flush()
                    trial.suggest_float("y", -1, 1)
                elif at == "all":
                    trial.report(1.0, 3)
                    trial.set_user_attr("of the lost", True)
                    trial.set_constraint("c", 1e9)
                    _held(trial).flush()
                if at == moment:
                    break
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        if moment == "claimed":
            claim = self.storage.claim(study._study_id, holder=_holder(self.storage, study, -1.0))
            assert isinstance(claim, Claim)
        else:
            self.lose(study, lost)

    def give_back(self, study: Study) -> None:
        """What any worker does with leases that are over."""
        deadline = time.monotonic() + 20
        while not self.storage.reap(study._study_id):
            assert time.monotonic() < deadline


def _holder(storage: BookStorage, study: Study, lease_s: float) -> Holder:
    worker = WorkerIdentity(uuid4().hex, "here", os.getpid())
    storage.leases.register(worker, study._study_id)
    return Holder(worker, lease_s)


def _run(storage: BookStorage, study: Study, objective: Objective, lease_s: float) -> None:
    claim = storage.claim(study._study_id, holder=_holder(storage, study, lease_s))
    assert isinstance(claim, Claim)

    def tracked(trial: optuna.Trial) -> float:
        storage.begin_attempt(
            trial._trial_id, snapshots=[], seeds=Seeds(trial=1), claimed=claim.attempt
        )
        return objective(trial)

    study.run_claimed(claim.trial_id, tracked)


def _write_nothing_by_itself() -> None:
    """In a process that is about to die: only what it flushes reaches the book."""
    Attempt.due = lambda self, now: False  # type: ignore[method-assign]


def _held(trial: optuna.Trial) -> Attempt:
    attempt = trial.storage.held_attempt(trial._trial_id)
    assert attempt is not None
    return attempt


@pytest.fixture
def search(url: str) -> Iterator[Search]:
    search = Search(url)
    yield search
    assert list(verify(search.storage.book).mismatches) == []
    search.storage.close()


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    y = trial.suggest_float("y", -1, 1)
    trial.set_constraint("c", x - 0.7)
    return (x - 0.3) ** 2 + (y - 0.1) ** 2


SAMPLERS = {
    "CmaEsSampler": {"n_startup_trials": 2, "popsize": 4, "warn_independent_sampling": False},
    "NSGAIISampler": {"population_size": 4},
    "RandomSampler": {},
    "TPESampler": {"n_startup_trials": 3, "multivariate": True, "constant_liar": True},
}


def _told(study: Study) -> list[Any]:
    return [(t.number, t.state, t.params, t.values, t.constraints) for t in study.trials]


@pytest.mark.parametrize(
    ("url", "name"),
    [*(("sqlite", name) for name in sorted(SAMPLERS)), ("postgresql", "TPESampler")],
    indirect=["url"],
)
def test_a_search_that_loses_trials_samples_what_one_without_losses_samples(
    search: Search, name: str
) -> None:
    settings = ComponentSettings(name, SAMPLERS[name])
    calm = search.create(settings, "calm")
    search.complete(calm, objective, 16)

    study = search.create(settings)
    for number in range(16):
        if number % 3 == 1:
            moment = MOMENTS[number // 3 % len(MOMENTS)]
            search.lose_at(study, moment)
            search.give_back(study)
            waiting = study.trials[number]
            assert waiting.state is TrialState.WAITING
            assert len(waiting.params) == {"half": 1, "all": 2}.get(moment, 0)
            assert (waiting.constraints, waiting.user_attrs) == ({}, {})
            assert waiting.intermediate_values == {}
        search.complete(study, objective)
    assert _told(study) == _told(calm)
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert _attrs(study) == _attrs(calm)


def _attrs(study: Study) -> list[dict[str, Any]]:
    """System attributes, without the ids of trials and the text of pickled state."""
    return [
        {
            key: None if key.startswith("cma:optimizer") else value
            for key, value in trial.system_attrs.items()
            if "parents" not in key
        }
        for trial in study.trials
    ]


def test_a_grid_covers_each_point_once(search: Search) -> None:
    points = {"x": [0.0, 0.5, 1.0], "y": [-1.0, 0.0, 1.0]}
    study = search.create(ComponentSettings("GridSampler", {"search_space": points}))
    for number in range(9):
        if number < len(MOMENTS):
            search.lose_at(study, MOMENTS[number])
            search.give_back(study)
        if number == 6:  # comes back when all others are done
            search.lose_at(study, "half")
        else:
            assert not search.complete(study, objective)._stop_flag
    search.give_back(study)
    assert search.complete(study, objective)._stop_flag
    counts = Counter((trial.params["x"], trial.params["y"]) for trial in study.trials)
    assert counts == Counter((x, y) for x in points["x"] for y in points["y"])


@pytest.mark.slow
def test_a_run_covers_a_grid_once_when_a_point_comes_back_last(lab: Any) -> None:
    lab.write(
        """
        import os, pathlib, signal
        def objective(trial):
            x, y = trial.suggest_int("x", 1, 2), trial.suggest_int("y", 1, 2)
            mark = pathlib.Path(__file__).with_name("killed")
            if trial.number == 2 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return x * y
        """
    )
    outcome = lab.run(
        "sampler: {name: GridSampler, settings: {search_space: {x: [1, 2], y: [1, 2]}}}\n"
        "workers: 2\nisolation: none\nretries: {backoff_s: 2}"
    )
    assert outcome.end is RunEnd.STOPPED
    trials = lab.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 4
    assert trials[2].attempt.number == 2
    points = Counter(tuple(param.value for param in trial.params) for trial in trials)
    assert points == Counter([(1, 1), (1, 2), (2, 1), (2, 2)])


@pytest.mark.slow
def test_a_run_covers_a_grid_to_which_trials_were_added(lab: Any) -> None:
    lab.write("def objective(trial):\n    return trial.suggest_int('x', 1, 3)\n")
    grid = ComponentSettings("GridSampler", {"search_space": {"x": [1, 2, 3]}})
    spec = StudySpec(search=SearchSettings(sampler=grid))
    study = create_study(storage=str(lab.book), study_name="s", spec=spec)
    study.enqueue_trial({"x": 2})
    study._storage.close()
    assert lab.run("isolation: none").end is RunEnd.STOPPED
    points = {trial.params[0].value for trial in lab.trials()[1:]}
    assert points == {1, 2, 3}


def test_an_enqueued_trial_keeps_what_it_was_given(search: Search) -> None:
    calm = search.create(ComponentSettings("RandomSampler"), "calm")
    study = search.create(ComponentSettings("RandomSampler"))
    for each in (calm, study):
        for x in (0.25, 0.75):
            each.enqueue_trial({"x": x}, user_attrs={"why": "a guess"})
    for moment in ("sampled", "half"):
        search.lose_at(study, moment)
        search.give_back(study)
        search.complete(study, objective)
        search.complete(calm, objective)
    assert [trial.params["x"] for trial in study.trials] == [0.25, 0.75]
    assert _told(study) == _told(calm)


def test_successive_halving_judges_a_retried_trial_anew(search: Search) -> None:
    def judged(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        for step in range(1, 9):
            value = (trial.number * 5 % 7) + 1 / step
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    def lost(trial: optuna.Trial) -> float:
        _write_nothing_by_itself()
        for step in range(1, 9):
            trial.report(-100.0, step)
            assert not trial.should_prune()
        _held(trial).flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    pruner = ComponentSettings(
        "SuccessiveHalvingPruner", {"min_resource": 1, "reduction_factor": 2}
    )
    calm = search.create(ComponentSettings("RandomSampler"), "calm", pruner=pruner)
    search.complete(calm, judged, 14)
    study = search.create(ComponentSettings("RandomSampler"), pruner=pruner)
    for number in range(14):
        if number % 4 == 2:
            search.lose(study, lost)
            assert "completed_rung_2" in study.trials[number].system_attrs
            search.give_back(study)
            assert study.trials[number].system_attrs == {}
        search.complete(study, judged)
    assert _told(study) == _told(calm)
    assert [t.intermediate_values for t in study.trials] == [
        t.intermediate_values for t in calm.trials
    ]
    assert _attrs(study) == _attrs(calm)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_the_constant_liar_sees_a_retried_trial_with_its_params(search: Search) -> None:
    settings = ComponentSettings("TPESampler", {"n_startup_trials": 3, "constant_liar": True})

    def next_params(name: str, moment: Moment, retried: bool) -> dict[str, Any]:
        """What is suggested while trial 8 runs that was lost at some moment."""
        study = search.create(settings, name)
        search.complete(study, objective, 8)
        search.lose_at(study, moment)
        if retried:
            search.give_back(study)
            claim = search.storage.claim(
                study._study_id, holder=_holder(search.storage, study, 60.0)
            )
            assert isinstance(claim, Claim)
            assert claim.number == 8
        search.complete(study, objective)
        assert study.trials[8].state is TrialState.RUNNING
        return study.trials[9].params

    never_lost = next_params("never lost", "all", retried=False)
    assert next_params("retried", "all", retried=True) == never_lost
    assert next_params("without params", "begun", retried=True) != never_lost


@pytest.mark.parametrize("moment", ["half", "all"])
def test_cma_es_goes_on_when_a_trial_of_an_earlier_generation_comes_back(
    search: Search, moment: Moment
) -> None:
    settings = ComponentSettings("CmaEsSampler", SAMPLERS["CmaEsSampler"])
    study = search.create(settings)
    search.complete(study, objective, 4)
    search.lose_at(study, moment)
    search.complete(study, objective, 8)
    before = study.trials[4]
    search.give_back(study)
    search.complete(study, objective, 6)
    generations = [trial.system_attrs.get("cma:generation") for trial in study.trials]
    counts = Counter(generations)
    assert study.trials[4].params["x"] == before.params["x"]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    # Each generation but the last is as large as it should be; the late one makes no other wait.
    if moment == "all":
        assert study.trials[4].params == before.params
        assert (generations[4], counts[0]) == (0, 5)
    else:
        assert generations[4] == 2
        assert counts[0] == 4
    assert (counts[1], counts[2], counts[3]) == (4, 4, len(study.trials) - 2 - counts[0] - 8)


def test_a_tracked_objective_is_given_the_same_params_again(search: Search) -> None:
    calm = search.create(ComponentSettings("RandomSampler"), "calm")
    calm.optimize(objective, n_trials=1)

    study = search.create(ComponentSettings("RandomSampler"))
    pid = forked()
    if pid == 0:
        try:
            again = load_study(study_name="s", storage=BookStorage(search.url, create=False))
            again.optimize(_lost_between_two_params, n_trials=1)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    (trial,) = study.trials
    assert list(trial.params) == ["x"]
    fate = search.storage.end_dead_attempt(
        trial._trial_id, OutcomeState(EndReason.LOST, signal="SIGKILL", died=True)
    )
    assert fate is Fate.RETRIED
    study.optimize(tracked_objective(objective), n_trials=1)
    assert _told(study) == _told(calm)
    first, second = Reader(search.storage.book).trial("s/0").attempts
    assert first.seeds is not None
    assert first.seeds == second.seeds


@tracked_objective
def _lost_between_two_params(trial: optuna.Trial) -> float:
    _write_nothing_by_itself()
    trial.suggest_float("x", 0, 1)
    _held(trial).flush()
    trial.suggest_float("y", -1, 1)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0
