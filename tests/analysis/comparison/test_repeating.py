"""Which studies are repetitions of one another: what must be equal, and what is said."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

import trialbook
from trialbook.analysis.comparison.comparison import compare
from trialbook.analysis.comparison.repeating import groups, repetition_notes
from trialbook.analysis.comparison.studies import ComparedStudy
from trialbook.records.code import EntryPoint
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.environment import EnvironmentState
from trialbook.records.execution import LaunchState

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
NAMES = ("tpe-1", "tpe-2")
_STATES = {
    Kind.CONFIG: ConfigState,
    Kind.ENVIRONMENT: EnvironmentState,
    Kind.EXECUTION: LaunchState,
}


@trialbook.tracked_objective(config={"epochs": 3})
def objective(trial):
    return trial.suggest_float("x", -5, 5) ** 2


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[ComparedStudy, ComparedStudy]:
    """Two studies that differ in their names and seeds alone."""
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("repeating") / "book.db")
    for seed, name in enumerate(NAMES, start=1):
        trialbook.create_study(
            storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(), seed=seed
        ).optimize(objective, n_trials=1)
    one, two = compare(NAMES, storage=storage).studies
    storage.close()
    return one, two


def with_state(study: ComparedStudy, kind: Kind, **changes: object) -> ComparedStudy:
    """The study as if its newest trial had recorded something else."""
    old = study.snapshots[kind]
    snapshot = Snapshot.of(kind, old.coverage, replace(old.state_as(_STATES[kind]), **changes))
    return replace(study, snapshots={**study.snapshots, kind: snapshot})


def called_with(study: ComparedStudy, *arguments: str) -> ComparedStudy:
    argv = ("/usr/bin/python3", "tune.py", *arguments)
    return with_state(study, Kind.EXECUTION, argv=argv)


def judged(*studies: ComparedStudy, anonymous: bool = False) -> tuple[int, list[str]]:
    """How many groups there are, and what is said of them."""
    found = groups(studies, anonymous=anonymous)
    return len(found), list(repetition_notes(studies, found, anonymous=anonymous))


def test_studies_that_differ_in_name_and_seed_alone_are_repetitions(pair):
    assert judged(*pair) == (1, [])


def test_an_objective_is_the_same_in_its_file_and_in_the_module_of_it(pair):
    one, two = (
        with_state(study, Kind.EXECUTION, entry=entry)
        for study, entry in zip(
            pair,
            (
                EntryPoint("file", path="lab/train.py", name="objective"),
                EntryPoint("module", module="lab.train", name="objective"),
            ),
            strict=True,
        )
    )
    assert judged(one, two) == (1, [])
    other = EntryPoint("file", path="lab/train.py", name="other")
    count, (note,) = judged(one, with_state(pair[1], Kind.EXECUTION, entry=other))
    assert count == 2
    assert "differ in objective (lab/train.py:objective, lab/train.py:other)" in note


def test_other_arguments_of_the_program_are_no_repetition(pair):
    one, two = pair
    studies = called_with(one, "--depth", "3"), called_with(two, "--depth", "4")
    count, (note,) = judged(*studies)
    assert count == 2
    assert note == (
        "tpe-1 and tpe-2 searched alike and are not taken for repetitions of one another: they "
        "differ in arguments (--depth 3; --depth 4)."
    )
    assert "--depth" not in judged(*studies, anonymous=True)[1][0]


def test_arguments_may_differ_in_the_name_and_the_seed_and_it_is_said(pair):
    one, two = pair
    count, (note,) = judged(
        called_with(one, "--seed=1", "runs/tpe-1"), called_with(two, "--seed=2", "runs/tpe-2")
    )
    assert count == 1
    assert note.startswith("The arguments of the studies of tpe differ where they give the study's")
    # A 12 is no 1 and no 2: whole parts only.
    assert judged(called_with(one, "--layers", "11"), called_with(two, "--layers", "12"))[0] == 2


def test_the_seed_of_the_decorator_is_the_studys_own_too(pair):
    """``python tune.py tpe-1 rnd 25 11``, with the last one in the decorator."""
    one, two = (
        replace(study, trial_seeds=frozenset({10 + at})) for at, study in enumerate(pair, start=1)
    )
    assert (
        judged(
            called_with(one, "tpe-1", "rnd", "25", "11"),
            called_with(two, "tpe-2", "rnd", "25", "12"),
        )[0]
        == 1
    )
    # What happens to be one's seed and is the same in both is no difference.
    assert judged(called_with(one, "11", "11"), called_with(two, "12", "11"))[0] == 1
    count, (note,) = judged(
        called_with(one, "tpe-1", "25", "11"), called_with(two, "tpe-2", "26", "12")
    )
    assert count == 2
    assert "differ in arguments (STUDY 25 SEED; STUDY 26 SEED)." in note
    # The seed of one in the place of the other's name is another call.
    assert judged(called_with(one, "11"), called_with(two, "tpe-2"))[0] == 2


def test_a_name_with_a_slash_is_found_whole(pair):
    studies = []
    for study, name in zip(pair, ("a/1", "b/2"), strict=True):
        search = replace(study.search, study=replace(study.search.study, name=name))
        studies.append(called_with(replace(study, search=search), f"--study={name}", name))
    assert judged(*studies)[0] == 1


def test_the_seed_of_a_sampler_is_no_difference(tmp_path):
    storage = trialbook.BookStorage(tmp_path / "book.db")
    for seed, name in enumerate(NAMES, start=1):
        sampler = optuna.samplers.QMCSampler(
            seed=seed, independent_sampler=optuna.samplers.QMCSampler(seed=seed), scramble=True
        )
        trialbook.create_study(storage=storage, study_name=name, sampler=sampler).optimize(
            objective, n_trials=1
        )
    studies = compare(NAMES, storage=storage).studies
    storage.close()
    assert [study.seed for study in studies] == [1, 2]
    assert judged(*studies) == (1, [])


def test_arguments_of_a_worker_do_not_reach_the_objective(pair):
    start = "/opt/trialbook/running/start.py"
    studies = [
        with_state(study, Kind.EXECUTION, argv=("python", "-B", start, "child", "6", parent))
        for study, parent in zip(pair, ("100", "200"), strict=True)
    ]
    assert judged(*studies) == (1, [])


def test_one_name_in_two_files_is_two_objectives(pair):
    one, two = pair
    entry = replace(two.launch.entry, module=None, path="other.py")
    count, (note,) = judged(one, with_state(two, Kind.EXECUTION, entry=entry))
    assert count == 2
    assert "differ in objective (" in note
    assert "other.py:objective" in note


def test_an_objective_that_is_in_no_file_repeats_nothing(pair):
    lost = [
        with_state(study, Kind.EXECUTION, entry=replace(study.launch.entry, how="none"))
        for study in pair
    ]
    count, (note,) = judged(*lost)
    assert (count, "in no file of the record" in note) == (2, True)


def test_another_configuration_is_no_repetition(pair):
    one, two = pair
    count, (note,) = judged(one, with_state(two, Kind.CONFIG, resolved={"epochs": 4}))
    assert (count, "differ in configuration (epochs 3 -> 4)." in note) == (2, True)


def test_another_environment_is_pooled_and_said(pair):
    one, two = pair
    count, (note,) = judged(one, with_state(two, Kind.ENVIRONMENT, locale="tr_TR.UTF-8"))
    assert count == 1
    assert note == "Studies of tpe ran in different environments: they differ in locale."


def test_seeds_of_the_decorator_are_told(pair):
    shared = [replace(study, trial_seeds=frozenset({7})) for study in pair]
    count, (note,) = judged(*shared)
    assert count == 1
    assert "that of the decorator" in note
