"""A job on its node: starts the worker, passes on what SLURM announces, and requeues itself.

SLURM announces the end of a job in three ways, and none reaches the worker by itself in time:

- the signal before the time limit (SIGUSR1) comes to the batch script alone, which this is;
- a preemption with a time of grace begins with SIGTERM to the job's *steps*, never to its batch
  script. So a step stands by that only sleeps (``Sentry``): its end is the announcement;
- a preemption without grace, a cancellation and the limit itself are SIGTERM to every process of
  the job, and SIGKILL after the cluster's ``KillWait``.

The worker then gives its trial back and ends. When there is more to do, the job asks SLURM to put
it back into the queue, which keeps its id, its log and its place in the array. It never does so
after a cancellation, for a worker that failed, or once the study's budget is met or the worker was
asked to leave.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import FrameType
from typing import IO, TYPE_CHECKING

from trialbook.errors import LaunchError
from trialbook.running.hash_seed import hash_seed
from trialbook.running.launch import slurm_queue
from trialbook.running.launch.slurm_order import ORDER, PYTHON, SlurmOrder
from trialbook.running.launch.threads import thread_shares

if TYPE_CHECKING:
    from trialbook.running.launch.slurm_left import Left

_POLL_S = 0.2
_LEAVE_S = 5.0
_ANNOUNCEMENTS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
_ENDED_BY_SIGTERM = 128 + signal.SIGTERM
_FOR_SRUN = ("PATH", "HOME", "USER", "LD_LIBRARY_PATH", "SLURM_CONF")
_FOR_EVER_S = "2147483647"


def main() -> int:
    """Run as the batch script of one job; its exit status is the worker's."""
    job = SlurmJob(os.environ)
    for number in _ANNOUNCEMENTS:
        signal.signal(number, job.heard)
    return job.run()


class SlurmJob:
    """One job of the array, in one of its runs.

    Args:
        environ: The job's environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._order = SlurmOrder.parsed(environ[ORDER])
        self._index = int(environ["SLURM_ARRAY_TASK_ID"])
        # Of the task, not of the array: SLURM_JOB_ID of one task is the id of the whole array,
        # and to requeue that would stop the others.
        self._id = f"{environ['SLURM_ARRAY_JOB_ID']}_{self._index}"
        self._raw_id = environ["SLURM_JOB_ID"]
        self._restarts = int(environ.get("SLURM_RESTART_COUNT") or 0)
        self._environment = _worker_environment(environ)
        self._announced: list[str] = []
        self._passed_on = False

    def heard(self, number: int, _: FrameType | None) -> None:
        """A signal handler."""
        self._announced.append(signal.Signals(number).name)

    def run(self) -> int:
        """Run the worker, see to its end, and requeue the job when there is more to do."""
        order = self._order
        if self._restarts and order.share != (None, None):
            left = _left(order, self._index)
            if not left.work:
                return 0
            order = order.with_share(left.trials, left.hours)
        command = order.command(sys.executable, self._index)
        worker = subprocess.Popen(command, env=self._environment)
        sentry = Sentry(self._raw_id)
        try:
            while worker.poll() is None:
                if not self._passed_on and sentry.was_told():
                    self._announced.append("a preemption")
                if self._announced and not self._passed_on:
                    self._passed_on = True
                    say(f"SLURM announces {self._announced[0]}: the worker is asked to stop")
                    worker.send_signal(signal.SIGTERM)
                time.sleep(_POLL_S)
        finally:
            sentry.leave()
        code = worker.returncode
        # A worker that had not begun to listen has nothing to give back.
        gave_back = code in (0, -signal.SIGTERM)
        status = 0 if self._announced and gave_back else 128 - code if code < 0 else code
        if self._announced and gave_back and self._shall_come_back():
            return status if self._requeued() else 1
        return status

    def _shall_come_back(self) -> bool:
        standing = slurm_queue.standing(self._id)
        if standing is None:
            say("SLURM does not say how this job stands, so it is not requeued")
            return False
        if standing.restarts > self._restarts:
            say("SLURM puts this job back into the queue")
            return False
        if not (standing.runs or standing.preempted or standing.time_is_over):
            say("this job was cancelled")
            return False
        if self._restarts >= self._order.requeues:
            say(f"this job has been requeued {self._restarts} times and is not again")
            return False
        return _left(self._order, self._index).work

    def _requeued(self) -> bool:
        try:
            done = slurm_queue.answer("scontrol", "requeue", self._id)
        except LaunchError as error:
            say(f"this job cannot be requeued: {error.what}")
            return False
        if done.returncode != 0:
            say(f"this job cannot be requeued: {slurm_queue.refusal(done)}")
            return False
        say("there is more to do: this job is back in the queue")
        return True


class Sentry:
    """A step that only sleeps, and is ended by the SIGTERM with which a time of grace begins.

    Args:
        raw_id: The job's own id, as ``SLURM_JOB_ID`` has it.
    """

    def __init__(self, raw_id: str) -> None:
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by leave)
        # What the job asked for shapes its steps too; this one is to take nothing.
        environment = {name: os.environ[name] for name in _FOR_SRUN if name in os.environ}
        command = (
            *("srun", f"--jobid={raw_id}", "--overlap", "--nodes=1", "--ntasks=1", "--mem=0"),
            *("--mpi=none", "--quiet", "--input=none", "sleep", _FOR_EVER_S),
        )
        self._step: subprocess.Popen[bytes] | None = None
        try:
            self._step = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            self._give_up(f"srun cannot be run: {error.strerror}")

    def was_told(self) -> bool:
        """Whether SLURM has ended the step by SIGTERM."""
        if self._step is None or self._step.poll() is None:
            return False
        code, self._step = self._step.returncode, None
        if code == _ENDED_BY_SIGTERM:
            return True
        self._said.seek(0)
        self._give_up(" ".join(self._said.read().split()) or f"exit {code}")
        return False

    def leave(self) -> None:
        """End the step."""
        step, self._step = self._step, None
        if step is not None and step.poll() is None:
            step.terminate()
            try:
                step.wait(_LEAVE_S)
            except subprocess.TimeoutExpired:
                step.kill()
        self._said.close()

    @staticmethod
    def _give_up(why: str) -> None:
        say(f"a preemption is heard of only when its time of grace is over: {why}")


def say(text: str) -> None:
    """Write a line into the job's log."""
    print(f"trialbook: {text}", file=sys.stderr, flush=True)


def _worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    environment = {name: value for name, value in environ.items() if name not in (ORDER, PYTHON)}
    cores = int(environ.get("SLURM_CPUS_ON_NODE") or 1)
    environment |= thread_shares(environment, 1, cores)
    return environment | hash_seed(environment)


def _left(order: SlurmOrder, index: int) -> Left:
    # The worker's own packages take a second to import, which a job that begins must not wait for.
    from trialbook.running.launch.slurm_left import left

    found = left(order, index)
    if found.trouble is not None:
        say(f"the book does not say what is left to do: {found.trouble}")
    elif not found.work:
        say("nothing is left to do for this job")
    return found


if __name__ == "__main__":
    sys.exit(main())
