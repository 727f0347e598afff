"""``launch``, ``jobs``, ``logs``, ``drain`` and ``cancel`` as a user meets them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import create_trial

from trialbook.book.storage import BookStorage
from trialbook.cli.main import exit_code_of_command
from trialbook.records.launches import LaunchRecord
from trialbook.running.launch import asking
from trialbook.running.launch.asking import cancel, to_cancel
from trialbook.running.own_study import own_study
from trialbook.running.pinning import pinned_reference
from trialbook.running.run import RunOptions
from trialbook.running.spec import read_spec

_GATED = """
import time
from pathlib import Path

def objective(trial):
    while trial.number and not Path(__PLACE__, "go").exists():
        if trial.should_stop():
            break
        time.sleep(0.01)
    return trial.suggest_float("x", 0, 1)
"""
_STAND_IN = """#!{python}
import sys
print(*sys.argv[1:], sep="\\n", end="\\n\\x1b[31mred without an end")
"""


class Desk:
    """A directory with a study, and the program."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys
        self.write(place)
        self.python = place / "stand-in"
        self.python.write_text(_STAND_IN.format(python=sys.executable))
        self.python.chmod(0o755)

    @staticmethod
    def write(place: Path) -> None:
        """The study file and its objective."""
        (place / "train.py").write_text(_GATED.replace("__PLACE__", repr(str(place))))
        (place / "s.yaml").write_text("objective: train.py:objective\nbudget: {trials: 50}\n")

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        self._capsys.readouterr()
        code = exit_code_of_command(arguments)
        out, err = self._capsys.readouterr()
        return code, out, err

    def launch(self, *arguments: str) -> str:
        """Launch, and give the launch's id."""
        code, out, err = self.call("launch", *arguments, "--format", "json")
        assert code == 0, err
        launch_id: str = json.loads(out)["launch_id"]
        return launch_id

    def stood_in(self, *arguments: str) -> str:
        """Launch stand-ins that say what they were given and end."""
        return self.launch(*arguments, "--python", str(self.python))

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        code, out, err = self.call("jobs", "--format", "json", *arguments)
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a book whose study ``s`` can be launched by its name, and the key to it."""
    place = tmp_path_factory.mktemp("pinned")
    Desk.write(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place / "state"))
        given = RunOptions(str(place / "book.db"))
        with own_study(read_spec(place / "s.yaml"), given) as own:
            pinned_reference(own, {})
    return place


@pytest.fixture
def pinned_desk(desk: Desk, pinned: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with such a study in its book; to launch it takes no look at its code."""
    (desk.place / ".trialbook").mkdir()
    shutil.copy(pinned / "book.db", desk.place / ".trialbook")
    shutil.copytree(pinned / "state", desk.place / "state")
    monkeypatch.setenv("XDG_STATE_HOME", str(desk.place / "state"))
    return desk


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    yield Desk(tmp_path, capsys)
    (tmp_path / "go").touch()
    if (tmp_path / ".trialbook" / "book.db").exists():
        storage = BookStorage()
        for launch in storage.launches.all():
            cancel(storage, to_cancel(storage, launch.launch_id))
        storage.close()


def held(row: dict[str, Any]) -> list[int]:
    """Numbers of the trials that a job's worker runs."""
    return [trial["number"] for trial in row["worker"]["holds"]]


