"""``trial.save_checkpoint`` and ``trial.load_checkpoint``, as an objective calls them."""

from __future__ import annotations

import os
import random
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sqlalchemy import update

import trialbook
from trialbook import analysis
from trialbook.book import schema
from trialbook.book.reading import Reader
from trialbook.errors import InvalidInputError, TrialbookWarning
from trialbook.records.study import TrialRecord


class Gone(BaseException):
    """Stands for the end of a process in the middle of an objective."""


def give_back(url: str) -> None:
    """Let a reaper find every lease expired, and let the trials start at once."""
    storage = trialbook.BookStorage(url)
    with storage.book.writing() as connection:
        connection.execute(update(schema.attempt).values(lease=0.0))
    assert storage.reap()
    with storage.book.writing() as connection:
        connection.execute(update(schema.trial).values(not_before=None))
    storage.close()


def run(url: str, objective: Any, **settings: Any) -> TrialRecord:
    """Run an objective, leaving it in the middle as often as it says; its trial."""
    while True:
        study = trialbook.create_study(
            study_name="s", storage=url, load_if_exists=True, seed=5, **settings
        )
        try:
            study.optimize(trialbook.tracked_objective(objective), n_trials=1)
            break
        except Gone:
            # The process is gone: it holds nothing and tells nothing any more.
            study._storage.flush()
            study._storage._held.clear()
            study._storage.close()
            give_back(url)
    study._storage.close()
    storage = trialbook.BookStorage(url)
    try:
        return Reader(storage.book).trial("s/0")
    finally:
        storage.close()


def points(url: str, trial: TrialRecord, metric: str) -> list[tuple[int, float]]:
    storage = trialbook.BookStorage(url)
    series = Reader(storage.book).trial_series(trial)[metric]
    storage.close()
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


