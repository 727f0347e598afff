"""How places and compute print: on ``show``, ``status`` and their JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trialbook.cli.output import Cell, Column, json_value, write_heading, write_line, write_table
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.analysis.compute import ComputeUse, HostCompute
    from trialbook.analysis.places import Hardware, Place

_SHOWN_H = 0.005


def hours_text(hours: float) -> str:
    """Hours of compute: ``0.25``, ``12``, ``1,234``."""
    if 0 < hours < _SHOWN_H:
        return "under 0.01"
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}"


def compute_text(compute: ComputeUse) -> str:
    """The compute of a study on one line; empty while no attempt has ended."""
    if not compute.attempts:
        return ""
    parts = [f"{hours_text(compute.cpu_h)} CPU-hours"]
    if compute.devices:
        names = ", ".join(device.device for device in compute.devices)
        parts.append(f"{hours_text(compute.gpu_h)} GPU-hours ({names})")
    return ", ".join(parts) + _missing_text(compute.without_cpu, compute.without_gpus)


def _missing_text(without_cpu: int, without_gpus: int) -> str:
    parts = []
    if without_cpu:
        parts.append(f"the CPU time of {counted(without_cpu, 'attempt')} is not known")
    if without_gpus:
        parts.append(f"the GPUs of {counted(without_gpus, 'attempt')} are not known")
    return f"; {', '.join(parts)}" if parts else ""


def write_hosts(compute: ComputeUse, *, single: bool = False) -> None:
    """Print what each host gave.

    Args:
        compute: The compute of a study.
        single: Whether to print one host without GPUs, too.
    """
    gpus = bool(compute.devices)
    if not compute.hosts or (len(compute.hosts) < 2 and not gpus and not single):
        return
    write_line()
    write_heading("COMPUTE")
    write_table(
        (
            Column("HOST"),
            Column("HARDWARE", wide=True),
            Column("ATTEMPTS", right=True),
            Column("CPU-HOURS", right=True),
            *([Column("GPU-HOURS", right=True)] if gpus else []),
        ),
        (_host_row(host, gpus=gpus) for host in compute.hosts),
        indent=2,
    )
    for host in compute.hosts:
        missing = _missing_text(host.without_cpu, host.without_gpus)
        if missing:
            write_line(f"    - {host.host or 'host not recorded'}{missing.replace(';', ':', 1)}")


def _host_row(host: HostCompute, *, gpus: bool) -> tuple[str, ...]:
    running = f" (+{host.running:,} running)" if host.running else ""
    return (
        host.host or "not recorded",
        " / ".join(map(hardware_text, host.hardware)),
        f"{host.attempts:,}{running}",
        hours_text(host.cpu_h),
        *([hours_text(host.gpu_h)] if gpus else []),
    )


def hardware_text(hardware: Hardware) -> str:
    """``AMD EPYC, 2 CPUs, 2 x NVIDIA H200, 143771 MiB``; empty when nothing is known."""
    from trialbook.analysis.places import gpus_text

    parts = [] if hardware.cpu is None else [hardware.cpu]
    if hardware.cpus is not None:
        parts.append(counted(hardware.cpus, "CPU"))
    if hardware.gpus:
        parts.append(gpus_text(hardware.gpus))
    return ", ".join(parts)


def place_text(place: Place) -> str:
    """Host and hardware: ``node1: AMD EPYC, 2 CPUs``; empty when nothing is known."""
    hardware = hardware_text(place.hardware)
    if place.host is None:
        return hardware
    return f"{place.host}: {hardware}" if hardware else place.host


def job_text(launcher: str | None, job: str | None, launch: str | None) -> str:
    """The job that placed a worker: ``0a1b2c3d/1, slurm 99_1``; empty when none did."""
    if job in (None, launch):  # the engine has no other name for it
        return "" if launch is None else f"{launch}, {launcher}"
    engine = f"{launcher} {job}"
    return engine if launch is None else f"{launch}, {engine}"


def compute_json(compute: ComputeUse) -> dict[str, object]:
    """The compute of a study with its totals, as plain JSON values."""
    return {
        "cpu_s": sum(host.cpu_s for host in compute.hosts),
        "without_cpu": compute.without_cpu,
        "without_gpus": compute.without_gpus,
        "devices": json_value(compute.devices),
        "hosts": json_value(compute.hosts),
    }


def compute_facts(compute: ComputeUse) -> Iterator[tuple[Cell, ...]]:
    """The compute of a study as lines of CSV: section, name, field, value."""
    for host in compute.hosts:
        name = host.host
        for field in ("attempts", "running", "cpu_s", "without_cpu", "wall_s", "without_gpus"):
            yield "compute", name, field, getattr(host, field)
        for hardware in host.hardware:
            yield "compute", name, "hardware", hardware_text(hardware)
        for device in host.devices:
            yield "compute", name, f"gpu_s of {device.device}", device.gpu_s


def place_facts_csv(name: str, place: Place) -> Iterator[tuple[Cell, ...]]:
    """A place as lines of CSV: section, name, field, value."""
    from trialbook.analysis.places import place_facts

    for field, value in place_facts(place).items():
        yield "attempt", name, field, value
