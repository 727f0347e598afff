"""A SLURM cluster of one's own: a controller and two nodes on this machine, for tests.

The daemons are those of the system's packages. Their keys, sockets, state and logs lie in a
directory of the cluster's own, and they end with the process that started them, however that one
ends. Jobs that were put back into the queue begin again after six seconds instead of two minutes.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
NODES = ("node1", "node2")
CPUS = 4
"""Of each node; more than this machine may have."""

_SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_START_S = 60.0

_CONFIGURATION = """
ClusterName=trialbook
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge.socket,cred_expire=5
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/controller.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/controller.log
SlurmdLogFile={place}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
SlurmdTimeout=3
InactiveLimit=0
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs={cpus} RealMemory=64000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs={cpus} RealMemory=64000
PartitionName=lab Nodes=node[1-2] Default=YES PriorityTier=1 GraceTime=60 LLN=YES
PartitionName=short Nodes=node[1-2] PriorityTier=1 PreemptMode=CANCEL GraceTime=0 LLN=YES
PartitionName=urgent Nodes=node[1-2] PriorityTier=10 PreemptMode=OFF
"""

# Waits until its parent is gone, then ends whatever belongs to the cluster and removes its files.
_GUARD = """
import os, shutil, signal, sys, time
sys.stdin.buffer.read()
mark = ("SLURM_CONF=" + sys.argv[1] + "/slurm.conf").encode()
def members():
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    is_one = mark in file.read().split(b"\\0")
                # The daemon of a step overwrites its environment by its title.
                if is_one or os.readlink(f"/proc/{name}/cwd") == sys.argv[1]:
                    yield int(name)
            except OSError:
                pass
until = time.monotonic() + 10
while (found := list(members())) and time.monotonic() < until:
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.02)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


def missing() -> list[str]:
    """The programs that a cluster needs and that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_SEARCH_PATH) is None]


class Cluster:
    """A running cluster; use it in a ``with`` block.

    Attributes:
        place: Where its configuration, sockets, state and logs lie.
        environment: What a process needs in its environment to use it.
    """

    def __init__(self) -> None:
        # A short path: that of a socket may have about a hundred bytes.
        self.place = Path(tempfile.mkdtemp(prefix="trialbook-slurm-"))
        self.environment = {"SLURM_CONF": str(self.place / "slurm.conf")}
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self.place)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the tests, which then end the cluster
        )
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()
        self._start("munged", "munged", *self._munge_options())
        self._until(lambda: (self.place / "munge.socket").exists(), "munged does not start")
        self._start("slurmctld", "controller", "-D")
        for node in NODES:
            self.start_node(node)
        self._until(lambda: self.idle_nodes() == set(NODES), "the nodes do not come up")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._daemons.values():
            process.kill()
            process.wait(20)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(20)

    def _configure(self) -> None:
        self.place.chmod(0o755)  # munge wants its socket to be reachable by everybody
        (self.place / "state").mkdir()
        key = self.place / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        controller, port1, port2 = _unused_ports(3)
        (self.place / "slurm.conf").write_text(
            _CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                user=getpass.getuser(),
                place=self.place,
                cpus=CPUS,
                controller=controller,
                port1=port1,
                port2=port2,
            )
        )

    def _munge_options(self) -> list[str]:
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        paths = [f"--{option}={self.place}/munge.{name}" for option, name in files.items()]
        return ["--foreground", f"--log-file={self.place}/munged.log", *paths]

    def _start(self, program: str, name: str, *arguments: str) -> None:
        path = shutil.which(program, path=_SEARCH_PATH)
        assert path is not None
        with (self.place / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [path, *arguments],
                env={"PATH": _SEARCH_PATH, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _until(self, condition: object, what: str) -> None:
        assert callable(condition)
        deadline = time.monotonic() + _START_S
        while not condition():
            logs = "\n".join(
                f"{file.name}: {file.read_text(errors='replace')[-2000:]}"
                for file in self.place.glob("*.[lo][ou][gt]")
            )
            assert time.monotonic() < deadline, f"{what}:\n{logs}"
            time.sleep(0.05)

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self._start("slurmd", node, "-D", "-N", node)

    def lose_node(self, node: str) -> None:
        """End a node at once: its daemon and all that it has started.

        The controller is told of it, as the monitoring of a cluster does; by itself it would
        notice after half a minute.
        """
        daemon = self._daemons.pop(node)
        for pid in [daemon.pid, *self._on_node(node)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        daemon.wait(20)
        self.asked("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    def _on_node(self, node: str) -> list[int]:
        """The processes of jobs on a node, and of the daemons of their steps."""
        configuration = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        own = {configuration, f"SLURMD_NODENAME={node}".encode()}
        log = str(self.place / f"{node}.log")
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                is_job = own <= set((process / "environ").read_bytes().split(b"\0"))
                is_daemon = any(os.readlink(file) == log for file in (process / "fd").iterdir())
            except OSError:
                continue
            if is_job or is_daemon:
                found.append(int(process.name))
        return found

    def asked(self, *command: str) -> str:
        """What one of SLURM's programs prints."""
        done = subprocess.run(
            command,
            env={"PATH": _SEARCH_PATH, **self.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def idle_nodes(self) -> set[str]:
        """Nodes that have nothing to do."""
        try:
            lines = self.asked("sinfo", "--noheader", "--Node", "--format=%N %t").splitlines()
        except subprocess.CalledProcessError:
            return set()
        return {name for name, state in map(str.split, set(lines)) if state == "idle"}


def _unused_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
