"""What the processes of a run say to each other: one JSON object a line, each of a known kind.

Values that JSON cannot hold (infinities, large integers) travel in the tagged form of
``records/canonical.py``.

A run has three kinds of processes. The *coordinator* is the command that the user gave; it starts
*workers*, tells each when to begin a trial, and looks at the book for progress. A worker claims
trials and supervises *children*, the only processes that execute the user's code.

Here are the messages and the line-wise channel; what they set in motion lies in ``coordinator.py``,
``worker.py`` and ``child.py``.
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import Any

import msgspec

from trialbook.records.canonical import tagged, untagged
from trialbook.records.code import EntryPoint
from trialbook.records.config import ConfigState, SearchSettings
from trialbook.records.data import HashedFile
from trialbook.records.retries import TrialLimits
from trialbook.records.workers import LEASE_S, Placement
from trialbook.running.inputs import InputSpec
from trialbook.running.surroundings import CodePlace, Interpreter

_CHUNK_BYTES = 1 << 16


class Job(msgspec.Struct, frozen=True):
    """What a worker runs, and what a child imports and prepares.

    Args:
        book: URL of the book with its password, for opening it.
        shown_book: The same without the password, as ``BookStorage.url`` gives it.
        study: Name of the study.
        study_id: Its id.
        search: Its recorded settings.
        name: Qualified name of the objective.
        file: Its file, or ``None``.
        module: Its module, or ``None``.
        search_path: Directories where modules are looked for first.
        data: Declared inputs; paths absolute.
        mapped: Input name to path on this machine, from the command line.
        config: A path, a mapping, or ``None``.
        overrides: Dotted key to value.
        seed: The spec's seed.
        isolation: ``auto``, ``fork``, ``fresh`` or ``none``.
        paranoid: Hash the data again even when its stat has not changed.
        allowed: Which of ``code``, ``data``, ``settings`` and ``environment`` may differ from the
            study's.
        budget: Total of finished trials, ``None`` for no limit.
        lease_s: How long a worker holds a trial without a sign of life.
        limits: What ends a trial that takes too long.
        grace_s: How long a trial that does not ask may go on after the run was asked to stop.
        joined: Whether it joins a study that is not its own: then it is to be as the study is.
        placement: What placed the workers.
        entry: How the study's record names the objective; ``None`` to find that out.
        place: Where its code lies when it was restored from the book.
        interpreter: Runs the children; ``None`` for this one.
        config_of: The record that the configuration was taken from.
    """

    book: str
    shown_book: str
    study: str
    study_id: int
    search: SearchSettings
    name: str
    file: str | None
    module: str | None
    search_path: tuple[str, ...]
    data: dict[str, InputSpec]
    mapped: dict[str, str]
    config: str | dict[str, Any] | None
    overrides: dict[str, Any]
    seed: int | None
    isolation: str
    paranoid: bool
    allowed: tuple[str, ...]
    budget: int | None
    lease_s: float = LEASE_S
    limits: TrialLimits = TrialLimits()
    grace_s: float = 20.0
    joined: bool = False
    placement: Placement = Placement()
    entry: EntryPoint | None = None
    place: CodePlace | None = None
    interpreter: Interpreter | None = None
    config_of: ConfigState | None = None


class Fault(msgspec.Struct, frozen=True):
    """An error on its way to the user; ``kind`` is a class of ``trialbook.errors``."""

    kind: str
    what: str
    where: str | None = None
    hint: str | None = None
    traceback: str | None = None


# From a worker to its child.


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Prepare this job.

    Args:
        job: What to prepare.
        beacon: Number of the inherited descriptor of the page that both share.
    """

    job: Job
    beacon: int | None = None


class RunTrial(msgspec.Struct, frozen=True, tag=True):
    """Run this claimed trial, as the attempt of this number.

    Args:
        trial_id: Which.
        attempt: Number of the attempt.
        differs: What its record says of how this process differs from the study.
    """

    trial_id: int
    attempt: int
    differs: tuple[str, ...] = ()


