"""The examples and the study, run as their own docstrings say, in a copy of the checkout."""

from __future__ import annotations

import ast
import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trialbook import analysis

from .commands import shell

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The examples and studies alone, outside any repository."""
    return copied(tmp_path)


def copied(directory: Path) -> Path:
    for name in ("examples", "studies"):
        shutil.copytree(
            ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    return directory


def called(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run command lines as in an activated virtual environment."""
    environment = {
        # One state for all commands in a directory: the key there says what was made here.
        "XDG_STATE_HOME": f"{directory}-state",
        # More threads than one mostly wait for each other where the cores are busy.
        "OMP_NUM_THREADS": "1",
    }
    return shell(script, directory, environment=environment)


def book(directory: Path) -> str:
    """The book that a command in this directory writes to by default."""
    return f"sqlite:///{directory / '.trialbook' / 'book.db'}"


def test_the_examples_are_the_four_that_the_readme_names() -> None:
    assert [path.name for path in EXAMPLES] == [
        "argparse_script.py",
        "ask_and_tell.py",
        "cross_validation.py",
        "quadratic.py",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_does_what_its_docstring_says(example: Path, copy: Path) -> None:
    docstring = ast.get_docstring(ast.parse(example.read_text())) or ""
    commands = re.findall(r"^    ((?:python|trialbook) .+)$", docstring, re.MULTILINE)
    assert commands[0].startswith(f"python examples/{example.name}")

    for script in (commands[0], "\n".join(commands[1:])):
        done = called(script, copy)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        if " rerun " in script:
            assert "identical" in done.stdout + done.stderr

    (study,) = analysis.studies(storage=book(copy))
    trials = list(analysis.trials(study.name, storage=book(copy)))
    assert len(trials) >= 5
    for trial in trials:
        assert trial.attempt is not None
        assert trial.attempt.coordinates.code is not None
        assert trial.attempt.series

    if example.stem == "quadratic":
        assert study.states["PRUNED"] >= 2
        assert study.states["COMPLETE"] >= 5


@pytest.mark.slow
def test_an_example_run_twice_goes_on(copy: Path) -> None:
    for _ in range(2):
        done = called("python examples/argparse_script.py --trials 3", copy)
        assert done.returncode == 0, done.stderr

    trials = list(analysis.trials("argparse-script", storage=book(copy)))
    assert [trial.number for trial in trials] == list(range(6))
    assert len({trial.params[0].value for trial in trials}) == 6


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which the digits study has run a few short trials, and its code is gone since."""
    directory = copied(tmp_path_factory.mktemp("searched"))
    done = called(
        "trialbook run studies/digits-mlp.yaml --trials 4 --workers 1 --set epochs=3", directory
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(directory / "examples")
    (directory / "studies" / "digits_mlp.py").unlink()
    return directory


@pytest.mark.slow
def test_the_digits_study_records_metrics_and_the_model(searched: Path) -> None:
    study = analysis.study("digits-mlp", storage=book(searched))
    (best,) = analysis.best("digits-mlp", storage=book(searched))

    assert study.states["COMPLETE"] == 4
    assert best.attempt is not None
    assert {s.metric: s.count for s in best.attempt.series} == {
        "objective": 3,
        "train_loss": 3,
        "val_accuracy": 3,
        "val_loss": 3,
    }
    assert [artifact.name for artifact in best.attempt.artifacts] == ["model.npz"]
    for trial in analysis.trials("digits-mlp", storage=book(searched)):
        params = {param.name: param.value for param in trial.params}
        assert len(params) >= 7
        assert ("units_2" in params) == (params["layers"] == 2)
        assert ("momentum" in params) == (params["solver"] == "sgd")


@pytest.mark.slow
def test_the_digits_rerun_from_nothing_but_the_book(searched: Path) -> None:
    (searched / "studies" / "data" / "digits.csv.gz").unlink()

    again = called("trialbook rerun digits-mlp/best", searched)

    assert again.returncode == 0, again.stdout + again.stderr
    verdict = again.stdout.splitlines()[-1]
    assert "identical (12 points" in verdict
    assert "1 artifact" in verdict


@pytest.mark.slow
def test_the_digits_do_not_rerun_on_other_data(searched: Path, tmp_path: Path) -> None:
    packed = (ROOT / "studies" / "data" / "digits.csv.gz").read_bytes()
    table = bytearray(gzip.decompress(packed))
    table[-2] ^= 1  # the last digit: 8 is now 9
    other = tmp_path / "digits.csv.gz"
    other.write_bytes(gzip.compress(bytes(table)))

    again = called(f"trialbook rerun digits-mlp/best --data digits={other}", searched)

    assert again.returncode == 1
    assert "'digits' has changed" in again.stderr
    assert hashlib.sha256(packed).hexdigest() in again.stderr
