import functools
import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trialbook.capture.execution import LaunchProbe, entry_point
from trialbook.records.code import EntryPoint
from trialbook.records.coverage import Level
from trialbook.records.execution import LaunchState

ENTRY = EntryPoint("module", module="train", name="objective")


def probe(**changes):
    settings = {"bases": {".": "/code"}, "sys_path": (".:",), "isolation": "none", **changes}
    return LaunchProbe(settings.pop("entry", ENTRY), **settings)


def test_the_launch_says_who_where_and_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    launch = probe(launcher="slurm", job_id="7", isolation="fork")
    snapshot = launch.observe().snapshot
    state = snapshot.state_as(LaunchState)
    assert state.host == socket.gethostname()
    assert state.pid == os.getpid()
    assert state.python == sys.executable
    assert state.cwd == str(tmp_path)
    assert state.entry == ENTRY
    assert state.bases == {".": "/code"}
    assert state.sys_path == (".:",)
    assert (state.isolation, state.launcher, state.job_id) == ("fork", "slurm", "7")
    assert state.gpus == "1,3"
    assert len(state.argv) == len(sys.orig_argv)
    assert snapshot.coverage.level is Level.COMPLETE


def test_another_process_or_directory_is_a_change(tmp_path, monkeypatch):
    launch = probe()
    assert launch.changed()
    launch.observe()
    assert not launch.changed()
    monkeypatch.chdir(tmp_path)
    assert launch.changed()
    launch.observe()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"1" if launch.changed() else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    assert not launch.changed()
    os.close(reader)
    os.close(writer)


def test_being_let_in_with_differences_is_a_change():
    """The process is prepared before it is let in."""
    differs: tuple[str, ...] = ()
    launch = probe(differs=lambda: differs)
    assert launch.observe().snapshot.state_as(LaunchState).differs == ()
    assert not launch.changed()

    differs = ("code: train.py",)

    assert launch.changed()
    assert launch.observe().snapshot.state_as(LaunchState).differs == differs
    assert not launch.changed()


def test_a_directory_that_is_gone_is_a_gap(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    snapshot = probe().observe().snapshot
    assert snapshot.coverage.level is Level.PARTIAL
    assert snapshot.state_as(LaunchState).cwd == ""


def run(script: str, *arguments: str, environ: dict | None = None, **options) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OBSERVE = """
from trialbook.capture.execution import LaunchProbe
from trialbook.records.code import EntryPoint
probe = LaunchProbe(EntryPoint("module", "m"), bases={}, sys_path=(), isolation="none")
print(probe.observe().snapshot.document.decode())
"""


def test_credentials_in_the_arguments_are_redacted_and_that_is_recorded():
    canary = "canary-9f8e7d6c5b"
    document = run(
        OBSERVE, "--password", "canary1", "--token=canary2", "--x", f"a {canary} b",
        "postgresql://u:canary4@h/d", environ={"MY_API_TOKEN": canary},
    )  # fmt: skip
    assert "canary" not in document
    read = json.loads(document)
    assert len(read["state"]["redacted"]) == 4
    assert read["coverage"]["level"] == "partial"
    assert read["state"]["argv"][-1] == "postgresql://[redacted]@h/d"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_a_name():
    *before, observing = OBSERVE.strip().splitlines()
    script = "\n".join(["import os", *before, "probe.observe()", "os.setuid(54321)", observing])
    nobody = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "")
    read = json.loads(run(script, environ=nobody))
    assert read["state"]["user"] is None
    assert any("user" in reason for reason in read["coverage"]["reasons"])


MODULE = """
import functools

def objective(trial):
    return 0.0

def tracked(function):
    @functools.wraps(function)
    def wrapper(trial):
        return function(trial)
    wrapper.inner = function
    return wrapper

@tracked
def decorated(trial):
    return 0.0

class Group:
    @staticmethod
    def method(trial):
        return 0.0

class Callable:
    def __call__(self, trial):
        return 0.0

def closure():
    def inner(trial):
        return 0.0
    return inner

def replaced(trial):
    return 0.0
original = replaced
replaced = None
anonymous = lambda trial: 0.0
"""


@pytest.fixture
def tree(tmp_path):
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(MODULE)
    (tmp_path / "single.py").write_text(MODULE)
    return tmp_path


