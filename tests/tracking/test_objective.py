"""A decorated objective on a book: what is recorded, and what is refused."""

from __future__ import annotations

import math
import random
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import optuna
import pytest

import trialbook
from trialbook.book.reading import Reader
from trialbook.errors import (
    CaptureError,
    DataMissingError,
    InvalidInputError,
    InvalidMetricError,
    NotABookError,
    ObjectiveSignatureError,
    TrialbookWarning,
)
from trialbook.records.canonical import digest_of_bytes
from trialbook.records.code import CodeState
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind
from trialbook.records.coverage import Level
from trialbook.records.data import DataState
from trialbook.records.execution import EndReason


def stored(study, number=0):
    """The trial as another reader of the book finds it."""
    storage = trialbook.BookStorage(study._storage.url)
    reader = Reader(storage.book)
    return reader, reader.trial(f"{study.study_name}/{number}")


def simple(trial):
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    n = trial.suggest_int("n", 1, 8, log=True)
    for step in range(3):
        trial.log({"loss": x / (step + 1), "n": n}, step=step)
        trial.report(x, step)
        trial.should_prune()
    return x + (kind == "a")


def test_a_trial_is_recorded_with_its_five_coordinates(url):
    study = trialbook.create_study(study_name="s", storage=url, seed=1)
    study.optimize(trialbook.tracked_objective(simple), n_trials=2)
    reader, record = stored(study, 1)
    attempt = record.attempt
    assert record.state == "COMPLETE"
    assert attempt.end_reason is EndReason.COMPLETE
    assert attempt.returned == record.values[0]
    assert attempt.prune_answers == (False, False, False)
    for kind in Kind:
        snapshot = reader.snapshot(attempt.coordinates.of(kind))
        assert snapshot.kind is kind
        assert snapshot.coverage.level is not Level.ABSENT, snapshot.coverage
    series = reader.series(attempt.attempt_id)
    data = reader.snapshot(attempt.coordinates.data)
    assert data.state["undeclared"] == []
    assert data.coverage.level is Level.COMPLETE, data.coverage
    assert list(series["loss"].steps) == [0, 1, 2]
    assert list(series["n"].values) == [record.params[2].value] * 3
    assert set(series) == {"loss", "n", "objective"}
    assert [p.name for p in record.params] == ["x", "kind", "n"]


def test_coordinates_are_committed_before_the_objective_runs(url):
    seen = []

    def objective(trial):
        reader = Reader(trialbook.BookStorage(url).book)
        record = reader.trial(f"s/{trial.number}")
        seen.append(record.attempt.coordinates)
        return 1.0

    trialbook.create_study(study_name="s", storage=url).optimize(
        trialbook.tracked_objective(objective), n_trials=1
    )
    (coordinates,) = seen
    assert all(coordinates.of(kind) is not None for kind in Kind)


def test_a_trial_does_not_run_when_capture_fails(url, tmp_path):
    ran = []

    @trialbook.tracked_objective(data={"train": tmp_path / "nowhere.csv"})
    def objective(trial):
        ran.append(trial.number)
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url)
    with pytest.raises(DataMissingError, match="nowhere.csv"):
        study.optimize(objective, n_trials=1)
    assert ran == []
    assert study.trials[0].state == optuna.trial.TrialState.FAIL


def test_log_takes_the_next_step_of_each_metric(url):
    def objective(trial):
        trial.log({"a": 1})
        trial.log({"a": np.float32(2), "b": True})
        trial.log({"a": 3}, step=10)
        trial.log({"a": 4})
        trial.log({"a": 5}, step=10)
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    reader, record = stored(study)
    series = reader.series(record.attempt.attempt_id)
    assert list(series["a"].steps) == [0, 1, 10, 11, 10]
    assert list(series["a"].values) == [1, 2, 3, 4, 5]
    assert list(series["b"].steps) == [0]


BAD_METRICS = [
    ({"a": "1.0"}, 0, InvalidMetricError),
    ({"a": None}, 0, InvalidMetricError),
    ({"a": 1 + 2j}, 0, InvalidMetricError),
    ({1: 1.0}, 0, InvalidMetricError),
    ([("a", 1.0)], 0, InvalidMetricError),
    ({"a": np.zeros(3)}, 0, InvalidMetricError),
    ({"a": 1.0}, 0.5, InvalidInputError),
    ({"a": 1.0}, 2**63, InvalidInputError),
]


