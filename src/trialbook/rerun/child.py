"""The program of the fresh process: set up as recorded, replay one trial, write what it gave.

It is started by ``process.py`` with the file of a :class:`~trialbook.rerun.order.ReplayOrder` as
its only argument, inside a working directory of its own. It opens no book.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from trialbook.capture.environment import EnvironmentProbe
from trialbook.errors import ObjectiveNotFoundError, RerunError
from trialbook.rerun.interception import studies_replaced
from trialbook.rerun.numerics import set_determinism, set_threads, set_threads_to_come
from trialbook.rerun.order import ReplayOrder, read_order
from trialbook.rerun.replay import Performance, ReplayEnded, ReplayStudy
from trialbook.rerun.scratch import RecordedAnswers
from trialbook.restoring.search_path import use_search_path
from trialbook.running.objectives import ObjectiveSource, load_objective
from trialbook.tracking.objective import TrackedObjective, tracked_objective
from trialbook.tracking.replaying import Replay, replaying


def main() -> NoReturn:
    """Replay the trial that the file named on the command line tells about."""
    status = 1
    try:
        replayed(read_order(Path(sys.argv[1])))
        status = 0
    except BaseException:
        # Nothing above prints it: the interpreter is left without its own shutdown.
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        # The results are on disk. Threads that the code left behind must not keep the process.
        os._exit(status)


def replayed(order: ReplayOrder) -> None:
    """Set the process up as recorded, run the trial and write its outcome."""
    os.chdir(order.cwd)
    sys.argv[:] = order.argv
    use_search_path(order.path)
    answers = RecordedAnswers(order.params, order.prune_answers)

    def observe() -> bytes:
        set_threads(order.thread_pools)
        set_determinism(order.determinism)
        probe = EnvironmentProbe(Path(order.path.restored["."]))
        document = probe.observe().snapshot.document
        # Only now, so that it does not show as a variable that the record lacks.
        set_threads_to_come(order.cpus)
        return document

    performance = Performance(Path(order.results), answers, observe)
    objective = order.entry.name if order.entry.how == "script" else None
    study = ReplayStudy(order.trial, performance, objective)
    replay = Replay(
        sink=performance.sink,
        seeds=order.seeds,
        directory=Path(order.directory),
        config=order.config,
        data={name: Path(path) for name, path in order.data.items()},
        study=study,
        raised=performance.raised,
    )
    try:
        with replaying(replay), studies_replaced(study):
            try:
                _perform(order, study)
            except ReplayEnded:
                raise
            except BaseException as error:
                study.leave(error)
            study.leave(None)
    except ReplayEnded:
        return


def _perform(order: ReplayOrder, study: ReplayStudy) -> None:
    if order.entry.how == "script":
        run_script(order)
    else:
        study.optimize(_objective(order))


def _objective(order: ReplayOrder) -> TrackedObjective:
    """The recorded objective, from the restored code."""
    entry = order.entry
    if entry.name is None:
        raise ObjectiveNotFoundError("the record names no objective")
    if entry.how == "file":
        source = ObjectiveSource(entry.name, file=str(restored_file(order)))
    else:
        source = ObjectiveSource(entry.name, module=entry.module)
    function = load_objective(source).function
    return function if isinstance(function, TrackedObjective) else tracked_objective(function)


def run_script(order: ReplayOrder) -> None:
    """Execute the recorded script as ``__main__``, as the interpreter would."""
    if order.module is not None:
        runpy.run_module(order.module, run_name="__main__", alter_sys=True)
        return
    path = restored_file(order)
    loader = SourceFileLoader("__main__", str(path))
    main_module = ModuleType("__main__")
    main_module.__file__ = str(path)
    main_module.__loader__ = loader
    main_module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main_module
    code = loader.get_code("__main__")
    if code is None:
        raise RerunError("the recorded script has no code", where=str(path))
    exec(code, main_module.__dict__)  # noqa: S102 (executing the recorded code is the job)


def restored_file(order: ReplayOrder) -> Path:
    """The entry point's file in the restored code."""
    entry = order.entry
    path = Path(order.path.restored[entry.base]) / (entry.path or "")
    if not path.is_file():
        raise ObjectiveNotFoundError(
            "the recorded code has no such file", where=f"{entry.base}/{entry.path}"
        )
    return path
