"""A worker's hold on one child: its messages, its console and its end."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trialbook.capture.memory_kills import memory_kills
from trialbook.capture.shared_digests import Ask
from trialbook.records.blobs import Blob
from trialbook.records.execution import EndReason, OutcomeState
from trialbook.running.messages import (
    Began,
    Begin,
    ConsoleText,
    Exited,
    Failed,
    FromChild,
    Job,
    KnownDigests,
    Pin,
    Pinned,
    Ready,
    RunTrial,
    Told,
    WantConsole,
    WantDigests,
)
from trialbook.running.processes import exit_watch, kill_group, signal_group, started
from trialbook.tracking.beacon import Beacon
from trialbook.tracking.console import BoundedText, recorded_console
from trialbook.tracking.redaction import without_secrets

_READ_BYTES = 1 << 16
_READS = 64
"""Reads of one stream at a time: 4 MiB, more than a pipe holds, and never for ever."""

_POLL_S = 0.005
_REPORT_S = 1.0


@dataclass(slots=True)
class Death:
    """How a process ended: exit code or signal, and what it used; ``None`` where unknown."""

    exit_code: int | None = None
    signal: str | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None

    @classmethod
    def of(cls, code: int, cpu_s: float | None = None, peak: int | None = None) -> Death:
        """From an exit code as ``os.waitstatus_to_exitcode`` gives it."""
        if code >= 0:
            return cls(code, None, cpu_s, peak)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return cls(None, name, cpu_s, peak)

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by {self.signal}"
        return f"exited with status {self.exit_code}"


class SupervisedChild:
    """A child process with everything that its worker must look after.

    Args:
        job: What it prepares.
        known_digests: Gives the digests of data files that workers have hashed, by their keys.
        environment: Variables on top of this process's own.
    """

    def __init__(
        self,
        job: Job,
        known_digests: Ask = lambda keys: {},
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._known_digests = known_digests
        self.beacon = Beacon.created()
        inherited = [d for d in (self.beacon.descriptor,) if d is not None]
        # A child that does not read what it is told must not hold up the worker.
        self._run = started(
            "child",
            FromChild,
            piped=True,
            environment=environment,
            inherited=inherited,
            patient=False,
            interpreter=job.interpreter,
        )
        process = self._run.process
        assert process.stdout is not None
        assert process.stderr is not None
        self._streams = (process.stdout, process.stderr)
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
        self._open = list(self._streams)
        self._texts = (BoundedText(), BoundedText())
        self._exit_watch = exit_watch(process.pid)
        self._death: Death | None = None
        self.ready: Ready | None = None
        self.failed: Failed | None = None
        self.pinned = False
        self.told: Told | None = None
        self.trial_death: Death | None = None
        self._trial_pid: int | None = None
        self._begun = False
        # Whether a forked trial died while an answer was on its way: what it left unread would be
        # taken for the beginning of the next message.
        self._out_of_step = False
        # Whether the guard has let it in, and what its trials are to say of that.
        self.vetted = False
        self.differs: tuple[str, ...] = ()
        self._memory_kills: int | None = None
        self._run.channel.send(Begin(job, self.beacon.descriptor))

    @property
    def forks(self) -> bool:
        """Whether each trial gets a forked process."""
        return self.ready is not None and self.ready.isolation == "fork"

    @property
    def usable_again(self) -> bool:
        """Whether it can run more than one trial."""
        return self.ready is not None and self.ready.isolation in ("fork", "none")

    @property
    def usable(self) -> bool:
        """Whether it can run a trial that has not begun yet, as far as is known."""
        if self.ended or (self._begun and not self.usable_again):
            return False
        return not (self._begun and (self.failed is not None or self._out_of_step))

    @property
    def ended(self) -> bool:
        """Whether the child process itself has ended."""
        if self._death is None:
            try:
                pid, status, usage = os.wait4(self._run.process.pid, os.WNOHANG)
            except ChildProcessError:
                self._death = Death()
                return True
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._run.process.returncode = code
                unit = 1 if sys.platform == "darwin" else 1024
                used_s = usage.ru_utime + usage.ru_stime
                self._death = Death.of(code, used_s, usage.ru_maxrss * unit)
        return self._death is not None

    @property
    def death(self) -> Death | None:
        """How the trial's process ended; of a forked trial, else of the child itself."""
        return self.trial_death if self.trial_death is not None else self._death

    def sources(self) -> list[Any]:
        """What to wait on: readable when ``pump`` has something to do."""
        watched: list[Any] = [*self._open]
        if not self._run.channel.ended:
            watched.append(self._run.channel)
        if self._exit_watch is not None and self._death is None:
            watched.append(self._exit_watch)
        return watched

    def pump(self) -> None:
        """Take in what was written and said; answer what was asked. Blocks for nothing."""
        if self.ended and self._exit_watch is not None:
            os.close(self._exit_watch)
            self._exit_watch = None
        self._drain()
        self._run.channel.push()
        for message in self._run.channel.waiting():
            match message:
                case Ready():
                    self.ready = message
                case Failed():
                    self.failed = message
                case Pinned():
                    self.pinned = True
                case Told():
                    self.told = message
                    self._out_of_step = False
                case Began():
                    self._trial_pid = message.pid
                case Exited():
                    self.trial_death = Death.of(
                        message.exit_code, message.cpu_s, message.peak_memory_bytes
                    )
                case WantDigests():
                    self._run.channel.send(KnownDigests(dict(self._known_digests(message.keys))))
                case WantConsole():
                    self._drain()
                    self._out_of_step = True
                    self._run.channel.send(self._console())

    def begin(self, trial_id: int, attempt: int) -> None:
        """Let it run a trial; what was written until now is no part of it."""
        self.beacon.clear()
        self._memory_kills = memory_kills()
        self._drain()
        self._texts = (BoundedText(), BoundedText())
        self.told = self.failed = self.trial_death = self._trial_pid = None
        self._begun = True
        self._out_of_step = False
        self._run.channel.send(RunTrial(trial_id, attempt, self.differs))

    def pin(self) -> None:
        """Let it write down what it has observed as the study's reference; ``pinned`` says when."""
        self._run.channel.send(Pin())

    @property
    def trial_over(self) -> bool:
        """Whether the trial that was begun is over, well or badly."""
        if self.ended:
            return True
        if self.forks:
            return self.trial_death is not None
        return self.told is not None or self.failed is not None

    def written(self) -> str:
        """The end of what it wrote to standard error, for a message."""
        return self._texts[1].text()[-2000:]

    @property
    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed the trial's process for want of memory, as far as is known."""
        if self.death is None or self.death.signal != "SIGKILL" or self._memory_kills is None:
            return False
        now = memory_kills()
        return now is not None and now > self._memory_kills

    def outcome(
        self, reason: EndReason, message: str, *, died: bool = False
    ) -> tuple[OutcomeState, tuple[Blob, ...]]:
        """The outcome of a trial whose process ended without telling a result.

        Args:
            reason: Why it ended.
            message: The same in words.
            died: Whether nobody here ended it.
        """
        self._drain()
        console = recorded_console(*self._texts)
        # After a failure of its own the process ends as it may; that is not how the trial ended.
        death = (self.death if self.failed is None else None) or Death()
        text, count = without_secrets(message)
        trace, hidden = None, 0
        if self.failed is not None and self.failed.fault.traceback is not None:
            trace, hidden = without_secrets(self.failed.fault.traceback)
        names = [n for n, found in (("message", count), ("traceback", hidden)) if found]
        outcome = OutcomeState(
            reason=reason,
            exit_code=death.exit_code,
            signal=death.signal,
            message=text,
            traceback=trace,
            stdout=console.stdout,
            stderr=console.stderr,
            cpu_s=death.cpu_s,
            peak_memory_bytes=death.peak_memory_bytes,
            redacted=(*console.redacted, *names),
            gaps=console.gaps,
            died=died,
        )
        return outcome, console.blobs

    def signal_trial(self, number: signal.Signals) -> None:
        """Send a signal to the trial and everything that it started."""
        if self._trial_pid is not None and not self.trial_over:
            signal_group(self._trial_pid, number)

    def end_trial(self) -> None:
        """Kill what is left of a trial that died, with everything that it started."""
        if self._trial_pid is not None:
            kill_group(self._trial_pid)
        if not self.usable:
            self.kill()

    def kill_trial(self) -> None:
        """Kill the trial with everything that it started; a child that forked it stays."""
        if self.forks and self._trial_pid is not None:
            kill_group(self._trial_pid)
        else:
            self.kill()

    def kill(self) -> None:
        """End the child and its trial at once; afterwards it has ``ended``."""
        if self._trial_pid is not None and self.trial_death is None:
            kill_group(self._trial_pid)
            deadline = time.monotonic() + _REPORT_S
            # The child that forked it says how it ended.
            while self.forks and not self.trial_over and time.monotonic() < deadline:
                select.select(self.sources(), [], [], _POLL_S)
                self.pump()
        if not self.ended:
            kill_group(self._run.process.pid)
            while not self.ended:
                select.select([], [], [], _POLL_S)
        self.pump()

    def close(self) -> None:
        """Give back every descriptor; the process must have ended."""
        self.beacon.close()
        self._run.channel.close()
        for stream in self._streams:
            stream.close()
        self._open = []
        if self._exit_watch is not None:
            os.close(self._exit_watch)
            self._exit_watch = None

    def _console(self) -> ConsoleText:
        out, err = self._texts
        return ConsoleText(out.kept(), out.size_bytes, err.kept(), err.size_bytes)

    def _drain(self) -> None:
        for stream, text in zip(self._streams, self._texts, strict=True):
            for _ in range(_READS if stream in self._open else 0):
                try:
                    data = os.read(stream.fileno(), _READ_BYTES)
                except BlockingIOError:
                    break
                if not data:
                    self._open.remove(stream)
                    break
                text.add(data)
