"""The pruning audit against Optuna's own pruners, whose every decision it has to find again."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna import pruners

import trialbook
from trialbook import analysis
from trialbook.analysis.searches.pruning_rules import _running_quantile
from trialbook.errors import NotApplicableError
from trialbook.records.config import ComponentSettings

from .over_time import search_of, spans, trial

STEPS = 18


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    storage = trialbook.BookStorage(tmp_path_factory.mktemp("pruning") / "book.db")
    yield storage
    storage.close()


def searched(name, pruner, direction, with_nan):
    """A study in memory, whose trials were pruned by the pruner."""
    rng = random.Random(name)
    study = optuna.create_study(
        study_name=name,
        direction=direction,
        pruner=pruner,
        sampler=optuna.samplers.RandomSampler(seed=1),
    )

    def objective(trial):
        level = trial.suggest_float("x", 0, 1)
        for step in range(STEPS):
            value = level * (1 - math.exp(-(step + 1) / 5)) + rng.gauss(0, 0.05)
            trial.report(math.nan if with_nan and rng.random() < 0.03 else value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return level

    study.optimize(objective, n_trials=60)
    return study


PRUNERS = {
    "median": lambda: pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    "intervals": lambda: pruners.MedianPruner(n_warmup_steps=1, interval_steps=4, n_min_trials=3),
    "percentile": lambda: pruners.PercentilePruner(30.0),
    "threshold": lambda: pruners.ThresholdPruner(lower=0.1, upper=0.8, n_warmup_steps=4),
    "halving": lambda: pruners.SuccessiveHalvingPruner(),
    "late halving": lambda: pruners.SuccessiveHalvingPruner(2, 3, 1, 3),
    "hyperband": lambda: pruners.HyperbandPruner(1, 18, 3),
    "automatic": lambda: pruners.HyperbandPruner(),
}


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        ("median", "minimize"),
        ("median", "maximize"),
        ("intervals", "minimize"),
        ("percentile", "maximize"),
        ("threshold", "minimize"),
        ("halving", "minimize"),
        ("halving", "maximize"),
        ("late halving", "minimize"),
        ("hyperband", "maximize"),
        ("automatic", "minimize"),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_every_decision_of_optuna_is_found_again(book, kind, direction):
    name = f"{kind} {direction}"
    of = searched(name, PRUNERS[kind](), direction, with_nan=direction == "maximize")
    found = search_of(book, of.trials, [direction], pruner=PRUNERS[kind](), name=name)
    audit = analysis.pruning_audit(found)
    assert audit.recomputed, audit.rule
    pruned = [trial for trial in of.trials if trial.state.name == "PRUNED"]
    assert audit.numbers.tolist() == [trial.number for trial in pruned]
    assert len(pruned) >= 3
    assert audit.prunes.all()
    # Nor does the rule stop a trial that it let pass to its end.
    passed = np.flatnonzero(found.states == "COMPLETE")[-3:]
    for index in passed.tolist():
        states = found.states.copy()
        states[index] = "PRUNED"
        again = analysis.pruning_audit(replace(found, states=states))
        assert not again.prunes[again.numbers == found.numbers[index]].any()


def test_thresholds_ranks_and_the_best_trial(book):
    pruner = pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    trials = [
        trial(1.0, reports={0: 0.1, 1: 0.6, 2: 1.0}),
        trial(0.5, reports={0: 0.5, 1: 0.5, 2: 0.5}),
        trial(0.3, "p", {0: 0.2, 1: 0.3}),
        trial(0.2, "p", {0: 0.3}),
        trial(None, "p"),
        trial(2.0, reports={0: 0.2, 1: 1.0, 2: 2.0}),
        trial(0.9, reports={0: 0.9, 1: 0.9}),
    ]
    audit = analysis.pruning_audit(search_of(book, trials, ["maximize"], pruner))
    assert audit.numbers.tolist() == [2, 3]
    assert audit.finished.tolist() == [3, 4]
    assert audit.steps.tolist() == [1, 0]
    # Only what had finished by then counts: medians of 0.5 and 0.6, and of 0.1 and 0.5.
    assert audit.threshold == pytest.approx([0.55, 0.3])
    assert audit.margin == pytest.approx([0.25, 0.0])
    assert audit.prunes.tolist() == [True, False]
    assert audit.rank.tolist() == [5, 3]
    assert audit.among.tolist() == [4, 4]
    assert audit.best_number == 5
    assert audit.ahead.tolist() == [False, True]
    assert audit.answered.tolist() == [-1, -1]
    assert audit.silent == 1
    assert audit.table().rows[1][6:] == (False, None, 3, 4, True)


@pytest.mark.parametrize(
    ("pruner", "says"),
    [
        (lambda: pruners.PatientPruner(pruners.NopPruner(), 2), "PatientPruner cannot be"),
        (lambda: pruners.WilcoxonPruner(), "WilcoxonPruner cannot be"),
        (lambda: pruners.HyperbandPruner(), "worked out its resources"),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_without_a_rule_the_median_stands_in(book, pruner, says):
    trials = [
        trial(1.0, reports={0: 1.0, 300: 1.0}),
        trial(2.0, reports={0: 3.0, 700: 3.0}),
        trial(9.0, "p", {0: 9.0}),
        trial(9.0, "p", {5: 9.0}),
    ]
    audit = analysis.pruning_audit(search_of(book, trials, pruner=pruner()))
    assert not audit.recomputed
    assert says in audit.rule
    assert audit.threshold[0] == 2.0
    assert audit.margin[0] == 7.0
    assert np.isnan(audit.threshold[1])
    assert audit.table().columns[4].name == "median"
    assert audit.table().rows[0][6] is None


@pytest.mark.parametrize(
    ("answers", "recomputed"), [((False, False, True), True), ((True,), False)]
)
def test_rungs_are_not_judged_of_trials_that_asked_seldom(book, answers, recomputed):
    trials = [
        trial(1.0, reports={0: 1.0, 1: 1.0, 2: 1.0}),
        trial(9.0, "p", {0: 0.5, 1: 9.0, 2: 9.0}),
    ]
    found = search_of(book, trials, pruner=pruners.SuccessiveHalvingPruner(1, 2))
    ran = spans(found, [(1, 0.0, 1.0, "pruned", "w")])
    asked = replace(ran.attempts[0], prune_answers=answers)
    audit = analysis.pruning_audit(replace(ran, attempts=(asked,)))
    assert audit.recomputed == recomputed
    assert recomputed or "1 trial asked should_prune less often than reported" in audit.rule


def test_settings_that_changed_or_are_not_all_there(book):
    found = search_of(
        book,
        [trial(1.0, reports={0: 1.0}), trial(2.0, "p", {0: 2.0})],
        pruner=pruners.MedianPruner(),
    )
    spec = found.study.spec
    assert spec is not None
    changed = replace(spec, changes=("after 1 trials: pruner NopPruner -> MedianPruner",))
    audit = analysis.pruning_audit(replace(found, study=replace(found.study, spec=changed)))
    assert "changed in mid-study" in audit.rule
    for settings_, says in (
        (ComponentSettings("PercentilePruner", {}), "not all recorded"),
        (ComponentSettings("MedianPruner", {"n_startup_trials": "x"}), "not all recorded"),
        (ComponentSettings("mine.Pruner", {}), "mine.Pruner cannot be computed"),
    ):
        other = replace(spec, search=replace(spec.search, pruner=settings_))
        audit = analysis.pruning_audit(replace(found, study=replace(found.study, spec=other)))
        assert says in audit.rule
    bare = replace(found, study=replace(found.study, spec=None))
    assert analysis.pruning_audit(bare).rule == "the pruner is not recorded"


def test_what_cannot_be_audited_says_so(book):
    for trials, directions, says in (
        ([trial(1.0)], ["minimize"], "no trial was pruned"),
        ([trial(None, "p")], ["minimize"], "reported nothing"),
        ([trial([1.0, 2.0])], ["minimize"] * 2, "one objective only"),
    ):
        with pytest.raises(NotApplicableError, match=says):
            analysis.pruning_audit(search_of(book, trials, directions))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(-5, 5) | st.just(math.nan)), min_size=1),
    st.lists(st.integers(-1, 10), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]),
)
def test_the_running_quantile_is_numpys_to_the_last_bit(pairs, moments, share):
    pairs.sort(key=lambda pair: pair[0])
    keys, values = (np.array(column, float) for column in zip(*pairs, strict=True))
    found = _running_quantile(keys, values, np.array(moments, float), share, 2)
    for moment, quantile in zip(moments, found, strict=True):
        seen = values[keys <= moment]
        if len(seen) < 2 or np.isnan(seen).all():
            assert math.isnan(quantile)
        else:
            assert quantile == np.nanpercentile(seen, share * 100)
