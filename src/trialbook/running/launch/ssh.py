"""The launcher for hosts that the system's own SSH client reaches.

A host needs an account that lets the user in without asking for a password, Trialbook for the
interpreter that is named, and a route to the book. Workers outlive the connection: it is used to
start them, to ask about them, to read what they print and to end them, and draining needs none.

How hosts are named is in ``ssh_hosts.py``, which options of ``ssh`` may be given in
``ssh_options.py``, a conversation with a host in ``ssh_client.py``, and the part that runs there in
``ssh_remote.py``.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from trialbook.errors import InvalidInputError, LaunchError, MissingEngineError
from trialbook.records.launches import JobState, JobStatus, PlacedJob
from trialbook.running.launch.contract import Launcher, Placed, WorkerOrder
from trialbook.running.launch.ssh_client import NoAnswerError, SshClient
from trialbook.running.launch.ssh_hosts import host_fault, listed_hosts, spread
from trialbook.running.launch.ssh_options import checked_options

_AT_ONCE = 16
_TRIES = 2
"""Who had begun is asked once more when the connection is lost: a host starts each worker once."""

_NOT_HEARD = (
    "see whether 'ssh -o BatchMode=yes HOST true' says nothing, and whether the Python is there "
    "(--python)"
)
_RECONNECT_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
_Answer = dict[str, Any]


class SshLauncher(Launcher):
    """Workers on hosts that are reached over SSH.

    Args:
        options: ``hosts`` (texts such as ``gpu1``, ``me@gpu2 slots=4``), ``python`` (path of the
            interpreter on the hosts; without it, this one's), ``gpus_per_worker``, ``directory``
            (where workers begin on the hosts, for ``--code here`` and relative paths; without it,
            the launch's own directory there), ``config`` (a file read in place of
            ``~/.ssh/config``) and those of ``ssh -o`` that ``ssh_options.py`` lists.
    """

    engine = "ssh"

    def __init__(self, options: Mapping[str, Any]) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise MissingEngineError(
                "there is no program 'ssh' here", hint="install the OpenSSH client"
            )
        checked, problems = checked_options(options)
        self._hosts, faults = listed_hosts(checked.hosts)
        problems += faults
        if not self._hosts and not faults:
            problems.append("no host is named (--host)")
        if problems:
            raise InvalidInputError(
                f"the engine ssh cannot take its options: {'; '.join(problems)}",
                hint="docs/launching.md lists them; others belong into ~/.ssh/config",
            )
        self._directory = checked.directory
        self._gpus_per_worker = checked.gpus_per_worker
        self._python = checked.python or sys.executable
        self._client = SshClient(program, self._python, checked.ssh, checked.config)

    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        """See ``Launcher``: workers are dealt out to the hosts in turn, hosts are asked at once.

        One that fails keeps the others from nothing, and gets no other's workers.
        """
        places = spread(self._hosts, workers)
        room = sum(len(indices) for indices in places.values())
        if room < workers:
            raise InvalidInputError(
                f"the hosts have {room} slots, and {workers} workers are asked for",
                hint=f"use -w {room}, or raise 'slots='",
            )
        failed: list[str] = []
        unheard = False

        def answered(host: str, answer: _Answer | LaunchError) -> None:
            nonlocal unheard
            if isinstance(answer, LaunchError):
                failed.append(f"{host} ({_named(places[host])}): {answer.what}")
                unheard = unheard or isinstance(answer, NoAnswerError)
                return
            for index in places[host]:
                job = answer["workers"].get(str(index), {"error": "the host says nothing of it"})
                if "error" in job:
                    failed.append(f"{host} ({_named([index])}): {job['error']}")
                    continue
                placed(PlacedJob(index, f"{host} {job['pid']}", host, job["log"]))

        orders = {host: self._start_order(order, indices) for host, indices in places.items()}
        self._each(orders, answered)
        if failed:
            raise LaunchError(
                f"not all workers could be placed: {'; '.join(sorted(failed))}",
                hint=f"{_NOT_HEARD if unheard else 'correct it'}, then launch the missing ones",
            )

    def _start_order(self, order: WorkerOrder, indices: Sequence[int]) -> _Answer:
        return {
            "do": "start",
            "launch": order.launch_id,
            "workers": {str(index): order.command(self._python, index) for index in indices},
            "environment": dict(order.environment),
            "directory": self._directory,
            "gpus_per_worker": self._gpus_per_worker,
        }

    def _each(
        self, orders: Mapping[str, _Answer], answered: Callable[[str, _Answer | LaunchError], None]
    ) -> None:
        """Ask hosts side by side, and hand over what each answers, in this thread.

        When that is broken off, what was asked is still heard: a worker that has been started is
        not to be forgotten.
        """
        waiting: dict[Future[_Answer], str] = {}
        with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(orders)))) as pool:
            for host, order in orders.items():
                waiting[pool.submit(self._asked, host, order)] = host
            try:
                for done in as_completed(list(waiting)):
                    answered(waiting.pop(done), _result(done))
            except BaseException:
                begun = [done for done in waiting if not done.cancel()]
                for done in begun:
                    answered(waiting[done], _result(done))
                raise

    def _asked(self, host: str, order: _Answer) -> _Answer:
        for _ in range(_TRIES - 1):
            try:
                return self._client.asked(host, order)
            except NoAnswerError as error:
                if not error.begun:
                    raise
        return self._client.asked(host, order)

    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        """See ``Launcher``: each host is asked once; those of one that is silent are unknown."""
        found: dict[int, JobStatus] = {}
        places = _by_host(jobs, found)

        def answered(host: str, answer: _Answer | LaunchError) -> None:
            for index in places[host]:
                if isinstance(answer, LaunchError):
                    found[index] = JobStatus(JobState.UNKNOWN, answer.what, host)
                else:
                    job = answer["jobs"][str(index)]
                    found[index] = JobStatus(JobState(job["state"]), job["says"] or None, host)

        self._each(_orders("status", places), answered)
        return found

    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        """See ``Launcher``: a connection that is lost while following is made anew."""
        unknown: dict[int, JobStatus] = {}
        places = _by_host([job], unknown)
        if not places:
            raise LaunchError(f"there is no log: {unknown[job.index].says}")
        ((host, identities),) = places.items()
        where = f"{host}:{job.log}"
        read = failures = 0
        begun = False
        while True:
            order = {"job": identities[job.index], "offset": read, "follow": follow}
            try:
                with self._client.reading(host, {"do": "log", **order}) as pieces:
                    for piece in pieces:
                        failures = 0
                        read += len(piece)
                        yield piece
                return
            except LaunchError as error:
                lost = isinstance(error, NoAnswerError)
                begun = begun or (isinstance(error, NoAnswerError) and error.begun)
                if not (follow and lost and begun) or failures == len(_RECONNECT_S):
                    raise LaunchError(
                        f"the log cannot be read: {error.what}",
                        where=where,
                        hint=f"see whether 'ssh {host} true' works" if lost else None,
                    ) from error
                time.sleep(_RECONNECT_S[failures])
                failures += 1

    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        """See ``Launcher``: SIGTERM, to the very process that was started."""
        unknown: dict[int, JobStatus] = {}
        places = _by_host(jobs, unknown)
        found: dict[int, str | None] = {index: known.says for index, known in unknown.items()}

        def answered(host: str, answer: _Answer | LaunchError) -> None:
            for index in places[host]:
                if isinstance(answer, LaunchError):
                    found[index] = answer.what
                else:
                    found[index] = answer["jobs"][str(index)]

        self._each(_orders("cancel", places), answered)
        return found


def _result(done: Future[_Answer]) -> _Answer | LaunchError:
    try:
        return done.result()
    except LaunchError as error:
        return error


def _orders(what: str, places: Mapping[str, Mapping[int, _Answer]]) -> dict[str, _Answer]:
    return {
        host: {"do": what, "jobs": {str(index): job for index, job in jobs.items()}}
        for host, jobs in places.items()
    }


def _by_host(
    jobs: Sequence[PlacedJob], unknown: dict[int, JobStatus]
) -> dict[str, dict[int, _Answer]]:
    """What a host needs to find its jobs again, by host and index.

    It stands in the book, which others may have written: a text that is no host is never asked.
    """
    places: dict[str, dict[int, _Answer]] = {}
    for job in jobs:
        host, _, pid = job.engine_id.partition(" ")
        if host_fault(host) is not None or not pid.isdecimal() or job.log is None:
            what = f"{job.engine_id!r} is no job of this engine"
            unknown[job.index] = JobStatus(JobState.UNKNOWN, what, job.place)
            continue
        places.setdefault(host, {})[job.index] = {"pid": int(pid), "log": job.log}
    return places


def _named(indices: Sequence[int]) -> str:
    word = "worker" if len(indices) == 1 else "workers"
    return f"{word} {', '.join(map(str, indices))}"
