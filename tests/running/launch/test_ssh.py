"""The launcher for SSH: its contract on two machines, faults of the network, hostile texts."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
import pytest

from trialbook.errors import InvalidInputError, LaunchError, MissingEngineError
from trialbook.records.launches import JobState, PlacedJob
from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.running.launch.ssh import SshLauncher
from trialbook.running.launch.ssh_hosts import Host, host_fault, listed_hosts, spread
from trialbook.running.launch.ssh_options import SSH_OPTIONS
from trialbook.running.launch.threads import usable_cores
from trialbook.testing.laboratory import Laboratory, Launched, until
from trialbook.testing.launching import LauncherContract

from ...faults.supervised import lives

if TYPE_CHECKING:
    from ...machines import Network
    from ...postgres import Server


@pytest.mark.slow
class TestContract(LauncherContract):
    """Two hosts, and a book with a password on a third machine."""

    engine = "ssh"
    network: ClassVar[Network]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def at_the_desk(cls, network: Network, network_postgres: Server) -> Iterator[None]:
        cls.network = network
        with network["desk"].entered():
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def book(cls, at_the_desk: None, network_postgres: Server) -> str:
        return network_postgres.new_user("ada", secrets.token_hex())

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls, network: Network) -> Mapping[str, Any]:
        hosts = ["alpha", "beta slots=1"]
        return {"hosts": hosts, "config": str(network.ssh_config), "ConnectTimeout": "3"}

    @pytest.fixture(autouse=True)
    def cut_off(self, request: pytest.FixtureRequest, launcher: Launcher) -> Iterator[None]:
        """While workers are drained only the book reaches them, until they have left."""
        if request.node.name != "test_drained_workers_finish_their_trials_and_leave":
            yield
            return
        lab: Laboratory = request.getfixturevalue("lab")
        first: Launched = request.getfixturevalue("first")
        for name in ("alpha", "beta"):
            self.network.cut("desk", name)

        def heal() -> None:
            with suppress(AssertionError):
                until(lambda: all(w.state == "left" for w in lab.workers(first).values()))
            self.network.heal()

        states = {status.state for status in launcher.status(first.jobs).values()}
        healing = threading.Thread(target=heal)
        healing.start()
        yield
        healing.join()
        assert states == {JobState.UNKNOWN}

    def half_failing(self, launcher: Launcher, order: WorkerOrder) -> None:
        launches = self.network["beta"].home / "state" / "trialbook" / "launches"
        (launches / order.launch_id).touch()  # beta cannot make its directory


class Order(WorkerOrder):
    """Workers that are a program of the test's own."""

    PROGRAM = """
import json, os, socket, sys, time
NAMES = "SECRET", "OMP_NUM_THREADS", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES"
told = {name: os.environ.get(name) for name in NAMES}
told |= {"host": socket.gethostname(), "cwd": os.getcwd(), "argv": sys.argv[1:]}
told |= {"session": os.getsid(0) == os.getpid()}
print(json.dumps(told), flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
print("end", flush=True)
sys.exit(3)
"""

    def command(self, python: str, index: int) -> tuple[str, ...]:
        return (python, "-c", self.PROGRAM, *self.arguments)


HOSTILE = "$(touch executed) `touch executed`; touch executed\n'\" -rf \\ %h ünï ✓"


class Bench:
    """A desk with a launcher, whose workers end when a gate is opened."""

    def __init__(self, network: Network, place: Path) -> None:
        self.network = network
        self.place = place
        self.gate = place / HOSTILE.replace("/", "") / "gate"
        self.gate.parent.mkdir()
        self.secret = f"{secrets.token_urlsafe()}{HOSTILE}"
        self.jobs: list[PlacedJob] = []

    def launcher(self, *hosts: str, **options: Any) -> SshLauncher:
        found = {"hosts": list(hosts or ("alpha", "beta")), "config": str(self.network.ssh_config)}
        return SshLauncher({**found, **options})

    def order(self, *arguments: str) -> Order:
        environment = {"SECRET": self.secret}
        told = (str(self.gate), *arguments)
        return Order(secrets.token_hex(4), "study", told, environment, self.place)

    def submit(self, launcher: SshLauncher, order: Order, workers: int) -> list[PlacedJob]:
        placed: list[PlacedJob] = []
        launcher.submit(order, workers, placed.append)
        self.jobs += placed
        return sorted(placed, key=lambda job: job.index)

    def told(self, job: PlacedJob) -> dict[str, Any]:
        """What a worker says of itself in its first line."""
        log = Path(str(job.log))  # machines share their files
        lines = until(lambda: log.read_text().splitlines())
        found: dict[str, Any] = json.loads(lines[0])
        return found

    def alive(self, job: PlacedJob) -> bool:
        return lives(int(job.engine_id.split()[1]))


