"""The compute that a study used: CPU and GPU time, added up by host and by device.

CPU time is that of the attempts' processes, as the system counted it: user and system time of every
attempt that has ended, whatever came of it. For one whose process died without a word it may not be
known; such attempts are counted instead of being left out in silence.

GPU time is how long an attempt took, times the number of GPUs that its worker saw, whether it used
them or not: what a cluster would charge for. A lost attempt took until somebody noticed, which may
be a lease longer than it lived. A GPU that two workers see at once is counted for each of them.

Attempts of deleted trials are gone, and what workers did between trials is no attempt's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from trialbook.analysis.opening import Storage, StudyOrName, name_of, opened
from trialbook.analysis.places import Hardware, Places
from trialbook.book.computing import AttemptSums, attempt_sums
from trialbook.book.reading import Reader

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class DeviceCompute:
    """The GPU time of one kind of device.

    Args:
        device: Its name, with its memory.
        gpu_s: Seconds, summed over devices.
    """

    device: str
    gpu_s: float


@dataclass(frozen=True, slots=True)
class HostCompute:
    """What the attempts on one host took.

    Args:
        host: Its name, ``None`` for attempts of which it is not recorded.
        hardware: Each machine that went by this name; more than one when it was changed.
        attempts: Number of attempts that have ended.
        running: Number of attempts that have not, of which nothing is counted yet.
        cpu_s: CPU time in seconds.
        without_cpu: Number of ended attempts whose CPU time is not known.
        wall_s: How long the ended attempts took, summed.
        devices: GPU time by device; empty without GPUs.
        without_gpus: Number of ended attempts of which it is not known what GPUs they saw.
    """

    host: str | None
    hardware: tuple[Hardware, ...]
    attempts: int
    running: int
    cpu_s: float
    without_cpu: int
    wall_s: float
    devices: tuple[DeviceCompute, ...]
    without_gpus: int

    @property
    def cpu_h(self) -> float:
        """CPU-hours."""
        return self.cpu_s / _HOUR_S

    @property
    def gpu_h(self) -> float:
        """GPU-hours of all devices."""
        return sum(device.gpu_s for device in self.devices) / _HOUR_S


@dataclass(frozen=True, slots=True)
class ComputeUse:
    """What the attempts of a study took.

    Args:
        hosts: By host, in the order in which they came.
    """

    hosts: tuple[HostCompute, ...] = ()

    @property
    def cpu_h(self) -> float:
        """CPU-hours."""
        return sum(host.cpu_h for host in self.hosts)

    @property
    def gpu_h(self) -> float:
        """GPU-hours."""
        return sum(host.gpu_h for host in self.hosts)

    @property
    def devices(self) -> tuple[DeviceCompute, ...]:
        """GPU time by device, over all hosts."""
        return _added(device for host in self.hosts for device in host.devices)

    @property
    def attempts(self) -> int:
        """Number of attempts that have ended."""
        return sum(host.attempts for host in self.hosts)

    @property
    def without_cpu(self) -> int:
        """Number of ended attempts whose CPU time is not known."""
        return sum(host.without_cpu for host in self.hosts)

    @property
    def without_gpus(self) -> int:
        """Number of ended attempts of which it is not known what GPUs they saw."""
        return sum(host.without_gpus for host in self.hosts)


def compute(study: StudyOrName, *, storage: Storage = None) -> ComputeUse:
    """The compute that a study used.

    Args:
        study: Its name, or an Optuna study that lies in a book.
        storage: Where the book is; not with an Optuna study.

    Raises:
        NotFoundError: There is no such study.
    """
    with opened(storage, study) as reader:
        return compute_of(reader, reader.study(name_of(study)).study_id)


def compute_of(reader: Reader, study_id: int) -> ComputeUse:
    """The compute that a study of an open book used."""
    places = Places(reader)
    hosts: dict[str | None, list[AttemptSums]] = defaultdict(list)
    for sums in attempt_sums(reader.book, study_id):
        hosts[sums.host or places.host(sums.execution)].append(sums)
    return ComputeUse(tuple(_of_host(host, parts, places) for host, parts in hosts.items()))


def _of_host(host: str | None, parts: list[AttemptSums], places: Places) -> HostCompute:
    machines = [places.hardware(part.environment, part.execution) for part in parts]
    together = list(zip(parts, machines, strict=True))
    return HostCompute(
        host=host,
        hardware=tuple(dict.fromkeys(machine for machine in machines if machine != Hardware())),
        attempts=sum(part.ended for part in parts),
        running=sum(part.running for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
        without_cpu=sum(part.ended - part.with_cpu for part in parts),
        wall_s=sum(part.wall_s for part in parts),
        devices=_added(
            DeviceCompute(name, part.wall_s)
            for part, machine in together
            for name in machine.gpus or ()
        ),
        without_gpus=sum(part.ended for part, machine in together if machine.gpus is None),
    )


def _added(devices: Iterable[DeviceCompute]) -> tuple[DeviceCompute, ...]:
    seconds: dict[str, float] = {}
    for device in devices:
        seconds[device.device] = seconds.get(device.device, 0.0) + device.gpu_s
    return tuple(DeviceCompute(name, gpu_s) for name, gpu_s in seconds.items())
