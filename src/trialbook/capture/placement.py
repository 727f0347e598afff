"""Where the scheduler or container engine put this process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from trialbook.capture.imports import unwatched

_JOBS = (
    ("slurm", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    ("pbs", "PBS_JOBID", "PBS_ARRAY_INDEX"),
    ("lsf", "LSB_JOBID", "LSB_JOBINDEX"),
    ("sge", "JOB_ID", "SGE_TASK_ID"),
    ("htcondor", "_CONDOR_JOB_AD", None),
    ("flux", "FLUX_JOB_ID", None),
    ("cobalt", "COBALT_JOBID", None),
    ("aws-batch", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ARRAY_INDEX"),
    ("kubernetes", "KUBERNETES_SERVICE_HOST", None),
)
_CONTAINER_ID = re.compile(rb"(?:docker|containers?|libpod|crio|cri-containerd|kubepods)"
                           rb"[^\n]*?([0-9a-f]{64})")  # fmt: skip


def batch_job(environ: Mapping[str, str]) -> str | None:
    """Batch system and job id, such as ``slurm 4711_3``; ``None`` outside a job.

    Args:
        environ: The environment to look into.
    """
    for system, variable, index_variable in _JOBS:
        value = environ.get(variable)
        if not value or (system == "sge" and "SGE_ROOT" not in environ):
            continue
        if system == "kubernetes":
            return f"kubernetes {environ.get('JOB_NAME') or environ.get('HOSTNAME', '')}".strip()
        index = environ.get(index_variable or "")
        if system == "slurm" and index:
            # Each task of an array has a job id of its own besides, which no command shows.
            value = environ.get("SLURM_ARRAY_JOB_ID") or value
        # A job that is no array has an index of 0 in LSF, "undefined" in Grid Engine.
        if index in (None, "", "0", "undefined") and system != "slurm":
            index = None
        return f"{system} {value}_{index}" if index else f"{system} {value}"
    return None


def container(environ: Mapping[str, str], root: Path = Path("/")) -> str | None:
    """Kind and identity of the container that this process runs in, ``None`` outside one.

    Args:
        environ: The environment to look into.
        root: Where the file system begins.
    """
    for variable in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if environ.get(variable):
            return f"{variable.partition('_')[0].lower()} {environ[variable]}"
    kind = _kind(environ, root)
    if kind is None:
        return None
    identity = _identity(root)
    return f"{kind} {identity}" if identity else kind


def _kind(environ: Mapping[str, str], root: Path) -> str | None:
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if environ.get("container"):  # set by systemd-nspawn, LXC and podman
        return environ["container"]
    cgroup = _content(root / "proc/self/cgroup")
    for kind in ("docker", "libpod", "kubepods", "lxc", "garden"):
        if f"/{kind}".encode() in cgroup:
            return {"libpod": "podman", "kubepods": "kubernetes"}.get(kind, kind)
    return None


def _identity(root: Path) -> str | None:
    """The container's id, where cgroups or mounts still show it."""
    for name in ("proc/self/cgroup", "proc/self/mountinfo"):
        found = _CONTAINER_ID.search(_content(root / name))
        if found is not None:
            return found[1].decode()
    return None


def _content(path: Path) -> bytes:
    try:
        with unwatched():
            return path.read_bytes()
    except OSError:
        return b""
