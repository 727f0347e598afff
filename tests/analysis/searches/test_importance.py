"""Importances are Optuna's, with intervals that can be repeated; and refused where they mislead."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from trialbook.analysis.searches import importance as module
from trialbook.analysis.searches.evaluated_importance import evaluated_importance
from trialbook.analysis.searches.evaluators import Trial
from trialbook.analysis.searches.importance import importances, leading
from trialbook.analysis.searches.search import search as read_search
from trialbook.book.storage import BookStorage
from trialbook.errors import NotApplicableError


@pytest.fixture(scope="module")
def studies(space_book):
    storage = BookStorage(space_book)
    yield lambda name: optuna.load_study(study_name=name, storage=storage)
    storage.close()


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Of sixty trials half ask for a param with which no trial is among the best."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(
        study_name="s", storage=BookStorage(tmp_path_factory.mktemp("uneven") / "book.db")
    )
    trials = []
    for number in range(60):
        kind = "good" if number % 2 else "bad"
        params = {"x": rng.random(), "y": rng.random(), kind: rng.random()}
        trials.append(
            optuna.trial.create_trial(
                value=sum(params.values()) + 10 * (kind == "bad"),
                params=params,
                distributions=dict.fromkeys(params, FloatDistribution(0, 1)),
            )
        )
    study.add_trials(trials)
    study._storage.close()
    return read_search("s", storage=study._storage.url)


def part(found, name):
    return next(one for one in found.parts if one.evaluator == name)


@pytest.mark.parametrize("name", ["branches", "changed"])
def test_ped_anova_is_optunas_own(searched, studies, name, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    one = part(importances(searched(name), resamples=0), "PED-ANOVA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = optuna.importance.get_param_importances(
            studies(name), evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    shares = dict(zip(one.names, one.shares.tolist(), strict=True))
    expected = {key: value for key, value in expected.items() if key in shares}
    assert shares == pytest.approx(expected)
    assert np.isnan(one.low).all()


def test_choices_that_are_equal_to_optuna_are_counted_apart(searched, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    search = searched("odd choices")
    one = part(importances(search, resamples=0), "PED-ANOVA")
    kind = CategoricalDistribution([f"choice {at}" for at in range(9)])
    named = optuna.create_study()
    named.add_trials(
        optuna.trial.create_trial(
            value=float(value),
            params={"odd": f"choice {int(odd)}", "y": float(y)},
            distributions={"odd": kind, "y": FloatDistribution(-1, 1)},
        )
        for value, odd, y in zip(
            search.values[:, 0],
            search.param("odd").internal,
            search.param("y").internal,
            strict=True,
        )
    )
    expected = optuna.importance.get_param_importances(
        named, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert dict(zip(one.names, one.shares.tolist(), strict=True)) == pytest.approx(expected)


def test_fanova_is_optunas_own(searched, studies, monkeypatch):
    monkeypatch.setattr(module, "TREES", 8)
    names = ["lr", "momentum", "layers", "units", "optimizer"]
    one = part(importances(searched("two objectives"), 0, resamples=0, seed=3), "fANOVA")
    expected = optuna.importance.get_param_importances(
        studies("two objectives"),
        evaluator=optuna.importance.FanovaImportanceEvaluator(n_trees=8, seed=3),
        params=names,
        target=lambda trial: trial.values[0],
    )
    assert dict(zip(one.names, one.shares.tolist(), strict=True)) == pytest.approx(expected)
    assert one.names[0] == "lr"


def test_each_objective_has_its_own_importances(searched, monkeypatch):
    monkeypatch.setattr(module, "TREES", 4)
    for objective, name in ((0, "lr"), (1, "momentum")):
        found = importances(searched("two objectives"), objective, resamples=0)
        assert {one.names[0] for one in found.parts} == {name}


def test_intervals_are_percentiles_that_the_seed_repeats(searched, monkeypatch):
    monkeypatch.setattr(module, "TREES", 4)
    one, again, other = (
        importances(searched("tuned"), resamples=10, seed=seed) for seed in (1, 1, 2)
    )
    assert one.table() == again.table()
    assert one.table() != other.table()
    ped = part(one, "PED-ANOVA")
    assert ped.names[0] == "lr"
    assert ped.low[0] <= ped.shares[0] <= ped.high[0]
    assert (ped.low <= ped.high).all()
    assert (ped.resamples, part(one, "fANOVA").resamples) == (10, 2)
    assert (ped.trials, ped.of) == (69, 69)
    assert one.optuna_version == optuna.__version__


def test_what_not_all_trials_have_is_left_out_of_fanova_with_the_reason(uneven, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    fanova = part(importances(uneven, resamples=10), "fANOVA")
    assert set(fanova.names) == {"x", "y"}
    assert fanova.having.tolist() == [60, 60]
    assert {name: why.partition(";")[0] for name, why in fanova.left_out} == {
        "bad": "asked in 30 of 60 complete trials",
        "good": "asked in 30 of 60 complete trials",
    }


def test_what_no_trial_of_the_top_tenth_has_is_left_out_of_ped_anova(uneven, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    found = importances(uneven, resamples=10)
    ped = part(found, "PED-ANOVA")
    # Optuna gives it 0, and so does every resample: an interval from 0 to 0 would be no evidence.
    assert dict(ped.left_out) == {
        "bad": "asked in 30 of 60 complete trials, and in none of the 6 in the top tenth, so "
        "there is nothing to compare"
    }
    assert dict(zip(ped.names, ped.having, strict=True)) == {"x": 60, "y": 60, "good": 30}
    assert (ped.low < ped.high).all()
    assert ped.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("params", [["x"], ["x", "bad"]])
def test_the_share_of_a_single_param_is_refused(uneven, params):
    with pytest.raises(NotApplicableError, match="share of a single param is 1 by construction"):
        importances(uneven, params=params, resamples=5)


def test_no_interval_is_told_where_all_resamples_agree():
    trials = [Trial(at, 0.0, {}, {}) for at in range(3)]
    shares = [np.array([0.5, 0.5, 0.0]), np.array([0.75, 0.25, 0.0])]
    raw = np.array([2.0, 1.0, 0.0])
    one = evaluated_importance("E", None, (), ("a", "b", "c"), raw, shares, trials)
    assert np.isnan(one.low).tolist() == np.isnan(one.high).tolist() == [False, False, True]
    assert one.notes[0] == "no interval of c: every resample gives the same share"


def test_each_branch_of_a_conditional_space_has_its_own_fanova(searched, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    monkeypatch.setattr(module, "FEWEST", 5)
    search = searched("branches")
    found = importances(search, resamples=0)
    assert len(found.branches) == 2
    for branch in found.branches:
        _, exactly = branch.among.split(" with exactly ")
        given = {at: [c.name for c in search.params if c.given[at]] for at in range(len(search))}
        same = [
            at for at in np.flatnonzero(search.eligible) if set(given[at]) == {*exactly.split(", ")}
        ]
        # What is the same in the whole branch cannot matter there.
        varying = {c.name for c in search.params if len(np.unique(c.internal[same])) > 1}
        assert set(branch.names) == varying & {*exactly.split(", ")}
        assert branch.of == len(same) > 5
        assert branch.resamples == 0
        assert branch.among.startswith(f"the {branch.of} trials with exactly model")
    assert {row[1] for row in found.table().rows} == {
        "all complete trials",
        *(branch.among for branch in found.branches),
    }
    assert importances(searched("changed"), resamples=0).branches == ()


def test_without_scikit_learn_fanova_says_so(searched, monkeypatch):
    def missing(self, **settings):
        raise ImportError("No module named 'sklearn'")

    monkeypatch.setattr("optuna.importance.FanovaImportanceEvaluator.__init__", missing)
    found = importances(searched("branches"), resamples=0)
    assert [one.evaluator for one in found.parts] == ["PED-ANOVA"]
    assert found.branches == ()
    ((name, reason),) = found.refused
    assert name == "fANOVA"
    assert "trialbook[paper]" in reason
    assert "sklearn" not in sys.modules or found.sklearn_version


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("equal", "all trials have the same value"),
        ("few", "at least 20"),
        ("without params", "no param has more than one value"),
    ],
)
def test_what_would_mislead_is_refused(searched, name, reason):
    with pytest.raises(NotApplicableError, match=reason):
        importances(searched(name))


def test_large_studies_are_sampled_and_say_so(searched, monkeypatch):
    monkeypatch.setattr(module, "TREES", 2)
    monkeypatch.setattr(module, "MOST_FOR_PED_ANOVA", 40)
    monkeypatch.setattr(module, "MOST_FOR_FANOVA", 30)
    found = importances(searched("tuned"), resamples=0)
    assert [(one.trials, one.of) for one in found.parts] == [(40, 69), (30, 69)]


def test_the_leading_params_are_those_that_matter_in_the_order_asked(searched):
    names, how = leading(searched("many"), 0, 4)
    assert "p7" in names
    assert list(names) == sorted(names, key=lambda name: int(name[1:]))
    assert "PED-ANOVA" in how
    assert leading(searched("few"), 0, 2) == (("lr", "momentum"), "the first that were asked")
