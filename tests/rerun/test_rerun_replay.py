"""What a replay allows and what it does not, and how the process is set up."""

from __future__ import annotations

import json
import os
import warnings

import psutil
import pytest

import trialbook
from trialbook.book.book import Book
from trialbook.book.removal import remove_trial
from trialbook.errors import (
    InvalidInputError,
    NotFoundError,
    RestoreError,
    TrialbookWarning,
    UntrustedCodeError,
)
from trialbook.records.verdict import Verdict
from trialbook.rerun.repeated import RepeatedReport

from .conftest import SEARCH

SIMPLE = (
    """
@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    trial.log({"x": x})
    return x
"""
    + SEARCH
)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("trial.should_prune()", "called should_prune a time more than recorded (1 recorded"),
        ("os._exit(7)", "exited with status 7 before the trial ended"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL before the trial ended"),
    ],
)
def test_what_cannot_be_replayed_is_not_comparable(recorded, more, body, reason):
    more.write_text(body)
    report = recorded.rerun(trust=True)
    assert report.verdict is Verdict.NOT_COMPARABLE
    assert reason in report.reason
    assert report.points < 2
    assert recorded.trial("s/0").reruns[-1].report == report


def test_a_point_that_came_out_otherwise_is_a_difference_whatever_comes_later(recorded, more):
    more.write_text("trial.report(-1.0, 1); trial.should_prune()")
    report = recorded.rerun(trust=True)
    assert report.verdict is Verdict.DIFFERENT
    assert (report.differences[0].name, report.differences[0].step) == ("objective", 1)
    assert "should_prune" in report.reason


def test_the_process_is_set_up_as_recorded(project):
    project.write(
        "train.py",
        """
        import os, sys
        import trialbook

        @trialbook.tracked_objective(config={"b": 1, "a": 2})
        def objective(trial):
            trial.suggest_float("x", 0, 1)
            trial.log({
                "hash": float(hash("text") % 1_000_003),
                "optimize": sys.flags.optimize,
                "threads": float(os.environ.get("OMP_NUM_THREADS", "-1")),
                "argv": len(sys.argv),
                "first key of the config": list(trial.config).index("b"),
                "seed": trial.seed,
                "cwd": len(os.listdir("inner")) + len(os.listdir(".")),
            })
            return 1.0

        study = trialbook.create_study(study_name="s", storage=BOOK, seed=1)
        study.optimize(objective, n_trials=1)
        """,
    )
    project.write("sub/inner/file.txt", "content")
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1"}
    command = ("../train.py", "--flag", "value")
    project.run(*command, cwd=project.root / "sub", env=environment, options=("-O",))
    report = project.rerun()
    assert report.verdict is Verdict.IDENTICAL, report
    assert report.coordinates == ()
    assert report.points == 7


def test_text_hashed_with_a_random_seed_is_a_caution_of_the_verdict(project):
    project.script(SIMPLE.replace('{"x": x}', '{"x": hash("a")}'))
    report = project.rerun()
    assert report.verdict is Verdict.DIFFERENT
    assert "PYTHONHASHSEED was not set" in report.reason