def test_bad_metrics_are_refused_and_nothing_is_half_written(url):
    refused = []

    def objective(trial):
        for metrics, step, error in BAD_METRICS:
            good = {"good": 1.0, **metrics} if isinstance(metrics, dict) else metrics
            with pytest.raises(error) as caught:
                trial.log(good, step=step)
            refused.append(caught.value)
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    assert len(refused) == len(BAD_METRICS)
    reader, record = stored(study)
    assert reader.series(record.attempt.attempt_id) == {}


def test_nan_and_infinities_are_metrics(url):
    def objective(trial):
        for value in (math.nan, math.inf, -0.0):
            trial.log({"m": value})
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    reader, record = stored(study)
    values = reader.series(record.attempt.attempt_id)["m"].values
    assert values.tobytes() == np.array([math.nan, math.inf, -0.0]).tobytes()


def test_the_objectives_own_exception_leaves_as_it_came(url):
    boom = RuntimeError("boom")

    def objective(trial):
        trial.log({"m": 1.0})
        print("before the end")
        raise boom

    study = trialbook.create_study(study_name="s", storage=url)
    with pytest.raises(RuntimeError) as caught:
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    assert caught.value is boom
    reader, record = stored(study)
    outcome = record.attempt.outcome
    assert record.state == "FAIL"
    assert outcome.exception == "RuntimeError"
    assert outcome.message == "boom"
    assert "raise boom" in outcome.traceback
    assert "recording.py" not in outcome.traceback
    assert reader.blob(outcome.stdout.digest) == b"before the end\n"


def test_a_pruned_trial_stays_pruned(url):
    def objective(trial):
        trial.report(0.25, 0)
        raise optuna.TrialPruned("bad")

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    _, record = stored(study)
    assert record.state == "PRUNED"
    assert record.values == (0.25,)
    assert record.attempt.end_reason is EndReason.PRUNED
    assert record.attempt.outcome.message == "bad"


def test_artifacts_directory_tags_and_what_was_left_behind(url):
    directories = []

    def objective(trial):
        directories.append(trial.dir)
        (trial.dir / "model.bin").write_bytes(b"weights")
        (trial.dir / "scratch.txt").write_text("x")
        trial.log_artifact(trial.dir / "model.bin")
        trial.log_artifact(trial.dir / "model.bin", name="copy/of model.json")
        trial.set_tag("paper", "table 2")
        with pytest.raises(InvalidInputError, match="no file"):
            trial.log_artifact(trial.dir / "nothing")
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    reader, record = stored(study)
    artifacts = {a.name: a for a in record.attempt.artifacts}
    assert reader.blob(artifacts["model.bin"].digest) == b"weights"
    assert artifacts["copy/of model.json"].media_type == "application/json"
    assert record.user_attrs == {"paper": "table 2"}
    assert not directories[0].exists()
    assert any("scratch.txt" in gap for gap in record.attempt.outcome.gaps)
    assert not any("model.bin" in gap for gap in record.attempt.outcome.gaps)


def test_seeds_are_the_trials_own_and_repeat(url, tmp_path):
    def numbers(trial):
        drawn = (trial.seed, trial.rng.random(), random.random(), np.random.rand())
        seen.append(drawn)
        return 0.0

    runs = []
    for name in ("one", "two"):
        seen: list = []
        study = trialbook.create_study(
            study_name="s", storage=f"sqlite:///{tmp_path / name}.db", seed=5
        )
        study.optimize(trialbook.tracked_objective(numbers), n_trials=3)
        runs.append(seen)
    assert runs[0] == runs[1]
    assert len({drawn for drawn in runs[0]}) == 3
    _, record = stored(study, 2)
    assert record.attempt.seeds.trial == runs[1][2][0]
    assert record.attempt.seeds.study == 5
    assert {"random", "numpy"} <= set(record.attempt.seeds.set_globals)


def test_torch_is_seeded_when_it_is_imported_in_the_trial(url, tmp_path, monkeypatch):
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("seeds = []\ndef manual_seed(s): seeds.append(s)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    seen = []

    def objective(trial):
        import torch

        seen.append((trial.seed, torch.seeds[-1]))
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url, seed=1)
    study.optimize(trialbook.tracked_objective(objective), n_trials=2)
    sys.modules.pop("torch")
    assert [a for a, _ in seen] == [b for _, b in seen]


