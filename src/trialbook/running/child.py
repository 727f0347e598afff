"""The process that executes the user's code: imports the objective, then runs trials of it.

It is started by a worker as a fresh interpreter and imports the objective before anything that
would touch NumPy and its kin. Where a fork is safe it stays as it is and forks a process for each
trial; otherwise it runs one trial itself and ends; with ``none`` it runs one after the other.
It ends when its worker ends. Claims and budgets are no business of it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trialbook.capture.imports import install_import_watch, unwatched
from trialbook.errors import TrialbookError
from trialbook.records.code import ROOT
from trialbook.restoring.search_path import use_search_path
from trialbook.running.garbage import seldom_collected
from trialbook.running.isolation import fork_safety, forked
from trialbook.running.messages import (
    Began,
    Begin,
    Channel,
    ConsoleText,
    Exited,
    Failed,
    Fault,
    Job,
    KnownDigests,
    Pin,
    Pinned,
    Ready,
    RunTrial,
    ToChild,
    Told,
    WantConsole,
    WantDigests,
)
from trialbook.running.objectives import LoadedObjective, ObjectiveSource, load_objective
from trialbook.running.processes import exit_watch
from trialbook.running.signals import TrialSignals, held_back
from trialbook.running.surroundings import CodePlace
from trialbook.tracking.beacon import Beacon, stop_text
from trialbook.tracking.redaction import without_secrets

if TYPE_CHECKING:
    from trialbook.records.code import EntryPoint
    from trialbook.records.execution import Isolation
    from trialbook.tracking.console import CapturedConsole
    from trialbook.tracking.launch import RestoredTree
    from trialbook.tracking.objective import TrackedObjective

_PR_SET_PDEATHSIG = 1
_POLL_MS = 20


def main(descriptor: int, parent: int) -> None:
    """Run as the child of a worker.

    Args:
        descriptor: Number of the inherited socket to the worker.
        parent: The worker's process id.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A trial that dies leaves behind whatever lines it had written.
            stream.reconfigure(line_buffering=True)
    channel = Channel(socket.socket(fileno=descriptor), ToChild)
    if sys.platform.startswith("linux"):
        die_with_parent(parent)
    else:
        end_with(channel)
    begin = channel.receive()
    if not isinstance(begin, Begin):
        return
    beacon = Beacon() if begin.beacon is None else Beacon.inherited(begin.beacon)
    signals = TrialSignals(beacon.signalled)
    signals.install()
    try:
        child = Child(channel, begin.job, beacon, signals)
        ready = child.prepared()
    except BaseException as error:
        channel.send(Failed(fault_of(error)))
        return
    channel.send(ready)
    child.serve()


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (Linux); elsewhere the channel tells.

    Args:
        parent: Process id of the parent, to notice that it is gone already.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def end_with(channel: Channel) -> None:
    """Kill this process's group when the other side of a channel is gone; a thread waits for it."""

    def wait() -> None:
        poll = select.poll()
        poll.register(channel.fileno(), 0)  # only its end
        poll.poll()
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, name="trialbook-end", daemon=True).start()


def fault_of(error: BaseException) -> Fault:
    """An exception as it travels to the user."""
    text, _ = without_secrets("".join(traceback.format_exception(error)))
    if isinstance(error, TrialbookError):
        what, _ = without_secrets(error.what)
        return Fault(type(error).__name__, what, error.where, error.hint, text)
    return Fault(
        "ObjectiveError",
        f"preparing the objective failed: {one_line(error)}",
        hint="--debug shows the whole traceback",
        traceback=text,
    )