def test_a_study_from_elsewhere_needs_trust(recorded, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    with pytest.raises(UntrustedCodeError):
        recorded.rerun("s/1")
    assert recorded.trial("s/1").reruns == ()


@pytest.mark.slow
def test_several_times_give_the_spread(recorded, more):
    more.write_text("trial.log({'noise': int.from_bytes(os.urandom(4)) * 1e-12}, step=3)")
    before = len(recorded.trial("s/0").reruns)
    report = trialbook.rerun("s/0", storage=recorded.book, times=2, trust=True)
    assert isinstance(report, RepeatedReport)
    assert report.verdict is Verdict.DIFFERENT
    assert len(report.reports) == len(recorded.trial("s/0").reruns) - before == 2
    spreads = {spread.name: spread for spread in report.spreads}
    assert list(spreads) == ["returned", "noise", "objective"]
    assert spreads["objective"].deviation == spreads["objective"].widest == 0.0
    noise = spreads["noise"]
    assert noise.minimum < noise.mean < noise.maximum
    assert noise.widest == noise.maximum - noise.minimum > 0
    assert (noise.widest_step, noise.recorded) == (3, None)
    assert spreads["returned"].recorded == recorded.trial("s/0").attempt.returned


def test_a_difference_within_the_declared_tolerance(recorded, more):
    more.write_text("trial.report(trial.params['x'] * (1 + 1e-9), 1)")
    close = recorded.rerun(trust=True, rtol=1e-6)
    assert close.verdict is Verdict.WITHIN_TOLERANCE
    assert close.rtol == 1e-6
    assert all(difference.tolerated for difference in close.differences)


def test_no_variable_of_today_reaches_a_rerun_whose_code_console_and_results_are_kept(
    recorded, tmp_path, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    kept = tmp_path / "kept"
    report = recorded.rerun(keep=kept, trust=True)
    assert report.verdict is Verdict.IDENTICAL
    assert report.coordinates == ()
    assert (kept / "code" / "root" / "train.py").read_text() == (
        recorded.root / "train.py"
    ).read_text()
    assert "hello from the objective" in (kept / "stdout.txt").read_text()
    assert json.loads((kept / "results" / "result.json").read_text())["end"]["state"] == "COMPLETE"
    with pytest.raises(InvalidInputError, match="not empty"):
        recorded.rerun(keep=kept)


def test_every_bad_argument_is_named_at_once(recorded):
    with pytest.raises(InvalidInputError) as caught:
        recorded.rerun(allow=["everything"], env="there", times=0, rtol=-1.0)
    for part in ("everything", "there", "times=0", "rtol"):
        assert part in str(caught.value)


def test_unknown_trials_and_inputs(recorded):
    with pytest.raises(NotFoundError):
        recorded.rerun("s/99")
    with pytest.raises(NotFoundError):
        recorded.rerun("other/0")
    with pytest.raises(InvalidInputError, match="no input 'train'"):
        recorded.rerun(data={"train": "x"}, trust=True)


@pytest.mark.slow
def test_a_large_file_that_was_loaded_is_asked_for(project, tmp_path):
    line = "# " + "x" * 97 + "\n"
    project.write("big.py", "factor = 2\n" + line * 12_000)
    project.script("import big\n" + SIMPLE.replace('{"x": x}', '{"x": big.factor * x}'))
    kept = tmp_path / "copy.py"
    big = project.root / "big.py"
    assert project.rerun().verdict is Verdict.IDENTICAL  # it still lies where it did
    big.rename(kept)
    with pytest.raises(RestoreError, match=r"big\.py") as caught:
        project.rerun()
    assert "--supply" in str(caught.value)
    assert project.rerun(supply={"big.py": kept}).verdict is Verdict.IDENTICAL
    kept.write_text("factor = 3\n")
    with pytest.raises(RestoreError, match="not what ran"):
        project.rerun(supply={"big.py": kept})


@pytest.mark.slow
def test_undeclared_files_are_taken_along_and_changed_ones_named(project, tmp_path):
    project.write(".gitignore", "ignored.txt\n")
    (project.root / "ignored.txt").write_text("2.0")
    (tmp_path / "elsewhere.txt").write_text("3.0")
    project.script(
        f"""
@tracked_objective
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for path in ("ignored.txt", {str(tmp_path / "elsewhere.txt")!r}):
        x *= float(open(path).read())
    return x
"""
        + SEARCH
    )
    report = project.rerun("s/1")
    assert report.verdict is Verdict.IDENTICAL, report
    (tmp_path / "elsewhere.txt").write_text("4.0")
    report = project.rerun("s/1")
    assert report.verdict is Verdict.DIFFERENT
    assert [item.kind for item in report.coordinates] == ["data"]
    assert report.coordinates[0].what.endswith("elsewhere.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_book_that_cannot_be_written_still_gives_the_verdict(project):
    project.script(SIMPLE)
    project.book.parent.chmod(0o500)
    project.book.chmod(0o400)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            report = project.rerun()
    finally:
        project.book.parent.chmod(0o700)
    assert report.verdict is Verdict.IDENTICAL
    assert any(issubclass(item.category, TrialbookWarning) for item in caught)


def test_a_trial_that_is_deleted_meanwhile_still_gives_its_verdict(recorded):
    trial = recorded.trial("s/2")

    def delete(line: str) -> None:
        if line.startswith("running"):
            book = Book.open(recorded.book, create=False)
            remove_trial(book, trial)
            book.close()

    with pytest.warns(TrialbookWarning, match="not stored in the book"):
        report = recorded.rerun("s/2", trust=True, tell=delete)
    assert report.verdict is Verdict.IDENTICAL


def test_what_a_rerun_leaves_running_ends_with_it(recorded, more, tmp_path):
    more.write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
    )
    assert recorded.rerun(trust=True).verdict is Verdict.IDENTICAL
    left = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == "zombie"
