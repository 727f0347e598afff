"""Runs of studies by real workers: budget, continuation, isolation, guard and failures."""

import itertools
import os
from pathlib import Path

import pytest

from trialbook.errors import (
    InputsChangedError,
    InvalidInputError,
    ObjectiveNotFoundError,
    ObjectiveSignatureError,
    SettingsDifferError,
    TooManyFailuresError,
)
from trialbook.records.coordinates import Kind
from trialbook.records.data import DataState
from trialbook.running.run import RunEnd

PLAIN = """
    def objective(trial):
        x = trial.suggest_float("x", -1, 1)
        return x * x
"""


def states(lab) -> list[str]:
    return [trial.state for trial in lab.trials()]


def test_two_workers_run_exactly_the_budget_and_a_later_run_goes_on(lab) -> None:
    lab.write(PLAIN)
    outcome = lab.run("budget: {trials: 7}\nworkers: 2\nseed: 3")
    assert outcome.end is RunEnd.BUDGET
    assert (lab.heard.first.done, lab.heard.first.to_go) == (0, 7)
    assert len(outcome.trials) == 7
    assert outcome.state.best.value == min(t.values[0] for t in lab.trials())
    outcome = lab.run("budget: {trials: 9}\nseed: 3")
    assert (lab.heard.first.done, lab.heard.first.to_go) == (7, 2)
    assert states(lab) == ["COMPLETE"] * 9
    assert [trial.number for trial in lab.trials()] == list(range(9))
    outcome = lab.run("budget: {trials: 9}\nseed: 3")
    assert (outcome.trials, outcome.state.to_go) == ((), 0)
    assert len(lab.trials()) == 9