def entry_of(tree: Path, code: str, *, script: str = "main.py", cwd: Path | None = None) -> dict:
    """What ``entry_point`` says inside a real script of the tree."""
    lines = [
        "import json, sys, msgspec",
        "from trialbook.capture.execution import entry_point",
        textwrap.dedent(code),
        f"entry = entry_point(target, bases={{'.': {str(tree)!r}}})",
        "print(msgspec.json.encode(entry).decode())",
    ]
    (tree / script).parent.mkdir(exist_ok=True)
    (tree / script).write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, str(tree / script)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("code", "module", "name"),
    [
        ("from single import objective as target", "single", "objective"),
        ("from pkg.models import objective as target", "pkg.models", "objective"),
        ("from pkg.models import decorated; target = decorated.inner", "pkg.models", "decorated"),
        ("from single import Group; target = Group.method", "single", "Group.method"),
    ],
)
def test_a_top_level_function_of_an_importable_module(tree, code, module, name):
    entry = entry_of(tree, code)
    assert (entry["how"], entry["module"], entry["name"]) == ("module", module, name)
    assert entry["reason"] is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def target(trial): return 0.0", "script"),
        ("from single import closure; target = closure()", "closure"),
        ("import single, functools; target = functools.partial(single.objective)", "partial"),
        ("import single; target = single.Callable()", "callable object"),
        ("import single; target = single.anonymous", "lambda"),
        ("import single; target = single.original", "has no replaced"),
        ("target = lambda trial: 0.0", "lambda"),
    ],
)
def test_everything_else_of_a_script(tree, code, reason):
    script = "main.py" if "single" in code else "scripts/main.py"
    entry = entry_of(tree, code, script=script)
    assert (entry["how"], entry["path"]) == ("script", script)
    assert reason in entry["reason"]


def test_a_module_that_was_executed_from_its_file(tree):
    code = """
    import importlib.util
    spec = importlib.util.spec_from_file_location("loaded_by_hand", "PLACE")
    module = importlib.util.module_from_spec(spec)
    sys.modules["loaded_by_hand"] = module
    spec.loader.exec_module(module)
    target = module.objective
    """.replace("PLACE", str(tree / "pkg/models.py"))
    entry = entry_of(tree, code)
    assert (entry["how"], entry["path"], entry["name"]) == ("file", "pkg/models.py", "objective")


def test_a_module_that_another_one_shadows_is_not_found_by_its_name(tree):
    other = tree / "other"
    other.mkdir()
    (other / "single.py").write_text("objective = None\n")
    code = f"from single import objective as target; sys.path.insert(0, {str(other)!r})"
    assert entry_of(tree, code)["how"] == "file"


def test_a_program_outside_the_code(tree, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "run.py").write_text(
        "import msgspec\nfrom trialbook.capture.execution import entry_point\n"
        f"entry = entry_point(lambda trial: 0.0, bases={{'.': {str(tree)!r}}})\n"
        "print(msgspec.json.encode(entry).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, str(elsewhere / "run.py")], capture_output=True, text=True, check=True
    )
    entry = json.loads(done.stdout)
    assert entry["how"] == "none"
    assert "run.py" in entry["reason"]


@pytest.mark.parametrize("arguments", [["-c"], ["-i", "-q"]])
def test_an_interactive_session(tree, arguments):
    lines = (
        "import msgspec\nfrom trialbook.capture.execution import entry_point\n"
        "def target(trial): return 0.0\n\n"
        f"print(msgspec.json.encode(entry_point(target, bases={{'.': {str(tree)!r}}})).decode())\n"
    )
    command = [sys.executable, *arguments] + ([lines] if arguments == ["-c"] else [])
    done = subprocess.run(
        command, input=lines if arguments != ["-c"] else None, capture_output=True, text=True,
        cwd=tree, check=True,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if '"how"' in line]
    entry = json.loads(line[line.index("{") :])
    assert entry["how"] == "none"
    assert "interactive" in entry["reason"]


def test_python_m_names_the_script(tree):
    (tree / "pkg/main.py").write_text(
        "import msgspec\nfrom trialbook.capture.execution import entry_point\n"
        "def target(trial): return 0.0\n"
        f"print(msgspec.json.encode(entry_point(target, bases={{'.': {str(tree)!r}}})).decode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pkg.main"], capture_output=True, text=True, cwd=tree, check=True
    )
    entry = json.loads(done.stdout)
    assert (entry["how"], entry["path"]) == ("script", "pkg/main.py")


def test_an_entry_point_in_this_process_is_a_plain_value():
    entry = entry_point(functools.partial(print), bases={})
    assert entry.how == "none"
    assert pickle.loads(pickle.dumps(entry)) == entry
