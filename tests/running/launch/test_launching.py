"""What ``launch`` does before and while it places: checks, the pinned reference, the record.

The workers are stand-ins that end at once; real ones are in the contract.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trialbook.book.storage import BookStorage
from trialbook.errors import (
    InputsChangedError,
    InvalidInputError,
    LaunchError,
    NotFoundError,
    ObjectiveNotFoundError,
    UntrustedCodeError,
)
from trialbook.records.coordinates import Kind
from trialbook.records.environment import EnvironmentState
from trialbook.records.launches import LaunchRecord
from trialbook.records.references import StudyReference
from trialbook.running.launch import launching, local
from trialbook.running.launch.launching import LaunchOptions, WorkerSettings, launch
from trialbook.running.launch.local import JobFiles
from trialbook.running.launch.reach import require_reachable, server_host, server_variables
from trialbook.running.launch.threads import THREAD_VARIABLES, thread_shares, usable_cores
from trialbook.running.spec import RunSpec, parsed_spec
from trialbook.running.trust import key_file

from ..conftest import Lab

_STAND_IN = """#!{python}
import os, sys
print(sys.argv[1:], os.environ["TRIALBOOK_STORAGE"], os.environ["PYTHONHASHSEED"])
"""
_TRAIN = """
from pathlib import Path

def objective(trial):
    Path(__file__).with_name("ran").touch()
    return trial.suggest_float("x", 0, 1)
"""


class Launchpad:
    """A study's files, and stand-ins for workers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.python = lab.write(_STAND_IN.format(python=sys.executable), "stand-in")
        self.python.chmod(0o755)
        lab.write(_TRAIN)

    def spec(self, settings: str = "") -> RunSpec:
        text = f"study: s\nobjective: train.py:objective\n{settings}"
        return parsed_spec(text, self.lab.place / "s.yaml")

    def launch(
        self,
        target: str | RunSpec | None = None,
        *,
        said: list[str] | None = None,
        workers: int = 1,
        engine_options: Mapping[str, Any] = {},
        trust: bool = False,
        **settings: Any,
    ) -> LaunchRecord:
        options = LaunchOptions(
            workers=workers,
            storage=str(self.lab.book),
            engine_options={"python": str(self.python), **engine_options},
            settings=WorkerSettings(**settings),
            trust=trust,
        )
        heard = [] if said is None else said
        record = launch(self.spec() if target is None else target, options, heard.append)
        assert record is not None
        return record

    def reference(self) -> Any:
        storage = BookStorage(self.lab.book)
        try:
            return storage.reference(storage.get_study_id_from_name("s"))
        finally:
            storage.close()

    def environment(self, reference: StudyReference) -> EnvironmentState:
        storage = BookStorage(self.lab.book)
        try:
            snapshot = storage.snapshot(str(reference.coordinates.environment))
            return snapshot.state_as(EnvironmentState)
        finally:
            storage.close()

    def launches(self) -> list[LaunchRecord]:
        storage = BookStorage(self.lab.book)
        try:
            return storage.launches.all()
        finally:
            storage.close()


@pytest.fixture
def pad(lab: Lab) -> Launchpad:
    return Launchpad(lab)