class Pin(msgspec.Struct, frozen=True, tag=True):
    """Write down what was observed, as what the study's workers are held against."""


class KnownDigests(msgspec.Struct, frozen=True, tag=True):
    """The digests of those of the wanted files that a worker has hashed, by key."""

    digests: dict[str, str]


class ConsoleText(msgspec.Struct, frozen=True, tag=True):
    """What the trial wrote until now: what was kept of it, and how much it was in all."""

    stdout: bytes
    stdout_bytes: int
    stderr: bytes
    stderr_bytes: int


# From a child to its worker.


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The objective is imported and its coordinates are observed.

    Args:
        isolation: ``fork``, ``fresh`` or ``none``.
        reason: Why, in one sentence.
        code: Document of the code snapshot.
        data: Document of the data snapshot.
        config: Document of the config snapshot.
        environment: Document of the environment snapshot.
        root: Directory of the code.
        hashed: Large data files whose digests this machine has computed.
    """

    isolation: str
    reason: str
    code: str
    data: str
    config: str
    environment: str
    root: str
    hashed: tuple[HashedFile, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The child could not prepare, or could not run a trial at all."""

    fault: Fault


class Pinned(msgspec.Struct, frozen=True, tag=True):
    """What was observed is in the book, for the study's workers to be held against."""


class Began(msgspec.Struct, frozen=True, tag=True):
    """A trial runs in this process."""

    pid: int


class WantDigests(msgspec.Struct, frozen=True, tag=True):
    """Data files that have to be hashed unless another worker has: their keys."""

    keys: tuple[str, ...]


class WantConsole(msgspec.Struct, frozen=True, tag=True):
    """The trial is over; its console is wanted for the record."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """The trial's end is in the book.

    Args:
        error: Last line of the traceback of the exception that left the objective, else ``None``.
        stop: Whether the objective or the sampler asked the study to stop.
        given_back: Why the attempt ended, when the trial is to be tried again; else ``None``.
    """

    error: str | None = None
    stop: bool = False
    given_back: str | None = None


class Exited(msgspec.Struct, frozen=True, tag=True):
    """A forked trial's process ended.

    Args:
        exit_code: As ``os.waitstatus_to_exitcode``: negative for a signal.
        cpu_s: CPU seconds that it used.
        peak_memory_bytes: Its peak resident memory.
    """

    exit_code: int
    cpu_s: float
    peak_memory_bytes: int


ToChild = Begin | RunTrial | Pin | KnownDigests | ConsoleText
FromChild = Ready | Failed | Pinned | Began | WantDigests | WantConsole | Told | Exited


# From the coordinator to a worker.


class Employ(msgspec.Struct, frozen=True, tag=True):
    """Work for this job, under this id."""

    worker_id: str
    job: Job


class Next(msgspec.Struct, frozen=True, tag=True):
    """Claim a trial and run it.

    Args:
        more: Whether another one is likely to follow, so that it is worth preparing for.
        budget: Total of the study's trials, ``None`` for no limit.
    """

    more: bool
    budget: int | None


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Begin no trial any more; end when none runs."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """As ``Drain``, and let the trial that runs know that it is to stop."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """End at once.

    Args:
        gives_back: Whether a trial that runs is to be tried again; else it is abandoned.
    """

    gives_back: bool = False


# From a worker to the coordinator.


class Idle(msgspec.Struct, frozen=True, tag=True):
    """Free for a trial; says once more how trials are isolated, and why."""

    isolation: str
    reason: str


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot run trials."""

    fault: Fault


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """A trial was claimed and is about to run."""

    trial_id: int
    number: int
    attempt: int


class NothingLeft(msgspec.Struct, frozen=True, tag=True):
    """There was nothing to claim: the budget is met."""


