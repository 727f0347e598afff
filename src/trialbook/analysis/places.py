"""Where an attempt ran: its host, the hardware there, and the job that placed its worker.

The hardware is what the environment snapshot says of the machine. The GPUs of an attempt are those
that its worker saw: the machine's, or those of them that ``CUDA_VISIBLE_DEVICES`` left.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trialbook.book.reading import Reader
from trialbook.errors import BookCorruptError, NotFoundError
from trialbook.records.coordinates import Snapshot
from trialbook.records.environment import Machine
from trialbook.records.study import AttemptRecord
from trialbook.running.gpus import MASK, visible_devices


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a worker's machine is, as far as it saw it.

    Args:
        cpu: Model of the processor, ``None`` where unknown.
        cpus: Number of processors that it might use, ``None`` where unknown.
        gpus: The name of each GPU that it saw; ``None`` when that is not known.
    """

    cpu: str | None = None
    cpus: int | None = None
    gpus: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt ran.

    Args:
        host: Name of the host, ``None`` when it is not recorded.
        hardware: The machine.
        launcher: What placed the worker, ``local`` when nothing else did; ``None`` where unknown.
        job: The engine's own id of the job; ``None`` without one, or when it is ``launch``.
        launch: ``LAUNCH/INDEX`` of a worker that ``trialbook launch`` placed.
    """

    host: str | None = None
    hardware: Hardware = Hardware()
    launcher: str | None = None
    job: str | None = None
    launch: str | None = None


class Places:
    """Places of attempts, each snapshot read once: attempts share most of them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._machines: dict[str, tuple[Machine | None, bool]] = {}
        self._launches: dict[str, _Launched | None] = {}

    def of(self, attempt: AttemptRecord) -> Place:
        """Where an attempt ran; from its worker, else from its coordinates."""
        coordinates = attempt.coordinates
        launched = self._launched(coordinates.execution) or _Launched()
        hardware = self.hardware(coordinates.environment, coordinates.execution)
        if attempt.launcher is None:
            return Place(launched.host, hardware, launched.launcher, launched.job_id)
        job = attempt.job or launched.job_id
        job = None if job == attempt.launch else job
        return Place(attempt.host, hardware, attempt.launcher, job, attempt.launch)

    def host(self, execution: str | None) -> str | None:
        """The host that an execution snapshot names."""
        launched = self._launched(execution)
        return None if launched is None else launched.host

    def hardware(self, environment: str | None, execution: str | None) -> Hardware:
        """The hardware that the snapshots of these digests tell of."""
        machine, described = self._machine(environment)
        if machine is None:
            return Hardware()
        cpus = machine.cpu_count if machine.cpu_affinity is None else machine.cpu_affinity
        launched = self._launched(execution)
        seen = None
        if described and launched is not None:
            seen = seen_gpus(machine.gpus, launched.gpus)
        return Hardware(machine.cpu_model, cpus, seen)

    def _machine(self, digest: str | None) -> tuple[Machine | None, bool]:
        """The machine, and whether its GPUs are described."""
        if digest is None:
            return None, False
        if digest not in self._machines:
            snapshot = self._snapshot(digest)
            found: tuple[Machine | None, bool] = (None, False)
            if snapshot is not None:
                state = msgspec.convert(snapshot.state, _Surroundings)
                gaps = [reason for reason in snapshot.coverage.reasons if "GPU" in reason]
                found = state.machine, bool(state.machine.gpus) or not gaps
            self._machines[digest] = found
        return self._machines[digest]

    def _launched(self, digest: str | None) -> _Launched | None:
        if digest is None:
            return None
        if digest not in self._launches:
            snapshot = self._snapshot(digest)
            self._launches[digest] = (
                None if snapshot is None else msgspec.convert(snapshot.state, _Launched)
            )
        return self._launches[digest]

    def _snapshot(self, digest: str) -> Snapshot | None:
        try:
            return self._reader.snapshot(digest)
        except (NotFoundError, BookCorruptError):
            return None  # 'verify' names it; here it is hardware that is not known


def seen_gpus(installed: tuple[str, ...], mask: str | None) -> tuple[str, ...]:
    """The names of the GPUs that a process saw.

    Args:
        installed: The machine's, in the order of the driver.
        mask: ``CUDA_VISIBLE_DEVICES`` of the process, ``None`` when it was not set.

    Returns:
        A mask of UUIDs or MIG names does not say which of different models it means: such a GPU is
        called by all of their names. Slices of one GPU count as no more GPUs than there are.
    """
    if mask is None:
        return installed
    visible = visible_devices({MASK: mask})
    if not visible or not installed:
        return ()
    indices = [int(name) for name in visible if name.isdecimal()]
    if len(indices) == len(visible) and max(indices) < len(installed):
        return tuple(installed[index] for index in dict.fromkeys(indices))
    either = " or ".join(dict.fromkeys(installed))
    return (either,) * min(len(visible), len(installed))


def place_facts(place: Place) -> dict[str, str | None]:
    """A place as texts by name, for whoever compares or lists it."""
    hardware = place.hardware
    return {
        "host": place.host,
        "cpu": hardware.cpu,
        "cpus": None if hardware.cpus is None else str(hardware.cpus),
        "gpus": None if hardware.gpus is None else gpus_text(hardware.gpus) or "none",
        "launcher": place.launcher,
        "job": place.launch,
        "job of the engine": place.job,
    }


def gpus_text(gpus: tuple[str, ...]) -> str:
    """``2 x NVIDIA H200, 143771 MiB``; empty without one."""
    counts = {name: gpus.count(name) for name in gpus}
    return "; ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.items())


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """Of an environment's state only the machine; the packages are long to read."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class _Launched:
    """Of an execution's launch only what says where it was."""

    host: str | None = None
    launcher: str | None = None
    job_id: str | None = None
    gpus: str | None = None
