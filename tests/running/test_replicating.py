"""Replicates: placed once each, under seeds that the configurations share, run by any worker."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from trialbook import analysis
from trialbook.book.book import Book
from trialbook.book.copying import copy_study
from trialbook.book.reading import Reader
from trialbook.book.removal import remove_trial
from trialbook.book.replicates import link, linked_studies, replicates
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    BadReferenceError,
    InvalidInputError,
    SettingsDifferError,
    UntrustedCodeError,
)
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.records.replicates import REPLICATE, replicate_of
from trialbook.records.study import TrialRecord
from trialbook.records.workers import Claim, Holder, WorkerIdentity
from trialbook.rerun.run import rerun
from trialbook.running.joining import JoinOptions, join_study
from trialbook.running.replicating.replicate import (
    ReplicateOptions,
    ReplicationRun,
    replicate_as_asked,
)
from trialbook.running.study import create_study, load_study
from trialbook.tracking.objective import tracked_objective

from .conftest import Heard, Lab

# Optuna warns of choices that are tuples, and takes them.
pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical")

OBJECTIVE = """
    import random
    import numpy as np
    import optuna
    from trialbook import tracked_objective

    @tracked_objective(seed=3)
    def objective(trial):
        kind = trial.suggest_categorical("kind", [(1, 2), "b"])
        rate = trial.suggest_float("rate", 1e-3, 1, log=True)
        width = trial.suggest_int("width", 1, 3) if kind == "b" else 0
        noise = trial.rng.normal() + np.random.normal() + random.random()
        for step in range(3):
            trial.log({"noise": noise, "seed": trial.seed}, step=step)
            trial.report(1e9 if trial.number == 0 else noise, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return rate + width + 0.1 * noise
"""
SETTINGS = """
    seed: 5
    budget: {trials: 5}
    isolation: none
    sampler: RandomSampler
    pruner: {name: ThresholdPruner, settings: {upper: 1.0e+6}}
    default: {kind: b, rate: 0.1, width: 2}
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a book in which ``s`` was searched."""
    lab = Lab(tmp_path_factory.mktemp("searched"))
    lab.write(OBJECTIVE)
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp("home")))
        lab.run(SETTINGS)
    return lab.place


class Replicating(Lab):
    """A copy of the book that was searched, from another home: the study is to be trusted."""

    def __init__(self, place: Path, searched: Path) -> None:
        super().__init__(place)
        for file in searched.glob("book.db*"):
            if file.is_file():
                shutil.copyfile(file, place / file.name)
            else:
                shutil.copytree(file, place / file.name)

    def replicate(self, reference: str = "s/best", **options: Any) -> ReplicationRun:
        join = {"trust": True, "workers": options.pop("workers", 1), **options.pop("join", {})}
        options.setdefault("place_only", True)
        self.heard = Heard()
        asked = ReplicateOptions(
            reference, join=JoinOptions("", storage=str(self.book), **join), **options
        )
        return replicate_as_asked(asked, self.heard)

    def storage(self) -> BookStorage:
        return BookStorage(str(self.book), create=False)


@pytest.fixture
def replicating(tmp_path: Path, searched: Path) -> Replicating:
    return Replicating(tmp_path, searched)


def marks(trials: list[TrialRecord]) -> list[tuple[str, int, int]]:
    """Configuration, number of the seed and seed of each replicate."""
    found = [replicate_of(trial.system_attrs) for trial in trials]
    return [(mark.configuration.name, mark.index, mark.seed) for mark in found if mark is not None]


def seed_of(trial: TrialRecord) -> int:
    assert trial.attempt is not None
    assert trial.attempt.seeds is not None
    return trial.attempt.seeds.trial


def test_what_no_worker_can_import_is_refused_before_anything_is_placed(tmp_path: Path):
    url = str(tmp_path / "book.db")
    storage = BookStorage(url)
    create_study(study_name="s", storage=storage).optimize(
        tracked_objective()(lambda trial: trial.suggest_float("x", 0, 1)), n_trials=1
    )
    storage.close()
    with pytest.raises(InvalidInputError, match="cannot import its objective: it is a lambda, and"):
        replicate_as_asked(ReplicateOptions("s/best", join=JoinOptions("", storage=url)))
    assert [study.name for study in analysis.studies(storage=url)] == ["s"]


def test_replicates_run_whole_under_shared_fresh_seeds_and_are_added_to(replicating: Replicating):
    done = replicating.replicate(seeds=2, also=("default", "best:2"), place_only=False)
    source, trials = replicating.trials(), replicating.trials("s.replicates")
    assert (done.study, done.added, done.total, done.left) == ("s.replicates", 6, 6, 0)
    assert [trial.state for trial in trials] == ["COMPLETE"] * 6  # trial 0 too: nothing is pruned
    placed = marks(trials)
    assert [(name, index) for name, index, _ in placed] == [
        (name, index) for index in (0, 1) for name in ("best", "default", "best:2")
    ]
    assert [seed_of(trial) for trial in trials] == [seed for *_, seed in placed]
    seeds = {index: seed for _, index, seed in placed}
    assert len({*seeds.values(), *map(seed_of, source)}) == 2 + len(source)
    assert all(seed == seeds[index] for _, index, seed in placed)

    ranked = sorted((t for t in source if t.values), key=lambda trial: trial.values or ())
    params = [{param.name: param.value for param in trial.params} for trial in trials]
    assert params[0] == params[3] == {param.name: param.value for param in ranked[0].params}
    assert params[1] == params[4] == {"kind": "b", "rate": 0.1, "width": 2}
    noise = [[s.last for s in trial.series if s.metric == "noise"] for trial in trials]
    assert noise[0] == noise[1] == noise[2] != noise[3]  # every generator follows the seed

    # The same again does nothing; more seeds are added, and whoever joins runs them.
    assert replicating.replicate(seeds=2, also=("default", "best:2"), place_only=False).added == 0
    assert replicating.heard.trials == []
    more = replicating.replicate(f"s/{ranked[0].number}", seeds=3)
    assert (more.added, more.total, more.left) == (1, 7, 1)
    joined = join_study(JoinOptions("s.replicates", str(replicating.book), trust=True))
    assert [(trial.number, trial.state) for trial in joined.trials] == [(6, "COMPLETE")]
    assert marks(replicating.trials("s.replicates"))[:6] == placed

    # A replicate is a trial like any other: its rerun has its seed.
    report = rerun("s.replicates/1", storage=replicating.book, trust=True)
    assert report.verdict.value == "identical", report


def test_an_abandoned_or_deleted_replicate_is_placed_again_with_its_seed(replicating: Replicating):
    replicating.replicate(seeds=3)
    first, second, third = replicating.trials("s.replicates")
    storage = replicating.storage()
    study_id = storage.get_study_id_from_name("s.replicates")
    holder = Holder(WorkerIdentity("w", "here", 1), 600.0)
    storage.leases.register(holder.worker, study_id)
    claim = storage.claim(study_id, holder=holder)
    assert isinstance(claim, Claim)
    assert claim.number == first.number
    storage.end_dead_attempt(claim.trial_id, OutcomeState(EndReason.ABANDONED))
    remove_trial(storage.book, second)
    storage.close()

    assert replicating.replicate(seeds=3).added == 2
    trials = replicating.trials("s.replicates")
    assert [trial.number for trial in trials] == [first.number, third.number, 3, 4]
    assert marks(trials)[2:] == marks([first, second])
    assert replicating.replicate(seeds=3).added == 0


def test_fewer_seeds_withdraw_what_has_not_begun(replicating: Replicating):
    both = ("default",)
    replicating.replicate(seeds=4, also=both)
    placed = marks(replicating.trials("s.replicates"))
    storage = replicating.storage()
    study_id = storage.get_study_id_from_name("s.replicates")
    claimed = [storage.claim(study_id, only_waiting=True) for _ in range(5)]
    storage.close()

    fewer = replicating.replicate(seeds=2)
    assert (fewer.added, fewer.total) == (0, len(claimed))
    assert [trial.number for trial in replicating.trials("s.replicates")] == [0, 1, 2, 3, 4]
    assert fewer.notes == (
        "fewer seeds than before (2): withdrew 3 replicates that had not begun; more --seeds place "
        "them again",
        "1 replicate of further seeds began before, and will be finished",
    )
    assert replicating.replicate().added == 0  # nobody asked for a number: it stays as it is
    assert replicating.replicate(seeds=4, also=both).added == 3
    assert marks(replicating.trials("s.replicates")) == placed


def test_workers_make_no_trial_of_their_own(replicating: Replicating):
    replicating.replicate(seeds=1)
    storage = replicating.storage()
    study_id = storage.get_study_id_from_name("s.replicates")
    assert storage.claim(study_id, only_waiting=True) is not None
    assert storage.claim(study_id, only_waiting=True) is None
    assert storage.claim(study_id) is not None  # what plain Optuna would do
    study = load_study(study_name="s.replicates", storage=storage)
    with pytest.raises(InvalidInputError, match="not placed as a replicate"):
        study.ask().suggest_float("rate", 0, 1)
    storage.close()


def test_two_who_place_the_same_place_it_once(replicating: Replicating):
    replicating.replicate(seeds=1)
    storage = replicating.storage()
    study_id = storage.get_study_id_from_name("s.replicates")
    there = replicates(storage.book, study_id)
    assert storage.place_replicates(study_id, there + there) == 0
    storage.close()


def test_the_link_says_where_the_replicates_come_from_and_goes_along(
    replicating: Replicating, tmp_path: Path
):
    storage = replicating.storage()
    study_id = storage.get_study_id_from_name("s")
    storage.change_study_spec(study_id, lambda spec, _: replace(spec, seed_from_sampler=True))
    storage.close()
    replicating.replicate(seeds=2, also=("default",), study="again")
    source = Book.open(str(replicating.book), create=False)
    target = Book.open(str(tmp_path / "target.db"), create=True)
    copy_study(source, target, "again")
    study = Reader(source).study("s")
    copied = Reader(target).study("again")
    found = link(target, copied.study_id)
    assert found is not None
    assert (found.uid, found.study, found.trials) == (study.uid, "s", 5)
    assert linked_studies(target, study.uid) == ["again"]
    assert linked_studies(target, copied.uid) == []
    assert copied.spec is not None
    assert (copied.spec.search.seed, copied.spec.seed_from_sampler) == (found.entropy, False)
    best = Reader(source).trial("s/best")
    mark = replicate_of(next(Reader(target).trials("again")).system_attrs)
    assert mark is not None
    assert mark.configuration.key == found.chosen == f"trial {best.number}"
    assert (mark.configuration.values, mark.configuration.record, mark.configuration.rank) == (
        best.values,
        best.record_digest,
        1,
    )
    for book in (source, target):
        book.close()


def test_what_was_chosen_stays_what_is_replicated(replicating: Replicating):
    replicating.replicate(seeds=1, also=("default", "best:2"))
    with pytest.raises(SettingsDifferError, match="replicates trial . of study 's', which was"):
        replicating.replicate("s/best~1", seeds=2)
    with pytest.raises(SettingsDifferError, match="another configuration 'default'"):
        replicating.replicate(
            seeds=2, also=("default",), default={"kind": "b", "rate": 0.2, "width": 2}
        )
    with pytest.raises(SettingsDifferError, match="seeds of study 's.replicates' are derived from"):
        replicating.replicate(seeds=2, seed=1)
    with pytest.raises(InvalidInputError, match="holds replicates itself"):
        replicating.replicate("s.replicates/0", seeds=2)
    with pytest.raises(InvalidInputError, match="there is a study 's' already"):
        replicating.replicate(seeds=2, study="s")
    assert replicating.replicate(seeds=2, study="other", seed=1).added == 2


def test_a_default_that_no_trial_could_run_is_refused_with_every_fault(replicating: Replicating):
    with pytest.raises(InvalidInputError) as refused:
        replicating.replicate(also=("default",), default={"kind": "c", "depth": 1})
    for fault in ("no trial has a param 'depth'", "'rate' is missing", "'c' is no value of 'kind'"):
        assert fault in str(refused.value)
    assert replicating.studies() == ["s"]


def test_a_choice_that_was_made_twice_is_replicated_once(replicating: Replicating):
    done = replicating.replicate(seeds=1, also=("best:2", "best~1", "default"))
    assert done.total == 3
    assert "best~1 is the same configuration as best:2; it is replicated once" in done.notes


@pytest.mark.parametrize("also", ["worst", "best:0", "9999999", "-1"])
def test_what_names_no_configuration_is_refused(replicating: Replicating, also: str):
    with pytest.raises((InvalidInputError, KeyError)):
        replicating.replicate(also=(also,))
    assert replicating.studies() == ["s"]


def test_code_that_is_not_trusted_is_not_trusted_in_a_linked_study(replicating: Replicating):
    with pytest.raises(UntrustedCodeError):
        replicating.replicate(join={"trust": False})
    replicating.replicate(seeds=1)
    with pytest.raises(UntrustedCodeError):
        join_study(JoinOptions("s.replicates", str(replicating.book)))


def test_what_has_no_code_or_several_objectives_is_refused(tmp_path: Path):
    url = str(tmp_path / "book.db")
    study = create_study(storage=url, study_name="plain")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    several = create_study(storage=url, study_name="several", directions=["minimize", "maximize"])
    several.add_trial(optuna.trial.create_trial(values=[1, 2]))

    def ask(reference: str, **more: Any) -> None:
        options = ReplicateOptions(reference, join=JoinOptions("", url), place_only=True, **more)
        replicate_as_asked(options)

    with pytest.raises(InvalidInputError, match="never executed under tracking"):
        ask("plain/best")
    with pytest.raises(BadReferenceError, match="several"):
        ask("several/best")
    with pytest.raises(InvalidInputError, match="1 or more seeds"):
        ask("plain/best", seeds=0)


def test_a_param_that_the_configuration_lacks_fails_the_replicate(replicating: Replicating):
    replicating.replicate(seeds=1, also=("default",))
    storage = replicating.storage()
    study = load_study(study_name="s.replicates", storage=storage)
    study.ask()
    trial = study.ask()
    attrs = storage.get_trial(trial._trial_id).system_attrs
    assert attrs[REPLICATE]["configuration"]["name"] == "default"
    assert trial.suggest_categorical("kind", [(1, 2), "b"]) == "b"
    assert trial.suggest_float("rate", 1e-3, 1, log=True) == 0.1
    with pytest.raises(InvalidInputError, match="asked for param 'depth', which configuration"):
        trial.suggest_int("depth", 1, 3)
    with pytest.raises(InvalidInputError, match="has 2 for param 'width', which is not in"):
        trial.suggest_int("width", 5, 9)
    storage.close()
