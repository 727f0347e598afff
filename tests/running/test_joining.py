"""Workers that join a study with nothing but its book: another home, another cache, no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from optuna.study import StudyDirection

from trialbook.book.book import Book
from trialbook.book.copying import copy_study
from trialbook.book.storage import BookStorage
from trialbook.errors import (
    ConfigError,
    InputsChangedError,
    InvalidInputError,
    NotFoundError,
    ObjectiveNotFoundError,
    RestoreDataError,
    RestoreError,
    SettingsDifferError,
    UntrustedCodeError,
)
from trialbook.records.code import CodeState
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.data import DataState
from trialbook.records.execution import LaunchState
from trialbook.records.launches import DRAIN, JobId, LaunchPin, LaunchRecord
from trialbook.records.study import TrialRecord
from trialbook.records.workers import Placement
from trialbook.running.joined_inputs import joined_config
from trialbook.running.joining import JoinOptions, join_study, placement_of
from trialbook.running.outcome import RunEnd, RunOutcome
from trialbook.running.progress import RunState, TrialEnd
from trialbook.running.study import load_study

from .conftest import Heard, Lab

PROJECT = {
    "pyproject.toml": "",
    "conf/model.yaml": "model: {depth: 3, rate: 0.5}\n",
    "tables/small.csv": "a,b\n",
    "src/shop/__init__.py": "",
    "src/shop/helper.py": "FACTOR = 2\n",
    "search/train.py": """
        import pathlib
        from shop import helper
        from trialbook import tracked_objective

        @tracked_objective(
            data={"small": "../tables/small.csv", "large": "../../data/large.csv"},
            config="../conf/model.yaml",
            seed=3,
        )
        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            pathlib.Path("left-behind.txt").write_text("by a trial")
            read = [trial.data[name].read_text() for name in ("small", "large")]
            trial.set_user_attr("read", read)
            trial.set_user_attr("config", trial.config)
            return x * helper.FACTOR
    """,
    "s.yaml": """
        study: s
        objective: search/train.py:objective
        seed: 5
        budget: {trials: 2}
    """,
}


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(dedent(text))


def command(directory: Path, *arguments: str, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Original:
    """A study that ran on another machine, as far as can be told from here.

    Args:
        book: Its book, to be copied.
        checkout: A copy of its checkout, at another place.
        large: The input that the checkout does not have.
    """

    book: Path
    checkout: Path
    large: Path


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    place = tmp_path_factory.mktemp("original")
    project, kept = place / "project", place / "kept"
    write(project, PROJECT)
    write(place, {"data/large.csv": "c,d\n"})
    home = tmp_path_factory.mktemp("home")
    command(
        project,
        *("-m", "trialbook", "run", "s.yaml", "--storage", str(place / "book.db")),
        XDG_STATE_HOME=str(home / "state"),
        XDG_CACHE_HOME=str(home / "cache"),
        PYTHONPATH=str(project / "src"),
    )
    (project / "left-behind.txt").unlink()
    shutil.rmtree(project / ".trialbook", ignore_errors=True)
    shutil.move(project, kept)
    shutil.move(place / "data", place / "elsewhere")
    return Original(place / "book.db", kept, place / "elsewhere" / "large.csv")


def copied_to(target: Book, original: Original) -> None:
    with closing(Book.open(str(original.book), create=False, read_only=True)) as source:
        copy_study(source, target, "s")


class Machine(Lab):
    """Another machine: an empty directory, and a route to the book."""

    def __init__(self, place: Path, original: Original) -> None:
        super().__init__(place)
        self.original = original
        shutil.copyfile(original.book, self.book)
        self.temporary = place / "temporary"
        self.temporary.mkdir()

    def join(self, study: str = "s", **options: Any) -> RunOutcome:
        options.setdefault("trust", True)
        options.setdefault("mapped", {"large": str(self.original.large)})
        self.heard = Heard(on_trial=self.heard.on_trial)
        return join_study(JoinOptions(study, str(self.book), **options), self.heard)

    def raise_budget(self, trials: int, book: str | None = None) -> None:
        with closing(BookStorage(book or str(self.book), create=False)) as storage:
            study_id = storage.get_study_id_from_name("s")
            record = storage.get_study_record(study_id)
            assert record.spec is not None
            spec = replace(record.spec, search=replace(record.spec.search, trials=trials))
            storage.set_study_spec(study_id, spec, origin=record.origin)

    def identity(self, trial: TrialRecord) -> str:
        return self.snapshot(trial, Kind.CODE).state_as(CodeState).identity


@pytest.fixture
def machine(
    tmp_path: Path, original: Original, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    place = tmp_path / "machine"
    empty = place / "empty"
    empty.mkdir(parents=True)
    machine = Machine(place, original)
    monkeypatch.chdir(empty)
    monkeypatch.setenv("TMPDIR", str(machine.temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield machine
    assert list(empty.iterdir()) == [], "nothing is left where the worker began"
    assert list(machine.temporary.iterdir()) == [], "nothing is left of the code"


def test_a_worker_needs_nothing_but_the_book(machine: Machine) -> None:
    machine.raise_budget(5)
    first = machine.join(trials=1)
    assert (first.end, len(first.trials)) == (RunEnd.SHARE, 1)
    second = machine.join()
    assert (second.end, len(second.trials)) == (RunEnd.BUDGET, 2)
    trials = machine.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 5
    before, joined = trials[0], trials[4]
    assert joined.user_attrs == before.user_attrs
    assert joined.user_attrs["read"] == ["a,b\n", "c,d\n"]
    assert machine.identity(joined) == machine.identity(before)
    code = machine.snapshot(joined, Kind.CODE)
    assert {e.path for e in code.state_as(CodeState).files} == {
        e.path for e in machine.snapshot(before, Kind.CODE).state_as(CodeState).files
    }
    assert "the code was restored from the book" in code.coverage.reasons
    data = machine.snapshot(joined, Kind.DATA).state_as(DataState)
    assert {item.name: item.path for item in data.inputs}["large"] == str(machine.original.large)
    config = machine.snapshot(joined, Kind.CONFIG).state_as(ConfigState)
    recorded = machine.snapshot(before, Kind.CONFIG).state_as(ConfigState)
    assert config == replace(recorded, search=config.search)
    launch, _ = machine.launch(joined)
    assert launch.entry == machine.launch(before)[0].entry
    assert launch.cwd.startswith(str(machine.temporary))
    assert launch.differs == ()
    assert joined.attempt is not None
    assert before.attempt is not None
    assert joined.attempt.seeds is not None
    assert before.attempt.seeds is not None
    assert joined.attempt.seeds.decorator == before.attempt.seeds.decorator
    caches = Path(os.environ["XDG_CACHE_HOME"]) / "trialbook"
    assert len(list((caches / "digests").iterdir())) == 1, "the data's, under one name"
    assert not (caches / "screening").exists()

    # What it sampled is what its owner would have.
    with closing(BookStorage(str(machine.place / "again.db"))) as storage:
        copied_to(storage.book, machine.original)
        study = load_study(study_name="s", storage=storage)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        sampled = [trial.params["x"] for trial in study.trials]
    assert [trial.params[0].value for trial in trials] == sampled


def test_code_of_another_machine_runs_only_when_trusted_or_pinned(machine: Machine) -> None:
    with pytest.raises(UntrustedCodeError, match="would execute code"):
        machine.join(trust=False)
    with pytest.raises(UntrustedCodeError, match="unpickles"):
        machine.join(trust=False, code="here")
    with closing(BookStorage(str(machine.book), create=False)) as storage:
        reference = storage.reference(storage.get_study_id_from_name("s"))
        assert reference is not None
        assert reference.coordinates.code is not None
        pin = LaunchPin(storage.book.book_id, reference.coordinates.code)
    assert machine.join(trust=False, pin=pin).end is RunEnd.BUDGET
    for other in (replace(pin, code="0" * 64), replace(pin, book_id="another")):
        with pytest.raises(UntrustedCodeError) as refused:
            machine.join(trust=True, pin=other)
        assert str(other) in refused.value.what
        assert str(pin) in refused.value.what


def test_a_worker_begins_no_trial_of_code_that_the_study_has_left_behind(machine: Machine) -> None:
    machine.raise_budget(1000)

    def go_on_with_other_code(_: TrialEnd) -> None:
        machine.heard.on_trial = None
        with closing(BookStorage(str(machine.book), create=False)) as storage:
            study_id = storage.get_study_id_from_name("s")
            reference = storage.reference(study_id)
            assert reference is not None
            found = {k: storage.snapshot(reference.coordinates.of(k) or "") for k in Kind}
            code = found[Kind.CODE].state_as(CodeState)
            files = tuple(
                replace(file, digest="0" * 64) if file.path == "search/train.py" else file
                for file in code.files
            )
            state = replace(code, files=files)
            found[Kind.CODE] = Snapshot.of(Kind.CODE, found[Kind.CODE].coverage, state)
            storage.set_reference(study_id, list(found.values()))

    machine.heard.on_trial = go_on_with_other_code
    with pytest.raises(InputsChangedError, match=r"code \(search/train\.py\)") as refused:
        machine.join()
    assert (refused.value.hint or "").startswith("start the worker again")
    assert 3 <= len(machine.trials()) < 900
    assert {trial.state for trial in machine.trials()} == {"COMPLETE"}


@pytest.mark.parametrize("path", ["/absolute.py", "../outside.py", "search/other.py"])
def test_an_objective_that_is_no_part_of_the_code_is_refused(machine: Machine, path: str) -> None:
    with closing(BookStorage(str(machine.book), create=False)) as storage:
        study_id = storage.get_study_id_from_name("s")
        reference = storage.reference(study_id)
        assert reference is not None
        found = [storage.snapshot(reference.coordinates.of(kind) or "") for kind in Kind]
        launch = found[-1].state_as(LaunchState)
        forged = replace(launch, entry=replace(launch.entry, path=path))
        found[-1] = Snapshot.of(Kind.EXECUTION, found[-1].coverage, forged)
        storage.set_reference(study_id, found)
        assert found[0].kind is Kind.CODE
        pin = LaunchPin(storage.book.book_id, found[0].digest)
    machine.raise_budget(3)
    with pytest.raises(RestoreError, match="not among its code"):
        machine.join(trust=False, pin=pin)


def test_an_input_is_the_recorded_one_or_the_worker_does_not_start(
    machine: Machine, tmp_path: Path
) -> None:
    machine.raise_budget(3)
    with pytest.raises(RestoreDataError, match="'large' is missing") as missing:
        machine.join(mapped={})
    assert "--data" in (missing.value.hint or "")
    changed = tmp_path / "changed.csv"
    changed.write_text("e,f\n")
    with pytest.raises(RestoreDataError, match="'large' has changed"):
        machine.join(mapped={"large": str(changed)})
    with pytest.raises(InvalidInputError, match="no input 'larg'"):
        machine.join(mapped={"larg": str(changed)})
    assert len(machine.trials()) == 2
    outcome = machine.join(mapped={"large": str(changed)}, allow=("data",))
    assert outcome.end is RunEnd.BUDGET
    trial = machine.trials()[2]
    assert trial.user_attrs["read"] == ["a,b\n", "e,f\n"]
    assert any("large" in text for text in machine.launch(trial)[0].differs)


def test_the_checkout_here_is_used_when_it_is_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.raise_budget(3)
    with pytest.raises(ObjectiveNotFoundError, match="not here"):
        machine.join(code="here")
    checkout = tmp_path / "checkout"
    shutil.copytree(machine.original.checkout, checkout)
    monkeypatch.setenv("PYTHONPATH", str(checkout / "src"))
    monkeypatch.chdir(checkout)
    (checkout / "src" / "shop" / "helper.py").write_text("FACTOR = 3\n")
    with pytest.raises(InputsChangedError, match="helper.py"):
        machine.join(code="here")
    assert len(machine.trials()) == 2
    (checkout / "src" / "shop" / "helper.py").write_text("FACTOR = 2\n")
    machine.join(code="here")
    trials = machine.trials()
    assert machine.identity(trials[2]) == machine.identity(trials[0])
    assert machine.launch(trials[2])[0].cwd == str(checkout)


def test_an_idle_worker_sees_a_budget_that_grows_and_leaves_after_a_while_or_when_asked(
    machine: Machine,
) -> None:
    class Growing(Heard):
        def began(self, state: RunState) -> None:
            assert state.to_go == 0
            machine.raise_budget(3)

    options = JoinOptions(
        "s",
        str(machine.book),
        trust=True,
        idle_exit_s=1.0,
        mapped={"large": str(machine.original.large)},
    )
    outcome = join_study(options, Growing())
    assert (outcome.end, len(outcome.trials)) == (RunEnd.IDLE, 1)

    machine.raise_budget(4)
    asked = Heard(on_trial=lambda _: ask_to_leave(machine))
    outcome = join_study(replace(options, idle_exit_s=60.0), asked)
    assert (outcome.end, len(outcome.trials)) == (RunEnd.ASKED, 1)
    assert "was asked to leave" in asked.said_[-1]


def ask_to_leave(lab: Lab) -> None:
    with closing(BookStorage(str(lab.book), create=False)) as storage:
        storage.launches.ask_workers(storage.get_study_id_from_name("s"), DRAIN)


def test_two_workers_that_come_at_once_share_a_cache_and_nothing_else(machine: Machine) -> None:
    machine.raise_budget(4)
    arguments = ["--storage", str(machine.book), "--trust"]
    arguments += ["--data", f"large={machine.original.large}", "s"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "trialbook", "worker", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for worker in workers:
        _, said = worker.communicate(timeout=120)
        assert worker.returncode == 0, said
    trials = machine.trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 4
    assert len({machine.identity(trial) for trial in trials}) == 1
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "trialbook" / "code"
    assert not list(kept.rglob("*.partial"))


SCRIPT = """
    import trialbook
    from trialbook import tracked_objective

    @tracked_objective
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    if __name__ == "__main__":
        study = trialbook.create_study(study_name="scripted", seed=1)
        study.optimize(objective, n_trials=1)
