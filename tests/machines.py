"""Machines of one's own, for tests: network namespaces with addresses, joined by a router.

A machine has an address, a host name and a home directory, and can be cut off from others as by a
fault of the network: what is sent vanishes, and nobody is told. Nothing of it shows outside. What
machines share with this one is its file system and its process ids.

It takes root and Linux; ``missing`` says what is not there. All namespaces and whatever runs in
them end with the process that made them, however that one ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

_PROGRAMS = ("ip", "nsenter", "unshare", "ssh", "sshd", "ssh-keygen")
_CLONE_NEWNET = 0x40000000
_START_S = 30.0
_numbers = count()

# Waits until its parent is gone, then ends what runs in the namespaces and removes them. The end of
# the pipe tells it, so that a killed test run leaves nothing behind either.
_GUARD = """
import os, shutil, signal, subprocess, sys
sys.stdin.buffer.read()
place, *names = sys.argv[1:]
def ip(*arguments):
    return subprocess.run(["ip", "netns", *arguments], capture_output=True, text=True).stdout
for _ in range(2):
    for name in names:
        for pid in ip("pids", name).split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
for name in names:
    ip("delete", name)
shutil.rmtree(place, ignore_errors=True)
"""


@cache
def missing() -> str | None:
    """Why no machines can be made here, ``None`` when they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces take root"
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = f"trialbook-probe-{os.getpid()}"
    made = subprocess.run(
        ["ip", "netns", "add", probe], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        return f"network namespaces cannot be made: {made.stderr.strip()}"
    _ip("netns", "delete", probe)
    return None


@dataclass(frozen=True)
class Machine:
    """One machine.

    Args:
        name: Its host name.
        address: Its address.
        namespace: Path of its network namespace.
        home: Its home directory, with the state and cache directories in it.
    """

    name: str
    address: str
    namespace: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What is set for its user, besides what a login sets."""
        return {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
        }

    def command(self, *command: str | Path) -> list[str]:
        """A command line that runs another one on this machine."""
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["nsenter", f"--net={self.namespace}", *named, *map(str, command)]

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine to its end."""
        return subprocess.run(
            self.command(*command),
            env={**os.environ, **self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def programs(self) -> list[str]:
        """The names of the programs that run on this machine."""
        found = []
        for pid in _ip("netns", "pids", Path(self.namespace).name).split():
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/comm").read_text().strip())
        return sorted(found)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread, and the threads and processes it starts, be on this machine's network.

        Sockets stay where they were made.
        """
        with Path("/proc/thread-self/ns/net").open() as back, Path(self.namespace).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(back.fileno())


class Network:
    """Machines that reach each other; use it in a ``with`` block.

    Args:
        names: Host names of the machines.
        ssh: The names of those that run an SSH server; ``ssh_config`` lets root in.

    Attributes:
        machines: The machines by name.
        place: Directory of the homes, the keys and the servers' logs.
        ssh_config: A configuration for ``ssh`` in which the machines have their names.
        identity: The private key.
    """

    def __init__(self, names: Sequence[str], ssh: Sequence[str] = ()) -> None:
        self._made = f"trialbook-{os.getpid()}-{next(_numbers)}"
        self._router = f"{self._made}-router"
        self._rules: set[tuple[str, str]] = set()
        self.place = Path(tempfile.mkdtemp(prefix="trialbook-machines-"))
        self.ssh_config = self.place / "ssh_config"
        self.identity = self.place / "identity"
        self.machines = {
            name: Machine(
                name,
                address=f"10.77.{number}.2",
                namespace=f"/run/netns/{self._made}-{name}",
                home=self.place / name,
            )
            for number, name in enumerate(names, 1)
        }
        namespaces = [Path(machine.namespace).name for machine in self.machines.values()]
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, self.place, self._router, *namespaces],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the tests, which then end it
        )
        try:
            self._join()
            self._make_keys(ssh)
            for name in ssh:
                self._serve(self.machines[name])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything on the machines, and the machines."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(30)

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def cut(self, one: str, other: str) -> None:
        """Let everything vanish that two machines send each other."""
        for pair in ((one, other), (other, one)):
            self._rule("add", *pair)
            self._rules.add(pair)

    def heal(self) -> None:
        """Undo every cut, and every link that is down."""
        while self._rules:
            self._rule("delete", *self._rules.pop())
        for machine in self.machines.values():
            _ip("-n", self._router, "link", "set", "dev", machine.name, "up")

    def unplug(self, name: str) -> None:
        """Take a machine's link down."""
        _ip("-n", self._router, "link", "set", "dev", name, "down")

    def _rule(self, what: str, one: str, other: str) -> None:
        pair = ("from", self[one].address, "to", self[other].address)
        _ip("-n", self._router, "rule", what, *pair, "blackhole")

    def _join(self) -> None:
        _ip("netns", "add", self._router)
        enter = ["nsenter", f"--net=/run/netns/{self._router}"]
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run([*enter, "sh", "-c", forward], check=True)
        for machine in self.machines.values():
            machine.home.mkdir()
            here = Path(machine.namespace).name
            gateway = machine.address.rpartition(".")[0] + ".1"
            _ip("netns", "add", here)
            link = ("link", "add", "name", machine.name, "type", "veth", "peer", "name", "eth0")
            _ip("-n", self._router, *link, "netns", here)
            _ip("-n", self._router, "address", "add", f"{gateway}/24", "dev", machine.name)
            _ip("-n", self._router, "link", "set", "dev", machine.name, "up")
            _ip("-n", here, "address", "add", f"{machine.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", here, "link", "set", "dev", device, "up")
            _ip("-n", here, "route", "add", "default", "via", gateway)

    def _make_keys(self, names: Sequence[str]) -> None:
        known = []
        hosts = []
        _new_key(self.identity)
        for name in names:
            machine = self[name]
            _new_key(self.place / f"{name}-key")
            public = (self.place / f"{name}-key.pub").read_text()
            known.append(f"{machine.address} {public}")
            hosts.append(f"Host {name}\n  HostName {machine.address}\n")
        (self.place / "known_hosts").write_text("".join(known))
        self.ssh_config.write_text(
            f"{''.join(hosts)}Host *\n  User root\n  IdentityFile {self.identity}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.place / 'known_hosts'}\n"
        )

    def _serve(self, machine: Machine) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        settings = [f"{name}={value}" for name, value in machine.environment.items()]
        config = self.place / f"{machine.name}-sshd"
        config.write_text(
            f"ListenAddress {machine.address}:22\nHostKey {self.place / machine.name}-key\n"
            f"AuthorizedKeysFile {self.identity}.pub\nStrictModes no\nPermitRootLogin yes\n"
            f"PidFile none\nUsePAM no\nUseDNS no\nSetEnv {' '.join(settings)}\n"
        )
        log = self.place / f"{machine.name}-sshd.log"
        with log.open("ab") as output:
            # sshd insists on being started by its full path.
            command = machine.command(str(shutil.which("sshd")), "-D", "-e", "-f", config)
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        server.returncode = 0  # the guard ends it
        until = time.monotonic() + _START_S
        while True:
            with machine.entered():
                try:
                    socket.create_connection((machine.address, 22), timeout=5).close()
                except OSError:
                    if time.monotonic() > until:
                        raise RuntimeError(f"sshd does not start:\n{log.read_text()}") from None
                else:
                    return
            time.sleep(0.02)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _new_key(file: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _enter(namespace: int) -> None:
    """``setns``, which Python has from 3.12 on."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
