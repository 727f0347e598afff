"""The import watch: an audit hook that notes which files this process executes, reads and writes.

It keeps the bytes of every source outside the installed distributions as they were when the
module ran, so that the record holds what ran even when the file is edited afterwards. What the
notes mean (which files count as loaded code, which as undeclared data) is decided elsewhere.

Python raises ``open`` for every file that it opens, ``exec`` for every module body that it runs
and ``import`` for every extension module (PEP 578). Files that native code opens by itself are
not seen.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import site
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_KEPT_BYTES = 4 * 2**20
_KEPT_PATHS = 200_000
_EVENTS = frozenset({"open", "exec", "import"})
_SOURCES = (".py", ".pyw")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Modules import each other, so that many can be read before the first of them is executed.
_PENDING = 256


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A source or extension module as it was when it ran.

    Args:
        digest: SHA-256 of the content.
        size_bytes: Length of the content.
        content: The bytes; ``None`` above 4 MiB.
        mtime_ns: Modification time that the file had.
        executable: Whether its owner could execute it.
        before_watch: Whether the module was there before the watch, so that the content was read
            some time after it ran.
    """

    digest: str
    size_bytes: int
    content: bytes | None
    mtime_ns: int
    executable: bool
    before_watch: bool = False


@dataclass(slots=True)
class Watch:
    """What this process did with files; one a process, inherited by forked children.

    Args:
        imported: Absolute path to what was executed from there, installed code left out.
        reads: Absolute path to the number and the time (nanoseconds since the epoch) of the last
            opening for reading, installed and imported files left out.
        writes: Absolute path to the number of its first opening for writing.
        generation: Grows whenever ``imported``, ``reads`` or ``writes`` gets a new path.
        count: Number of openings noted.
        faults: Failures of the hook itself; the record says that it is not whole.
        started_s: When the process that installed the watch began, seconds since the epoch.
    """

    imported: dict[str, ImportedFile] = field(default_factory=dict)
    reads: dict[str, tuple[int, int]] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    count: int = 0
    faults: list[str] = field(default_factory=list)
    started_s: float = 0.0
    installed: bool = False
    pending: dict[str, ImportedFile] = field(default_factory=dict)


class _Quiet(threading.local):
    depth = 0


_quiet = _Quiet()
_watch = Watch()
_lock = threading.Lock()


def import_watch() -> Watch:
    """The watch of this process; empty until it is installed. Read it, do not change it."""
    return _watch


@contextmanager
def unwatched() -> Iterator[None]:
    """Leave what this thread opens out of the notes: for Trialbook's own reading and writing."""
    _quiet.depth += 1
    try:
        yield
    finally:
        _quiet.depth -= 1


def site_directories() -> tuple[str, ...]:
    """Directories in which distributions are installed, longest first, each ending in a slash.

    Those of the interpreter, and those of the search path that hold a distribution (another
    environment's, or one that ``pip install --target`` filled).
    """
    paths = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    paths += [entry for entry in search_path() if entry and _holds_distribution(entry)]
    return _spelt(paths)


def search_path() -> list[str]:
    """The entries of ``sys.path`` that Python looks at: text."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def _holds_distribution(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entry.name.endswith(".dist-info") for entry in entries)
    except (OSError, ValueError):
        return False


def _spelt(paths: list[str]) -> tuple[str, ...]:
    spellings = {os.path.abspath(p) for p in paths} | {os.path.realpath(p) for p in paths}  # noqa: PTH100
    return tuple(sorted((f"{path}/" for path in spellings), key=len, reverse=True))


_OWN_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_OWN = _spelt([_OWN_PACKAGE])
_INSTALLED = _spelt([sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]) + _OWN
_INSTALLED += site_directories()
_IGNORED = (*_INSTALLED, "/proc/", "/sys/", "/dev/")


def is_installed(path: str) -> bool:
    """Whether an absolute path lies in the standard library, a site directory or Trialbook."""
    return path.startswith(_INSTALLED)


def is_own(path: str) -> bool:
    """Whether an absolute path lies in Trialbook itself, however it was made importable."""
    return path.startswith(_OWN)


def install_import_watch() -> Watch:
    """Start noting; called once a process, as early as can be, and harmless when called again.

    Sources that are already loaded are read at once and marked ``before_watch``.

    Returns:
        The watch of this process.
    """
    with _lock:
        if _watch.installed:
            return _watch
        _watch.installed = True
        _watch.started_s = _process_start_s()
        sys.addaudithook(_noted)
        for path in sorted(module_files()):
            if not is_installed(path) and path not in _watch.imported:
                _keep(path, path, before_watch=True)
        return _watch


def read_mark() -> int:
    """A mark for ``reads_since``: now."""
    return _watch.count


def reads_since(mark: int = 0) -> tuple[str, ...]:
    """Files that were opened for reading since a mark and that this process never wrote.

    Installed files, imported sources and Trialbook's own reading are left out. A path may name
    something that is no regular file, or is gone.

    Args:
        mark: What ``read_mark`` gave; 0 for everything since the watch began.

    Returns:
        Absolute paths in the order of their last opening.
    """
    found = [
        (number, path)
        for path, (number, _) in list(_watch.reads.items())
        if number > mark and path not in _watch.writes and path not in _watch.imported
    ]
    return tuple(path for _, path in sorted(found))


def module_files() -> dict[str, str]:
    """File to the name of the module in ``sys.modules`` that says it came from there."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        try:
            # Not getattr: lazy modules import what they stand for when they are asked.
            path = object.__getattribute__(module, "__dict__").get("__file__")
        except AttributeError:
            continue
        if isinstance(path, str) and path:
            found.setdefault(absolute_path(path), name)
    return found