"""


def scripted(machine: Machine, tmp_path: Path, text: str) -> None:
    place = tmp_path / "scripted"
    write(place, {"search.py": text})
    command(place, "search.py", TRIALBOOK_STORAGE=str(machine.book))
    shutil.rmtree(place)


def test_the_objective_of_a_script_is_imported_when_its_search_is_guarded(
    machine: Machine, tmp_path: Path
) -> None:
    scripted(machine, tmp_path, SCRIPT)
    outcome = machine.join("scripted", trials=1, mapped={})
    assert outcome.end is RunEnd.SHARE
    first, second = machine.trials("scripted")
    assert second.state == "COMPLETE"
    assert machine.launch(first)[0].entry.how == "script"
    assert machine.launch(second)[0].entry.how == "file"
    assert machine.identity(second) == machine.identity(first)


_UNUSABLE = """
    import optuna, trialbook
    storage = trialbook.BookStorage()
    optuna.create_study(study_name="bare", storage=storage)
    trialbook.create_study(study_name="empty", storage=storage)

    @trialbook.tracked_objective
    def objective(trial):
        return trial.suggest_float("x", 0, 1)

    class Own(optuna.samplers.RandomSampler):
        pass

    study = optuna.create_study(study_name="plain", storage=storage)
    study.optimize(objective, n_trials=1)
    study = trialbook.create_study(study_name="own", storage=storage, sampler=Own())
    study.optimize(objective, n_trials=1)
    study = trialbook.create_study(study_name="unguarded", storage=storage)
    study.optimize(objective, n_trials=1)
    storage.close()