def until(condition: Callable[[], object], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


@pytest.mark.slow
def test_workers_are_launched_listed_drained_and_cancelled(desk: Desk) -> None:
    code, out, err = desk.call("launch", "s.yaml", "-w", "2")
    assert code == 0
    heading, *jobs = [line.split() for line in out.splitlines()]
    assert heading[0] == "JOB"
    launch_id = jobs[0][0].partition("/")[0]
    assert [job[:2] for job in jobs] == [[f"{launch_id}/{index}", "local"] for index in (0, 1)]
    assert f"'trialbook drain {launch_id}'" in err

    # Trial 0 ends by itself; each of the two others is held until the desk says go.
    until(lambda: [row["worker"] and held(row) > [0] for row in desk.rows()] == [True, True])
    code, out, err = desk.call("jobs", "s")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["JOB", f"{launch_id}/0", f"{launch_id}/1"]
    assert all(re.search(r"running +working, pid \d+, seen .* ago", line) for line in lines[1:])

    assert desk.call("drain", f"{launch_id}/0")[2] == "1 worker asked to finish and leave\n"
    assert desk.rows(f"{launch_id}/0")[0]["remark"] == "draining"
    assert desk.call("drain", f"{launch_id}/0", "--undo")[2] == "1 worker may go on\n"
    desk.call("drain", f"{launch_id}/0")

    before = [number for row in desk.rows(launch_id) for number in held(row)]
    code, out, err = desk.call("cancel", launch_id, "--dry-run")
    assert (code, err) == (0, "2 jobs would be ended\n")
    code, _, err = desk.call("cancel", launch_id)
    assert (code, "add --yes" in err) == (2, True)
    assert [row["status"]["state"] for row in desk.rows(launch_id)] == ["running"] * 2
    code, _, err = desk.call("cancel", f"{launch_id}/1", "--yes")
    assert (code, err) == (0, "1 job asked to end\n")
    until(lambda: desk.rows(f"{launch_id}/1")[0]["status"]["state"] == "ended")

    (desk.place / "go").touch()
    assert desk.call("drain", launch_id, "--wait")[2].endswith("all have left\n")
    code, out, _ = desk.call("logs", launch_id, "--follow")
    assert code == 0
    assert {line.partition(": ")[0] for line in out.splitlines()} == {
        f"{launch_id}/0",
        f"{launch_id}/1",
    }
    assert f"trial {before[0]} complete" in out
    assert [row["status"]["says"] for row in desk.rows(launch_id)] == ["exit 0", "exit 0"]

    storage = BookStorage()
    states = {t.number: t.state.name for t in storage.get_all_trials(1)}
    storage.close()
    assert states[before[0]] == "COMPLETE"
    assert "RUNNING" not in states.values()
    assert desk.call("cancel", "s", "--yes")[2] == "every job of s is over\n"
    assert desk.call("drain", "s")[2].startswith("no worker of s is there")


def test_what_the_engine_and_the_workers_are_told(desk: Desk) -> None:
    launch_id = desk.stood_in(
        *("train.py:objective", "--study", "-o $(x)", "--trials", "2", "--idle-exit", "0"),
        *("--allow", "environment", "--code", "here"),
    )
    until(lambda: desk.rows("--", "-o $(x)")[0]["over"])
    code, out, _ = desk.call("logs", f"{launch_id}/0")
    *arguments, last = out.split("\n")
    assert code == 0
    assert arguments[:5] == ["-P", "-m", "trialbook", "worker", "--job"]
    assert arguments[arguments.index("--trials") :] == [
        *("--trials", "2", "--idle-exit", "0.0", "--code", "here", "--allow", "environment"),
        *("--", "-o $(x)"),
    ]
    assert last == "\x1b[31mred without an end"
    (row,) = desk.rows("--", "-o $(x)")
    assert row["remark"] == "never came"


def test_workers_understand_all_that_they_can_be_told() -> None:
    from trialbook.cli.worker import worker
    from trialbook.running.launch.launching import WorkerSettings

    settings = WorkerSettings(
        1, 1.0, 1.0, {"a": "b"}, {"f": "g"}, "c", "here", "here", ("code",), 1.0
    )
    assert len(settings.arguments) == 2 * len(fields(WorkerSettings))
    told = {*settings.arguments[::2], "--pinned", "--job"}
    assert told <= {flag for option in worker.params for flag in option.opts}


def test_options_of_an_engine_are_given_by_their_names(desk: Desk) -> None:
    from trialbook.cli.launch import _engine_options

    (desk.place / "hosts").write_text("# lab\nnode1 slots=4\n\nme@node2\n")
    given = {
        "options": ("partition=gpu", "exclusive", "gres=gpu:1=x", "mail=a", "mail=b", "mail"),
        "hosts": ("node0",),
        "host_file": desk.place / "hosts",
        "address": None,
        "python": None,
        "gpus_per_worker": 2,
    }
    assert _engine_options(given) == {
        "partition": "gpu",
        "exclusive": True,
        "gres": "gpu:1=x",
        "mail": ["a", "b", True],
        "hosts": ["node0", "# lab", "node1 slots=4", "", "me@node2"],
        "gpus_per_worker": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["launch", "nothing"], 3, "no book"),
        (["launch", "s.yaml", "-o", "queue=x", "-o", "nice"], 2, "'queue'; no option 'nice'"),
        (["launch", "s.yaml", "-o", "=x"], 2, "names nothing"),
        (["launch", "s.yaml", "-o", "hosts=a"], 2, "write --host"),
        (["launch", "s.yaml", "--on", "cloud"], 2, "'cloud'"),
        (["launch", "s.yaml", "-w", "0"], 2, "0"),
        (["launch", "s.yaml", "--hosts", "missing"], 2, "missing"),
        (["launch", "s.yaml", "--data", "x"], 2, "NAME=PATH"),
        (["launch", "s.yaml", "--gpus-per-worker", "99"], 2, "need 99"),
        (["drain", "s", "--undo", "--wait"], 2, "do not go together"),
        (["jobs"], 3, "no book"),
        (["logs", "0badcafe"], 3, "no book"),
        (["cancel", "0badcafe/0"], 3, "no book"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    desk: Desk, arguments: list[str], code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found, _, err = desk.call(*arguments)
    assert found == code
    assert says in " ".join(err.split())


def test_names_of_no_launch_and_study_are_not_found(pinned_desk: Desk) -> None:
    launch_id = pinned_desk.stood_in("s")
    for command in ("jobs", "logs", "drain", "cancel"):
        for name in ("nothing", "0badcafe", f"{launch_id}/1", "0badcafe/0"):
            code, _, err = pinned_desk.call(command, name)
            assert code == 3, (command, name, err)
            assert "no launch" in err or "no job" in err


def test_a_drained_study_names_the_launches_whose_workers_may_still_come(
    pinned_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pinned_desk.stood_in("s", "-w", "2"), pinned_desk.stood_in("s")
    pinned_desk.call("drain", second)
    code, _, err = pinned_desk.call("drain", "s")
    assert code == 0
    assert f"2 workers of launch {first} never came so far" in err
    assert f"'trialbook drain {first}'" in err
    assert second not in err
    monkeypatch.setattr(asking, "_COME_S", 0.0)
    assert "never came" not in pinned_desk.call("drain", "s")[2]


def test_a_directory_that_is_gone_is_said_to_be(desk: Desk) -> None:
    gone = desk.place / "gone"
    gone.mkdir()
    os.chdir(gone)  # the fixture goes back
    gone.rmdir()
    code, _, err = desk.call("launch", "s")
    assert code == 1
    assert err.startswith("error: the directory that this command works in is gone\n")


def test_a_log_that_is_gone_is_named_and_the_others_are_shown(pinned_desk: Desk) -> None:
    launch_id = pinned_desk.stood_in("s", "-w", "2")
    until(lambda: all(row["status"]["state"] == "ended" for row in pinned_desk.rows(launch_id)))
    first = pinned_desk.rows(launch_id)[0]["placed"]["log"]
    Path(first).unlink()
    code, out, err = pinned_desk.call("logs", launch_id)
    assert code == 1
    assert err.startswith(f"{launch_id}/0: the log of job 0 cannot be read")
    assert out.startswith(f"{launch_id}/1: ")


def test_jobs_of_earlier_launches_that_are_over_are_only_counted(pinned_desk: Desk) -> None:
    first, second = pinned_desk.stood_in("s"), pinned_desk.stood_in("s")
    until(lambda: all(row["over"] for row in pinned_desk.rows("s")))
    _, out, err = pinned_desk.call("jobs", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["job"] == f"{second}/0"
    assert err == "1 job over; --all lists them too\n"
    assert [row["job"] for row in pinned_desk.rows("--all")] == [f"{first}/0", f"{second}/0"]


def test_a_launch_of_another_machine_says_whom_to_ask(pinned_desk: Desk) -> None:
    launch_id = pinned_desk.stood_in("s")
    storage = BookStorage()
    launch = storage.launches.one(launch_id)
    place_elsewhere(storage, launch)
    storage.close()
    (row,) = pinned_desk.rows(launch_id)
    assert row["status"] is None
    assert "processes of elsewhere" in row["text"]
    code, _, err = pinned_desk.call("cancel", launch_id, "--yes")
    assert code == 1
    assert "processes of elsewhere" in err
    assert err.endswith(
        f"'trialbook drain {launch_id}' reaches workers that their engine does not\n"
    )
    assert pinned_desk.call("logs", launch_id)[0] == 1


def place_elsewhere(storage: BookStorage, launch: LaunchRecord) -> None:
    jobs = [replace(job, place="elsewhere") for job in launch.jobs]
    storage.launches.set_jobs(launch.launch_id, jobs)


def test_a_study_file_says_how_many_workers_there_are(desk: Desk) -> None:
    (desk.place / "s.yaml").write_text("objective: train.py:objective\nworkers: 3\n")
    assert len(desk.rows(desk.stood_in("s.yaml"))) == 3
    assert len(desk.rows(desk.stood_in("s.yaml", "-w", "2"))) == 2
    assert len(desk.rows(desk.stood_in("s"))) == 1


def test_a_study_whose_budget_is_met_gets_no_workers(desk: Desk) -> None:
    (desk.place / "s.yaml").write_text("objective: train.py:objective\nbudget: {trials: 1}\n")
    desk.stood_in("s.yaml")
    storage = BookStorage()
    storage.create_new_trial(storage.get_study_id_from_name("s"), create_trial(value=0.5))
    storage.close()
    for arguments, printed in (
        (["s"], ""),
        (["s.yaml"], ""),
        (["s", "--format", "json"], "null\n"),
        (["s", "--format", "csv"], "job,engine,engine_id,place\n"),
    ):
        code, out, err = desk.call("launch", *arguments)
        assert (code, out) == (0, printed)
        assert err.startswith("s: 1 done, 0 to go, so no worker was placed;")
    assert len(desk.rows("s", "--all")) == 1
    desk.stood_in("s", "--idle-exit", "0")
    assert len(desk.rows("s", "--all")) == 2


def test_a_study_from_elsewhere_needs_trust(pinned_desk: Desk) -> None:
    from trialbook.running.trust import key_file

    pinned_desk.stood_in("s")
    key_file().unlink()
    code, _, err = pinned_desk.call("launch", "s", "--python", str(pinned_desk.python))
    assert code == 2
    assert "add --trust" in err
    pinned_desk.stood_in("s", "--trust")