def absolute_path(path: str) -> str:
    """The path made absolute and normal, without following symbolic links."""
    if path[:1] == "/" and "/." not in path and "//" not in path:
        return path
    return os.path.abspath(path)  # noqa: PTH100


def _noted(event: str, args: tuple[Any, ...]) -> None:
    try:
        if event not in _EVENTS or _quiet.depth:
            return
        if event == "open":
            _note_open(*args)
        elif event == "exec":
            _note_exec(args[0])
        elif args[1] is not None:
            _note_extension(args[1])
    except Exception as error:
        # The user's own open must not fail because of the watch; the record says what happened.
        # While the interpreter shuts down nothing is left to note it in.
        if _watch is not None and len(_watch.faults) < 10:
            _watch.faults.append(f"{event}: {type(error).__name__}: {error}")


def _note_open(path: Any, mode: Any, flags: Any) -> None:
    if type(path) is not str:
        if isinstance(path, int):
            return
        path = os.fsdecode(path)
    is_writing = flags & _WRITING
    if path.endswith(".pyc"):
        if not is_writing:
            _note_source(_source_of(path))
        return
    if path.startswith(_IGNORED):
        return
    if path.endswith(_SOURCES) and not is_writing:
        _note_source(path)
    path = absolute_path(path)
    if path.startswith(_IGNORED):
        return
    _watch.count += 1
    if is_writing:
        if path not in _watch.writes and _has_room(_watch.writes):
            _watch.writes[path] = _watch.count
            _watch.generation += 1
    elif path in _watch.reads or _has_room(_watch.reads):
        if path not in _watch.reads:
            _watch.generation += 1
        _watch.reads[path] = (_watch.count, time.time_ns())


def _has_room(notes: dict[str, Any]) -> bool:
    if len(notes) < _KEPT_PATHS:
        return True
    fault = f"more than {_KEPT_PATHS} files were opened, later ones are not noted"
    if fault not in _watch.faults:
        _watch.faults.append(fault)
    return False


def _source_of(bytecode: str) -> str | None:
    """The source that a file of bytecode stands for, ``None`` when it stands for itself."""
    if sys.pycache_prefix is None and "/__pycache__/" not in bytecode:
        return None
    try:
        return importlib.util.source_from_cache(bytecode)
    except ValueError:
        return None


def _note_source(path: str | None) -> None:
    """Read a source just before somebody else does; it counts once its code is executed."""
    if path is None or path.startswith(_IGNORED):
        return
    kept = _read(absolute_path(path), before_watch=False)
    if kept is not None:
        _watch.pending.pop(path, None)
        _watch.pending[path] = kept
        if len(_watch.pending) > _PENDING:
            _watch.pending.pop(list(_watch.pending)[0], None)  # noqa: RUF015 (threads)


def _note_exec(code: Any) -> None:
    path = code.co_filename
    if path[:1] == "<" or code.co_name != "<module>" or path.startswith(_IGNORED):
        return
    kept = _watch.pending.pop(path, None)
    if kept is not None:
        _watch.imported[absolute_path(path)] = kept
        _watch.generation += 1
    else:
        _keep(path, absolute_path(path), before_watch=False)


def _note_extension(path: Any) -> None:
    path = os.fsdecode(path)
    if not path.startswith(_IGNORED):
        _keep(path, absolute_path(path), before_watch=False)


def _keep(path: str, absolute: str, *, before_watch: bool) -> None:
    kept = _read(path, before_watch=before_watch)
    if kept is not None:
        _watch.imported[absolute] = kept
        _watch.generation += 1


def _read(path: str, *, before_watch: bool) -> ImportedFile | None:
    """The file as it is now, ``None`` when there is none (an archive member, a notebook cell)."""
    content: bytes | None = None
    with unwatched():
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None
                if status.st_size <= _KEPT_BYTES:
                    content = file.read()
                    digest, size = hashlib.sha256(content), len(content)
                else:
                    digest, size = hashlib.file_digest(file, "sha256"), file.tell()
        except (OSError, ValueError):
            return None
    return ImportedFile(
        digest=digest.hexdigest(),
        size_bytes=size,
        content=content,
        mtime_ns=status.st_mtime_ns,
        executable=bool(status.st_mode & 0o100),
        before_watch=before_watch,
    )


def _process_start_s() -> float:
    """When this process began, to about 10 ms, never later than it did by more than that."""
    with unwatched():
        try:
            with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
                ticks = int(file.read().rpartition(b")")[2].split()[19])
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
            return time.time() - age
        except (OSError, ValueError, AttributeError):
            import psutil

            return float(psutil.Process().create_time())
