"""``trialbook replicate``: what it prints and with which exit code, without running a process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from optuna.trial import create_trial

from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.replicates import replicate_of
from trialbook.running.study import create_study
from trialbook.tracking.objective import tracked_objective


@tracked_objective
def objective(trial):
    return trial.suggest_float("x", 0, 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with a study: an enqueued trial, another, and one with another configuration.

    The key of the machine that made it lies beside it.
    """
    place = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        storage = BookStorage(place / "book.db")
        study = create_study(storage=storage, study_name="s", seed=1)
        study.enqueue_trial({"x": 0.75})
        study.optimize(objective, n_trials=2)
        study.optimize(objective.with_settings(config={"depth": 3}), n_trials=1)
        storage.close()
    return place


@pytest.fixture
def book(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the book."""
    where = str(shutil.copy(source / "book.db", tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(source / "state"))
    monkeypatch.setenv("TRIALBOOK_STORAGE", where)
    return where


def test_placed_replicates_are_printed_and_still_to_run(
    book: str, capsys: pytest.CaptureFixture[str]
):
    code = exit_code_of_command(
        ["replicate", "s/1", "--seeds", "2", "--also", "default", "--place-only"]
    )
    out, err = capsys.readouterr()
    assert code == 5
    assert out.splitlines()[0] == "s.replicates: replicates of s"
    assert "0 of 2" in out
    assert "4 replicates still to run; these run them: trialbook worker s.replicates" in err
    storage = BookStorage(book)
    trials = storage.get_all_trials(storage.get_study_id_from_name("s.replicates"))
    found = [replicate_of(trial.system_attrs) for trial in trials]
    assert [(mark.configuration.name, mark.index) for mark in found if mark is not None] == [
        *(("trial 1", 0), ("default", 0)),
        *(("trial 1", 1), ("default", 1)),
    ]
    default = found[1]
    assert default is not None
    assert (default.configuration.trial, default.configuration.params[0].value) == (0, 0.75)
    storage.close()


def test_both_studies_show_what_they_are_linked_to(book: str, capsys: pytest.CaptureFixture[str]):
    exit_code_of_command(["replicate", "s/1", "--seeds", "2", "--place-only"])
    capsys.readouterr()
    exit_code_of_command(["show", "s"])
    assert "replicates  s.replicates" in capsys.readouterr().out
    exit_code_of_command(["show", "s.replicates"])
    assert "source      study s: trial 1, chosen among 3 trials" in capsys.readouterr().out
    exit_code_of_command(["status", "s.replicates"])
    assert "2 trials" in capsys.readouterr().out


def test_none_of_the_replicates_is_the_best(book: str, capsys: pytest.CaptureFixture[str]):
    exit_code_of_command(["replicate", "s/1", "--seeds", "1", "--place-only"])
    storage = BookStorage(book)
    study_id = storage.get_study_id_from_name("s.replicates")
    storage.create_new_trial(study_id, create_trial(value=0.25))
    storage.close()
    capsys.readouterr()
    exit_code_of_command(["ls", "--format", "json"])
    source, linked = json.loads(capsys.readouterr().out)
    assert linked["states"]["COMPLETE"] == 1
    assert (linked["best_value"], linked["best_trial"]) == (None, None)
    assert source["best_trial"] is not None
    for command in (["best", "s.replicates"], ["show", "s.replicates/best"]):
        assert exit_code_of_command(command) == 2
        told = capsys.readouterr()
        assert (told.out, "luckiest seed" in told.err) == ("", True)


def test_a_trial_with_another_configuration_is_marked(
    book: str, capsys: pytest.CaptureFixture[str]
):
    exit_code_of_command(["replicate", "s/1", "--also", "2", "--seeds", "1", "--place-only"])
    said = "trial 2: trial 2 was recorded with other config (depth"
    assert said in capsys.readouterr().err


def test_json_and_csv_hold_the_whole_result(book: str, capsys: pytest.CaptureFixture[str]):
    place = ["replicate", "s/1", "--seeds", "1", "--place-only"]
    assert exit_code_of_command([*place, "--format", "json"]) == 5
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["source"]) == ("s.replicates", "s")
    assert found["configurations"][0]["to run"] == 1
    assert found["replicates"][0]["trial"] == "s.replicates/0"
    assert found["link"]["chosen"] == "trial 1"
    assert exit_code_of_command([*place, "--format", "csv"]) == 5
    assert capsys.readouterr().out.startswith("configuration,objective,n,failed,to run,mean,sd")


# One test, because making the book is most of what each would take.
def test_what_cannot_be_replicated_says_why(book: str, capsys: pytest.CaptureFixture[str]):
    cases: list[tuple[list[str], int, str]] = [
        (["s/9"], 3, "no trial 9"),
        (["nobody/best"], 3, "nobody"),
        (["s"], 2, "does not name a trial"),
        (["s/1", "--also", "worst"], 2, "names no configuration"),
        (["s/1", "--also", "default", "--default", "x"], 2, "PARAM=VALUE"),
        (["s/1", "--also", "default", "--default", "y=1"], 2, "no trial has a param 'y'"),
        (["s/1", "--default", "x=1"], 2, "add --also default"),
    ]
    for arguments, code, said in cases:
        found = exit_code_of_command(["replicate", *arguments, "--place-only"])
        told = capsys.readouterr().err
        assert (found, said in told) == (code, True), (arguments, told)
