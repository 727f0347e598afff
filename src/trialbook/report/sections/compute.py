"""The compute that the study took, by hardware, and when each worker ran what."""

from __future__ import annotations

from trialbook.analysis.columns import Column, Holds, Table
from trialbook.analysis.compute import ComputeUse, HostCompute
from trialbook.analysis.places import Hardware, gpus_text
from trialbook.report.document import Block, Fact, Facts, Notice, Paragraph, Section
from trialbook.report.source import ReportSource
from trialbook.report.wording import counted


def compute(source: ReportSource) -> Section:
    """CPU and GPU time by hardware."""
    use = source.account.compute
    if not use.hosts:
        blocks: tuple[Block, ...] = (
            Notice("No compute is recorded: no trial was executed under tracking."),
        )
        return Section("compute", "Compute", blocks)
    return Section(
        "compute",
        "Compute",
        (
            Paragraph(
                "CPU time is user and system time of every attempt that has ended, whatever came "
                "of it. GPU time is how long an attempt took, times the GPUs that its worker saw. "
                "Deleted trials, reruns, replicates (a study of their own) and what came before "
                "the study are not counted."
            ),
            Facts(tuple(_totals(use))),
            source.table("hardware", "Compute by host and hardware.", hosts_table(use)),
            *_missing(use),
            *source.figures("timeline"),
        ),
    )


def _totals(use: ComputeUse) -> list[Fact]:
    facts = [
        Fact("attempts that ended", use.attempts, Holds.INTEGER),
        Fact("CPU time", use.cpu_h, Holds.NUMBER, "h"),
        Fact("GPU time", use.gpu_h, Holds.NUMBER, "h"),
    ]
    known = use.attempts - use.without_cpu
    if known:
        facts.append(
            Fact("CPU time of an attempt", use.cpu_h * 3600 / known, Holds.NUMBER, "s", "mean")
        )
    if use.attempts:
        wall_s = sum(host.wall_s for host in use.hosts)
        facts.append(
            Fact("wall time of an attempt", wall_s / use.attempts, Holds.NUMBER, "s", "mean")
        )
    facts += [
        Fact(f"GPU time of {device.device}", device.gpu_s / 3600, Holds.NUMBER, "h")
        for device in use.devices
    ]
    return facts


def hosts_table(use: ComputeUse) -> Table:
    """One row a host."""
    return Table(
        (
            Column("host"),
            Column("hardware"),
            Column("attempts", Holds.INTEGER),
            Column("running", Holds.INTEGER),
            Column("CPU time", Holds.NUMBER, "h"),
            Column("GPU time", Holds.NUMBER, "h"),
            Column("wall time", Holds.NUMBER, "h"),
        ),
        tuple(_host_row(host) for host in use.hosts),
    )


def _host_row(host: HostCompute) -> tuple[str, str, int, int, float, float, float]:
    hardware = " / ".join(text for text in map(hardware_text, host.hardware) if text)
    return (
        host.host or "not recorded",
        hardware or "not recorded",
        host.attempts,
        host.running,
        host.cpu_h,
        host.gpu_h,
        host.wall_s / 3600,
    )


def hardware_text(hardware: Hardware) -> str:
    """``AMD EPYC, 2 CPUs, 2 x NVIDIA H200``; empty when nothing is known."""
    parts = [] if hardware.cpu is None else [hardware.cpu]
    if hardware.cpus is not None:
        parts.append(counted(hardware.cpus, "CPU"))
    if hardware.gpus:
        parts.append(gpus_text(hardware.gpus))
    elif hardware.gpus is not None:
        parts.append("no GPU")
    return ", ".join(parts)


def _missing(use: ComputeUse) -> list[Block]:
    blocks: list[Block] = []
    if use.without_cpu:
        blocks.append(
            Notice(f"The CPU time of {counted(use.without_cpu, 'attempt')} is not known.")
        )
    if use.without_gpus:
        blocks.append(
            Notice(f"Which GPUs {counted(use.without_gpus, 'attempt')} saw is not known.")
        )
    return blocks