@pytest.fixture
def bench(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    bench = Bench(network, tmp_path)
    with network["desk"].entered():
        try:
            yield bench
        finally:
            network.heal()
            bench.gate.touch()
            for job in bench.jobs:
                until(lambda job=job: not bench.alive(job))
    assert list(tmp_path.rglob("executed")) == []
    for machine in network.machines.values():
        assert list(machine.home.rglob("executed")) == []


def test_workers_are_dealt_out_and_find_what_they_need(bench: Bench) -> None:
    launcher = bench.launcher("alpha", "beta slots=1")
    order = bench.order(HOSTILE, "--", "-c")
    jobs = bench.submit(launcher, order, 3)
    assert [job.place for job in jobs] == ["alpha", "beta", "alpha"]
    cores = usable_cores()
    for job in jobs:
        told = bench.told(job)
        home = bench.network[str(job.place)].home
        assert told["host"] == job.place
        assert told["argv"] == [str(bench.gate), HOSTILE, "--", "-c"]
        assert told["SECRET"] == bench.secret
        assert told["OMP_NUM_THREADS"] == str(max(1, cores // (1 if job.index == 1 else 2)))
        assert told["PYTHONHASHSEED"] == "0"
        assert told["session"]
        assert told["cwd"] == str(home / "state" / "trialbook" / "launches" / order.launch_id)
        assert Path(told["cwd"]).stat().st_mode & 0o077 == 0
        assert job.log is not None
        assert Path(job.log).stat().st_mode & 0o077 == 0
    assert [s.state for s in launcher.status(jobs).values()] == [JobState.RUNNING] * 3
    bench.gate.touch()
    for job in jobs:
        until(lambda job=job: not bench.alive(job))
    assert b"".join(launcher.log(jobs[1])).splitlines()[1:] == [b"end"]
    assert [s.says for s in launcher.status(jobs).values()] == ["exit 3"] * 3
    assert launcher.cancel(jobs) == dict.fromkeys(range(3))


def test_no_secret_and_no_text_of_the_users_stands_in_a_command_line(bench: Bench) -> None:
    """Whoever looks while the workers are started sees ssh, the hosts and a fixed text."""
    launcher = bench.launcher()
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for process in psutil.process_iter(["cmdline"]):
                command = process.info["cmdline"] or []
                if command and Path(command[0]).name in ("ssh", "sh", "bash"):
                    seen.add("\0".join(command))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        jobs = bench.submit(launcher, bench.order(HOSTILE), 2)
    finally:
        done.set()
        watcher.join()
    commands = [command for command in seen if command.startswith("ssh\0") or "/ssh\0" in command]
    assert any("\0alpha\0" in command for command in commands)
    assert not any(bench.secret in command or HOSTILE in command for command in seen)
    told = bench.told(jobs[0])
    assert told["SECRET"] == bench.secret


def test_asking_twice_starts_each_worker_once(bench: Bench) -> None:
    launcher = bench.launcher()
    order = bench.order()
    assert bench.submit(launcher, order, 2) == bench.submit(launcher, order, 2)


def test_the_gpus_of_a_host_are_shared_out(bench: Bench) -> None:
    launcher = bench.launcher("alpha", gpus_per_worker=2)
    order = bench.order()
    devices = {"CUDA_VISIBLE_DEVICES": "3,GPU-a,1,0,7"}
    order = replace(order, environment={**order.environment, **devices})
    jobs = bench.submit(launcher, order, 2)
    assert [bench.told(job)["CUDA_VISIBLE_DEVICES"] for job in jobs] == ["3,GPU-a", "1,0"]


def test_an_answer_that_is_lost_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = shutil.which("ssh")
    programs = bench.place / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(
        f"#!/bin/sh\nif mkdir {programs}/lost 2>/dev/null\n"
        f'then {ssh} "$@" | head -n 2; exit 255; fi\nexec {ssh} "$@"\n'
    )
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    launcher = bench.launcher("alpha")
    order = bench.order()
    (job,) = bench.submit(launcher, order, 1)
    assert (programs / "lost").exists()
    assert bench.alive(job)
    bench.told(job)
    assert len(Path(str(job.log)).read_text().splitlines()) == 1


def test_hosts_that_fail_are_named_and_the_others_get_their_workers(bench: Bench) -> None:
    launcher = bench.launcher("alpha", "10.77.200.2", "nobody@beta", "beta")
    placed: list[PlacedJob] = []
    with pytest.raises(LaunchError) as caught:
        launcher.submit(bench.order(), 5, placed.append)
    bench.jobs += placed
    assert sorted(job.index for job in placed) == [0, 3, 4]
    assert "10.77.200.2 (worker 1): ssh: connect to host 10.77.200.2" in caught.value.what
    assert "nobody@beta (worker 2): nobody@" in caught.value.what
    assert "Permission denied" in caught.value.what


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"python": "/no/such/python"}, "/no/such/python"),
        ({"python": HOSTILE.replace("\n", " ")}, "not found"),
        ({"python": "/usr/bin/python3", "directory": "/"}, "trialbook is not installed"),
        ({"directory": f"/no/{HOSTILE}".replace("\n", " ")}, "No such file or directory"),
        ({"gpus_per_worker": 9}, "GPU"),
    ],
)
def test_why_a_worker_cannot_be_started_is_said(
    bench: Bench, options: dict[str, Any], says: str
) -> None:
    if options.get("python") == "/usr/bin/python3" and not Path("/usr/bin/python3").exists():
        pytest.skip("there is no other Python here")
    with pytest.raises(LaunchError, match=says):
        bench.submit(bench.launcher("alpha", **options), bench.order(), 1)


