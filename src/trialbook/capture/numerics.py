"""What changes numbers besides code and packages: thread pools, determinism flags, variables.

Only libraries that the process has loaded are asked; none is imported.
"""

from __future__ import annotations

import locale
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from trialbook.capture.imports import unwatched
from trialbook.records.credentials import NameStrength, name_strength
from trialbook.records.environment import ThreadPool
from trialbook.records.secrets import redacted_text

_VARIABLE = re.compile(
    r"(?:OMP|GOMP|KMP|MKL|OPENBLAS|GOTO|BLIS|VECLIB|NUMEXPR|NPY|NUMBA|JAX|XLA|TF|TORCH|PYTORCH"
    r"|CUBLAS|CUDNN|CUFFT|NCCL|MIOPEN|SKLEARN|JOBLIB|LOKY|MALLOC|LC)_\w+"
    r"|PYTHON(?:HASHSEED|OPTIMIZE|UTF8|IOENCODING|NOUSERSITE|MALLOC|DEVMODE|INTMAXSTRDIGITS|_GIL)"
    r"|CUDA_(?:LAUNCH_BLOCKING|DEVICE_ORDER|DEVICE_MAX_CONNECTIONS|MODULE_LOADING|CACHE_DISABLE)"
    r"|NVIDIA_TF32_OVERRIDE|LANG|LANGUAGE|TZ|LD_PRELOAD|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH"
    r"|DYLD_INSERT_LIBRARIES|GLIBC_TUNABLES|RAYON_NUM_THREADS|POLARS_MAX_THREADS"
    r"|TOKENIZERS_PARALLELISM|HF_HUB_OFFLINE|HF_DATASETS_OFFLINE|TRANSFORMERS_OFFLINE"
    r"|SCIPY_ARRAY_API|SOURCE_DATE_EPOCH"
)
# threadpoolctl sets the last one when it is imported.
_UNRECORDED = (
    "_DIR",
    "_HOME",
    "_CACHE",
    "_FOLDER",
    "_FILE",
    "_LOG",
    "_LOGS",
    "_DUMP_TO",
    "KMP_DUPLICATE_LIB_OK",
)


def result_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that change results, sorted by name; values redacted.

    ``CUDA_VISIBLE_DEVICES`` and ``PYTHONPATH`` belong to a machine; the execution coordinate has
    them.
    """
    return {name: _shown(environ[name]) for name in sorted(environ) if _changes_results(name)}


# Looked at before each trial; names and values are nearly always the same.
@lru_cache(maxsize=4096)
def _changes_results(name: str) -> bool:
    return (
        _VARIABLE.fullmatch(name) is not None
        and not name.endswith(_UNRECORDED)
        and name_strength(name) is NameStrength.NO
    )


@lru_cache(maxsize=256)
def _shown(value: str) -> str:
    return redacted_text(value)[0]


class ThreadPools:
    """The BLAS and OpenMP libraries of this process; looking again is cheap."""

    def __init__(self) -> None:
        self._controller: ThreadpoolController | None = None
        self._modules = -1

    def observed(self) -> tuple[ThreadPool, ...]:
        """The pools as they are now, sorted by library."""
        if self._controller is None or len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            with unwatched():
                self._controller = ThreadpoolController()
        pools = []
        for library in self._controller.lib_controllers:
            pools.append(
                ThreadPool(
                    library_name(library),
                    getattr(library, "version", None),
                    library.num_threads,
                    getattr(library, "architecture", None),
                )
            )
        return tuple(sorted(pools, key=lambda pool: pool.library))


def library_name(library: Any) -> str:
    """The name of one of threadpoolctl's library controllers, as ``ThreadPool`` has it."""
    return f"{library.internal_api} ({_owner(library.filepath)})"