def test_log_without_a_trial_at_hand(url):
    def train():
        trialbook.log({"deep": 1.0})

    def objective(trial):
        train()
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
        return 0.0

    with pytest.raises(CaptureError, match="no tracked trial runs"):
        train()
    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    reader, record = stored(study)
    assert len(reader.series(record.attempt.attempt_id)["deep"]) == 2


def test_it_works_under_plain_optuna_on_a_book(url):
    study = optuna.create_study(
        study_name="plain", storage=trialbook.BookStorage(url), direction="maximize"
    )
    study.optimize(trialbook.tracked_objective(simple), n_trials=3)
    reader, record = stored(study, 2)
    assert record.attempt.end_reason is EndReason.COMPLETE
    config = reader.snapshot(record.attempt.coordinates.config)
    assert config.state["search"]["sampler"]["name"] == "TPESampler"


def test_ask_and_tell(url):
    study = trialbook.create_study(study_name="s", storage=url)
    objective = trialbook.tracked_objective(simple)
    trial = study.ask()
    study.tell(trial, objective(trial))
    _, record = stored(study)
    assert record.state == "COMPLETE"
    assert record.attempt.end_reason is EndReason.COMPLETE


def test_several_objectives_and_constraints(url):
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("c", x - 0.5)
        trial.log({"x": x})
        return x, 1 - x

    study = trialbook.create_study(
        study_name="s", storage=url, directions=["minimize", "maximize"], seed=3
    )
    study.optimize(trialbook.tracked_objective(objective), n_trials=4)
    _, record = stored(study, 3)
    assert len(record.values) == 2
    assert record.attempt.returned == list(record.values)


def test_threads_share_globals_so_nothing_global_is_seeded(url):
    def objective(trial):
        trial.log({"x": trial.suggest_float("x", 0, 1)})
        return 0.0

    study = trialbook.create_study(study_name="s", storage=url, seed=3)
    study.optimize(trialbook.tracked_objective(objective), n_trials=6, n_jobs=3)
    reader, record = stored(study, 4)
    execution = reader.snapshot(record.attempt.coordinates.execution)
    assert execution.coverage.level is Level.PARTIAL
    assert any("threads" in reason for reason in execution.coverage.reasons)
    assert record.attempt.seeds.set_globals == ()
    assert len(study.trials) == 6


def test_a_storage_that_is_no_book_is_refused_with_the_fix():
    study = optuna.create_study()
    with pytest.raises(NotABookError, match=r"storage=trialbook.BookStorage\(\)"):
        study.optimize(trialbook.tracked_objective(simple), n_trials=1)
    with pytest.raises(NotABookError, match="FixedTrial"):
        trialbook.tracked_objective(simple)(optuna.trial.FixedTrial({"x": 0.5}))


def test_what_is_decorated_must_be_callable():
    with pytest.raises(ObjectiveSignatureError):
        trialbook.tracked_objective()(3)


def test_config_is_each_trials_own_copy(url):
    seen = []

    @trialbook.tracked_objective(config={"layers": [1, 2]})
    def objective(trial):
        seen.append(list(trial.config["layers"]))
        trial.config["layers"].append(3)
        return 0.0

    trialbook.create_study(study_name="s", storage=url).optimize(objective, n_trials=2)
    assert seen == [[1, 2], [1, 2]]


def test_data_is_given_as_paths_and_a_change_is_noticed(url, tmp_path):
    file = tmp_path / "train.csv"
    file.write_text("1\n")

    @trialbook.tracked_objective(data={"train": file})
    def objective(trial):
        assert trial.data["train"] == file
        return float(file.read_text())

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(objective, n_trials=1)
    file.write_text("2\n")
    again = trialbook.load_study(study_name="s", storage=url)
    fresh = trialbook.tracked_objective(data={"train": file})(objective.function)
    with pytest.warns(TrialbookWarning, match="loaded data changed"):
        again.optimize(fresh, n_trials=1)
    later = trialbook.tracked_objective(data={"train": file})(objective.function)
    again.optimize(later, n_trials=1)  # nothing new, so no warning; but not the first trial's data
    for number in (1, 2):
        reader, record = stored(study, number)
        execution = reader.snapshot(record.attempt.coordinates.execution)
        assert any("data changed" in reason for reason in execution.coverage.reasons)


