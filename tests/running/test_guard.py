"""The guard: a worker that joins is as its study is, or says in every trial that it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trialbook.book.storage import BookStorage
from trialbook.errors import InputsChangedError
from trialbook.records.code import CodeState, FileEntry
from trialbook.records.config import ConfigState, SearchSettings
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.data import DataState, InputState
from trialbook.records.environment import EnvironmentState, Interpreter, Machine, Package
from trialbook.records.execution import LaunchState, Seeds
from trialbook.records.references import StudyReference
from trialbook.running.coordinator import Coordinator
from trialbook.running.guard import Admission, admitted
from trialbook.running.messages import Job, Ready
from trialbook.running.outcome import Limits, RunOutcome
from trialbook.running.study import create_study, load_study


def _digest(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def _code(*, loaded: dict[str, str], others: dict[str, str] | None = None) -> CodeState:
    return CodeState(
        None,
        tuple(
            FileEntry(path, "100644", len(content), _digest(content), loaded=path in loaded)
            for path, content in sorted({**loaded, **(others or {})}.items())
        ),
    )


def _data(**inputs: str) -> DataState:
    return DataState(
        tuple(InputState(n, "file", n, f"/{n}", _digest(c), 1) for n, c in inputs.items())
    )


def _environment(cpu: str = "A", python: str = "3.12.1", **packages: str) -> EnvironmentState:
    return EnvironmentState(
        Interpreter("CPython", python, "main", "gcc", "/python", "/", {}, "0"),
        Machine("Linux", "6.1", "x86_64", None, None, cpu, (), 4, 4, 1),
        tuple(Package(name, version) for name, version in packages.items()),
    )


class Desk:
    """A study with a reference, and a worker that asks to be let in."""

    def __init__(self, storage: BookStorage, root: Path) -> None:
        self.storage = storage
        self.root = root
        self.study_id: int = create_study(storage=storage, study_name="s")._study_id
        self.states: dict[Kind, Any] = {
            Kind.CODE: _code(loaded={"train.py": "train"}, others={"late.py": "late"}),
            Kind.DATA: _data(train="rows"),
            Kind.CONFIG: ConfigState(resolved={"lr": 0.1}),
            Kind.ENVIRONMENT: _environment(numpy="2.1.0"),
        }

    def snapshots(self, **states: Any) -> list[Snapshot]:
        here = {**self.states, **{Kind(kind): state for kind, state in states.items()}}
        return [Snapshot.of(kind, Coverage.of(()), state) for kind, state in here.items()]

    def tracked(self, **states: Any) -> None:
        trial_id = self.storage.create_new_trial(self.study_id)
        self.storage.begin_attempt(
            trial_id, snapshots=self.snapshots(**states), seeds=Seeds(trial=1)
        )

    def asks(self, *allowed: str, joined: bool = True, **states: Any) -> Admission:
        documents = [snapshot.document.decode() for snapshot in self.snapshots(**states)]
        job = Job(
            book=self.storage.url, shown_book=self.storage.url, study="s", study_id=self.study_id,
            search=SearchSettings(), name="objective", file="train.py", module=None,
            search_path=(), data={}, mapped={}, config=None, overrides={}, seed=None,
            isolation="auto", paranoid=False, allowed=allowed, budget=None, joined=joined,
        )  # fmt: skip
        return admitted(self.storage, job, Ready("fork", "", *documents, str(self.root)))

    @property
    def reference(self) -> StudyReference:
        found = self.storage.reference(self.study_id)
        assert found is not None
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    storage = BookStorage(tmp_path / "book.db")
    desk = Desk(storage, tmp_path)
    yield desk
    storage.close()


OTHER: dict[str, dict[str, Any]] = {
    "code": {"code": _code(loaded={"train.py": "edited"})},
    "data": {"data": _data(train="other rows")},
    "settings": {"config": ConfigState(resolved={"lr": 0.2})},
    "environment": {"environment": _environment(numpy="2.2.0")},
}
MARKS = {
    "code": "code: train.py",
    "data": f"data: train (sha256:{_digest('rows')[:8]} -> sha256:{_digest('other rows')[:8]})",
    "settings": "config: lr 0.1 -> 0.2",
    "environment": "environment: numpy 2.1.0 -> 2.2.0",
}


def test_without_anything_to_compare_with_everybody_is_let_in(desk: Desk) -> None:
    assert desk.asks() == Admission()


def test_a_worker_is_held_against_what_is_written_down_and_not_against_what_was_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tracked()
    fix = desk.storage.fix_reference

    def fixed_too_late(study_id: int) -> StudyReference | None:
        monkeypatch.undo()
        desk.tracked(**OTHER["code"])
        return fix(study_id)

    monkeypatch.setattr(desk.storage, "fix_reference", fixed_too_late)
    with pytest.raises(InputsChangedError, match=r"code \(train\.py\)"):
        desk.asks()


def test_a_worker_that_is_the_same_is_let_in(desk: Desk) -> None:
    desk.tracked()

    assert desk.asks() == Admission()


def test_a_worker_that_joins_never_becomes_what_others_are_held_against(desk: Desk) -> None:
    """Its machine is another one, its data lie elsewhere, and its code is a copy."""
    desk.tracked()
    before = desk.reference
    here = _environment(cpu="B", numpy="2.1.0")

    desk.asks(environment=here)
    desk.tracked(environment=here)

    assert desk.reference == replace(before, fixed=True)


@pytest.mark.parametrize("flag", OTHER)
def test_a_worker_that_differs_is_refused_with_what_differs(flag: str, desk: Desk) -> None:
    desk.tracked()

    with pytest.raises(InputsChangedError) as caught:
        desk.asks(**OTHER[flag])

    kind, _, what = MARKS[flag].partition(": ")
    assert f"{kind} ({what})" in caught.value.what
    assert f"--allow {flag}" in str(caught.value.hint)
    assert not desk.reference.fixed


@pytest.mark.parametrize("flag", OTHER)
def test_a_worker_that_is_let_in_is_marked_and_moves_nothing(flag: str, desk: Desk) -> None:
    desk.tracked()
    before = desk.reference

    admission = desk.asks(flag, **OTHER[flag])
    desk.tracked(**OTHER[flag])

    assert admission.differs == (MARKS[flag],)
    assert [text.partition(":")[0] for text in admission.told] == ["let in although it differs"]
    assert desk.reference == replace(before, fixed=True)
    assert desk.asks() == Admission()


def test_what_is_allowed_lets_nothing_else_in(desk: Desk) -> None:
    desk.tracked()

    with pytest.raises(InputsChangedError) as caught:
        desk.asks("code", **OTHER["code"], **OTHER["data"])

    assert "data (train" in caught.value.what
    assert "train.py" not in caught.value.what


def test_a_reference_that_is_set_before_the_first_trial_counts(desk: Desk) -> None:
    desk.storage.set_reference(desk.study_id, desk.snapshots())

    assert desk.asks() == Admission()
    with pytest.raises(InputsChangedError):
        desk.asks(**OTHER["code"])


def test_another_machine_is_told_and_let_in(desk: Desk) -> None:
    desk.tracked()

    admission = desk.asks(environment=_environment(cpu="B", numpy="2.1.0"))

    assert admission == Admission(told=("this machine differs: cpu model A -> B",))


def test_a_file_that_is_not_loaded_yet_and_lies_there_unchanged_is_no_difference(
    desk: Desk,
) -> None:
    """Trials import while they run: the reference has loaded what this worker only has."""
    desk.tracked(code=_code(loaded={"train.py": "train", "late.py": "late"}))

    assert desk.asks() == Admission()
    with pytest.raises(InputsChangedError, match="late.py"):
        desk.asks(code=_code(loaded={"train.py": "train"}, others={"late.py": "edited"}))


def test_a_file_that_git_ignores_is_looked_for_where_it_should_lie(desk: Desk) -> None:
    """It is in a manifest only once it was imported, so here it is in none yet."""
    loaded = {"train.py": "train", "generated.py": "made"}
    desk.tracked(code=_code(loaded=loaded))

    with pytest.raises(InputsChangedError, match=r"generated.py \(not here\)"):
        desk.asks()
    (desk.root / "generated.py").write_text("otherwise")
    with pytest.raises(InputsChangedError, match=r"generated.py \(not here\)"):
        desk.asks()
    (desk.root / "generated.py").write_text("made")
    assert desk.asks() == Admission()


def test_a_path_of_the_record_leads_nowhere_outside(desk: Desk) -> None:
    (desk.root / "outside.py").write_text("made")
    desk.tracked(code=_code(loaded={"train.py": "train", "../outside.py": "made"}))
    desk.root = desk.root / "checkout"

    with pytest.raises(InputsChangedError, match="outside.py"):
        desk.asks()


def test_a_file_that_only_the_worker_loads_is_a_difference(desk: Desk) -> None:
    desk.tracked()

    with pytest.raises(InputsChangedError, match=r"extra.py \(only here\)"):
        desk.asks(code=_code(loaded={"train.py": "train", "extra.py": "extra"}))


@pytest.mark.parametrize("flag", ["code", "data", "settings"])
def test_a_run_is_refused_too_and_goes_on_unmarked_when_allowed(flag: str, desk: Desk) -> None:
    desk.tracked()

    with pytest.raises(InputsChangedError, match="since the last trial"):
        desk.asks(joined=False, **OTHER[flag])
    assert desk.asks(flag, joined=False, **OTHER[flag]) == Admission()


def test_a_run_is_told_of_its_environment_and_never_refused_for_it(desk: Desk) -> None:
    desk.tracked()

    admission = desk.asks(joined=False, **OTHER["environment"])

    assert admission == Admission(told=("this machine differs: numpy 2.1.0 -> 2.2.0",))


@pytest.mark.parametrize("flag", OTHER)
def test_a_run_that_is_allowed_to_differ_takes_the_study_with_it(flag: str, desk: Desk) -> None:
    desk.storage.set_reference(desk.study_id, desk.snapshots())

    assert not desk.asks(flag, joined=False).moves, "nothing differs"
    assert desk.asks(flag, joined=False, **OTHER[flag]).moves
    if flag != "environment":
        assert not desk.asks(joined=False, **OTHER["environment"]).moves, "nobody asked for it"


# With real processes: two checkouts of one project.

TRAIN = """
from shared import scale
def objective(trial):
    import late
    return trial.suggest_float("x", 0, 1) * scale
