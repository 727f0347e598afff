"""Workers as processes of this machine: they outlive the command and the terminal.

``keeper.py`` starts them and notes how they end; ``threads.py`` shares out the cores. All that is
known of a job lies in the launch's directory beside its log, so a later command on this machine
finds it again; one on another machine cannot.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from trialbook.capture.process import boot_identity, is_gone, start_ticks
from trialbook.errors import InvalidInputError, LaunchError
from trialbook.records.launches import JobState, JobStatus, PlacedJob
from trialbook.records.workers import WorkerIdentity
from trialbook.running.gpus import MASK, device_shares, visible_devices
from trialbook.running.launch.contract import Launcher, Placed, WorkerOrder
from trialbook.running.launch.threads import thread_shares, usable_cores

_KEEPER = Path(__file__).with_name("keeper.py")
_OPTIONS = ("python", "gpus_per_worker")
_POLL_S = 0.2
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files of one job.

    Args:
        log: What its worker prints.
    """

    log: Path

    @classmethod
    def of(cls, directory: Path, index: int) -> JobFiles:
        """Those of a job in its launch's directory."""
        return cls(directory / f"{index}.log")

    @property
    def process(self) -> Path:
        """Which process it is."""
        return self.log.with_suffix(".process")

    @property
    def exit(self) -> Path:
        """How it ended; not there before."""
        return self.log.with_suffix(".exit")


class LocalLauncher(Launcher):
    """Detached processes on this machine.

    Options: ``python``, and ``gpus_per_worker`` for so many devices of its own for each worker.
    """

    engine = "local"

    def __init__(self, options: Mapping[str, Any]) -> None:
        problems = [f"no option {name!r}" for name in options if name not in _OPTIONS]
        self._python = options.get("python", sys.executable)
        if not isinstance(self._python, str) or not self._python:
            problems.append(f"python must be a path, not {self._python!r}")
        self._gpus: int | None = options.get("gpus_per_worker")
        if problems:
            raise InvalidInputError(
                f"the engine local has {'; '.join(problems)}",
                hint=f"its options are {', '.join(_OPTIONS)}",
            )

    @property
    def stays_here(self) -> bool:
        """Always."""
        return True

    def environment(self, workers: int) -> Mapping[str, str]:
        """Threads for a share of the cores."""
        return thread_shares(os.environ, workers, usable_cores())

    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        """See ``Launcher``."""
        environments = self._environments(order, workers)
        failed: list[str] = []
        with _Keeper() as keeper:
            for index, environment in enumerate(environments):
                files = JobFiles.of(order.directory, index)
                command = order.command(self._python, index)
                with _uninterrupted():
                    try:
                        pid = _started(keeper, command, environment, files)
                    except _StartError as error:
                        failed.append(f"worker {index}: {error}")
                        continue
                    placed(PlacedJob(index, str(pid), socket.gethostname(), str(files.log)))
        if failed:
            raise LaunchError(
                f"{len(failed)} of {workers} workers could not be started: {'; '.join(failed)}",
                hint="correct it and launch the missing ones; those that were started work",
            )

    def _environments(self, order: WorkerOrder, workers: int) -> list[dict[str, str]]:
        shared = {
            **os.environ,
            **self.environment(workers),
            **order.environment,
        }
        environments = [dict(shared) for _ in range(workers)]
        if self._gpus is not None:
            shares = device_shares(visible_devices(os.environ), workers, self._gpus)
            for environment, share in zip(environments, shares, strict=True):
                environment[MASK] = share
        return environments

    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        """See ``Launcher``."""
        _require_here(jobs)
        return {job.index: _status(job) for job in jobs}

    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        """See ``Launcher``."""
        _require_here([job])
        files = _files(job)
        try:
            with files.log.open("rb") as log:
                yield from _pieces(log, job, follow=follow)
        except OSError as error:
            raise LaunchError(
                f"the log of job {job.index} cannot be read: {error.strerror}",
                where=str(files.log),
                hint="it is kept with the launch's own files; they may have been removed",
            ) from error

    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        """See ``Launcher``."""
        _require_here(jobs)
        return {job.index: _cancelled(job) for job in jobs}