class Child:
    """One process with the objective imported.

    Args:
        channel: To the worker.
        job: What to prepare.
        beacon: The page that is shared with the worker.
        signals: Those that ask this process to stop.
    """

    def __init__(self, channel: Channel, job: Job, beacon: Beacon, signals: TrialSignals) -> None:
        self._channel = channel
        self._job = job
        self._beacon = beacon
        self._signals = signals
        self._isolation: Isolation = "fresh"
        self._objective: TrackedObjective | None = None
        self._is_ready = False

    def prepared(self) -> Ready:
        """Import the objective, decide on the isolation, observe the coordinates.

        Raises:
            TrialbookError: The objective cannot be found or observed.
        """
        job = self._job
        install_import_watch()
        source = ObjectiveSource(job.name, job.file, job.module)
        sys.argv = [job.file or str(job.module)]
        if job.place is not None:
            os.chdir(job.place.cwd)
            use_search_path(job.place.path)
        with seldom_collected():
            loaded = load_objective(source, job.search_path)
            # Only now: these import NumPy, whose settings are the objective's to make.
            from trialbook.records.coordinates import Kind
            from trialbook.running.study import load_study  # noqa: F401  (forked children need it)
            from trialbook.tracking.launch import Launch, set_launch

        self._objective = self._with_settings(loaded)
        self._isolation, reason = self._chosen_isolation()
        set_launch(
            Launch(
                isolation=self._isolation,
                reason=reason,
                launcher=job.placement.launcher,
                job_id=job.placement.job or job.placement.launch,
                entry=job.entry or self._entry(loaded),
                data={name: Path(path) for name, path in job.mapped.items()},
                paranoid=job.paranoid,
                console=None if self._isolation == "none" else lambda: WorkerConsole(self._channel),
                beacon=self._beacon,
                tree=None if job.place is None else restored_tree(job.place),
                ask=self._known_digests,
                config=job.config_of,
            )
        )
        session = self._objective.prepare(job.search, job.shown_book)
        if self._isolation == "fork":
            from trialbook.running.rehearsal import rehearse

            rehearse(job.search, session.snapshots)
        self._is_ready = True
        return Ready(
            self._isolation,
            reason,
            session.snapshot(Kind.CODE).document.decode(),
            session.snapshot(Kind.DATA).document.decode(),
            session.snapshot(Kind.CONFIG).document.decode(),
            session.snapshot(Kind.ENVIRONMENT).document.decode(),
            session.root,
            session.data.hashed_here,
        )

    def _known_digests(self, keys: Sequence[str]) -> Mapping[str, str]:
        """What other workers have hashed, asked of the book by way of this child's worker."""
        if self._is_ready or not self._channel.send(WantDigests(tuple(keys))):
            return {}  # from now on what comes in are orders
        answer = self._channel.receive()
        return answer.digests if isinstance(answer, KnownDigests) else {}

    def serve(self) -> None:
        """Run the trials that the worker names, until it is gone."""
        while isinstance(message := self._channel.receive(), (RunTrial, Pin)):
            if isinstance(message, Pin):
                self._pin()
                continue
            if self._isolation == "fork":
                self._fork_for(message)
                continue
            self._channel.send(Began(os.getpid()))
            self._run(message)
            if self._isolation == "fresh":
                return

    def _pin(self) -> None:
        """Let the book keep what was observed here as the study's reference."""
        from trialbook.book.storage import BookStorage

        assert self._objective is not None
        try:
            session = self._objective.prepare(self._job.search, self._job.shown_book)
            storage = BookStorage(self._job.book, create=False)
            try:
                storage.set_reference(
                    self._job.study_id, session.snapshots, session.blobs, self._objective.seed
                )
            finally:
                storage.close()
        except BaseException as error:
            self._channel.send(Failed(fault_of(error)))
            return
        self._channel.send(Pinned())

    def _with_settings(self, loaded: LoadedObjective) -> TrackedObjective:
        from trialbook.capture.data import Data
        from trialbook.tracking.objective import TrackedObjective, tracked_objective

        job = self._job
        tracked = loaded.function
        if not isinstance(tracked, TrackedObjective):
            tracked = tracked_objective(tracked)
        data = {
            name: entry.path if entry.digest is None else Data(entry.path, digest=entry.digest)
            for name, entry in job.data.items()
            # A relative path of the record is one of the decorator's own.
            if name not in tracked.data or Path(entry.path).is_absolute()
        }
        for name, path in job.mapped.items():
            # A path for a name that nobody declared declares it; for a declared one it is where
            # the input lies on this machine.
            if name not in tracked.data:
                data.setdefault(name, path)
        return tracked.with_settings(
            data=data,
            config=job.config,
            overrides=job.overrides,
            seed=job.seed,
        )

    def _chosen_isolation(self) -> tuple[Isolation, str]:
        asked = self._job.isolation
        if asked == "fork":
            return "fork", "isolation fork was asked for; whether it is safe was not looked into"
        if asked == "fresh":
            return "fresh", "isolation fresh was asked for"
        if asked == "none":
            return "none", "isolation none was asked for: trials share a process"
        safety = fork_safety()
        if safety.safe:
            return "fork", f"isolation auto: a fork is safe here ({safety.reason})"
        return "fresh", f"isolation auto: a fork is not shown safe ({safety.reason})"

    def _entry(self, loaded: LoadedObjective) -> EntryPoint | None:
        from trialbook.capture.code import code_root
        from trialbook.records.code import EntryPoint
        from trialbook.tracking.session import directory_of_definition

        job = self._job
        if job.file is None:
            return EntryPoint("module", module=job.module, name=job.name)
        root = code_root(directory_of_definition(loaded.function)).resolve()
        file = Path(job.file).resolve()
        if not file.is_relative_to(root):
            return None  # the capture looks for another way to name it
        return EntryPoint("file", path=file.relative_to(root).as_posix(), name=job.name)

    def _fork_for(self, order: RunTrial) -> None:
        parent = os.getpid()
        flush_streams()
        with held_back():
            pid = forked()
            if pid == 0:
                self._signals.hear()
        if pid == 0:
            # It leads a group of its own, so that what a trial starts can be ended with it.
            with suppress(OSError):
                os.setpgid(0, 0)
            die_with_parent(parent)
            code = 1
            try:
                self._channel.send(Began(os.getpid()))
                code = self._run(order)
            finally:
                leave(code)
        self._await(pid)

    def _await(self, pid: int) -> None:
        """Wait for a forked trial without reading what is meant for it."""
        poll = select.poll()
        poll.register(self._channel.fileno(), 0)  # only its end
        watch = exit_watch(pid)
        if watch is not None:
            poll.register(watch, select.POLLIN)
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            events = poll.poll(None if watch is not None else _POLL_MS)
            if any(source == self._channel.fileno() for source, _ in events):
                os.kill(pid, signal.SIGKILL)
                _, status, usage = os.wait4(pid, 0)
                break
        if watch is not None:
            os.close(watch)
        self._channel.send(
            Exited(
                os.waitstatus_to_exitcode(status),
                usage.ru_utime + usage.ru_stime,
                usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            )
        )

    def _run(self, order: RunTrial) -> int:
        """Run one trial; its end is in the book when this returns 0."""
        from trialbook.book.outlasting import PATIENCE_S
        from trialbook.book.storage import BookStorage
        from trialbook.running.study import load_study
        from trialbook.tracking.launch import current_launch, set_launch

        assert self._objective is not None
        set_launch(replace(current_launch(), claimed=order.attempt, differs=order.differs))
        self._beacon.forget_signals()
        try:
            storage = BookStorage(self._job.book, create=False, patience_s=PATIENCE_S)
            try:
                study = load_study(study_name=self._job.study, storage=storage)
                ran = study.run_claimed(order.trial_id, self._objective)
                storage.flush()
            finally:
                storage.close()
        except BaseException as error:
            self._channel.send(Failed(fault_of(error)))
            return 1
        shown = (ran.unusable or None) if ran.error is None else one_line(ran.error)
        if shown is None and self._beacon.has_asked:
            shown = stop_text(self._beacon.cause, self._beacon.limit_s)
        given_back = str(ran.reason) if ran.is_given_back else None
        self._channel.send(Told(shown, bool(study._stop_flag), given_back))
        return 0