"""


def _checkout(place: Path, scale: int) -> Path:
    place.mkdir()
    (place / "pyproject.toml").write_text("")
    (place / "train.py").write_text(TRAIN)
    (place / "shared.py").write_text(f"scale = {scale}\n")
    (place / "late.py").write_text("")
    return place


def _joined(lab: Any, checkout: Path, *allowed: str, trials: int) -> Any:
    """A worker of this checkout on the study ``s`` until it has so many trials."""
    storage = BookStorage(lab.book)
    try:
        study = load_study(study_name="s", storage=storage)
        job = Job(
            book=f"sqlite:///{lab.book}", shown_book=storage.url, study="s",
            study_id=study._study_id, search=study.spec.search, name="objective",
            file=str(checkout / "train.py"), module=None, search_path=(), data={}, mapped={},
            config=None, overrides={}, seed=None, isolation="auto", paranoid=False,
            allowed=allowed, budget=trials, joined=True,
        )  # fmt: skip
        lab.heard.said_.clear()
        return Coordinator(
            storage, job, [{"PYTHONHASHSEED": "0"}], Limits(None, 0), lab.heard
        ).run()
    finally:
        storage.close()


def _marks(lab: Any) -> list[tuple[str, ...]]:
    return [lab.launch(trial)[0].differs for trial in lab.trials()]


@pytest.mark.slow
def test_an_edited_checkout_is_kept_out_or_marked(lab: Any, tmp_path: Path) -> None:
    right, wrong = _checkout(tmp_path / "right", 1), _checkout(tmp_path / "wrong", 2)
    lab.run("budget: {trials: 1}\nsampler: RandomSampler", objective=f"{right}/train.py:objective")

    outcome: RunOutcome = _joined(lab, wrong, "code", trials=3)
    assert [trial.state for trial in outcome.trials] == ["COMPLETE"] * 2
    marked = ("code: shared.py",)
    assert _marks(lab) == [(), marked, marked]

    # Its owner goes on with the other code, and the study with them.
    other = f"{wrong}/train.py:objective"
    lab.run("budget: {trials: 4}", objective=other, allow=("code",))
    with pytest.raises(InputsChangedError) as caught:
        _joined(lab, right, trials=5)
    assert "code (shared.py)" in caught.value.what
    assert _marks(lab)[3:] == [()], "nothing was begun"


@pytest.mark.slow
def test_a_run_says_once_what_is_different_about_the_machine(lab: Any) -> None:
    lab.write("def objective(trial): return trial.suggest_float('x', 0, 1)")
    lab.run("budget: {trials: 1}\nsampler: RandomSampler")
    _other_environment(lab)

    lab.run("budget: {trials: 3}\nworkers: 2\nisolation: none")

    told = [text for text in lab.heard.said_ if "this machine differs" in text]
    assert told == ["this machine differs: cpu model another -> " + told[0].rpartition("-> ")[2]]
    assert len(lab.trials()) == 3


def _other_environment(lab: Any) -> None:
    """As if the first trial had run on another machine."""
    snapshots = [lab.snapshot(lab.trials()[0], kind) for kind in Kind]
    found = {snapshot.kind: snapshot for snapshot in snapshots}
    state = found[Kind.ENVIRONMENT].state_as(EnvironmentState)
    state = replace(state, machine=replace(state.machine, cpu_model="another"))
    found[Kind.ENVIRONMENT] = Snapshot.of(Kind.ENVIRONMENT, Coverage.of(()), state)
    storage = BookStorage(lab.book)
    study_id = storage.get_study_id_from_name("s")
    storage.set_reference(study_id, list(found.values()))
    storage.close()


def test_a_record_from_before_the_mark_still_opens() -> None:
    launch = {
        "host": "h", "user": None, "pid": 1, "python": "/python", "argv": [], "cwd": "/",
        "entry": {"how": "none"}, "bases": {}, "sys_path": [], "isolation": "none",
    }  # fmt: skip

    assert msgspec.convert(launch, LaunchState).differs == ()
