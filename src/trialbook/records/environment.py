"""The environment coordinate: interpreter, machine, packages, numerics, variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that ran: implementation, version, build, compiler, flags and hash seed."""

    implementation: str
    version: str
    build: str
    compiler: str
    executable: str
    prefix: str
    flags: dict[str, Any]
    hash_seed: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Operating system and hardware; memory in bytes; ``None`` where unknown."""

    system: str
    kernel: str
    architecture: str
    distribution: str | None
    libc: str | None
    cpu_model: str | None
    cpu_flags: tuple[str, ...]
    cpu_count: int
    cpu_affinity: int | None
    memory_bytes: int
    gpus: tuple[str, ...] = ()
    gpu_driver: str | None = None
    cuda: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution.

    Args:
        name: Normalized name (PEP 503).
        version: Its version.
        origin: ``index``, ``editable``, ``local``, ``archive``, ``vcs`` or ``conda``.
        url: Sanitized URL of a direct origin (PEP 610), else ``None``.
        record_digest: SHA-256 over those lines of its RECORD that name files of the distribution
            with their digests, sorted, each with a newline; what an installer adds (scripts,
            bytecode, its own notes) is left out, so that one build has one digest everywhere.
            ``None`` without a RECORD.
    """

    name: str
    version: str
    origin: str = "index"
    url: str | None = None
    record_digest: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadPool:
    """A BLAS or OpenMP library as threadpoolctl sees it; ``kernel`` is the BLAS architecture."""

    library: str
    version: str | None
    threads: int
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """The state of the environment coordinate.

    Args:
        interpreter: The Python build.
        machine: Operating system and hardware.
        packages: Installed distributions, sorted by name.
        index_url: The package index in use without userinfo, further ones after a space;
            ``None`` for the default one alone.
        lock_files: Lock files found at the code's root, relative path to SHA-256.
        thread_pools: Loaded BLAS and OpenMP libraries.
        determinism: Flags of numerical libraries that change results (PyTorch's when loaded).
        variables: Environment variables that change results, by allow-list.
        locale: ``LC_ALL`` or the effective locale.
        timezone: Name of the local time zone.
        container: Kind and identity of the container, ``None`` outside one.
        job: Batch system and job id, ``None`` outside one.
    """

    interpreter: Interpreter
    machine: Machine
    packages: tuple[Package, ...]
    index_url: str | None = None
    lock_files: dict[str, str] = field(default_factory=dict)
    thread_pools: tuple[ThreadPool, ...] = ()
    determinism: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    locale: str | None = None
    timezone: str | None = None
    container: str | None = None
    job: str | None = None
