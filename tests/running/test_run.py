"""Runs of studies by real workers: budget, continuation, isolation, guard and failures."""

import os
from pathlib import Path

import pytest

from trialbook import create_study
from trialbook.errors import (
    InputsChangedError,
    InvalidInputError,
    ObjectiveNotFoundError,
    SettingsDifferError,
    TooManyFailuresError,
)
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.running.run import RunEnd
from trialbook.running.standing import Standing

PLAIN = """
    def objective(trial):
        x = trial.suggest_float("x", -1, 1)
        return x * x
"""


def states(lab) -> list[str]:
    return [trial.state for trial in lab.trials()]


def test_two_workers_run_exactly_the_budget_and_a_later_run_goes_on(
    lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sees its own GPUs, and what they search is what one process would search in one go."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,3,4")
    lab.write(
        """
        import os, time
        from pathlib import Path
        SEEN = os.environ["CUDA_VISIBLE_DEVICES"]
        def objective(trial):
            trial.set_user_attr("seen", SEEN)
            Path(__file__).with_name(f"{trial.number}.began").touch()
            while trial.number < 2 and len(list(Path(__file__).parent.glob("*.began"))) < 2:
                time.sleep(0.01)  # until the other worker is there
            x = trial.suggest_float("x", -1, 1)
            return x * x
        """
    )
    outcome = lab.run("budget: {trials: 5}\nworkers: 2\nseed: 3", gpus_per_worker=2)
    assert outcome.end is RunEnd.BUDGET
    assert (lab.heard.first.done, lab.heard.first.to_go) == (0, 5)
    assert len(outcome.trials) == 5
    assert outcome.state.best.value == min(t.values[0] for t in lab.trials())
    assert {trial.user_attrs["seen"] for trial in lab.trials()} == {"GPU-a,GPU-b", "3,4"}
    assert lab.launch(lab.trials()[0])[0].gpus in {"GPU-a,GPU-b", "3,4"}
    with pytest.raises(InvalidInputError, match="need 6, 4 are visible"):
        lab.run("budget: {trials: 9}\nworkers: 3", gpus_per_worker=2)

    outcome = lab.run("budget: {trials: 7}\nseed: 3")
    assert (lab.heard.first.done, lab.heard.first.to_go) == (5, 2)
    assert states(lab) == ["COMPLETE"] * 7
    assert [trial.number for trial in lab.trials()] == list(range(7))
    outcome = lab.run("budget: {trials: 7}\nseed: 3")
    assert (outcome.trials, outcome.state.to_go) == ((), 0)
    assert len(lab.trials()) == 7

    study = create_study(storage=str(lab.place / "other.db"), study_name="s", seed=3)
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=7)
    study._storage.close()
    in_one_go = [trial.params["x"] for trial in study.trials]
    assert [trial.params[0].value for trial in lab.trials()] == in_one_go


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_plain_objective_is_forked_and_recorded_whole(lab) -> None:
    lab.write(
        """
        import os
        TEMPLATE = os.getpid()
        count = 0

        def objective(trial):
            global count
            count += 1
            trial.set_user_attr("who", [TEMPLATE, os.getpid(), count])
            if trial.number == 3:
                trial.study.stop()
            return trial.suggest_float("x", 0, 1)
        """
    )
    outcome = lab.run("budget: {trials: 50}\nsampler: RandomSampler")
    assert outcome.end is RunEnd.STOPPED, "the objective may stop the study"
    trials = lab.trials()
    templates = {trial.user_attrs["who"][0] for trial in trials}
    processes = {trial.user_attrs["who"][1] for trial in trials}
    assert states(lab) == ["COMPLETE"] * 4
    assert len(templates) == 1
    assert len(processes) == 4
    assert templates.isdisjoint(processes)
    assert {trial.user_attrs["who"][2] for trial in trials} == {1}
    # An interpreter with Optuna takes half a second; the bound is far from either.
    assert min(trial.attempt.outcome.cpu_s for trial in trials) < 0.25

    for kind in Kind:
        assert lab.snapshot(trials[0], kind).coverage.level == "complete", kind
    launch, snapshot = lab.launch(trials[0])
    assert launch.isolation == "fork"
    assert any("a fork is safe here" in reason for reason in snapshot.coverage.reasons)
    entry = launch.entry
    assert (entry.how, entry.path, entry.name) == ("file", "train.py", "objective")


def test_openmp_used_at_import_does_not_hang(lab) -> None:
    """The case that hangs for ever under a plain fork."""
    lab.write(
        """
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier

        X = np.random.default_rng(0).random((300, 4))
        HistGradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0.5)

        def objective(trial):
            rate = trial.suggest_float("rate", 0.01, 1.0, log=True)
            model = HistGradientBoostingClassifier(max_iter=3, learning_rate=rate)
            return float(model.fit(X, X[:, 0] > 0.5).score(X, X[:, 0] > 0.5))
        """
    )
    lab.run("budget: {trials: 1}\ndirection: maximize")
    assert states(lab) == ["COMPLETE"]
    launch, snapshot = lab.launch(lab.trials()[0])
    assert launch.isolation == "fresh"
    assert any("OpenMP was used" in reason for reason in snapshot.coverage.reasons)