class NothingYet(msgspec.Struct, frozen=True, tag=True):
    """Only trials that are tried again are left, the first of them after so many seconds."""

    wait_s: float


class Finished(msgspec.Struct, frozen=True, tag=True):
    """A trial ended.

    Args:
        trial_id: Which.
        number: Its number.
        state: Optuna's state.
        values: Its objective values, ``None`` without any.
        error: What went wrong, in one line, else ``None``.
        stop: Whether the study was asked to stop.
    """

    trial_id: int
    number: int
    state: str
    values: tuple[float, ...] | None
    error: str | None
    stop: bool


class Returned(msgspec.Struct, frozen=True, tag=True):
    """A trial that this worker had is its own no more, and not finished.

    Args:
        trial_id: Which.
        number: Its number.
        attempt: Number of the attempt that ended.
        reason: Why it ended; ``fenced`` when another worker has taken the trial over.
        error: What happened, in one line, ``None`` when the reason says it.
    """

    trial_id: int
    number: int
    attempt: int
    reason: str
    error: str | None


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A signal asked this worker to stop; it begins no trial any more."""

    signal: str


class Noticed(msgspec.Struct, frozen=True, tag=True):
    """How a worker differs from its study; to be said once, whoever finds it."""

    texts: tuple[str, ...]


class Recalled(msgspec.Struct, frozen=True, tag=True):
    """Somebody asked this worker through the book to leave; it begins no trial any more."""


class Said(msgspec.Struct, frozen=True, tag=True):
    """Something the user should know."""

    text: str


ToWorker = Employ | Next | Drain | Stop | Leave
FromWorker = (
    Idle
    | Refused
    | Claimed
    | NothingLeft
    | NothingYet
    | Finished
    | Returned
    | Asked
    | Noticed
    | Recalled
    | Said
)


class Channel:
    """Messages over a stream socket, whole ones only.

    Args:
        connection: One end of a socket pair.
        kind: The union of messages that come in.
        patient: Whether sending waits for the other side. Without patience a message that does not
            go at once is kept, and goes on with every ``push``.
    """

    def __init__(self, connection: socket.socket, kind: Any, *, patient: bool = True) -> None:
        self._socket = connection
        self._socket.setblocking(True)
        self._kind = kind
        self._patient = patient
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self.ended = False

    def fileno(self) -> int:
        """For ``select`` and its kin."""
        return self._socket.fileno()

    def send(self, message: msgspec.Struct) -> bool:
        """Send one message; ``False`` when the other side is gone."""
        line = json.dumps(tagged(msgspec.to_builtins(message))).encode() + b"\n"
        if not self._patient:
            self._outgoing += line
            self.push()
            return not self.ended
        try:
            self._socket.sendall(line)
        except ConnectionError:
            self.ended = True
            return False
        return True

    def push(self) -> None:
        """Send on what could not be sent at once; waits for nothing."""
        while self._outgoing and not self.ended:
            try:
                sent = self._socket.send(self._outgoing, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                self.ended = True
                return
            del self._outgoing[:sent]

    def waiting(self) -> list[Any]:
        """Every whole message that has come in; blocks for none. Sets ``ended`` at the end."""
        while not self.ended and select.select([self._socket], [], [], 0)[0]:
            self._read()
        return self._parsed()

    def receive(self, timeout_s: float | None = None) -> Any | None:
        """The next message; ``None`` when the other side is gone or the time is over.

        Reads no further than it must, so that a forked child can go on reading where this
        process left off.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = bytearray(rest)
                return self._decoded(line)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self.ended or not select.select([self._socket], [], [], left)[0]:
                return None
            self._read()

    def close(self) -> None:
        """Close this end."""
        self.ended = True
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
        self._buffer += data

    def _decoded(self, line: bytes | bytearray) -> Any:
        return msgspec.convert(untagged(json.loads(line)), self._kind)

    def _parsed(self) -> list[Any]:
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        return [self._decoded(line) for line in lines]
