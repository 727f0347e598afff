"""Real virtual environments of one small package, from the package index of this machine."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from trialbook.capture.environment import EnvironmentProbe
from trialbook.capture.packages import record_digest
from trialbook.errors import RestoreEnvironmentError
from trialbook.records.environment import EnvironmentState, Package
from trialbook.restoring import environment
from trialbook.restoring.environment import recipe_of, recreate


@pytest.fixture(scope="module")
def observed() -> EnvironmentState:
    return EnvironmentProbe().observe().snapshot.state_as(EnvironmentState)


@pytest.fixture(scope="module")
def index(observed, tmp_path_factory) -> None:
    """Skips where no package index can be reached."""
    version = next((p.version for p in observed.packages if p.name == "iniconfig"), None)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d"]
    command += [str(tmp_path_factory.mktemp("wheel")), f"iniconfig=={version}"]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no package index can be reached")


@pytest.fixture(scope="module")
def small(observed) -> EnvironmentState:
    """An environment of iniconfig and an editable Trialbook."""
    package = next((p for p in observed.packages if p.name == "iniconfig"), None)
    if package is None or package.origin != "index":
        pytest.skip("iniconfig is not installed from an index here")
    own = Package("trialbook", "0.0.1", "editable", "file:///gone/trialbook")
    return replace(observed, packages=(package, own))


_BUILD = """
import sys, msgspec
from pathlib import Path
from trialbook.records.environment import EnvironmentState
from trialbook.restoring.environment import recreate
state = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=EnvironmentState)
print(recreate(state, cache_dir=Path(sys.argv[2]), tell=print))
"""


@dataclass(frozen=True)
class Built:
    """An environment that two processes wanted at one time, and what each of them said."""

    cache_dir: Path
    said: list[str]

    @property
    def python(self) -> Path:
        return Path(self.said[0].splitlines()[-1])


@pytest.fixture(scope="module")
def built(small, index, tmp_path_factory) -> Built:
    directory = tmp_path_factory.mktemp("built")
    (directory / "state.json").write_bytes(msgspec.json.encode(small))
    cache_dir = directory / "cache"
    command = [sys.executable, "-c", _BUILD, str(directory / "state.json"), str(cache_dir)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    return Built(cache_dir, said)


def packages_of(python: Path) -> dict[str, str]:
    program = (
        "import json; from importlib.metadata import distributions; "
        "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
    )
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_what_cannot_be_recreated_is_listed_before_anything_is_installed(observed, tmp_path):
    packages = (
        Package("condaed", "1", "conda"),
        Package("edited", "2", "editable", "file:///src/edited"),
        Package("built", "3", "local", "file:///src/built"),
        Package("archived", "4", "archive", "file:///gone/archived-4-py3-none-any.whl"),
        Package("fine", "5"),
    )
    state = replace(
        observed,
        packages=packages,
        interpreter=replace(observed.interpreter, version="3.1.4"),
    )
    with pytest.raises(RestoreEnvironmentError) as caught:
        recreate(state, cache_dir=tmp_path / "cache")
    for named in ("3.1.4", "condaed 1", "edited 2", "built 3", "archived 4"):
        assert named in caught.value.what
    assert "fine" not in caught.value.what
    assert caught.value.hint
    assert not (tmp_path / "cache").exists()


def test_the_recipe_names_every_origin(observed, tmp_path):
    wheel = tmp_path / "a b-1-py3-none-any.whl"
    wheel.touch()
    packages = (
        Package("indexed", "1+cu121"),
        Package("cloned", "2", "vcs", "git+https://host/p.git@" + "c" * 40),
        Package("archived", "3", "archive", wheel.as_uri()),
        Package("trialbook", "0.1", "local", "file:///x"),
    )
    recipe = recipe_of(replace(observed, packages=packages))
    assert recipe.requirements == (
        f"archived @ {wheel.as_uri()}",
        f"cloned @ git+https://host/p.git@{'c' * 40}",
        "indexed==1+cu121",
    )
    assert "trialbook" not in recipe.names
    assert recipe.index == observed.index_url
    assert Path(recipe.python).exists()


def test_another_interpreter_is_found_on_the_path_by_its_exact_version(
    observed, tmp_path, monkeypatch
):
    state = replace(
        observed, packages=(), interpreter=replace(observed.interpreter, version="3.99.1")
    )
    fake = tmp_path / "python3.99"
    fake.write_text("#!/bin/sh\necho CPython 3.99.0\n")
    fake.chmod(0o755)
    broken = tmp_path / "first" / "python3.99"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}{tmp_path}")
    with pytest.raises(RestoreEnvironmentError, match=r"3\.99\.1 is not on the PATH"):
        recipe_of(state)
    fake.write_text("#!/bin/sh\necho CPython 3.99.1\n")
    assert recipe_of(state).python == fake


@pytest.mark.slow
def test_two_processes_build_it_once(built):
    assert built.said[0].splitlines()[-1] == built.said[1].splitlines()[-1]
    assert sum("installing 1 packages" in text for text in built.said) == 1
    for text in built.said:
        assert "trialbook 0.0.1 is not installed" in text


@pytest.mark.slow
def test_an_environment_holds_what_was_recorded_and_is_used_again(small, built):
    assert packages_of(built.python) == {"iniconfig": small.packages[0].version}
    marked = built.python.stat(follow_symlinks=False).st_ctime_ns
    said: list[str] = []
    assert recreate(small, cache_dir=built.cache_dir, tell=said.append) == built.python
    assert not [text for text in said if "installing" in text]
    assert built.python.stat(follow_symlinks=False).st_ctime_ns == marked
    # The recorded files are there too, not only the recorded version.
    record = next(built.cache_dir.rglob("iniconfig-*.dist-info/RECORD"))
    assert record_digest(record.read_text()) == small.packages[0].record_digest


@pytest.mark.slow
def test_an_environment_whose_building_was_interrupted_is_not_used(small, built, monkeypatch):
    directory = built.python.parent.parent
    (mark,) = directory.glob("*complete*")
    mark.unlink()
    shutil.rmtree(next(directory.rglob("iniconfig")))
    # As where Trialbook has no pip beside it: one is made, and nothing of it stays.
    monkeypatch.setattr(environment, "_has_pip_for", lambda python: False)
    assert recreate(small, cache_dir=built.cache_dir) == built.python
    assert packages_of(built.python) == {"iniconfig": small.packages[0].version}
    assert list(directory.rglob("iniconfig/__init__.py"))
    assert not list(directory.rglob("pip"))


@pytest.mark.slow
@pytest.mark.usefixtures("index")
def test_a_version_that_the_index_does_not_have(small, tmp_path):
    missing = replace(small, packages=(replace(small.packages[0], version="0.0.0.dev99"),))
    with pytest.raises(RestoreEnvironmentError, match="iniconfig") as caught:
        recreate(missing, cache_dir=tmp_path)
    assert "--env here" in caught.value.hint
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RestoreEnvironmentError, match="cannot be recreated"):
        recreate(small, cache_dir=tmp_path / "file" / "cache")


def test_this_interpreter_is_the_recorded_one(observed):
    assert observed.interpreter.version == platform.python_version()
    assert recipe_of(replace(observed, packages=())).requirements == ()