def test_data_that_changes_while_a_trial_runs_is_recorded_as_it_began(url, tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("first")

    def objective(trial):
        text = trial.data["train"].read_text()
        path.write_text("second, and longer")
        return float(len(text))

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(data={"train": path})(objective), n_trials=1)
    reader, record = stored(study)
    snapshot = reader.snapshot(record.attempt.coordinates.data)
    (train,) = snapshot.state_as(DataState).inputs
    assert train.digest == digest_of_bytes(b"first")
    assert snapshot.coverage.level is Level.PARTIAL
    assert any("train changed while the trial ran" in r for r in snapshot.coverage.reasons)


def test_a_result_stands_when_an_input_is_gone_after_the_trial(url, tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("first")

    def objective(trial):
        path.unlink()
        return 1.0

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(trialbook.tracked_objective(data={"train": path})(objective), n_trials=1)
    reader, record = stored(study)
    snapshot = reader.snapshot(record.attempt.coordinates.data)
    assert record.state == "COMPLETE"
    assert snapshot.state_as(DataState).inputs[0].digest == digest_of_bytes(b"first")
    assert snapshot.coverage.level is Level.PARTIAL


def test_each_thread_records_what_its_trial_imported(url, tmp_path, monkeypatch):
    (tmp_path / "imported_late_by_threads.py").write_text("VALUE = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    together = threading.Barrier(2, timeout=30)
    first_is_over = threading.Event()

    def objective(trial):
        together.wait()
        import imported_late_by_threads

        together.wait()
        if trial.number == 1:
            assert first_is_over.wait(30)
        return imported_late_by_threads.VALUE

    study = trialbook.create_study(study_name="s", storage=url)
    study.optimize(
        trialbook.tracked_objective(objective),
        n_trials=2,
        n_jobs=2,
        callbacks=[lambda study, trial: first_is_over.set()],
    )
    for number in (0, 1):
        reader, record = stored(study, number)
        code = reader.snapshot(record.attempt.coordinates.code).state_as(CodeState)
        assert "imported_late_by_threads.py" in {e.path.rpartition("/")[2] for e in code.loaded}


def test_the_search_is_recorded_as_it_is_and_not_as_it_was(url):
    storage = trialbook.BookStorage(url)
    objective = trialbook.tracked_objective(simple)
    samplers = [optuna.samplers.RandomSampler, optuna.samplers.TPESampler]
    optuna.create_study(study_name="plain", storage=storage)
    study = trialbook.create_study(study_name="s", storage=storage)
    for sampler in samplers:
        plain = optuna.load_study(study_name="plain", storage=storage, sampler=sampler())
        plain.optimize(objective, n_trials=1)
        study.sampler = sampler()
        study.optimize(objective, n_trials=1)
    for which in (plain, study):
        for number, sampler in enumerate(samplers):
            reader, record = stored(which, number)
            state = reader.snapshot(record.attempt.coordinates.config).state_as(ConfigState)
            assert state.search.sampler.name == sampler.__name__


def test_an_interrupt_is_recorded_and_leaves_nothing_running(url):
    def objective(trial):
        raise KeyboardInterrupt

    study = trialbook.create_study(study_name="s", storage=url)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    _, record = stored(study)
    assert record.state == "FAIL"
    assert record.attempt.end_reason is EndReason.ABANDONED


def test_secrets_printed_or_raised_are_redacted(url):
    secret = "ghp_" + "a1B2" * 9

    def objective(trial):
        print("token", secret)
        raise RuntimeError(f"refused: {secret}")

    study = trialbook.create_study(study_name="s", storage=url)
    with pytest.raises(RuntimeError, match=secret):
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    reader, record = stored(study)
    outcome = record.attempt.outcome
    assert secret not in outcome.message + outcome.traceback
    assert secret.encode() not in reader.blob(outcome.stdout.digest)
    assert outcome.redacted
    raw = b"".join(
        p.read_bytes()
        for p in Path(url.removeprefix("sqlite:///")).parent.rglob("*")
        if p.is_file()
    )
    assert secret.encode() not in raw


def test_a_failure_to_record_is_told_beside_the_objectives_error(url, monkeypatch):
    from trialbook.book.attempt import Attempt

    def refuse(*_args, **_kwargs):
        raise OSError("no space left")

    def objective(trial):
        raise RuntimeError("mine")

    study = trialbook.create_study(study_name="s", storage=url)
    monkeypatch.setattr(Attempt, "end", refuse)
    with (
        warnings.catch_warnings(record=True),
        pytest.raises(RuntimeError, match="mine") as caught,
    ):
        warnings.simplefilter("always")
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)
    assert any("no space left" in note for note in caught.value.__notes__)
