"""Which GPUs each worker of a run sees; shared out before anything is imported.

A worker sees its devices through ``CUDA_VISIBLE_DEVICES``, set in its environment before its
interpreter starts. A mask that a scheduler set (indices, UUIDs or MIG names) is what is shared.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping

from trialbook.errors import InvalidInputError

MASK = "CUDA_VISIBLE_DEVICES"


def installed_devices() -> tuple[str, ...]:
    """Indices of the machine's NVIDIA GPUs as ``nvidia-smi`` lists them; empty without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()  # no usable driver is no device; sharing then says how many were found
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip())


def visible_devices(
    environment: Mapping[str, str], installed: Callable[[], tuple[str, ...]] = installed_devices
) -> tuple[str, ...]:
    """The devices that this process may use, in CUDA's order.

    Args:
        environment: Environment variables.
        installed: Lists the machine's devices; asked only when no mask is set.

    Returns:
        Entries of the mask as they are written. As in CUDA, an entry that is ``-1`` hides itself
        and everything behind it, and an empty mask hides all.
    """
    mask = environment.get(MASK)
    if mask is None:
        return installed()
    devices: list[str] = []
    for entry in mask.split(","):
        name = entry.strip()
        if not name or (name.startswith("-") and name[1:].isdigit()) or name == "NoDevFiles":
            break
        devices.append(name)
    return tuple(devices)


def worker_variables(
    workers: int, gpus_per_worker: int | None, variables: Mapping[str, str]
) -> list[dict[str, str]]:
    """The variables of each worker on top of this process's own.

    Args:
        workers: How many there are.
        gpus_per_worker: Devices for each, ``None`` to leave them all visible to all.
        variables: What every worker has.

    Raises:
        InvalidInputError: There are not enough devices.
    """
    found = [dict(variables) for _ in range(workers)]
    if gpus_per_worker is not None:
        shares = device_shares(visible_devices(os.environ), workers, gpus_per_worker)
        for own, share in zip(found, shares, strict=True):
            own[MASK] = share
    return found


def device_shares(devices: tuple[str, ...], workers: int, per_worker: int) -> tuple[str, ...]:
    """Each worker's ``CUDA_VISIBLE_DEVICES``.

    Args:
        devices: The devices to share.
        workers: Number of workers.
        per_worker: Devices for each, at least 1.

    Raises:
        InvalidInputError: There are not enough devices.
    """
    if per_worker < 1:
        raise InvalidInputError(
            f"a worker needs at least one GPU, not {per_worker}", hint="leave --gpus-per-worker out"
        )
    needed = workers * per_worker
    if len(devices) < needed:
        fit = len(devices) // per_worker
        what = f"{workers} workers with {per_worker} GPU(s) each need {needed}, "
        raise InvalidInputError(
            f"{what}{len(devices)} {'is' if len(devices) == 1 else 'are'} visible",
            where=f"{MASK}={','.join(devices)}",
            hint=f"use --workers {fit}" if fit else "leave --gpus-per-worker out",
        )
    return tuple(
        ",".join(devices[start : start + per_worker]) for start in range(0, needed, per_worker)
    )
