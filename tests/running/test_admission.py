"""Which differences keep a worker out, and what it is told to do about them."""

from __future__ import annotations

import pytest

from trialbook.records.code import GitState
from trialbook.records.verdict import CoordinateDifference
from trialbook.running.admission import refusal_text, remedies, told_lines, weighed

COMMIT = "0123456789abcdef" * 2 + "01234567"


def _env(what: str, before: str | None, now: str | None) -> CoordinateDifference:
    return CoordinateDifference("environment", what, before, now)


CODE = CoordinateDifference("code", "train.py", "a" * 64, "b" * 64)
OUTSIDE = CoordinateDifference("code", "outside-1:lib/tool.py", "a" * 64, "b" * 64)
DATA = CoordinateDifference("data", "train/part.csv", "a" * 64, "b" * 64)
CONFIG = CoordinateDifference("config", "model.lr", "0.1", "0.2")
NUMPY = _env("package numpy", "2.1.0", "2.2.0")
PYTHON = _env("python", "3.11.2", "3.12.0")


@pytest.mark.parametrize(
    ("difference", "flag"),
    [
        (CODE, "code"),
        (DATA, "data"),
        (CONFIG, "settings"),
        (NUMPY, "environment"),
        (PYTHON, "environment"),
        (_env("python implementation", "CPython", "PyPy"), "environment"),
        (_env("package a", "1.0 (index)", "1.1 (editable file:///a)"), "environment"),
    ],
)
def test_what_weighs_is_refused_unless_allowed(difference: CoordinateDifference, flag: str) -> None:
    assert weighed([difference], ()).refused == (difference,)
    assert weighed([difference], {flag}).allowed == (difference,)
    others = {"code", "data", "settings", "environment"} - {flag}
    assert weighed([difference], others).refused == (difference,)


@pytest.mark.parametrize(
    "difference",
    [
        _env("cpu model", "A", "B"),
        _env("cpu count", "4", "8"),
        _env("kernel of openblas (numpy)", "Haswell", "Zen"),
        _env("threads of openblas (numpy)", "4", "8"),
        _env("gpu driver", "550", None),
        _env("distribution", "Debian 12", "Ubuntu 24.04"),
        _env("python build", "main", "main2"),
        _env("$OMP_NUM_THREADS", None, "4"),
        _env("package numpy", None, "2.1.0"),
        _env("package numpy", "2.1.0", None),
        _env("package a", "1.0 (index)", "1.0 (conda)"),
        _env("files of package numpy", "a" * 64, "b" * 64),
        _env("package pip", "24.0", "25.1"),
        _env("package setuptools", "70", "80"),
    ],
)
def test_what_machines_differ_in_by_nature_is_told(difference: CoordinateDifference) -> None:
    found = weighed([difference], ())

    assert found.refused == ()
    assert found.told == (difference,)


def test_what_was_asked_of_the_search_is_not_looked_at() -> None:
    search = CoordinateDifference("config", "search.sampler.name", "TPESampler", "RandomSampler")

    found = weighed([search], ())

    assert (found.refused, found.allowed, found.told) == ((), (), ())


def test_a_refusal_names_what_differs() -> None:
    assert refusal_text((CODE, NUMPY, PYTHON)) == (
        "code (train.py) and environment (numpy 2.1.0 -> 2.2.0, python 3.11.2 -> 3.12.0)"
    )


def test_other_code_is_set_right_by_the_books_own_or_its_commit() -> None:
    clean = GitState(COMMIT, "main", None, dirty=False)
    edited = GitState(COMMIT, "main", None, dirty=True)

    assert "leave out '--code here'" in remedies((CODE,), None)
    assert "check out 0123456789ab" in remedies((CODE,), clean)
    assert "check out" not in remedies((CODE,), edited)
    assert "--allow code" in remedies((CODE,), None)


def test_code_of_another_place_is_to_be_installed() -> None:
    assert remedies((OUTSIDE,), None).startswith("install what")


def test_other_data_is_set_right_by_its_path() -> None:
    text = remedies((DATA, CoordinateDifference("data", "my test", "a" * 64, None)), None)

    assert "--data train=PATH" in text
    assert "--data 'my test='PATH" in text
    assert "--allow data" in text


def test_another_environment_is_set_right_by_recreating_or_installing() -> None:
    text = remedies((NUMPY, PYTHON), None)

    assert "'--env recreate' or Python 3.11.2 or pip install numpy==2.1.0;" in text
    assert "--allow environment" in text


def test_a_version_of_the_book_is_no_shell_command() -> None:
    hostile = _env("package numpy", "1; touch /tmp/x", "2.0")

    assert "pip install 'numpy==1; touch /tmp/x'" in remedies((hostile,), None)


def test_a_machine_is_told_of_line_by_line_with_the_rest_counted() -> None:
    many = tuple(_env(f"$V{i}", "a", "b") for i in range(25))

    lines = told_lines(many)

    assert lines[0] == "this machine differs: $V0 a -> b"
    assert len(lines) == 21
    assert lines[-1] == "this machine differs: 5 more; 'trialbook diff' lists them"


def test_an_undeclared_file_is_to_be_put_there() -> None:
    undeclared = CoordinateDifference("data", "/srv/words.txt", "a" * 64, "b" * 64)

    assert remedies((undeclared,), None).startswith("put the study's files there; or --allow data")
