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
    return {
        name: redacted_text(environ[name])[0]
        for name in sorted(environ)
        if _VARIABLE.fullmatch(name)
        and not name.endswith(_UNRECORDED)
        and name_strength(name) is NameStrength.NO
    }


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


def _owner(path: str) -> str:
    """Whose a library is: the package that bundles it, else its file's name."""
    parts = Path(path).parts
    for index, part in enumerate(parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return parts[index + 1].removesuffix(".libs")
    return parts[-1]


def determinism_flags() -> dict[str, Any]:
    """Flags of loaded numerical libraries that change results, by dotted name."""
    flags: dict[str, Any] = {}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_interop_threads"):
        flags |= _asked(_torch_questions(torch), "torch")
    jax = sys.modules.get("jax")
    if jax is not None and hasattr(jax, "config"):
        flags |= _asked(_jax_questions(jax), "jax")
    return flags


Questions = dict[str, Callable[[], Any]]


def _torch_questions(torch: Any) -> Questions:
    questions: Questions = {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled,
        "deterministic_warn_only": torch.is_deterministic_algorithms_warn_only_enabled,
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "default_dtype": lambda: str(torch.get_default_dtype()),
        "num_threads": torch.get_num_threads,
        "num_interop_threads": torch.get_num_interop_threads,
        "cuda_build": lambda: torch.version.cuda,
        "cudnn.enabled": lambda: torch.backends.cudnn.enabled,
        "cudnn.deterministic": lambda: torch.backends.cudnn.deterministic,
        "cudnn.benchmark": lambda: torch.backends.cudnn.benchmark,
        "cudnn.allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
        "matmul.allow_tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "matmul.allow_fp16_reduced_precision_reduction": (
            lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
        ),
        "mkldnn.enabled": lambda: torch.backends.mkldnn.enabled,
    }
    if torch.cuda.is_initialized():
        questions["cudnn.version"] = torch.backends.cudnn.version
    return questions


def _jax_questions(jax: Any) -> Questions:
    return {
        "enable_x64": lambda: jax.config.jax_enable_x64,
        "default_matmul_precision": lambda: jax.config.jax_default_matmul_precision,
    }


def _asked(questions: Questions, library: str) -> dict[str, Any]:
    """The answers; a question that this version does not know is answered with the reason."""
    answers: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions deprecate some of the questions
        for name, question in questions.items():
            try:
                answer = question()
            except (AttributeError, RuntimeError, AssertionError, TypeError) as error:
                answer = f"unknown: {type(error).__name__}"
            plain = answer is None or isinstance(answer, (bool, int, float, str))
            answers[f"{library}.{name}"] = answer if plain else str(answer)
    return answers


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
