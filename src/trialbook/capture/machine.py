"""The interpreter, the operating system and the hardware. Constant while a process lives."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from trialbook.capture.imports import unwatched
from trialbook.capture.inputs import cpu_count
from trialbook.records.environment import Interpreter, Machine

_FLAGS = (
    "optimize", "utf8_mode", "dev_mode", "isolated", "no_user_site", "safe_path",
    "int_max_str_digits",
)  # fmt: skip
_CPUINFO_BYTES = 1 << 14
_SMI_TIMEOUT_S = 10


def interpreter() -> Interpreter:
    """The Python that runs here."""
    flags: dict[str, Any] = {
        name: getattr(sys.flags, name) for name in _FLAGS if hasattr(sys.flags, name)
    }
    is_gil_enabled = getattr(sys, "_is_gil_enabled", None)
    if is_gil_enabled is not None:
        flags["gil"] = is_gil_enabled()
    return Interpreter(
        implementation=platform.python_implementation(),
        version=platform.python_version(),
        build=" ".join(platform.python_build()),
        compiler=platform.python_compiler(),
        executable=sys.executable,
        prefix=sys.prefix,
        flags=flags,
        hash_seed=_hash_seed(),
    )


def _hash_seed() -> str:
    if not sys.flags.hash_randomization:
        return "0"
    return os.environ.get("PYTHONHASHSEED") or "random"


def machine() -> tuple[Machine, tuple[str, ...]]:
    """Operating system and hardware, and what could not be observed."""
    gaps: list[str] = []
    system = os.uname()
    model, flags = _cpu()
    if model is None:
        gaps.append("the CPU's model is not told here")
    gpus, driver, cuda, more = _gpus()
    affinity = cpu_count() if hasattr(os, "sched_getaffinity") else None
    state = Machine(
        system=system.sysname,
        kernel=system.release,
        architecture=system.machine,
        distribution=_distribution(),
        libc=_libc(),
        cpu_model=model,
        cpu_flags=flags,
        cpu_count=os.cpu_count() or 1,
        cpu_affinity=affinity,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        gpus=gpus,
        gpu_driver=driver,
        cuda=cuda,
    )
    return state, (*gaps, *more)


@cache
def _distribution() -> str | None:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        with unwatched():
            return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


@cache
def _libc() -> str | None:
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError, AttributeError):
        version = None
    if version:
        return version
    with unwatched():
        name, number = platform.libc_ver()
    return f"{name} {number}".strip() or None


@cache
def _cpu() -> tuple[str | None, tuple[str, ...]]:
    """Model and sorted flags of the first core."""
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string"), tuple(
            sorted((_sysctl("machdep.cpu.features") or "").lower().split())
        )
    fields: dict[str, str] = {}
    try:
        with unwatched(), open("/proc/cpuinfo", "rb", buffering=0) as file:  # noqa: PTH123
            # The kernel writes this as it is read, core by core; the first one is enough.
            text = file.read(_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        return None, ()
    for line in text.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    model = fields.get("model name") or fields.get("cpu model") or fields.get("uarch")
    if model is None and "CPU part" in fields:
        model = f"implementer {fields.get('CPU implementer')} part {fields['CPU part']}"
    flags = fields.get("flags") or fields.get("Features") or fields.get("isa") or ""
    return model, tuple(sorted(set(flags.split())))


def _sysctl(name: str) -> str | None:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


Gpus = tuple[tuple[str, ...], str | None, str | None, tuple[str, ...]]
"""Names, driver, CUDA version of the driver, gaps."""


@cache
def _gpus() -> Gpus:
    if Path("/dev/kfd").exists():
        return (), None, None, ("an AMD GPU is there and is not described",)
    if not (Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()):
        return (), None, None, ()
    try:
        import pynvml
    except ImportError:
        return _gpus_by_command()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), None, None, (f"the GPU cannot be asked: {error}",)
    try:
        return _gpus_by_library(pynvml)
    except pynvml.NVMLError as error:
        return (), None, None, (f"the GPU cannot be asked: {error}",)
    finally:
        pynvml.nvmlShutdown()


def _gpus_by_library(nvml: Any) -> Gpus:
    names = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory_mib = nvml.nvmlDeviceGetMemoryInfo(handle).total >> 20
        names.append(f"{_decoded(nvml.nvmlDeviceGetName(handle))}, {memory_mib} MiB")
    version = nvml.nvmlSystemGetCudaDriverVersion()
    cuda = f"{version // 1000}.{version % 1000 // 10}"
    return tuple(names), _decoded(nvml.nvmlSystemGetDriverVersion()), cuda, ()


def _decoded(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text


def _gpus_by_command() -> Gpus:
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), None, None, ("a GPU is there; install trialbook[gpu] to record which",)
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return (), None, None, (f"the GPU cannot be asked: nvidia-smi: {error}",)
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") >= 2]
    if not rows:
        return (), None, None, ("nvidia-smi names no GPU",)
    names = tuple(f"{', '.join(row[:-2])}, {row[-2]} MiB" for row in rows)
    return names, rows[0][-1], None, ("the CUDA version is not known without trialbook[gpu]",)
