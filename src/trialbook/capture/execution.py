"""The launch part of the execution coordinate, and how an objective is found again."""

from __future__ import annotations

import functools
import getpass
import importlib.machinery
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from trialbook.capture.imports import unwatched
from trialbook.capture.probe import Observation
from trialbook.records.code import EntryPoint
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Isolation, LaunchState
from trialbook.records.secrets import redacted_argv, secret_values_of

_Facts = tuple[int, str | None, str | None, tuple[str, ...]]
"""Process, working directory, devices, and how the process differs from its study."""


class LaunchProbe:
    """Observes how this process was launched; another process, such as a fork, is a change.

    Args:
        entry: How the objective is found again.
        bases: Base label to absolute directory.
        sys_path: The module search path in the form of ``LaunchState``.
        isolation: How trials are kept apart.
        launcher: Engine that placed the worker.
        job_id: The engine's id of the job.
        differs: Tells how this process differs from the study that it was let into.
    """

    kind = Kind.EXECUTION

    def __init__(
        self,
        entry: EntryPoint,
        *,
        bases: Mapping[str, str],
        sys_path: Sequence[str],
        isolation: Isolation,
        launcher: str = "local",
        job_id: str | None = None,
        differs: Callable[[], tuple[str, ...]] = lambda: (),
    ) -> None:
        self._entry = entry
        self._bases = bases
        self._sys_path = tuple(sys_path)
        self._isolation: Isolation = isolation
        self._launcher = launcher
        self._job_id = job_id
        self._differs = differs
        self._observed: _Facts | None = None

    def observe(self) -> Observation:
        """Host, user, process, arguments, entry point."""
        pid, cwd, gpus, differs = self._observed = self._facts()
        argv, redacted = redacted_argv(sys.orig_argv, secrets=secret_values_of(os.environ))
        user = _user()
        gaps: list[str] = []
        if user is None:
            gaps.append("the user has no name here")
        if cwd is None:
            gaps.append("the working directory no longer exists")
        gaps += [f"{place} held a credential and is redacted" for place in redacted]
        if self._entry.how == "none":
            gaps.append(f"the trial cannot be rerun: {self._entry.reason}")
        state = LaunchState(
            host=socket.gethostname(),
            user=user,
            pid=pid,
            python=sys.executable,
            argv=argv,
            cwd=cwd or "",
            entry=self._entry,
            bases=dict(self._bases),
            sys_path=self._sys_path,
            isolation=self._isolation,
            launcher=self._launcher,
            job_id=self._job_id,
            gpus=gpus,
            redacted=redacted,
            differs=differs,
        )
        return Observation(Snapshot.of(Kind.EXECUTION, Coverage.of(gaps), state))

    def changed(self) -> bool:
        """Whether this is another process or directory than the one observed."""
        return self._observed is None or self._observed != self._facts()

    def _facts(self) -> _Facts:
        """What may change while a process lives."""
        try:
            cwd: str | None = os.getcwd()  # noqa: PTH109
        except FileNotFoundError:
            cwd = None
        return os.getpid(), cwd, os.environ.get("CUDA_VISIBLE_DEVICES"), self._differs()


def _user() -> str | None:
    try:
        with unwatched():
            return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no passwd entry
        return None


def entry_point(function: object, *, bases: Mapping[str, str]) -> EntryPoint:
    """How an objective is found again in a fresh process.

    Args:
        function: The user's objective, without Trialbook's decorator.
        bases: Base label to absolute directory; files outside all of them cannot be restored.

    Returns:
        ``module`` for a top-level name of a module that can be imported, ``file`` for one of a
        file that was executed as a module, ``script`` for everything else in a process that
        executes a file, ``none`` in an interactive one.
    """
    obstacle = _obstacle(function)
    if obstacle is None:
        module = sys.modules[function.__module__]
        name = getattr(function, "__qualname__", None)
        if module.__name__ != "__mp_main__" and _is_importable(module):
            return EntryPoint("module", module=module.__name__, name=name)
        place = _placed(getattr(module, "__file__", None), bases)
        if place is not None:
            return EntryPoint("file", path=place[1], base=place[0], name=name)
        obstacle = f"module {module.__name__} cannot be imported by its name"
    return _script(function, obstacle, bases)


def _obstacle(function: object) -> str | None:
    """Why an objective cannot be taken from its module by its name, ``None`` when it can."""
    if isinstance(function, functools.partial):
        return "it is a partial"
    name = getattr(function, "__qualname__", None)
    module_name = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module_name, str):
        return "it is a callable object"
    if name.endswith("<lambda>"):
        return "it is a lambda"
    if "<locals>" in name:
        return "it is a closure"
    if module_name == "__main__":
        return "it is defined in the script"
    target: Any = sys.modules.get(module_name)
    for part in name.split("."):
        target = getattr(target, part, None)
    while target is not None and target is not function:
        target = getattr(target, "__wrapped__", None)
    if target is None:
        return f"{module_name} has no {name} that is this objective"
    return None


def _is_importable(module: ModuleType) -> bool:
    """Whether a fresh import of the module's name would find the module's own file."""
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    parent, _, _ = module.__name__.rpartition(".")
    search = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    if parent and search is None:
        return False
    for finder in sys.meta_path:
        try:
            with unwatched():
                spec = finder.find_spec(module.__name__, search, None)
        except (ImportError, AttributeError, ValueError):
            continue
        if spec is not None:
            return _is_same_file(spec, file)
    return False


def _is_same_file(spec: importlib.machinery.ModuleSpec, file: str) -> bool:
    return spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(file)


def _script(function: object, obstacle: str, bases: Mapping[str, str]) -> EntryPoint:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or hasattr(sys, "ps1") or not Path(file).is_file():
        return EntryPoint("none", name=name, reason=f"{obstacle}, in an interactive session")
    place = _placed(file, bases)
    if place is None:
        reason = f"{obstacle}, and the program that runs, {Path(file).name}, is not in the code"
        return EntryPoint("none", name=name, reason=reason)
    return EntryPoint("script", path=place[1], base=place[0], name=name, reason=obstacle)


def _placed(file: str | None, bases: Mapping[str, str]) -> tuple[str, str] | None:
    """Base label and relative path of a file, by the innermost base; ``None`` outside all."""
    if file is None:
        return None
    best: tuple[int, str, str] | None = None
    for spelling in (os.path.abspath(file), os.path.realpath(file)):  # noqa: PTH100
        for label, directory in bases.items():
            prefix = os.path.join(directory, "")  # noqa: PTH118
            if spelling.startswith(prefix) and (best is None or len(prefix) > best[0]):
                best = (len(prefix), label, spelling[len(prefix) :])
        if best is not None:
            return best[1], best[2]
    return None
