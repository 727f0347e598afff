"""Studies side by side: which repeat one another, their curves, and what the tests say."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy import stats

import trialbook
from trialbook import report
from trialbook.analysis.comparison.comparison import compare
from trialbook.analysis.comparison.curves import trial_curves
from trialbook.analysis.comparison.repeating import groups
from trialbook.analysis.comparison.settings import best_table, settings, settings_table
from trialbook.analysis.comparison.significance import holm
from trialbook.analysis.searches.asked import AskedSearch
from trialbook.cli.main import exit_code_of_command
from trialbook.errors import InvalidInputError, NotApplicableError, NotFoundError
from trialbook.records.config import ComponentSettings
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.replicates import (
    REPLICATES,
    Configuration,
    Replicate,
    ReplicationLink,
    as_attribute,
)
from trialbook.report.charts import Curves
from trialbook.report.figures.comparison import comparison_chart

RANDOM = tuple(f"random-{seed}" for seed in range(4))
TPE = tuple(f"tpe-{seed}" for seed in range(3))
TRIALS = 12


@trialbook.tracked_objective(seed=3)
def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.suggest_float("y", 1e-3, 1, log=True)
    return (x - 1) ** 2


@trialbook.tracked_objective(seed=3)
def twin(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.suggest_float("y", 1e-3, 1, log=True)
    return (x + 4) ** 2


@trialbook.tracked_objective(seed=3)
def wider(trial):
    return trial.suggest_float("x", -50, 50) ** 2


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "book.db"
    storage = trialbook.BookStorage(path)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    for name in (*RANDOM, *TPE):
        kind, _, seed = name.partition("-")
        study = trialbook.create_study(
            storage=storage, study_name=name, sampler=samplers[kind](), seed=int(seed)
        )
        study.optimize(objective, n_trials=TRIALS + int(seed))
    study = trialbook.create_study(
        storage=storage, study_name="wider", sampler=optuna.samplers.RandomSampler(), seed=9
    )
    study.optimize(wider, n_trials=4)
    for name, seed in (("twin-1", 1), ("twin-2", 2), ("twin-2 again", 2)):
        study = trialbook.create_study(
            storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(), seed=seed
        )
        study.optimize(twin, n_trials=3)
    trialbook.create_study(storage=storage, study_name="empty")
    trialbook.create_study(storage=storage, study_name="up", direction="maximize")
    optuna.create_study(storage=storage, study_name="plain").add_trials(
        [optuna.trial.create_trial(value=1.0)]
    )
    trialbook.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    trialbook.create_study(
        storage=storage, study_name="two again", directions=["minimize", "maximize"]
    )
    storage.close()
    return path


def best_after(book, name, count):
    trials = optuna.load_study(study_name=name, storage=trialbook.BookStorage(book)).trials
    return min(trial.value for trial in trials[:count])


def test_studies_under_other_seeds_are_one_group(book):
    found = compare([*RANDOM, "wider", *TPE], storage=book)
    assert [(group.label, len(group.studies)) for group in found.groups] == [
        ("random", 4),
        ("wider", 1),
        ("tpe", 3),
    ]
    # Other functions of one file: the space and their names tell them apart, not the code.
    (note,) = found.notes
    assert note.endswith("they differ in objective.")


def test_other_objectives_of_one_file_are_no_repetitions(book):
    found = compare(["random-1", "twin-1", "twin-2"], storage=book)
    assert [group.studies for group in found.groups] == [(0,), (1, 2)]


def test_a_study_whose_trials_did_not_all_run_the_same_repeats_none(book):
    one, two, three = compare(RANDOM[:3], storage=book).studies
    assert [group.studies for group in groups([one, replace(two, mixed=1), three])] == [
        (0, 2),
        (1,),
    ]


def test_a_study_whose_sampler_was_changed_repeats_none_and_it_is_said(book):
    one, two, three = compare(RANDOM[:3], storage=book).studies
    tpe = ComponentSettings("TPESampler")
    asked = (
        AskedSearch(one.search.samplers[0].component, None, (0,)),
        AskedSearch(tpe, None, tuple(two.search.numbers[1:].tolist())),
    )
    changed = replace(two, search=replace(two.search, asked=asked))
    also = replace(three, search=replace(three.search, asked=asked))
    assert changed.searched_apart
    assert [group.studies for group in groups([one, changed, also])] == [(0,), (1,), (2,)]
    (row,) = [row for row in settings([one, changed]) if row.what == "sampler"]
    assert row.differs
    assert row.values[1].startswith("RandomSampler() in trial 0, TPESampler() in trials 1-")


def test_studies_under_one_seed_are_no_repetitions(book):
    found = compare([*RANDOM, "twin-1", "twin-2", "twin-2 again"], storage=book)
    random, twin = found.groups
    assert (random.same_seed, twin.same_seed) == (False, True)
    assert found.significance.pairs == ()
    assert "have the same seed" in found.significance.untested[0]
    assert np.isnan(found.trials.groups[1].low).all()
    assert not np.isnan(found.trials.groups[0].low).all()


def test_settings_say_what_differs(book):
    found = compare([RANDOM[0], TPE[1]], storage=book)
    rows = {row.what: row for row in found.settings}
    assert rows["sampler"].differs
    assert rows["seed"].values == ("0", "1")
    assert rows["param x"].values == ("-5.0 to 5.0", "-5.0 to 5.0")
    assert not rows["loaded files"].differs
    table = settings_table(found.settings, found.groups)
    assert [column.name for column in table.columns] == ["setting", "random-0", "tpe-1", "differs"]
    best = best_table(found.studies)
    assert best.rows[0][2] == best_after(book, RANDOM[0], None)


def test_curves_are_those_of_the_trials(book):
    found = compare(RANDOM, storage=book)
    (curve,) = found.trials.groups
    assert curve.budgets.tolist() == list(range(1, TRIALS + 1))
    for row, name in zip(curve.each, RANDOM, strict=True):
        expected = [best_after(book, name, count) for count in range(1, TRIALS + 1)]
        assert row.tolist() == expected
    reach = stats.t.interval(0.95, 3, curve.each.mean(axis=0), stats.sem(curve.each, axis=0))
    assert np.allclose([curve.low, curve.high], reach)
    hours = found.compute.groups[0]
    assert (np.diff(hours.budgets) > 0).all()
    assert np.nanmin(hours.each) >= curve.each.min()


def test_single_studies_are_drawn_in_steps_and_bands_beyond_the_values_are_told(book):
    found = compare(RANDOM, storage=book)
    chart = comparison_chart(found, found.trials)
    (drawn,) = [mark for mark in chart.panels[0][0].marks if isinstance(mark, Curves)]
    (curve,) = found.trials.groups
    first = slice(0, 2 * len(curve.budgets) - 1)
    assert drawn.x[first].tolist()[:4] == [1, 2, 2, 3]
    one = curve.each[0].tolist()
    assert drawn.y[first].tolist()[:4] == [one[0], one[0], one[1], one[1]]
    assert drawn.y[first][-1] == one[-1]
    assert (curve.low < 0).any()  # of squares
    assert "Where bands go below 0" in chart.caption
    above = replace(curve, low=curve.mean)
    assert "below 0" not in comparison_chart(found, replace(found.trials, groups=(above,))).caption


def test_a_group_has_no_curve_while_one_of_its_studies_has_none(book):
    found = compare([*RANDOM, *TPE], storage=book)
    first = found.studies[0]
    unfinished = replace(first, search=replace(first.search, finish=0 * first.search.finish))
    curves = trial_curves([unfinished, *found.studies[1:]], found.groups)
    assert [curve.label for curve in curves.groups] == [found.groups[1].label]


def test_two_repetitions_have_a_range_and_one_has_no_band(book):
    found = compare([*RANDOM[:2], TPE[0]], storage=book)
    pair, single = found.trials.groups
    assert pair.method == "range of two"
    assert (pair.low == pair.each.min(axis=0)).all()
    assert single.method == ""
    assert np.isnan(single.low).all()


def test_tests_are_at_the_budget_that_all_reached(book):
    found = compare([*RANDOM, *TPE], storage=book).significance
    assert found.budget == TRIALS
    one = [best_after(book, name, TRIALS) for name in RANDOM]
    two = [best_after(book, name, TRIALS) for name in TPE]
    (pair,) = found.pairs
    welch = stats.ttest_ind(one, two, equal_var=False)
    assert pair.welch_p == pytest.approx(welch.pvalue)
    assert pair.rank_p == pytest.approx(stats.mannwhitneyu(one, two).pvalue)
    assert pair.low < pair.difference < pair.high
    wins = sum((a < b) + 0.5 * (a == b) for a, b in itertools.product(one, two))
    assert pair.superiority == pytest.approx(wins / 12)
    assert found.untested == ()


def test_single_studies_are_not_tested_and_it_says_why(book):
    found = compare([RANDOM[0], TPE[0]], storage=book).significance
    assert found.pairs == ()
    assert len(found.untested) == 2
    assert "another seed" in found.untested[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_step_down_method(values):
    adjusted = holm(values)
    order = np.argsort(values, kind="stable")
    for place, index in enumerate(order):
        earlier = [(len(values) - k) * values[order[k]] for k in range(place + 1)]
        assert adjusted[index] == pytest.approx(min(1.0, max(earlier)))


def test_holm_leaves_what_is_no_number():
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.01, float("nan")])[0] == pytest.approx(0.02)


def test_what_cannot_be_compared_is_refused(book):
    with pytest.raises(InvalidInputError, match="two studies"):
        compare(["random-0"], storage=book)
    with pytest.raises(InvalidInputError, match="named twice"):
        compare(["random-0", "random-0"], storage=book)
    with pytest.raises(NotApplicableError, match="other directions"):
        compare(["random-0", "up"], storage=book)
    with pytest.raises(NotFoundError):
        compare(["random-0", "nothing"], storage=book)


def test_what_is_not_known_is_said(book):
    found = compare(["random-0", "empty", "plain"], storage=book)
    assert found.significance.budget == 0
    assert "empty" in found.significance.untested[0]
    assert any("No code and data are recorded" in note for note in found.notes)
    several = compare(["two", "two again"], storage=book)
    assert several.trials is None
    assert any("several objectives" in note for note in several.notes)


def test_an_anonymous_comparison_names_no_study(book):
    found = compare([RANDOM[0], TPE[0]], anonymous=True, storage=book)
    table = settings_table(found.settings, found.groups)
    assert "random-0" not in repr((table, best_table(found.studies), found.groups, found.notes))


def test_the_command_prints_tables_json_and_csv(book, capsys):
    where = ["--storage", str(book)]
    assert exit_code_of_command(["compare", *RANDOM, *TPE, *where]) == 0
    page = capsys.readouterr()
    assert "TESTS" in page.out
    assert "RandomSampler()" in page.out
    assert "--all shows them" in page.err
    assert exit_code_of_command(["compare", *RANDOM, *TPE, "--format", "json", *where]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups"][0] == {"label": "random", "studies": list(RANDOM)}
    assert len(found["curves"]["trials"][0]["each"]) == 4
    assert exit_code_of_command(["compare", RANDOM[0], TPE[0], "--format", "csv", *where]) == 0
    assert "setting,sampler,random-0,RandomSampler()" in capsys.readouterr().out
    assert exit_code_of_command(["compare", "random-0", *where]) == 2


def test_documents_are_written_whole_and_the_same_each_time(book, tmp_path, capsys):
    names = [*RANDOM, *TPE]
    formats = "html,md,csv"
    for place in ("one", "two"):
        argv = ["compare", *names, "--write", formats, "-o", str(tmp_path / place)]
        assert exit_code_of_command([*argv, "--storage", str(book)]) == 0
    assert "report.html" in capsys.readouterr().out
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert {"csv/pairs.csv", "figures/over-trials.png", "report.md"} <= {str(p) for p in files}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    text = (tmp_path / "one" / "report.md").read_text()
    assert "Mann-Whitney" in text
    anonymous = report.compare(
        names, ["md", "csv"], tmp_path / "anonymous", anonymous=True, storage=book
    )
    assert all(b"random-0" not in path.read_bytes() for path in anonymous.files)
    assert exit_code_of_command(["compare", *names, "-o", "x", "--storage", str(book)]) == 2


def replicated(storage, source, reached, name=None, trial=0):
    """A study linked to a source, whose replicates came to these values."""
    study = storage.create_new_study([StudyDirection.MINIMIZE], name or f"{source}.replicates")
    record = storage.get_study_record(storage.get_study_id_from_name(source))
    link = ReplicationLink(record.uid, source, f"trial {trial}", 1, "0" * 64, 8)
    storage.set_study_system_attr(study, REPLICATES, as_attribute(link))
    best = Configuration("best", (), trial=trial, rank=1, values=(0.0,))
    storage.place_replicates(study, [Replicate(best, i, 100 + i) for i in range(len(reached))])
    for value in reached:
        claim = storage.claim(study, only_waiting=True)
        attempt = storage.begin_attempt(claim.trial_id, snapshots=[], seeds=Seeds(0))
        attempt.end(OutcomeState(EndReason.COMPLETE))
        storage.set_trial_state_values(claim.trial_id, TrialState.COMPLETE, [value])


def test_chosen_configurations_are_compared_by_their_replicates(tmp_path, capsys):
    path = tmp_path / "book.db"
    storage = trialbook.BookStorage(path)
    rng = np.random.default_rng(1)
    values = {"one": rng.normal(0.0, 1.0, 6), "two": rng.normal(3.0, 1.0, 5)}
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for name in (*values, "three"):
        trial = optuna.trial.create_trial(params={"x": 0.5}, distributions=space, value=0.0)
        trialbook.create_study(storage=storage, study_name=name).add_trial(trial)
    for name, reached in values.items():
        replicated(storage, name, reached)
    storage.close()
    found = compare(["one", "two", "three"], storage=path).replicated
    assert [choice.study for choice in found.choices] == ["one", "two"]
    assert found.absent == ("three",)
    assert found.choices[0].estimate.mean == pytest.approx(values["one"].mean())
    (pair,) = found.pairs
    welch = stats.ttest_ind(values["one"], values["two"], equal_var=False)
    assert pair.adjusted_p == pytest.approx(welch.pvalue)
    argv = ["compare", "one", "two", "three", "--storage", str(path)]
    assert exit_code_of_command(argv) == 0
    assert "UNDER FRESH SEEDS" in capsys.readouterr().out
    document = report.compare(["one", "two"], ["md"], tmp_path / "out", storage=path)
    assert "Chosen configurations under fresh seeds" in document.paths[0].read_text()


def test_replicates_belong_to_a_study_by_its_identity(tmp_path, capsys):
    path, other = tmp_path / "book.db", tmp_path / "other.db"
    storage = trialbook.BookStorage(path)
    space = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for name in ("one", "two"):
        trials = [
            optuna.trial.create_trial(params={"x": 0.5}, distributions=space, value=value)
            for value in (0.0, 1.0)
        ]
        trialbook.create_study(storage=storage, study_name=name).add_trials(trials)
    replicated(storage, "one", [0.1, 0.2, 0.3], name="a-one", trial=1)
    replicated(storage, "one", [0.4, 0.5], name="b-one")
    replicated(storage, "two", [0.6, 0.7], trial=1)
    storage.close()
    found = compare(["one", "two"], storage=path).replicated
    # Of two studies of replicates that which holds the best trial, not the first by name.
    assert [choice.linked for choice in found.choices] == ["b-one", "two.replicates"]
    assert [note for note in found.notes if not note.startswith("Replicates of")] == [
        "one has 2 studies of replicates; one of them is shown.",
        "The replicates of two are of best (trial 1), which is not its best trial now.",
    ]
    beyond = "Replicates of one: All values of best (trial 0) lie between 0 and 1, and the interval"
    assert any(note.startswith(beyond) for note in found.notes)
    # Beside its source a study of replicates does not count twice.
    both = compare(["one", "b-one"], storage=path).replicated
    assert [choice.study for choice in both.choices] == ["one"]
    # Another study has the source's name now.
    where = ["--storage", str(path)]
    assert exit_code_of_command(["rm", "one", "--yes", *where]) == 0
    trialbook.create_study(storage=f"sqlite:///{path}", study_name="one")
    found = compare(["one", "b-one"], storage=path).replicated
    assert (found.absent, [choice.study for choice in found.choices]) == (("one",), ["b-one"])
    assert "b-one holds replicates of one, which was deleted since:" in found.notes[0]
    copied = ["storage", "copy", "--to", str(other), *where]
    assert exit_code_of_command([*copied, "two.replicates"]) == 0
    assert exit_code_of_command([*copied, "b-one"]) == 0
    text = " ".join(compare(["two.replicates", "b-one"], storage=other).replicated.notes)
    assert "replicates of two, which is not in this book:" in text
    assert exit_code_of_command([*copied, "two", "--as", "second"]) == 0
    capsys.readouterr()
    assert exit_code_of_command(["show", "two.replicates", "--storage", str(other)]) == 0
    page = capsys.readouterr().out
    assert "study second (called two when it was replicated): trial 1, chosen among" in page
