"""Objectives found by text: files as modules of their own, modules, and what is told otherwise."""

import subprocess
import sys
from pathlib import Path

import pytest

from trialbook.errors import ObjectiveNotFoundError, ObjectiveSignatureError
from trialbook.running.objectives import ObjectiveSource, load_objective, module_name

TRAIN = """
import helper_of_train
LOADED = helper_of_train.LOADED
LOADED.append(__name__)

def objective(trial):
    return 1.0

def two(trial, data):
    return 1.0

def with_default(trial, data=3):
    return 1.0

async def later(trial):
    return 1.0

def many(trial):
    yield 1.0

class Model:
    def __init__(self):
        self.n = 3
    def __call__(self, trial):
        return 1.0

model = Model()
number = 3
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train_a.py").write_text(TRAIN)
    (tmp_path / "helper_of_train.py").write_text("LOADED = []")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def load(text: str, place: Path):
    return load_objective(ObjectiveSource.of(text, place), (str(place),))


@pytest.mark.parametrize("text", ["train_a.py:objective", "train_a.py::objective"])
def test_a_file_is_a_module_of_its_own_once(place: Path, text: str) -> None:
    loaded = load(text, place)
    assert loaded.function(None) == 1.0
    assert sys.path[0] == str(place)
    assert loaded.module.__name__ == "train_a"
    assert sys.modules["train_a"] is loaded.module
    assert load(text, place).module is loaded.module
    assert loaded.module.LOADED == ["train_a"]


def test_a_module_is_imported_by_its_name(place: Path) -> None:
    assert load("train_a:objective", place).module.__name__ == "train_a"


def test_an_instance_that_can_be_called_is_an_objective(place: Path) -> None:
    assert load("train_a.py:model", place).function(None) == 1.0
    assert load("train_a.py:with_default", place).function(None) == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing.py:objective", "there is no such file"),
        ("train.py:objective", "did you mean"),
        ("train_a.py:objectiv", "did you mean 'objective'?"),
        ("train_a.py:zzz", "name one of"),
        ("train_a.py:model.fit", "there is no function 'model.fit'"),
        ("no_such_module_here:objective", "there is no module 'no_such_module_here'"),
        ("train_a.py", "train_a.py:objective"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(place: Path, text: str, message: str) -> None:
    with pytest.raises(ObjectiveNotFoundError) as caught:
        load(text, place)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two", "does not accept a trial"),
        ("number", "is a int, not a function"),
        ("Model", "is a class"),
        ("later", "coroutine function"),
        ("many", "generator function"),
    ],
)
def test_what_does_not_accept_a_trial_is_refused(place: Path, name: str, message: str) -> None:
    with pytest.raises(ObjectiveSignatureError, match=message):
        load(f"train_a.py:{name}", place)


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("def f(:\n", 1, "SyntaxError"),
        ("import not_installed_anywhere\n", 1, "No module named 'not_installed_anywhere'"),
        ("import sys\n\nsys.exit(3)\n", 3, "SystemExit: 3"),
    ],
)
def test_code_that_raises_is_named_with_its_line(
    place: Path, body: str, line: int, message: str
) -> None:
    (place / "broken_a.py").write_text(body)
    with pytest.raises(ObjectiveNotFoundError, match="cannot be imported") as caught:
        load("broken_a.py:f", place)
    assert message in caught.value.what
    assert caught.value.where == f"{place / 'broken_a.py'}:{line}"
    assert "broken_a" not in sys.modules


def test_names_are_stable_and_hide_nothing(place: Path) -> None:
    assert module_name(place / "digits-mlp.py") == "_trialbook_digits_mlp"
    assert module_name(place / "random.py") == "_trialbook_random"
    assert module_name(place / "pytest.py") == "_trialbook_pytest"
    assert module_name(place / "train_a.py") == "train_a"


def test_finding_objectives_imports_no_numerics() -> None:
    """What the user's module sets before it imports NumPy must hold."""
    code = (
        "import sys, trialbook.running.child; "
        "print(sorted({'numpy', 'optuna', 'sqlalchemy', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