def test_a_study_without_a_trial_gets_what_lies_here_as_its_reference(
    pad: Launchpad, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PYTHONHASHSEED", *THREAD_VARIABLES):
        monkeypatch.delenv(variable, raising=False)
    record = pad.launch(workers=2)
    assert pad.lab.study().states == {}
    assert not (pad.lab.place / "ran").exists()
    reference = pad.reference()
    assert reference.fixed
    assert all(reference.coordinates.of(kind) is not None for kind in Kind)
    observed = pad.environment(reference)
    # As its workers have them, so that none of them tells of a difference.
    told = {"PYTHONHASHSEED": "0", **thread_shares(os.environ, 2, usable_cores())}
    assert told.items() <= observed.variables.items()
    assert record.pin is not None
    assert record.pin.code == reference.coordinates.code
    (kept,) = pad.launches()
    assert kept == record
    assert [job.index for job in record.jobs] == [0, 1]


def test_workers_are_told_everything_and_the_book_no_credential(
    pad: Launchpad, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "c0rrect-horse-battery")
    python = pad.python.rename(pad.python.with_name("c0rrect-horse-battery"))
    record = pad.launch(
        engine_options={"python": str(python)},
        trials=3,
        hours=1.5,
        idle_exit_s=0.0,
        data={"a b": "x=$(y)"},
        supply={"f.py": "/g"},
        config="c.yaml",
        env="here",
        code="book",
        allow=("data", "code"),
        grace_s=2.0,
    )
    pad.lab.wait_until(lambda: _printed(record).endswith("\n"))
    arguments = [
        *("-P", "-m", "trialbook", "worker", "--job", f"{record.launch_id}/0"),
        *("--pinned", str(record.pin), "--trials", "3", "--hours", "1.5", "--idle-exit", "0.0"),
        *("--data", f"a b={Path.cwd()}/x=$(y)", "--supply", "f.py=/g"),
        *("--config", f"{Path.cwd()}/c.yaml", "--env", "here", "--code", "book"),
        *("--allow", "data", "--allow", "code", "--grace", "2.0", "--", "s"),
    ]
    assert _printed(record) == f"{arguments} sqlite:///{pad.lab.book} 0\n"
    assert "c0rrect-horse-battery" not in str(pad.launches())
    assert record.options == pad.launches()[0].options


def _printed(record: LaunchRecord) -> str:
    assert record.place is not None
    log = Path(record.place) / "0.log"
    return log.read_text() if log.exists() else ""


def test_a_study_of_the_book_is_launched_by_its_name(pad: Launchpad) -> None:
    pad.lab.run("budget: {trials: 1}")
    before = pad.reference()
    assert not before.fixed
    record = pad.launch("s", idle_exit_s=0.0)  # its budget is met
    after = pad.reference()
    assert after.fixed
    assert after.coordinates == before.coordinates
    assert record.pin is not None
    assert record.pin.code == before.coordinates.code


def test_code_that_differs_from_the_studys_is_refused_until_it_is_allowed(pad: Launchpad) -> None:
    first = pad.launch()
    assert pad.launch().pin == first.pin
    pad.lab.write(_TRAIN.replace("0, 1", "0, 2"))
    with pytest.raises(InputsChangedError, match=r"train\.py"):
        pad.launch()
    assert pad.launch("s").pin == first.pin
    assert len(pad.launches()) == 3
    allowed = pad.launch(allow=("code",))
    assert allowed.pin is not None
    assert allowed.pin != first.pin
    assert pad.launch("s").pin == allowed.pin


def test_an_objective_that_cannot_be_imported_leaves_no_study(pad: Launchpad) -> None:
    pad.lab.write("import nowhere_to_be_found\n")
    with pytest.raises(ObjectiveNotFoundError):
        pad.launch()
    assert pad.lab.studies() == []


def test_a_study_that_nothing_is_known_to_run_is_refused(pad: Launchpad) -> None:
    import optuna

    storage = BookStorage(pad.lab.book)
    optuna.create_study(study_name="plain", storage=storage)
    storage.close()
    with pytest.raises(NotFoundError, match="no study 'nothing'"):
        pad.launch("nothing")
    with pytest.raises(LaunchError, match="no tracked trial"):
        pad.launch("plain", trust=True)
    assert pad.launches() == []


def test_a_study_from_elsewhere_is_launched_when_it_is_trusted(pad: Launchpad) -> None:
    pad.launch()
    key_file().unlink()
    for target in ("s", None):
        with pytest.raises(UntrustedCodeError):
            pad.launch(target)
        assert pad.launch(target, trust=True).jobs


def test_every_bad_argument_is_named_at_once(pad: Launchpad) -> None:
    with pytest.raises(InvalidInputError) as caught:
        pad.launch(
            workers=0,
            engine_options={"queue": "fast"},
            trials=0,
            hours=0.0,
            idle_exit_s=-1.0,
            grace_s=float("nan"),
            data={"": "x", "n": ""},
            env="there",
            code="elsewhere",
            allow=("anything",),
        )
    told = (
        *("workers, not 0", "'queue'", "trials must", "hours must", "idle exit must", "grace must"),
        *("data ''", "data 'n'", "'there'", "'elsewhere'", "'anything'"),
    )
    assert [word for word in told if word not in caught.value.what] == []
    assert not pad.lab.book.exists()


def test_what_was_placed_stays_in_the_book_when_the_rest_fails(
    pad: Launchpad, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = launching._recorded

    def spoilt(*arguments: Any) -> LaunchRecord:
        record = recorded(*arguments)
        (Path(str(record.place)) / "1.log").mkdir()
        return record

    monkeypatch.setattr(launching, "_recorded", spoilt)
    said: list[str] = []
    with pytest.raises(LaunchError, match="1 of 3 workers could not be started") as caught:
        pad.launch(workers=3, said=said)
    (kept,) = pad.launches()
    assert [job.index for job in kept.jobs] == [0, 2]
    assert caught.value.where == f"launch {kept.launch_id}"
    assert said == [f"launch {kept.launch_id}: 2 of 3 workers were placed and work"]


def test_who_breaks_off_a_launch_hears_what_was_placed(
    pad: Launchpad, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = local._note_process

    def broken_off(files: JobFiles, pid: int, keeper: int) -> None:
        if files.log.name == "1.log":
            os.kill(os.getpid(), signal.SIGINT)
        note(files, pid, keeper)

    monkeypatch.setattr(local, "_note_process", broken_off)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        pad.launch(workers=3, said=said)
    (kept,) = pad.launches()
    assert [job.index for job in kept.jobs] == [0, 1]
    assert said == [f"launch {kept.launch_id}: 2 of 3 workers were placed and work"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/book.db",
        "postgresql://me:pw@localhost/book",
        "postgresql://127.0.0.1:5433/book",
        "postgresql://[::1]/book",
        "postgresql:///book?host=/run/postgresql",
        "postgresql:///book",
    ],
)
def test_a_book_that_only_this_machine_reaches_is_refused_for_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    require_reachable(url, "s", everybody_is_here=True)
    with pytest.raises(InvalidInputError) as caught:
        require_reachable(url, "a $(b)", everybody_is_here=False)
    assert "pw" not in str(caught.value)
    if url.startswith("sqlite"):
        assert "storage copy 'a $(b)' --to postgresql://" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("postgresql://db.lab/book", {}),
        ("postgresql://localhost,db.lab/book", {}),
        ("postgresql://10.0.0.7/book", {}),
        ("postgresql:///book", {"PGHOST": "db.lab"}),
        ("postgresql:///?service=lab", {}),
        ("postgresql:///book", {"PGSERVICE": "lab"}),
    ],
)
def test_a_server_that_others_may_reach_is_taken(
    url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    require_reachable(url, "s", everybody_is_here=False)
    assert server_host(url, os.environ) not in ("", "localhost")


def test_what_the_url_leaves_to_the_environment_goes_with_the_workers() -> None:
    told = {"PGPASSWORD": "pw", "PGHOST": "db", "PGSERVICE": "lab"}
    assert server_variables({**told, "PGPORT": "", "PATH": "/bin"}) == told