@pytest.mark.parametrize("isolation", ["fresh", "none"])
def test_isolation_can_be_chosen(lab, isolation: str) -> None:
    lab.write(
        """
        import os
        from pathlib import Path
        count = 0
        with Path(__file__).with_name("imported").open("a") as file:
            file.write(".")
        def objective(trial):
            global count
            count += 1
            trial.set_user_attr("pid", os.getpid())
            trial.set_user_attr("count", count)
            # One hash seed for all processes, so that sets of text are walked in one order.
            trial.set_user_attr("order", list({str(n) for n in range(20)}))
            return trial.suggest_float("x", 0, 1)
        """
    )
    lab.run(f"budget: {{trials: 2}}\nisolation: {isolation}")
    trials = lab.trials()
    assert lab.launch(trials[0])[0].isolation == isolation
    assert len({tuple(trial.user_attrs["order"]) for trial in trials}) == 1
    processes = len({trial.user_attrs["pid"] for trial in trials})
    counts = [trial.user_attrs["count"] for trial in trials]
    assert (processes, counts) == ((1, [1, 2]) if isolation == "none" else (2, [1, 1]))
    # None gets ready for a trial that the budget has no room for.
    assert len((lab.place / "imported").read_text()) == processes


def test_a_trial_finds_what_a_script_would_and_what_it_was_given(
    lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbours, its data and its configuration."""
    lab.write("VALUE = 5", "neighbour_of_lab.py")
    (lab.place / "elsewhere").mkdir()
    # A file that would stand in the way of the standard library under ``python -m``.
    (lab.place / "elsewhere" / "socket.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(lab.place / "elsewhere")
    (lab.place / "in.csv").write_text("1,2,3")
    (lab.place / "conf.yaml").write_text("model: {depth: 3, width: 5}")
    lab.write(
        """
        import sys
        FIRST = not {"numpy", "optuna"} & set(sys.modules)
        import neighbour_of_lab
        from trialbook import tracked_objective

        @tracked_objective(data={"train": "missing.csv"}, config={"model": {"depth": 0}})
        def objective(trial):
            trial.set_user_attr("argv", sys.argv)
            trial.set_user_attr("first to import NumPy", FIRST)
            trial.set_user_attr("seen", [trial.data["train"].read_text(), trial.config["model"]])
            return neighbour_of_lab.VALUE
        """
    )
    lab.run("budget: {trials: 1}\ndata: {train: in.csv}\nconfig: conf.yaml")
    trial = lab.trials()[0]
    assert trial.values == (5.0,)
    assert trial.user_attrs["argv"] == [str(Path(lab.place, "train.py"))]
    assert trial.user_attrs["first to import NumPy"] is True
    assert trial.user_attrs["seen"] == ["1,2,3", {"depth": 3, "width": 5}]
    data = lab.snapshot(trial, Kind.DATA).state_as(DataState)
    assert [state.name for state in data.inputs] == ["train"]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_a_module_of_a_package_runs_what_was_enqueued_within_the_budget(lab) -> None:
    """The code's root is found above it, tuples among the choices stay so, and it can spawn."""
    (lab.place / "pyproject.toml").write_text("[project]\nname = 'x'")
    package = lab.place / "package_of_lab"
    package.mkdir()
    lab.write("", "package_of_lab/__init__.py")
    lab.write(
        """
        import multiprocessing, warnings
        from .part import f, square
        warnings.simplefilter("ignore")
        def objective(trial):
            if trial.number == 0:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    trial.set_user_attr("squares", pool.map(square, [2, 3]))
            return f(trial)
        """,
        "package_of_lab/train.py",
    )
    lab.write(
        """
        def square(x):
            return x * x
        def f(trial):
            layers = trial.suggest_categorical("layers", [(64,), (64, 64)])
            assert type(layers) is tuple
            return len(layers) * trial.suggest_float("x", 0, 1)
        """,
        "package_of_lab/part.py",
    )
    study = create_study(storage=str(lab.book), study_name="s")
    study.enqueue_trial({"x": 0.5})
    study._storage.close()
    (lab.place / "studies").mkdir()
    lab.run(
        "budget: {trials: 3}\nisolation: none",
        objective="package_of_lab.train:objective",
        file="studies/s.yaml",
    )
    assert states(lab) == ["COMPLETE"] * 3
    assert lab.trials()[0].values in {(0.5,), (1.0,)}
    assert lab.trials()[0].user_attrs["squares"] == [4, 9]
    launch, _ = lab.launch(lab.trials()[0])
    assert (launch.entry.how, launch.entry.module) == ("module", "package_of_lab.train")


def test_the_first_failures_stop_a_run_and_later_ones_do_not(lab) -> None:
    """A pruned trial counts, and is no failure; one that raises KeyboardInterrupt is."""
    lab.write(
        """
        import optuna
        def objective(trial):
            if trial.number == 3:
                trial.report(1.0, 0)
                raise optuna.TrialPruned
            if trial.number == 5:
                raise KeyboardInterrupt
            if trial.number < 7:
                raise ValueError(f"no luck with {trial.number}")
            return trial.suggest_float("x", 0, 1)
        """
    )
    with pytest.raises(TooManyFailuresError, match="ValueError: no luck with 2"):
        lab.run("budget: {trials: 8}\nisolation: none")
    assert states(lab) == ["FAIL"] * 3
    outcome = lab.run("budget: {trials: 8}\nisolation: none")
    assert outcome.end is RunEnd.BUDGET
    assert states(lab)[3:] == ["PRUNED", "FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert [trial.error for trial in outcome.trials][1] == "ValueError: no luck with 4"


def test_what_changed_stops_the_run_unless_allowed(lab) -> None:
    lab.write("def f(x):\n    return x\n", "helper_of_run.py")
    lab.write(
        """
        def objective(trial):
            import helper_of_run
            return helper_of_run.f(trial.suggest_float("x", 0, 1))

        def other(trial):
            return 1.0
        """
    )
    (lab.place / "in.csv").write_text("1")
    settings = "data: {train: in.csv}\nsampler: RandomSampler\nisolation: none\n"
    before = settings + "config: {depth: 2, rate: 0.1}\n"
    lab.run(before + "budget: {trials: 2}")
    (lab.place / "notes.txt").write_text("nothing that is loaded")
    lab.run(before + "budget: {trials: 3}")
    with pytest.raises(InputsChangedError, match="of train.py:objective, not of train.py:other"):
        lab.run(before + "budget: {trials: 5}", objective="train.py:other")
    assert lab.study().spec.search.trials == 3  # what was refused has changed nothing

    lab.write("def f(x):\n    return -x\n", "helper_of_run.py")
    (lab.place / "in.csv").write_text("2")
    after = settings + "config: {depth: 3, rate: 0.1}\nbudget: {trials: 5}\n"
    with pytest.raises(InputsChangedError) as caught:
        lab.run(after)
    changed = "code and data and config changed since the last trial of study 's'"
    assert f"{changed}: helper_of_run.py, train, depth" in str(caught.value)
    for flag in ("code", "data", "settings"):
        assert f"--allow {flag}" in str(caught.value)
    assert len(lab.trials()) == 3
    after = after.replace("RandomSampler", "TPESampler")
    with pytest.raises(SettingsDifferError, match="RandomSampler is now TPESampler"):
        lab.run(after, allow=("code", "data"))
    lab.run(after, allow=("code", "data", "settings"))
    assert states(lab) == ["COMPLETE"] * 5
    reasons = lab.launch(lab.trials()[3])[1].coverage.reasons
    assert any("changed" in reason and "helper_of_run.py" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("def other(trial): pass", ObjectiveNotFoundError, "there is no function 'objective'"),
        ("import os, signal\nos.kill(os.getpid(), 11)", ObjectiveNotFoundError, "SIGSEGV"),
    ],
)
def test_an_objective_that_cannot_be_had_starts_nothing(lab, code, error, message) -> None:
    lab.write(code)
    workers = 2 if "other" in code else 1  # both say the same; one is enough for what they say
    with pytest.raises(error, match=message):
        lab.run(f"budget: {{trials: 3}}\nworkers: {workers}")
    assert lab.studies() == []


def test_missing_data_starts_nothing(lab) -> None:
    lab.write(PLAIN)
    with pytest.raises(FileNotFoundError, match="nothing.csv"):
        lab.run("budget: {trials: 3}\ndata: {train: nothing.csv}")
    assert lab.studies() == []


def test_time_ends_a_run_and_running_trials_finish(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write(
        """
        import time
        from pathlib import Path
        def objective(trial):
            Path(__file__).with_name("running").touch()
            while not Path(__file__).with_name("over").exists():
                time.sleep(0.01)
            return trial.suggest_float("x", 0, 1)
        """
    )

    def elapsed_s(_: Standing) -> float:
        if not (lab.place / "running").exists():
            return 0.0
        (lab.place / "over").touch()
        return 3600.0

    monkeypatch.setattr(Standing, "elapsed_s", property(elapsed_s))
    outcome = lab.run("budget: {hours: 0.5, trials: 50}\nisolation: none")
    assert outcome.end is RunEnd.TIME
    assert states(lab) == ["COMPLETE"]


def test_a_hanging_import_is_told_and_ends_with_the_time(
    lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trialbook.running.coordinator._SLOW_IMPORT_S", 0.0)
    told = property(lambda _: 3600.0 if lab.heard.said_ else 0.0)
    monkeypatch.setattr(Standing, "elapsed_s", told)
    lab.write("import time\ntime.sleep(600)\n")
    outcome = lab.run("budget: {trials: 2, hours: 0.5}")
    assert outcome.end is RunEnd.TIME
    assert any("importing the objective takes" in text for text in lab.heard.said_)
    assert lab.trials() == []
