"""Setting thread counts and determinism flags as recorded, in libraries that are loaded.

What they are named is decided by ``capture/numerics.py``, which observes them; what it cannot
read, or what a version does not know, is left as it is and shows in the comparison of the
environments.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from trialbook.capture.numerics import determinism_flags, library_name
from trialbook.records.environment import ThreadPool

_TORCH_HOMES = {"cudnn": ("backends", "cudnn"), "matmul": ("backends", "cuda", "matmul")}


def set_threads(recorded: Iterable[ThreadPool]) -> None:
    """Give every loaded BLAS and OpenMP library the number of threads that it had."""
    wanted = {pool.library: pool.threads for pool in recorded}
    for library in ThreadpoolController().lib_controllers:
        threads = wanted.get(library_name(library))
        if threads is not None and threads != library.num_threads:
            library.set_num_threads(threads)


def set_threads_to_come(cpus: int) -> None:
    """Let libraries that are loaded later start as many threads as they did when recorded.

    They take the number of processors that the process may use, unless a variable says otherwise.

    Args:
        cpus: Number of processors that the recorded process could use.
    """
    here = psutil.Process()
    usable = len(here.cpu_affinity()) if hasattr(here, "cpu_affinity") else psutil.cpu_count()
    if cpus != usable:
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus))


def set_determinism(recorded: Mapping[str, Any]) -> tuple[str, ...]:
    """Set every recorded flag that has another value now.

    Args:
        recorded: Dotted name to value, as in ``EnvironmentState.determinism``.

    Returns:
        The flags that still differ.
    """
    here = determinism_flags()
    setters = _setters(recorded)
    for name in recorded.keys() & here.keys():
        setter = setters.get(name)
        if recorded[name] != here[name] and setter is not None:
            # A version that refuses a flag leaves it as it is, and the comparison shows it.
            with warnings.catch_warnings(), suppress(RuntimeError, ValueError, AttributeError):
                warnings.simplefilter("ignore")  # newer versions deprecate some of the flags
                setter(recorded[name])
    after = determinism_flags()
    return tuple(sorted(n for n in recorded.keys() & after.keys() if recorded[n] != after[n]))


def _setters(recorded: Mapping[str, Any]) -> dict[str, Callable[[Any], object]]:
    setters: dict[str, Callable[[Any], object]] = {}
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        warn_only = bool(recorded.get("torch.deterministic_warn_only"))
        setters["torch.deterministic_algorithms"] = lambda mode: torch.use_deterministic_algorithms(
            mode, warn_only=warn_only
        )
        setters["torch.float32_matmul_precision"] = torch.set_float32_matmul_precision
        setters["torch.default_dtype"] = lambda name: torch.set_default_dtype(
            getattr(torch, str(name).removeprefix("torch."))
        )
        setters["torch.num_threads"] = torch.set_num_threads
        for name in recorded:
            _, _, flag = name.partition(".")
            home, _, attribute = flag.partition(".")
            if home in _TORCH_HOMES and isinstance(recorded[name], bool):
                setters[name] = _attribute_setter(torch, (*_TORCH_HOMES[home], attribute))
    jax: Any = sys.modules.get("jax")
    if jax is not None:
        for flag in ("enable_x64", "default_matmul_precision"):
            setters[f"jax.{flag}"] = partial(jax.config.update, f"jax_{flag}")
    return setters


def _attribute_setter(module: Any, path: tuple[str, ...]) -> Callable[[Any], object]:
    def set_it(value: Any) -> None:
        holder = module
        for part in path[:-1]:
            holder = getattr(holder, part)
        setattr(holder, path[-1], value)

    return set_it