@pytest.mark.slow
def test_a_resumed_search_equals_an_uninterrupted_one(lab) -> None:
    lab.write(PLAIN)
    lab.run("budget: {trials: 3}\nseed: 3")
    lab.run("budget: {trials: 6}\nseed: 3")
    resumed = [trial.params[0].value for trial in lab.trials()]
    lab.book = lab.place / "other.db"
    lab.run("budget: {trials: 6}\nseed: 3")
    assert [trial.params[0].value for trial in lab.trials()] == resumed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_plain_objective_is_forked_in_milliseconds(lab) -> None:
    lab.write(
        """
        import os, time
        TEMPLATE = os.getpid()
        count = 0

        def objective(trial):
            global count
            count += 1
            trial.set_user_attr("who", [TEMPLATE, os.getpid(), count])
            return trial.suggest_float("x", 0, 1)
        """
    )
    lab.run("budget: {trials: 12}\nsampler: RandomSampler")
    trials = lab.trials()
    templates = {trial.user_attrs["who"][0] for trial in trials}
    processes = {trial.user_attrs["who"][1] for trial in trials}
    assert len(templates) == 1
    assert len(processes) == 12
    assert templates.isdisjoint(processes)
    assert {trial.user_attrs["who"][2] for trial in trials} == {1}
    launch, snapshot = lab.launch(trials[0])
    assert launch.isolation == "fork"
    assert any("a fork is safe here" in reason for reason in snapshot.coverage.reasons)
    between = sorted(
        (later.attempt.started_s - earlier.attempt.started_s)
        for earlier, later in itertools.pairwise(trials)
    )
    # An interpreter with Optuna takes a second; the bound is far from either.
    assert between[len(between) // 2] < 0.3


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
    lab.run("budget: {trials: 2}\ndirection: maximize")
    assert states(lab) == ["COMPLETE"] * 2
    launch, snapshot = lab.launch(lab.trials()[0])
    assert launch.isolation == "fresh"
    assert any("OpenMP was used" in reason for reason in snapshot.coverage.reasons)


@pytest.mark.parametrize("isolation", ["fresh", "none"])
def test_isolation_can_be_chosen(lab, isolation: str) -> None:
    lab.write(
        """
        import os
        count = 0
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


def test_data_config_and_overrides_reach_the_trial(lab) -> None:
    (lab.place / "in.csv").write_text("1,2,3")
    (lab.place / "conf.yaml").write_text("model: {depth: 3, width: 5}")
    lab.write(
        """
        from trialbook import tracked_objective

        @tracked_objective(data={"train": "missing.csv"}, config={"model": {"depth": 0}})
        def objective(trial):
            trial.set_user_attr("seen", [trial.data["train"].read_text(), trial.config["model"]])
            return trial.suggest_float("x", 0, 1)
        """
    )
    lab.run("budget: {trials: 1}\ndata: {train: in.csv}\nconfig: conf.yaml")
    trial = lab.trials()[0]
    assert trial.user_attrs["seen"] == ["1,2,3", {"depth": 3, "width": 5}]
    data = lab.snapshot(trial, Kind.DATA).state_as(DataState)
    assert [state.name for state in data.inputs] == ["train"]


@pytest.mark.slow
def test_the_module_form_finds_the_code_root(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.place / "pyproject.toml").write_text("[project]\nname = 'x'")
    package = lab.place / "package_of_lab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text(
        "from .part import f\ndef objective(trial):\n    return f(trial)\n"
    )
    (package / "part.py").write_text("def f(trial):\n    return trial.suggest_int('n', 1, 9)\n")
    studies = lab.place / "studies"
    studies.mkdir()
    lab.run(
        "budget: {trials: 1}",
        objective="package_of_lab.train:objective",
        file="studies/s.yaml",
    )
    launch, _ = lab.launch(lab.trials()[0])
    assert (launch.entry.how, launch.entry.module) == ("module", "package_of_lab.train")


def test_each_worker_sees_its_own_gpus(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,3,4")
    lab.write(
        """
        import os, time
        SEEN = os.environ["CUDA_VISIBLE_DEVICES"]
        def objective(trial):
            trial.set_user_attr("seen", SEEN)
            time.sleep(0.2)
            return trial.suggest_float("x", 0, 1)
        """
    )
    lab.run("budget: {trials: 8}\nworkers: 2", gpus_per_worker=2)
    assert {trial.user_attrs["seen"] for trial in lab.trials()} == {"GPU-a,GPU-b", "3,4"}
    assert lab.launch(lab.trials()[0])[0].gpus in {"GPU-a,GPU-b", "3,4"}
    with pytest.raises(InvalidInputError, match="need 6, 4 are visible"):
        lab.run("budget: {trials: 9}\nworkers: 3", gpus_per_worker=2)


def test_the_first_failures_stop_a_run_and_later_ones_do_not(lab) -> None:
    lab.write(
        """
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            if trial.number in (0, 1, 2, 4, 5, 6):
                raise ValueError(f"no luck with {trial.number}")
            return x
        """
    )
    with pytest.raises(TooManyFailuresError, match="ValueError: no luck with 2"):
        lab.run("budget: {trials: 9}")
    assert states(lab) == ["FAIL"] * 3
    outcome = lab.run("budget: {trials: 9}")
    assert states(lab)[3:] == ["COMPLETE", "FAIL", "FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.error for trial in outcome.trials][1] == "ValueError: no luck with 4"


@pytest.mark.slow
def test_no_limit_of_failures_runs_to_the_end(lab) -> None:
    lab.write("def objective(trial):\n    raise ValueError('never')\n")
    outcome = lab.run("budget: {trials: 5}\nmax_failures: 0")
    assert outcome.end is RunEnd.BUDGET
    assert states(lab) == ["FAIL"] * 5


def test_changed_code_stops_the_run_unless_allowed(lab) -> None:
    lab.write("def f(x):\n    return x\n", "helper_of_run.py")
    lab.write(
        """
        def objective(trial):
            import helper_of_run
            return helper_of_run.f(trial.suggest_float("x", 0, 1))
        """
    )
    lab.run("budget: {trials: 2}")
    (lab.place / "notes.txt").write_text("nothing that is loaded")
    lab.run("budget: {trials: 3}")
    lab.write("def f(x):\n    return -x\n", "helper_of_run.py")
    with pytest.raises(InputsChangedError, match=r"helper_of_run\.py") as caught:
        lab.run("budget: {trials: 5}")
    assert "--allow code" in str(caught.value)
    assert len(lab.trials()) == 3
    lab.run("budget: {trials: 5}", allow=("code",))
    assert states(lab) == ["COMPLETE"] * 5
    reasons = lab.launch(lab.trials()[3])[1].coverage.reasons
    assert any("changed" in reason and "helper_of_run.py" in reason for reason in reasons)


@pytest.mark.slow
def test_changed_data_stops_the_run_unless_allowed(lab) -> None:
    lab.write(PLAIN)
    (lab.place / "in.csv").write_text("1")
    lab.run("budget: {trials: 1}\ndata: {train: in.csv}")
    (lab.place / "in.csv").write_text("2")
    with pytest.raises(InputsChangedError, match="train") as caught:
        lab.run("budget: {trials: 2}\ndata: {train: in.csv}")
    assert "--allow data" in str(caught.value)
    lab.run("budget: {trials: 2}\ndata: {train: in.csv}", allow=("data",))
    assert len(lab.trials()) == 2


@pytest.mark.slow
def test_another_configuration_stops_the_run_unless_allowed(lab) -> None:
    lab.write(PLAIN)
    lab.run("budget: {trials: 1}\nconfig: {depth: 2, rate: 0.1}")
    with pytest.raises(InputsChangedError, match="config changed .*: depth") as caught:
        lab.run("budget: {trials: 2}\nconfig: {depth: 3, rate: 0.1}")
    assert "--allow settings" in str(caught.value)
    assert len(lab.trials()) == 1
    lab.run("budget: {trials: 2}\nconfig: {depth: 3, rate: 0.1}", allow=("settings",))
    assert states(lab) == ["COMPLETE"] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_tuples_among_the_choices_serve_every_trial(lab) -> None:
    lab.write(
        """
        import warnings
        warnings.simplefilter("ignore")
        def objective(trial):
            layers = trial.suggest_categorical("layers", [(64,), (64, 64)])
            assert type(layers) is tuple
            return len(layers)
        """
    )
    lab.run("budget: {trials: 4}")
    assert states(lab) == ["COMPLETE"] * 4


def test_another_objective_of_the_same_file_is_no_continuation(lab) -> None:
    lab.write(PLAIN + "\n\n    def other(trial):\n        return 1.0\n")
    lab.run("budget: {trials: 1}")
    with pytest.raises(InputsChangedError, match="of train.py:objective, not of train.py:other"):
        lab.run("budget: {trials: 2}", objective="train.py:other")
    assert lab.study().spec.search.trials == 1  # what was refused has changed nothing


@pytest.mark.slow
def test_other_settings_are_refused_unless_allowed(lab) -> None:
    lab.write(PLAIN)
    lab.run("budget: {trials: 1}\nsampler: RandomSampler")
    with pytest.raises(SettingsDifferError, match="RandomSampler is now TPESampler"):
        lab.run("budget: {trials: 2}\nsampler: TPESampler")
    lab.run("budget: {trials: 2}\nsampler: TPESampler", allow=("settings",))
    assert len(lab.trials()) == 2


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("def other(trial): pass", ObjectiveNotFoundError, "there is no function 'objective'"),
        ("def objective(): pass", ObjectiveSignatureError, "does not accept a trial"),
        ("raise RuntimeError('at import')", ObjectiveNotFoundError, "RuntimeError: at import"),
        ("import os\nos._exit(7)", ObjectiveNotFoundError, "exited with status 7"),
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


def test_time_ends_a_run_and_running_trials_finish(lab) -> None:
    lab.write(
        "import time\ndef objective(trial):\n    time.sleep(0.2)\n"
        "    return trial.suggest_float('x', 0, 1)\n"
    )
    outcome = lab.run("budget: {hours: 0.0008}")
    assert outcome.end is RunEnd.TIME
    assert set(states(lab)) <= {"COMPLETE"}


def test_the_objective_may_stop_the_study(lab) -> None:
    lab.write(
        """
        def objective(trial):
            if trial.number == 2:
                trial.study.stop()
            return trial.suggest_float("x", 0, 1)
        """
    )
    outcome = lab.run("budget: {trials: 50}")
    assert outcome.end is RunEnd.STOPPED
    assert states(lab) == ["COMPLETE"] * 3


def test_a_finished_grid_stops_the_study(lab) -> None:
    lab.write("def objective(trial):\n    return trial.suggest_int('n', 1, 3)\n")
    outcome = lab.run("sampler: {name: GridSampler, settings: {search_space: {n: [1, 2, 3]}}}")
    assert outcome.end is RunEnd.STOPPED
    assert sorted(trial.params[0].value for trial in lab.trials()) == [1, 2, 3]


@pytest.mark.slow
def test_enqueued_trials_are_run_within_the_budget(lab) -> None:
    import trialbook

    lab.write(PLAIN)
    study = trialbook.create_study(storage=str(lab.book), study_name="s")
    study.enqueue_trial({"x": 0.5})
    study._storage.close()
    lab.run("budget: {trials: 2}")
    trials = lab.trials()
    assert len(trials) == 2
    assert trials[0].params[0].value == 0.5


def test_pruned_trials_count_and_are_no_failures(lab) -> None:
    lab.write(
        "import optuna\ndef objective(trial):\n    trial.report(1.0, 0)\n"
        "    raise optuna.TrialPruned\n"
    )
    outcome = lab.run("budget: {trials: 4}")
    assert outcome.end is RunEnd.BUDGET
    assert states(lab) == ["PRUNED"] * 4


def test_neighbours_are_found_as_by_a_script(lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write("VALUE = 5", "neighbour_of_lab.py")
    (lab.place / "elsewhere").mkdir()
    # A file that would stand in the way of the standard library under ``python -m``.
    (lab.place / "elsewhere" / "socket.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(lab.place / "elsewhere")
    lab.write(
        "import sys\n"
        "FIRST = not {'numpy', 'optuna'} & set(sys.modules)\n"
        "import neighbour_of_lab\n"
        "def objective(trial):\n"
        "    trial.set_user_attr('argv', sys.argv)\n"
        "    trial.set_user_attr('first to import NumPy', FIRST)\n"
        "    return neighbour_of_lab.VALUE\n"
    )
    lab.run("budget: {trials: 1}")
    trial = lab.trials()[0]
    assert trial.values == (5.0,)
    assert trial.user_attrs["argv"] == [str(Path(lab.place, "train.py"))]
    assert trial.user_attrs["first to import NumPy"] is True


def test_a_hanging_import_is_told_and_ends_with_the_time(lab, monkeypatch) -> None:
    monkeypatch.setattr("trialbook.running.coordinator._SLOW_IMPORT_S", 0.2)
    lab.write("import time\ntime.sleep(600)\n")
    outcome = lab.run("budget: {trials: 2, hours: 0.0003}")
    assert outcome.end is RunEnd.TIME
    assert any("importing the objective takes" in text for text in lab.heard.said_)
    assert lab.trials() == []


@pytest.mark.slow
def test_a_trial_that_starts_processes_by_spawn_runs(lab) -> None:
    lab.write(
        """
        import multiprocessing

        def square(x):
            return x * x

        def objective(trial):
            x = trial.suggest_int("x", 1, 4)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return sum(pool.map(square, [x, 2]))
        """
    )
    lab.run("budget: {trials: 1}")
    trial = lab.trials()[0]
    assert trial.values == (trial.params[0].value ** 2 + 4.0,)


def test_what_runs_is_recorded_whole(lab) -> None:
    lab.write(PLAIN)
    lab.run("budget: {trials: 1}")
    trial = lab.trials()[0]
    for kind in Kind:
        assert lab.snapshot(trial, kind).coverage.level == "complete", kind
    launch, _ = lab.launch(trial)
    assert (launch.entry.how, launch.entry.path, launch.entry.name) == (
        "file",
        "train.py",
        "objective",
    )