class WorkerConsole:
    """The console of a trial's process, which its worker keeps: it outlives a crash."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def start(self) -> None:
        """Nothing to begin: the process was started with its output going to the worker."""

    def stop(self) -> CapturedConsole:
        """Ask the worker for what was written until now."""
        from trialbook.tracking.console import BoundedText, CapturedConsole, recorded_console

        flush_streams()
        if not self._channel.send(WantConsole()):
            return CapturedConsole(gaps=("the console is lost with the worker that kept it",))
        text = self._channel.receive()
        if not isinstance(text, ConsoleText):
            return CapturedConsole(gaps=("the console is lost with the worker that kept it",))
        return recorded_console(
            BoundedText.of(text.stdout, text.stdout_bytes),
            BoundedText.of(text.stderr, text.stderr_bytes),
        )


def restored_tree(place: CodePlace) -> RestoredTree:
    """What the record is to know of restored code."""
    from trialbook.records.code import CodeState
    from trialbook.records.coordinates import Snapshot
    from trialbook.tracking.launch import RestoredTree

    with unwatched():
        snapshot = Snapshot.from_document(Path(place.snapshot).read_bytes())
    root = Path(place.path.restored[ROOT])
    return RestoredTree(root, snapshot.state_as(CodeState), Path(place.caches), place.scope)


def flush_streams() -> None:
    """Write out what Python and C still hold."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the objective may have closed or replaced it
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)


def leave(code: int) -> None:
    """End a forked process without running what its parent registered for its own end."""
    flush_streams()
    os._exit(code)


def one_line(error: BaseException) -> str:
    """The type and the first line of the message, credentials redacted."""
    text = str(error).strip()
    name = type(error).__name__
    return without_secrets(f"{name}: {text.splitlines()[0]}" if text else name)[0]
