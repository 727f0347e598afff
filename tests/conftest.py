"""Fixtures that every floor's tests share: a home, a cache and a book of one's own."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import optuna
import pytest

from trialbook.capture.imports import import_watch

if TYPE_CHECKING:
    from .interpreter import WarmInterpreter
    from .machines import Network
    from .postgres import Server
    from .s3 import S3Server

# What is imported and collected stays until the end. Looking for garbage in it took a third of the
# time that collecting takes.
gc.disable()

# A shell starts background jobs with these ignored, and processes inherit that: whoever runs the
# tests in the background would wait for ever for what an interrupt is to end.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# pytest-xdist starts its workers without a file, as an interactive session is. What is recorded of
# an objective depends on that, so they say what `python -m pytest` says.
if "PYTEST_XDIST_WORKER" in os.environ:
    _main = sys.modules["__main__"]
    _main.__spec__ = importlib.util.find_spec("pytest.__main__")
    _main.__file__ = _main.__spec__.origin


# How long an example takes says how busy the machine is: no test fails of that.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files of the launchers' suites come first.

    Their tests go by their order. pytest-xdist gives each of its workers a stretch of all tests,
    and one with nothing left takes from the end of another's: what comes first stays together.
    """
    suite = sys.modules.get("trialbook.testing.launching")
    if suite is None:
        return
    kinds = ((item.path, getattr(item, "cls", None)) for item in items)
    files = {
        path for path, kind in kinds if kind is not None and issubclass(kind, suite.LaunchCase)
    }
    items.sort(key=lambda item: item.path not in files)


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """No test sees or touches the user's book, key, cache or settings."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_numbers))
    home.mkdir(parents=True)
    for variable, folder in (("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")):
        monkeypatch.setenv(variable, str(home / folder))
    # Finding the fonts takes matplotlib seconds, so all tests share what it found.
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))
    monkeypatch.delenv("TRIALBOOK_STORAGE", raising=False)
    # What earlier tests read in this process is no undeclared input of the next one's trials.
    import_watch().reads.clear()
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own, as pytest's; which number is free is not looked for.

    pytest looks through the directories of all tests before: milliseconds for each of thousands.
    """
    name = re.sub(r"\W", "_", request.node.name)[:30]
    directory = tmp_path_factory.getbasetemp() / f"{name}{next(_numbers)}"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Storage URL of a book that does not exist yet."""
    return f"sqlite:///{tmp_path / 'book.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this session's own; each process of pytest-xdist has one.

    It does not wait for the disk: tests end its processes, but nobody pulls the plug.
    """
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    from .postgres import WHEEL, Server, programs

    if programs() is None:
        pytest.skip(f"the wheel {WHEEL} is not installed")
    with Server(outlives_power_loss=False) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3-compatible server of this session's own."""
    for package in ("s3fs", "moto", "flask", "flask_cors"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from .s3 import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Server, str]]:
    """An S3-compatible server, and the URL of a prefix in an empty bucket; the server is found."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with s3_server.new_bucket() as bucket:
        yield s3_server, f"s3://{bucket}/artifacts"


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """Storage URL of an empty PostgreSQL database."""
    with postgres.empty_database() as name:
        yield postgres.url(name)


@pytest.fixture
def postgres_book_url(postgres: Server) -> Iterator[str]:
    """Storage URL of a book without studies on PostgreSQL, which is cheaper than making one."""
    from trialbook.book.book import Book

    with postgres.prepared_database(lambda url: Book.open(url).close()) as name:
        yield postgres.url(name)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """A desk, two hosts with SSH (``alpha``, ``beta``) and a machine for a database."""
    from .machines import Network, missing

    if (reason := missing()) is not None:
        pytest.skip(f"no machines can be made here: {reason}")
    with Network(["desk", "alpha", "beta", "database"], ssh=["alpha", "beta"]) as network:
        yield network


@pytest.fixture(scope="session")
def network_postgres(network: Network) -> Iterator[Server]:
    """A PostgreSQL server on the machine ``database`` of the network; reached from its machines."""
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    from .postgres import WHEEL, Server, programs

    if programs() is None:
        pytest.skip(f"the wheel {WHEEL} is not installed")
    with network["database"].entered():
        server = Server(network["database"].address, clients="10.0.0.0/8")
    with server:
        yield server


_SEARCH = """
import math
import optuna
import trialbook
from trialbook import tracked_objective