@lru_cache(maxsize=256)
def _owner(path: str) -> str:
    """Whose a library is: the package that bundles it, else its file's name."""
    parts = Path(path).parts
    for index, part in enumerate(parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return parts[index + 1].removesuffix(".libs")
    return parts[-1]


_TORCH_CALLS = {
    "deterministic_algorithms": "are_deterministic_algorithms_enabled",
    "deterministic_warn_only": "is_deterministic_algorithms_warn_only_enabled",
    "float32_matmul_precision": "get_float32_matmul_precision",
    "default_dtype": "get_default_dtype",
    "num_threads": "get_num_threads",
    "num_interop_threads": "get_num_interop_threads",
}
_TORCH_VALUES = {
    "cuda_build": "version.cuda",
    "cudnn.enabled": "backends.cudnn.enabled",
    "cudnn.deterministic": "backends.cudnn.deterministic",
    "cudnn.benchmark": "backends.cudnn.benchmark",
    "cudnn.allow_tf32": "backends.cudnn.allow_tf32",
    "matmul.allow_tf32": "backends.cuda.matmul.allow_tf32",
    "matmul.allow_fp16_reduced_precision_reduction": (
        "backends.cuda.matmul.allow_fp16_reduced_precision_reduction"
    ),
    "mkldnn.enabled": "backends.mkldnn.enabled",
}
# Since 2.9 these replace the flags of TF32; PyTorch refuses to tell the old ones once a program
# has set the new ones, so they are recorded instead.
_TORCH_OLD_PRECISION = ("float32_matmul_precision", "cudnn.allow_tf32", "matmul.allow_tf32")
_TORCH_PRECISION = tuple(
    f"backends.{place}fp32_precision"
    for place in ("", "cuda.matmul.", "cudnn.", "cudnn.conv.", "cudnn.rnn.", "mkldnn.",
                  "mkldnn.conv.", "mkldnn.matmul.", "mkldnn.rnn.")
)  # fmt: skip
_JAX_VALUES = {
    "enable_x64": "config.jax_enable_x64",
    "default_matmul_precision": "config.jax_default_matmul_precision",
}
_UNANSWERED = (AttributeError, RuntimeError, AssertionError, TypeError)


def determinism_flags() -> dict[str, Any]:
    """Flags of loaded numerical libraries that change results, by dotted name."""
    flags: dict[str, Any] = {}
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions deprecate some of the questions
        if torch is not None and hasattr(torch, "get_num_interop_threads"):
            flags |= {f"torch.{name}": value for name, value in _torch_flags(torch).items()}
        if jax is not None and hasattr(jax, "config"):
            for name, path in _JAX_VALUES.items():
                flags[f"jax.{name}"] = _answer(attrgetter(path), jax)
    return flags


def _torch_flags(torch: Any) -> dict[str, Any]:
    flags = {name: _answer(methodcaller(call), torch) for name, call in _TORCH_CALLS.items()}
    flags |= {name: _answer(attrgetter(path), torch) for name, path in _TORCH_VALUES.items()}
    if torch.cuda.is_initialized():
        flags["cudnn.version"] = _answer(methodcaller("version"), torch.backends.cudnn)
    if any(_is_unknown(flags[name]) for name in _TORCH_OLD_PRECISION):
        new = {path: _answer(attrgetter(path), torch) for path in _TORCH_PRECISION}
        known = {path: value for path, value in new.items() if not _is_unknown(value)}
        if known:
            flags = {n: value for n, value in flags.items() if n not in _TORCH_OLD_PRECISION}
            flags |= known
    return flags


def _answer(question: Callable[[Any], Any], library: Any) -> Any:
    """What a library says; a question that its version does not know is answered with why."""
    try:
        answer = question(library)
    except _UNANSWERED as error:
        return f"unknown: {type(error).__name__}"
    return answer if answer is None or isinstance(answer, (bool, int, float, str)) else str(answer)


def _is_unknown(answer: Any) -> bool:
    return isinstance(answer, str) and answer.startswith("unknown: ")


def current_locale() -> str | None:
    """The effective locale of this process."""
    try:
        return locale.setlocale(locale.LC_ALL, None)
    except locale.Error:
        return None


def timezone(environ: Mapping[str, str]) -> str:
    """Name of the local time zone: ``TZ``, else what the system's link says, else its letters."""
    named = environ.get("TZ")
    if named:
        return named.removeprefix(":")
    try:
        target = os.readlink("/etc/localtime")  # noqa: PTH115
    except OSError:
        target = ""
    _, found, zone = target.partition("zoneinfo/")
    return zone if found else "/".join(time.tzname)