@pytest.fixture
def no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an objective that is Gone would tell is not told."""
    from trialbook.tracking.recording import Recording

    ended = Recording._end_beside

    def end_beside(self: Recording, error: BaseException, *arguments: Any) -> None:
        if not isinstance(error, Gone):
            ended(self, error, *arguments)

    monkeypatch.setattr(Recording, "_end_beside", end_beside)


def walk(trial: Any, end: int, gone_at: int | None) -> float:
    """A walk that every generator takes part in, saved at each second step."""
    state = trial.dir / "state.txt"
    start, x = 0, trial.suggest_float("x", 0, 1)
    found = trial.load_checkpoint()
    if found is not None:
        start, x = int(found.read_text().split()[0]), float(found.read_text().split()[1])
    for step in range(start, end):
        x += random.random() + np.random.normal() + trial.rng.normal()
        trial.log({"x": x})
        trial.report(x, step)
        trial.should_prune()
        if step % 2:
            state.write_text(f"{step + 1} {x!r}")
            trial.save_checkpoint(state)
        if step == gone_at:
            raise Gone
    return x


@pytest.mark.usefixtures("no_result")
@pytest.mark.filterwarnings("ignore::trialbook.errors.TrialbookWarning")
@pytest.mark.parametrize("database", ["url", "postgres_url"])
def test_a_walk_goes_on_as_if_it_had_never_stopped(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    url = request.getfixturevalue(database)
    whole = run(f"sqlite:///{tmp_path}/whole.db", lambda trial: walk(trial, 9, None))
    leaving = iter([4, 6])
    pieces = run(url, lambda trial: walk(trial, 9, next(leaving, None)))
    assert len(pieces.attempts) == 3
    assert pieces.attempt is not None
    assert whole.attempt is not None
    assert pieces.attempt.seeds == whole.attempt.seeds
    assert pieces.values == whole.values
    assert pieces.prune_answers == whole.prune_answers
    for metric in ("x", "objective"):
        assert points(url, pieces, metric) == points(
            f"sqlite:///{tmp_path}/whole.db", whole, metric
        )
    curve = analysis.metric_points(analysis.search("s", storage=url), "x", storage=url)
    assert list(zip(*(part.tolist() for part in curve.of(0)), strict=True)) == points(
        url, pieces, "x"
    )
    assert pieces.attempts[1].resumed_from is not None
    kinds = {"random": "MT19937", "numpy": "MT19937", "trial.rng": "PCG64"}
    if "torch" in sys.modules:  # another test may have loaded it
        kinds["torch"] = "torch"
    assert pieces.attempts[1].resumed_from.generators == kinds


@pytest.mark.usefixtures("no_result")
def test_without_anything_to_go_on_from_it_is_none(url: str) -> None:
    seen = []

    def objective(trial: Any) -> float:
        seen.append(trial.load_checkpoint())
        if len(seen) == 1:
            raise Gone
        return 0.0

    trial = run(url, objective)
    assert seen == [None, None]
    assert [a.resumed_from for a in trial.attempts] == [None, None]


@pytest.mark.usefixtures("no_result")
def test_steps_attributes_and_reports_go_on(url: str) -> None:
    seen: list[Any] = []

    def objective(trial: Any) -> float:
        found = trial.load_checkpoint()
        seen.append(dict(trial.user_attrs))
        if found is None:
            trial.log({"a": 1.0})
            trial.log({"a": 2.0})
            trial.log({"b": 1.0}, step=7)
            trial.report(0.5, 0)
            trial.set_user_attr("note", [1, 2])
            (trial.dir / "state").write_text("1")
            trial.save_checkpoint(trial.dir / "state")
            trial.set_user_attr("late", 1)
            trial.log({"a": 9.0})
            raise Gone
        trial.log({"a": 3.0, "b": 2.0})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial.report(9.0, 0)  # reported before the checkpoint: the first value stands
        trial.report(0.6, 1)
        (frozen,) = trial.study.get_trials(deepcopy=False)
        seen.append(dict(frozen.intermediate_values))
        return 0.0

    trial = run(url, objective)
    assert seen == [{}, {"note": [1, 2]}, {0: 0.5, 1: 0.6}]
    assert points(url, trial, "a") == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert points(url, trial, "b") == [(7, 1.0), (8, 2.0)]
    assert points(url, trial, "objective") == [(0, 0.5), (1, 0.6)]
    assert trial.user_attrs == {"note": [1, 2]}


@pytest.mark.usefixtures("no_result")
def test_the_pruner_sees_the_whole_curve(url: str) -> None:
    asked: list[dict[int, float]] = []

    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            asked.append(dict(trial.intermediate_values))
            return False

    leaving = iter([3])
    run(url, lambda trial: walk(trial, 6, next(leaving, None)), pruner=Pruner())
    assert [len(curve) for curve in asked] == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("no_result")
def test_successive_halving_keeps_the_rungs_of_before(url: str, tmp_path: Path) -> None:
    def rungs(trial: TrialRecord) -> dict[str, Any]:
        return {k: v for k, v in trial.system_attrs.items() if k.startswith("completed_rung_")}

    def pruner() -> optuna.pruners.BasePruner:
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)

    leaving = iter([3])
    pieces = run(url, lambda trial: walk(trial, 6, next(leaving, None)), pruner=pruner())
    other = f"sqlite:///{tmp_path}/whole.db"
    whole = run(other, lambda trial: walk(trial, 6, None), pruner=pruner())
    assert rungs(pieces) == rungs(whole)
    assert len(rungs(whole)) == 3


@pytest.mark.parametrize("told", ["log", "report", "should_prune"])
def test_it_comes_before_anything_is_told(url: str, told: str) -> None:
    def objective(trial: Any) -> float:
        match told:
            case "log":
                trial.log({"a": 1.0}, step=-1)
            case "report":
                trial.report(1.0, 0)
            case _:
                trial.should_prune()
        with pytest.raises(InvalidInputError, match="too late"):
            trial.load_checkpoint()
        return 0.0

    assert run(url, objective).state == "COMPLETE"


def test_what_is_not_there_is_refused(url: str) -> None:
    def objective(trial: Any) -> float:
        with pytest.raises(InvalidInputError, match="nowhere"):
            trial.save_checkpoint(trial.dir / "nowhere")
        return 0.0

    assert run(url, objective).state == "COMPLETE"


@pytest.mark.usefixtures("no_result")
def test_saved_and_restored_files_are_not_left_behind(url: str) -> None:
    leaving = iter([3])
    trial = run(url, lambda trial: walk(trial, 6, next(leaving, None)))
    assert trial.attempt is not None
    assert trial.attempt.outcome is not None
    assert not [gap for gap in trial.attempt.outcome.gaps if "trial.dir" in gap]


@pytest.mark.usefixtures("no_result")
def test_a_damaged_checkpoint_is_warned_of_and_recorded(url: str, tmp_path: Path) -> None:
    seen: list[Any] = []

    def objective(trial: Any) -> float:
        if not seen:
            for content in (b"1", b"2"):
                path = trial.dir / "state"
                path.write_bytes(content * 100_000)
                trial.save_checkpoint(path)
            newest = max(Path(f"{tmp_path}/book.db.blobs").rglob("*"), key=_made)
            os.truncate(newest, 1000)
            seen.append(newest)
            raise Gone
        with pytest.warns(TrialbookWarning, match="checkpoint 2 of attempt 1 was not usable"):
            found = trial.load_checkpoint()
        seen.append(found.read_bytes()[:1])
        return 0.0

    trial = run(url, objective)
    assert seen[1] == b"1"
    assert trial.attempt is not None
    assert trial.attempt.outcome is not None
    (gap,) = [g for g in trial.attempt.outcome.gaps if "not usable" in g]
    assert "checkpoint 2 of attempt 1" in gap


def _made(path: Path) -> tuple[bool, int]:
    return path.is_file(), path.stat().st_mtime_ns


@pytest.mark.usefixtures("no_result")
def test_a_generator_of_another_kind_is_said(url: str) -> None:
    before = np.random.get_bit_generator()  # type: ignore[attr-defined]
    leaving = iter([1])

    def objective(trial: Any) -> float:
        if trial.study.trials[0].number == 0 and (gone_at := next(leaving, None)) is not None:
            return walk(trial, 3, gone_at)
        np.random.set_bit_generator(np.random.PCG64(1))  # type: ignore[attr-defined]
        try:
            with pytest.warns(TrialbookWarning, match="numpy could not be set"):
                trial.load_checkpoint()
        finally:
            np.random.set_bit_generator(before)  # type: ignore[attr-defined]
        return 0.0

    trial = run(url, objective)
    assert trial.attempt is not None
    assert trial.attempt.outcome is not None
    assert any("numpy could not be set" in gap for gap in trial.attempt.outcome.gaps)


def test_trials_side_by_side_leave_the_global_generators_alone(url: str, tmp_path: Path) -> None:
    saved = tmp_path / "state"
    saved.write_text("1")
    kinds = []

    def objective(trial: Any) -> float:
        trial.rng.random()
        trial.save_checkpoint(saved)
        storage = trial.storage
        record = Reader(storage.book).trial(f"s/{trial.number}")
        kinds.append(record.attempts[0].checkpoints[0].generators)
        return 0.0

    def thread() -> None:
        study.optimize(trialbook.tracked_objective(objective), n_trials=1)

    study = trialbook.create_study(study_name="s", storage=url)
    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert kinds == [{"trial.rng": "PCG64"}]


@pytest.mark.filterwarnings("ignore:.*does not count:trialbook.errors.TrialbookWarning")
def test_a_trial_that_was_lost_while_it_ran_is_told_that_nothing_is_kept(
    url: str, tmp_path: Path
) -> None:
    saved = tmp_path / "state"
    saved.write_text("1")

    def objective(trial: Any) -> float:
        give_back(url)  # a reaper thinks that this process is gone
        with pytest.warns(TrialbookWarning, match="the checkpoint is not kept"):
            trial.save_checkpoint(saved)
        return 0.0

    trial = run(url, objective)
    assert trial.state == "WAITING"
    assert trial.attempts[0].checkpoints == ()
