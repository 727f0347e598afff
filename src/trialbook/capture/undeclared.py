"""Files that a process read without declaring them, told from the import watch.

Left out are installed files and imported sources (the watch never notes them), the operating
system's own files, caches, and whatever the caller says belongs elsewhere: declared inputs, the
code's manifest, the book, the trial's own directory. Native readers open files behind Python's
back; when such a library is loaded the record says so.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

from trialbook.capture.imports import import_watch, reads_since
from trialbook.capture.inputs import BOOK_DIRECTORY, Signature, signature
from trialbook.capture.stat_cache import StatCache
from trialbook.records.data import DataFile
from trialbook.records.secrets import looks_secret

_NATIVE_READERS = (
    "pyarrow", "h5py", "polars", "netCDF4", "lmdb", "duckdb", "cv2", "tensorflow", "fastparquet",
    "tables", "rasterio", "torchaudio", "torchcodec",
)  # fmt: skip
_SYSTEM = ("/etc/", "/usr/lib", "/usr/share/", "/lib", "/run/", "/var/cache/", "/System/")
_CACHE = re.compile(
    r"(?:^|/)(?:__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.hypothesis|\.git"
    r"|\.ipynb_checkpoints|\.cache/(?:matplotlib|fontconfig|pip|uv|trialbook|numba|torch_extensions"
    r"|torch/kernels)|\.config/matplotlib|\.nv|\.triton)(?:/|$)"
)
_LIMIT_FILES = 2_000
_LIMIT_HASHED_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class UndeclaredFiles:
    """What was read without being declared.

    Args:
        files: With digests, sorted by path.
        gaps: Files that could not be digested, one sentence each or for all.
        signatures: Path to the signature that each file had.
    """

    files: tuple[DataFile, ...]
    gaps: tuple[str, ...]
    signatures: dict[str, Signature]


def native_reader_remarks() -> tuple[str, ...]:
    """What the import watch cannot see here, because libraries open files by themselves."""
    loaded = [name for name in _NATIVE_READERS if name in sys.modules]
    if not loaded:
        return ()
    return (f"files that {', '.join(loaded)} opened without being declared are not seen",)


def candidate_paths(is_elsewhere: Callable[[str], bool]) -> tuple[str, ...]:
    """Paths of undeclared reads so far, sorted.

    Args:
        is_elsewhere: Whether an absolute path is declared, code, or the book's.
    """
    own = os.path.join(tempfile.gettempdir(), "trialbook-")  # noqa: PTH118
    return tuple(
        sorted(
            path
            for path in reads_since(0)
            if not path.startswith((*_system_prefixes(), own))
            and f"/{BOOK_DIRECTORY}/" not in path
            and not _CACHE.search(path)
            and not is_elsewhere(path)
        )
    )


def digested(paths: tuple[str, ...], digests: StatCache) -> UndeclaredFiles:
    """The undeclared files with what they hold now.

    Args:
        paths: From ``candidate_paths``.
        digests: Digests that need not be computed again.
    """
    files: list[DataFile] = []
    gaps: list[str] = []
    signatures: dict[str, Signature] = {}
    left_bytes = _LIMIT_HASHED_BYTES
    for path in paths[:_LIMIT_FILES]:
        try:
            status = os.stat(path)  # noqa: PTH116
            if not stat.S_ISREG(status.st_mode):
                continue
            signatures[path] = signature(status)
            if looks_secret(b"", path) is not None:
                gaps.append(f"{PurePath(path).name} holds credentials and is not recorded")
                continue
            if status.st_size > left_bytes:
                gaps.append(f"{path} was read without being declared and is too large to hash now")
                continue
            digest, size = digests.digest(path)
        except OSError as error:
            gaps.append(f"{path} was read and cannot be read again ({error.strerror})")
            continue
        left_bytes -= size
        files.append(DataFile(path, size, digest))
        read_ns = import_watch().reads.get(path, (0, status.st_mtime_ns))[1]
        if max(status.st_mtime_ns, status.st_ctime_ns) > read_ns:
            gaps.append(f"{path} was changed after it was read")
    if len(paths) > _LIMIT_FILES:
        gaps.append(f"{len(paths) - _LIMIT_FILES} more files were read without being declared")
    return UndeclaredFiles(tuple(files), tuple(gaps), signatures)


@cache
def _system_prefixes() -> tuple[str, ...]:
    prefixes = {os.path.realpath(p) for p in (sys.prefix, sys.base_prefix)}
    prefixes |= {sys.prefix, sys.base_prefix}
    return (*_SYSTEM, *(f"{prefix}/" for prefix in prefixes if prefix != "/"))
