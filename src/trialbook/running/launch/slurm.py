"""Workers as one job array of SLURM.

``slurm_options.py`` says what goes to sbatch, ``slurm_queue.py`` asks how jobs are doing, and
``slurm_job.py`` is what runs on the node: it starts the worker, lets it hear what SLURM announces,
and puts its job back into the queue while there is work.

The batch script is a fixed text. What the worker is to do, and the book's URL with its password,
travel in the job's environment, which SLURM shows to nobody but the user and root.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from trialbook.errors import LaunchError
from trialbook.records.launches import JobState, JobStatus, PlacedJob
from trialbook.running.launch import slurm_queue
from trialbook.running.launch.contract import Launcher, Placed, WorkerOrder
from trialbook.running.launch.slurm_options import SlurmOptions
from trialbook.running.launch.slurm_order import ORDER, PYTHON, SlurmOrder

# A warning that comes before there is a worker to hear it must not end the job.
_SCRIPT = f"""#!/bin/sh
trap '' USR1
exec "${PYTHON}" -P -m trialbook.running.launch.slurm_job
"""
_JOB = re.compile(r"^([0-9]+)(;.*)?$", re.MULTILINE | re.ASCII)
_POLL_S = 0.5
_ASK_S = 2.0
_READ_BYTES = 1 << 16


class SlurmLauncher(Launcher):
    """Workers as a job array.

    Args:
        options: ``python`` (the interpreter on the nodes), ``gpus_per_worker``, ``signal`` (seconds
            before the time limit at which a worker is to hear of it, default 60; 0 for never),
            ``requeues`` (how often a job may be put back into the queue, default 100), and any
            other long option of sbatch.
    """

    engine = "slurm"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = SlurmOptions.of(options)
        slurm_queue.require("squeue")

    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        """See ``Launcher``: SLURM takes all of them as one array, or none."""
        environment = {
            **{name: value for name, value in os.environ.items() if not _is_not_for_jobs(name)},
            **order.environment,
            PYTHON: self._options.python,
            ORDER: SlurmOrder.of(order, self._options.requeues).text(),
        }
        done = slurm_queue.answer(
            "sbatch", *self._arguments(order, workers), environment=environment, text=_SCRIPT
        )
        found = _JOB.search(done.stdout)
        if done.returncode != 0 or found is None:
            raise LaunchError(
                f"SLURM did not take the workers: {slurm_queue.refusal(done)}",
                hint="correct the options (-o KEY=VALUE, as sbatch has them); 'sinfo' shows the "
                "partitions",
            )
        for index in range(workers):
            log = order.directory / f"{index}.log"
            placed(PlacedJob(index, f"{found[1]}_{index}", None, str(log)))

    def _arguments(self, order: WorkerOrder, workers: int) -> list[str]:
        if "\\" in str(order.directory):
            raise LaunchError(
                "SLURM writes no log into a directory with a backslash in its name",
                where=str(order.directory),
            )
        logs = str(order.directory).replace("%", "%%")
        asked = self._options
        arguments = [
            *("--parsable", f"--array=0-{workers - 1}", "--nodes=1", "--ntasks=1"),
            f"--job-name=trialbook-{order.launch_id}",
            *asked.passed,
            *("--export=ALL", "--input=/dev/null"),
            *(f"--output={logs}/%a.log", "--open-mode=append"),
            "--requeue" if asked.requeues else "--no-requeue",
        ]
        if asked.warn_s:
            arguments.append(f"--signal=B:USR1@{asked.warn_s}")
        return arguments

    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        """See ``Launcher``: one question for all."""
        known = slurm_queue.statuses(job.engine_id for job in jobs)
        forgotten = JobStatus(JobState.UNKNOWN, "SLURM has forgotten it, or never had it")
        return {job.index: known.get(job.engine_id, forgotten) for job in jobs}

    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        """See ``Launcher``: all runs of a job that was requeued are in one log."""
        file = Path(job.log or os.devnull)
        while follow and not file.exists() and self._goes_on(job):
            time.sleep(_ASK_S)
        try:
            with file.open("rb") as log:
                yield from self._pieces(log, job, follow=follow)
        except OSError as error:
            raise LaunchError(
                f"the log of job {job.index} cannot be read here: {error.strerror}",
                where=str(file),
                hint="a job that has not begun has none; else ask on a machine that shares this "
                "directory with the nodes",
            ) from error

    def _pieces(self, log: IO[bytes], job: PlacedJob, *, follow: bool) -> Iterator[bytes]:
        asked_s, goes_on = 0.0, follow
        while True:
            if goes_on and time.monotonic() - asked_s > _ASK_S:
                goes_on, asked_s = self._goes_on(job), time.monotonic()
            while piece := log.read(_READ_BYTES):
                yield piece
            if not goes_on:
                return
            time.sleep(_POLL_S)

    def _goes_on(self, job: PlacedJob) -> bool:
        return self.status([job])[job.index].state in (JobState.PENDING, JobState.RUNNING)

    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        """See ``Launcher``: SIGTERM, and SIGKILL after the cluster's ``KillWait``."""
        ids = [job.engine_id for job in jobs if slurm_queue.is_id(job.engine_id)]
        if not ids or slurm_queue.answer("scancel", *ids).returncode == 0:
            return {job.index: None for job in jobs}
        answers: dict[int, str | None] = {}
        for job in jobs:
            done = slurm_queue.answer("scancel", job.engine_id)
            is_there = done.returncode != 0 and self._goes_on(job)
            answers[job.index] = slurm_queue.refusal(done) if is_there else None
        return answers


def _is_not_for_jobs(variable: str) -> bool:
    """Whether it is of a job that the command itself is part of, or would make sbatch wait."""
    of_a_job = variable.startswith("SLURM_") and variable != "SLURM_CONF"
    return of_a_job or variable in ("SBATCH_WAIT", "SBATCH_CLUSTERS")