"""


def test_a_study_that_no_worker_can_search_says_why(machine: Machine, tmp_path: Path) -> None:
    scripted(machine, tmp_path, _UNUSABLE)
    refusals: dict[str, tuple[type[Exception], str]] = {
        "nowhere": (NotFoundError, "no study 'nowhere'"),
        "bare": (RestoreError, "no tracked trial yet"),
        "empty": (RestoreError, "no tracked trial yet"),
        "plain": (RestoreError, "made by plain Optuna"),
        "own": (SettingsDifferError, "only its owner can build"),
        "unguarded": (RestoreError, "importing it would search"),
    }
    for study, (kind, text) in refusals.items():
        with pytest.raises(kind, match=text) as refused:
            machine.join(study, mapped={})
    assert "trialbook run FILE.py:FUNCTION" in (getattr(refused.value, "hint", None) or "")


def test_what_placed_a_worker_is_said_by_its_launch_and_its_batch_system(url: str) -> None:
    job = JobId("0a1b2c3d", 3)
    slurm = {"SLURM_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3"}
    with closing(BookStorage(url)) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        assert placement_of(storage, None, {}) == Placement()
        assert placement_of(storage, None, slurm) == Placement("slurm", "4711_3")
        with pytest.raises(NotFoundError):
            placement_of(storage, job, slurm)
        launch = LaunchRecord(job.launch, study_id, "s", "slurm", 0.0, "here", None, 4)
        storage.launches.add(launch)
        placed = Placement("slurm", "4711_3", "0a1b2c3d/3")
        assert placement_of(storage, job, slurm) == placed
        storage.launches.add(replace(launch, launch_id="ffffffff", engine="ray"))
        # A cluster of Ray inside a job of SLURM: it was Ray that placed the worker.
        placed = Placement("ray", "ffffffff/0", "ffffffff/0")
        assert placement_of(storage, JobId("ffffffff", 0), slurm) == placed


def test_credentials_that_the_record_lacks_have_to_be_given(tmp_path: Path) -> None:
    recorded = ConfigState(
        resolved={"db": {"user": "ann", "password": "<redacted>"}, "depth": 3},
        overrides={"depth": 3},
        redacted=("db.password",),
    )
    with pytest.raises(ConfigError, match=r"db\.password") as refused:
        joined_config(recorded, None, {"depth": 3})
    assert "--config FILE" in (refused.value.hint or "")
    given = {"db.password": "known here"}
    assert joined_config(recorded, None, given) == (recorded.resolved, given)
    file = tmp_path / "conf.yaml"
    assert joined_config(recorded, str(file), {}) == (str(file), {"depth": 3})
    open_one = replace(recorded, redacted=())
    assert joined_config(open_one, None, {}) == (recorded.resolved, {})


def test_children_run_in_the_recreated_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    command(tmp_path, "-m", "venv", "--without-pip", str(other))
    site = next((other / "lib").glob("python*/site-packages"))
    (site / "same.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    python = other / "bin" / "python"
    monkeypatch.setattr("trialbook.running.joining.recreate", lambda *_, **__: python)
    machine.raise_budget(3)
    machine.join(env="recreate", allow=("environment",))
    trials = machine.trials()
    assert trials[2].state == "COMPLETE"
    assert machine.launch(trials[2])[0].python == str(python)
    assert machine.identity(trials[2]) == machine.identity(trials[0])


def test_a_worker_joins_on_a_server(machine: Machine, postgres_url: str) -> None:
    with closing(Book.open(postgres_url)) as book:
        copied_to(book, machine.original)
    options = JoinOptions(
        "s", postgres_url, trials=2, trust=True, mapped={"large": str(machine.original.large)}
    )
    machine.raise_budget(4, book=postgres_url)
    outcome = join_study(options, Heard())
    assert outcome.end is RunEnd.SHARE
    assert [trial.state for trial in outcome.trials] == ["COMPLETE"] * 2


def test_the_workers_of_a_run_are_asked_to_leave_in_the_same_way(lab: Lab) -> None:
    lab.write(
        """
        import os, time
        from pathlib import Path
        def objective(trial):
            Path(__file__).with_name(f"began-{os.getpid()}").touch()
            time.sleep(0.1)
            return trial.suggest_float("x", 0, 1)
        """
    )

    def ask(_: TrialEnd) -> None:
        if len(list(lab.place.glob("began-*"))) == 2:  # a process of each worker
            ask_to_leave(lab)

    lab.heard.on_trial = ask
    outcome = lab.run("budget: {trials: 1000}\nworkers: 2\nisolation: none")
    assert outcome.end is RunEnd.ASKED
    assert {trial.state for trial in lab.trials()} == {"COMPLETE"}
    assert sum("was asked to leave" in text for text in lab.heard.said_) == 2