class _Keeper:
    """The process that starts workers, as long as it is told to; afterwards it stays by itself."""

    def __init__(self) -> None:
        # Without site packages it begins in some 10 ms.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> _Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)

    def answer(self, order: Mapping[str, object]) -> dict[str, Any]:
        """Give an order; what has become of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            return {"error": "the process that starts workers has ended"}
        found: dict[str, Any] = json.loads(answer)
        return found


class _StartError(Exception):
    """Why a worker could not be started."""


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the book knows of a worker that has been started."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield  # no Ctrl-C is heard here, or it is not Python's to hear
        return
    heard: list[FrameType | None] = []
    # Not the signal mask: the workers would inherit it, and other threads have their own.
    signal.signal(signal.SIGINT, lambda _, frame: heard.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _started(
    keeper: _Keeper, command: Sequence[str], environment: Mapping[str, str], files: JobFiles
) -> int:
    """Start a worker and note which process it is; its number."""
    answer = keeper.answer(
        {
            "argv": command,
            "environment": environment,
            "log": str(files.log),
            "exit": str(files.exit),
        }
    )
    if "error" in answer:
        raise _StartError(answer["error"])
    pid = int(answer["pid"])
    try:
        _note_process(files, pid, int(answer["keeper"]))
    except OSError as error:
        # No later command would find it: a disk that is full, most likely.
        keeper.answer({"end": pid})
        raise _StartError(f"{error.strerror}: {files.process}") from error
    return pid


def _note_process(files: JobFiles, pid: int, keeper: int) -> None:
    noted = {
        "boot": boot_identity(),
        "pid": pid,
        "start_ticks": start_ticks(pid),
        "keeper_pid": keeper,
        "keeper_start_ticks": start_ticks(keeper),
    }
    files.process.write_text(json.dumps(noted))


def _require_here(jobs: Sequence[PlacedJob]) -> None:
    elsewhere = {job.place for job in jobs if job.place != socket.gethostname()}
    if elsewhere:
        host = ", ".join(sorted(str(place) for place in elsewhere))
        raise LaunchError(
            f"the workers are processes of {host}, and this is {socket.gethostname()}",
            hint=f"ask on {host}; draining works from anywhere",
        )


def _files(job: PlacedJob) -> JobFiles:
    return JobFiles(Path(job.log or os.devnull))


@dataclass(frozen=True, slots=True)
class _Processes:
    """The processes of a job.

    Args:
        worker: The worker.
        keeper: The one that waits for it.
    """

    worker: WorkerIdentity
    keeper: WorkerIdentity


def _processes(job: PlacedJob) -> _Processes | None:
    """The processes of a job, ``None`` when they are not known any more."""
    try:
        with _files(job).process.open() as file:
            # A book may name any file: what another user has written names no process to signal.
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            noted = json.load(file)
        found = [
            WorkerIdentity(
                worker_id="",
                host=socket.gethostname(),
                pid=noted[f"{whose}pid"],
                boot=noted["boot"],
                start_ticks=noted[f"{whose}start_ticks"],
            )
            for whose in ("", "keeper_")
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _Processes(*found)


def _exit(job: PlacedJob) -> str | None:
    try:
        return _files(job).exit.read_text() or None
    except OSError:
        return None


def _status(job: PlacedJob) -> JobStatus:
    processes = _processes(job)
    if processes is None or str(processes.worker.pid) != job.engine_id:
        return JobStatus(JobState.UNKNOWN, "the launch's own files are gone", job.place)
    # A keeper that lives tells every end. It is looked for before what it tells.
    lost = is_gone(processes.worker) and is_gone(processes.keeper)
    if (how := _exit(job)) is not None:
        return JobStatus(JobState.ENDED, how, job.place)
    if processes.worker.boot != boot_identity():
        return JobStatus(
            JobState.UNKNOWN, "this machine was started again, or is another container", job.place
        )
    return JobStatus(JobState.ENDED if lost else JobState.RUNNING, None, job.place)


def _pieces(log: IO[bytes], job: PlacedJob, *, follow: bool) -> Iterator[bytes]:
    while True:
        ended = not follow or _status(job).state is not JobState.RUNNING
        while piece := log.read(_READ_BYTES):
            yield piece
        if ended:
            return
        time.sleep(_POLL_S)


def _cancelled(job: PlacedJob) -> str | None:
    status = _status(job)
    if status.state is JobState.UNKNOWN:
        return status.says
    processes = _processes(job)
    if status.state is JobState.ENDED or processes is None:
        return None
    try:
        _ask_to_stop(processes.worker)
    except OSError as error:
        return f"process {job.engine_id} cannot be signalled: {error.strerror}"
    return None


def _ask_to_stop(process: WorkerIdentity) -> None:
    opened: Any = getattr(os, "pidfd_open", None)
    if opened is None:
        os.kill(process.pid, signal.SIGTERM)
        return
    try:
        descriptor = opened(process.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor stays this process's; its number could be given to another one.
        if not is_gone(process):
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