def test_a_worker_whose_host_cannot_keep_its_files_is_ended(bench: Bench) -> None:
    order = bench.order()
    folder = bench.network["alpha"].home / "state" / "trialbook" / "launches" / order.launch_id
    (folder / "0.new").mkdir(parents=True)  # as on a disk that is full
    with pytest.raises(LaunchError, match=r"worker 0\): .*0\.new") as caught:
        bench.submit(bench.launcher("alpha"), order, 1)
    assert caught.value.hint == "correct it, then launch the missing ones"
    gate = str(bench.gate)
    assert not [p for p in psutil.process_iter() if gate in _command_line(p)]


def _command_line(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def test_a_host_that_is_cut_off_is_unknown_and_its_workers_go_on(bench: Bench) -> None:
    launcher = bench.launcher(ConnectTimeout="3")
    jobs = bench.submit(launcher, bench.order(), 2)
    bench.network.cut("desk", "alpha")
    found = launcher.status(jobs)
    assert [found[0].state, found[1].state] == [JobState.UNKNOWN, JobState.RUNNING]
    assert "timed out" in str(found[0].says)
    reasons = launcher.cancel(jobs[:1])
    assert "timed out" in str(reasons[0])
    with pytest.raises(LaunchError, match="timed out"):
        list(launcher.log(jobs[0]))
    assert bench.alive(jobs[0])
    bench.network.heal()
    assert launcher.status(jobs)[0].state is JobState.RUNNING
    assert launcher.cancel(jobs[:1]) == {0: None}
    until(lambda: launcher.status(jobs)[0].says == "SIGTERM")


def test_a_log_is_followed_beyond_a_lost_connection(bench: Bench) -> None:
    launcher = bench.launcher("alpha")
    (job,) = bench.submit(launcher, bench.order(), 1)
    pieces = launcher.log(job, follow=True)
    read = next(pieces)
    (client,) = [child for child in psutil.Process().children() if child.name() == "ssh"]
    client.kill()
    bench.gate.touch()
    read += b"".join(pieces)
    assert read == Path(str(job.log)).read_bytes()
    assert read.endswith(b"\nend\n")


def test_nothing_stays_on_a_host_when_following_stops(bench: Bench) -> None:
    launcher = bench.launcher("alpha")
    (job,) = bench.submit(launcher, bench.order(), 1)
    alpha = bench.network["alpha"]
    before = until(lambda: alpha.programs().count("sshd") == 1 and alpha.programs())
    pieces = launcher.log(job, follow=True)
    assert isinstance(pieces, Generator)
    next(pieces)
    assert alpha.programs() != before
    pieces.close()
    until(lambda: alpha.programs() == before, alpha.programs)


def test_what_a_shell_prints_at_its_start_is_no_answer(bench: Bench) -> None:
    profile = bench.network["alpha"].home / ".bashrc"
    profile.write_text("echo hello; printf no-end; echo warning >&2\n")
    try:
        launcher = bench.launcher("alpha")
        (job,) = bench.submit(launcher, bench.order(), 1)
        assert launcher.status([job])[0].state is JobState.RUNNING
        bench.gate.touch()
        assert b"".join(launcher.log(job, follow=True)).startswith(b"{")
    finally:
        profile.unlink()


def test_what_breaks_off_a_launch_forgets_no_worker(bench: Bench) -> None:
    def placed(job: PlacedJob) -> None:
        bench.jobs.append(job)
        if len(bench.jobs) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.launcher().submit(bench.order(), 2, placed)
    assert sorted(job.index for job in bench.jobs) == [0, 1]


def test_a_book_names_no_host_no_process_and_no_file_of_its_own(bench: Bench) -> None:
    launcher = bench.launcher("alpha")
    (job,) = bench.submit(launcher, bench.order(), 1)
    pid = job.engine_id.split()[1]
    fake = bench.place / "fake.log"
    fake.write_text("secret")
    fake.with_suffix(".json").write_text("{}")
    bad = [
        PlacedJob(1, f"-oProxyCommand=touch${{IFS}}executed {pid}", "alpha", job.log),
        PlacedJob(2, f"alpha;touch {pid}", "alpha", job.log),
        PlacedJob(3, f"alpha {os.getpid()}", "alpha", job.log),
        PlacedJob(4, f"alpha {pid}", "alpha", None),
        PlacedJob(5, f"alpha {pid}", "alpha", str(fake)),
        PlacedJob(6, f"alpha {pid}", "alpha", "/etc/passwd"),
    ]
    assert {s.state for s in launcher.status(bad).values()} == {JobState.UNKNOWN}
    assert all(launcher.cancel(bad).values())
    for other in bad[4:]:
        with pytest.raises(LaunchError, match="the host has no files of it"):
            list(launcher.log(other))
    assert launcher.status([job])[0].state is JobState.RUNNING


def test_a_worker_whose_keeper_was_killed_goes_on(bench: Bench) -> None:
    launcher = bench.launcher("alpha")
    (job,) = bench.submit(launcher, bench.order(), 1)
    parent = psutil.Process(int(job.engine_id.split()[1])).parent()
    assert parent is not None
    parent.kill()
    assert launcher.status([job])[0].state is JobState.RUNNING
    bench.gate.touch()
    until(lambda: not bench.alive(job))
    assert launcher.status([job])[0].says == "nobody saw how"


def test_options_that_it_cannot_take_are_named_all_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.touch()
    config.chmod(0o666)
    with pytest.raises(InvalidInputError) as caught:
        SshLauncher(
            {
                "hosts": ["-oProxyCommand=evil", "a\nb", "c slots=0", "d", "d"],
                "python": "/a\nb",
                "gpus_per_worker": 0,
                "config": str(config),
                "ProxyCommand": "evil",
                "PermitLocalCommand": True,
                "ProxyJump": "a,-oX",
                "Port": "2\n2",
            }
        )
    for fault in (
        "'-oProxyCommand=evil' begins as an option does",
        r"'a\nb' holds characters that no host has",
        "'slots=0' is not 'slots=N'",
        "d is named twice",
        "python is a text without control characters",
        "gpus_per_worker is a whole number",
        "can be written by others",
        "'ProxyCommand' is none of its options",
        "'PermitLocalCommand' is none of its options",
        "ProxyJump='a,-oX' names no host",
        "Port is a text without control characters",
    ):
        assert fault in caught.value.what


def test_the_options_of_ssh_are_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "launching.md").read_text()
    assert [name for name in SSH_OPTIONS if f"`{name}`" not in text] == []