FACTOR = 1

@tracked_objective(data={"train": "train.csv"}, config="conf.yaml", seed=7)
def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.suggest_int("depth", 1, 4)
    trial.suggest_categorical("kind", ["=1+1", "b", None])
    print("trial", trial.number, "\\x1b[31mred\\x1b[0m")
    for step in range(4):
        trial.log({"loss": x + 1 / (step + 1), "nan": math.nan}, step=step)
        trial.report(x, step)
    if trial.number == 1:
        raise optuna.TrialPruned()
    if trial.number == 2:
        raise ValueError("no \\x1b]0;title\\x07 luck")
    (trial.dir / "model.txt").write_text(f"model {trial.number}")
    trial.log_artifact(trial.dir / "model.txt")
    return x * FACTOR

if __name__ == "__main__":
    study = trialbook.create_study(study_name="digits", seed=1, load_if_exists=True)
    study.optimize(objective, n_trials=4, catch=(ValueError,))
"""

_PLAIN = """
import optuna
from trialbook import BookStorage

storage = BookStorage()
two = optuna.create_study(study_name="two", directions=["minimize", "maximize"], storage=storage)
for values in ([1.0, 1.0], [2.0, 2.0], [2.0, 0.0]):
    two.add_trial(optuna.trial.create_trial(values=values))
optuna.create_study(study_name="empty", storage=storage)
odd = optuna.create_study(study_name="a/\\x1b[31m<script>\\u202e =x", storage=storage)
unit = optuna.distributions.FloatDistribution(0, 1)
odd.add_trial(optuna.trial.create_trial(
    value=float("inf"), params={"=p\\x1b": 0.5}, distributions={"=p\\x1b": unit},
    user_attrs={"@note": "\\x07\\n=cmd", "n": float("nan")}))
odd.enqueue_trial({"=p\\x1b": 0.1})
odd.ask()
odd.enqueue_trial({"=p\\x1b": 0.2})
storage.close()
"""


@pytest.fixture
def screened(own_surroundings: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was found free of credentials is known from earlier tests, as it is from earlier runs.

    The objective of a test lies in this checkout, so each first trial judges all files of it.
    """
    shared = tmp_path_factory.getbasetemp() / "screening"
    shared.mkdir(exist_ok=True)
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "trialbook"
    cache.mkdir(parents=True)
    (cache / "screening").symlink_to(shared)


@dataclass(frozen=True)
class Recorded:
    """A book that real searches have made. Tests that change it copy it first.

    ``digits``: trials 0, 3 and 4 to 7 are complete, 1 is pruned, 2 has failed; from 4 on code, data
    and configuration are others. ``two`` has two objectives and ``empty`` no trial; ``odd`` has a
    hostile name, an infinite value, a RUNNING and a WAITING trial; plain Optuna made these three.
    """

    directory: Path
    storage: str
    odd: str = "a/\x1b[31m<script>\u202e =x"


@pytest.fixture(scope="session")
def interpreter() -> Iterator[WarmInterpreter]:
    """Runs scripts, each in a process of its own that need not import what all of them do."""
    from .interpreter import WarmInterpreter

    with WarmInterpreter() as interpreter:
        yield interpreter


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, interpreter: WarmInterpreter) -> Recorded:
    """A book with tracked trials, made by scripts as a user would run them."""
    home = tmp_path_factory.mktemp("recorded-home")
    directory = tmp_path_factory.mktemp("recorded")
    storage = str(directory / ".trialbook" / "book.db")
    environment = {
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TRIALBOOK_STORAGE": storage,
    }

    def execute(script: str) -> None:
        code, said = interpreter.run(script, cwd=directory, environment=environment)
        assert code == 0, said

    for factor, rows, epochs in ((1, "a,b\n", 5), (2, "a,b\nc,d\n", 6)):
        (directory / "search.py").write_text(_SEARCH.replace("FACTOR = 1", f"FACTOR = {factor}"))
        (directory / "train.csv").write_text(rows)
        (directory / "conf.yaml").write_text(f"model: {{epochs: {epochs}, width: 3}}\n")
        execute("search.py")
    (directory / "plain.py").write_text(_PLAIN)
    execute("plain.py")
    return Recorded(directory, storage)


def pytest_collection_finish() -> None:
    """From here on there is garbage, but none among what is there now."""
    gc.freeze()
    gc.enable()