def test_no_hosts_and_too_few_slots_place_nothing() -> None:
    order = WorkerOrder("abcdef01", "s")
    with pytest.raises(InvalidInputError, match="no host is named"):
        SshLauncher({})
    with pytest.raises(InvalidInputError, match="the hosts have 3 slots, and 4 workers"):
        SshLauncher({"hosts": ["a slots=1", "b slots=2"]}).submit(order, 4, pytest.fail)


def test_there_must_be_an_ssh_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingEngineError, match="ssh"):
        SshLauncher({"hosts": ["a"]})


@pytest.mark.parametrize(
    "name", ["a", "a.b-c_d", "me@a", "10.0.0.1", "[::1]", "ssh://me@a:22", "fe80::1%eth0", "ünï.ch"]
)
def test_hosts(name: str) -> None:
    assert host_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", "-a", "me@-a", "ssh://-a", "a b", "a\tb", "a\nb", "a;b", "a$(b)", "a`b`", "a|b"),
        *("a'b", 'a"b', "a\\b", "a/b", "a\0b", "a>b", "a&b", "ssh://", "\x1b[31m", "a#b", "a!b"),
    ],
)
def test_texts_that_are_no_hosts(name: str) -> None:
    assert host_fault(name) is not None


def test_lines_that_name_hosts() -> None:
    lines = ["# all", "", "a\r", "  b\tslots=2  # two", "c x", "d slots=-1", "e slots=1 slots=x"]
    hosts, faults = listed_hosts(lines)
    assert hosts == [Host("a"), Host("b", 2)]
    assert len(faults) == 3


def test_workers_go_to_hosts_in_turn() -> None:
    hosts = [Host("a"), Host("b", 1), Host("c", 2)]
    assert spread(hosts, 6) == {"a": [0, 3, 5], "b": [1], "c": [2, 4]}
    assert spread(hosts, 1) == {"a": [0]}
    assert spread(hosts[1:], 5) == {"b": [0], "c": [1, 2]}
