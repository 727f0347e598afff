"""The launcher for Ray: one detached actor a worker on a cluster that is there already.

The actors are never started again by Ray, and outlive the command that asked for them. Ray is asked
for resources, for a process to be started, and for its end; a node that is lost takes its workers
along, and their trials are taken over by others when their leases end. What runs inside the
cluster is in ``ray_actors.py``.

An address and a token are taken as Ray takes them (``RAY_ADDRESS``, ``RAY_AUTH_MODE``,
``RAY_AUTH_TOKEN``, ``RAY_AUTH_TOKEN_PATH`` or Ray's own token file); no token is kept here.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trialbook.errors import InvalidInputError, LaunchError, MissingEngineError
from trialbook.records.launches import JobState, JobStatus, PlacedJob
from trialbook.running.hash_seed import hash_seed
from trialbook.running.launch import ray_actors
from trialbook.running.launch.contract import Launcher, Placed, WorkerOrder

NAMESPACE = "trialbook"
_OPTIONS = ("address", "python", "gpus_per_worker", "num_cpus", "num_gpus", "memory", "resources")
_ANSWER_S = 30.0
_POLL_S = 0.5
_HEAD = "node:__internal_head__"
_turn = threading.Lock()
"""Ray knows one cluster a process: whoever talks to one has it for himself."""


class RayLauncher(Launcher):
    """Workers on an existing Ray cluster.

    Args:
        options: ``address`` as users give it to Ray (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``;
            default: ``RAY_ADDRESS``, else ``auto``), ``python`` (the interpreter on the nodes),
            ``num_cpus`` (of each worker, default 1), ``num_gpus`` (or ``gpus_per_worker``; default
            0), ``memory`` (bytes, which Ray reserves), ``resources`` (JSON, ``{"NAME": AMOUNT}``).
    """

    engine = "ray"

    def __init__(self, options: Mapping[str, Any]) -> None:
        faults = [
            f"{name!r} is no option of the engine ray" for name in options if name not in _OPTIONS
        ]
        address = options.get("address")
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            faults.append(
                f"{address} is the address of Ray's dashboard: give HOST:6379 or ray://HOST:10001"
            )
        self.address = str(address or os.environ.get("RAY_ADDRESS") or "auto")
        self._python = str(options.get("python") or sys.executable)
        self._demand: dict[str, Any] = {
            "num_cpus": _amount(options, "num_cpus", 1.0, faults),
            "num_gpus": _amount(
                options, "num_gpus", float(options.get("gpus_per_worker") or 0), faults
            ),
        }
        if options.get("memory") is not None:
            self._demand["memory"] = int(_amount(options, "memory", 0.0, faults))
        if options.get("resources") is not None:
            self._demand["resources"] = _resources(options["resources"], faults)
        if faults:
            raise InvalidInputError(
                "; ".join(faults), hint=f"its options are {', '.join(_OPTIONS)}"
            )

    def submit(self, order: WorkerOrder, workers: int, placed: Placed) -> None:
        """See ``Launcher``: an actor waits in Ray until the cluster has room for it."""
        with self._cluster() as ray:
            ledger = self._new_ledger(ray, order.launch_id, workers)
            employer = ray.remote(ray_actors.Employer)
            for index in range(workers):
                name = _actor_name(order.launch_id, index)
                environment = {**order.environment, **hash_seed(order.environment)}
                try:
                    employer.options(
                        name=name,
                        lifetime="detached",
                        max_restarts=0,
                        max_task_retries=0,
                        max_concurrency=2,
                        scheduling_strategy="SPREAD",
                        **self._demand,
                    ).remote(index, list(order.command(self._python, index)), environment, ledger)
                except Exception as error:
                    raise LaunchError(
                        f"Ray refused worker {index}: {_first_line(error)}", where=self.address
                    ) from error
                placed(PlacedJob(index, name))

    def status(self, jobs: Sequence[PlacedJob]) -> dict[int, JobStatus]:
        """See ``Launcher``."""
        with self._cluster() as ray:
            # In this order: an actor that is gone has told the ledger of its end before.
            actors = {job.index: _actor(ray, job.engine_id) for job in jobs}
            facts = {launch: self._facts(ray, launch) for launch in set(map(_launch_of, jobs))}
            return {
                job.index: _status(facts[_launch_of(job)], job, actors[job.index]) for job in jobs
            }

    def log(self, job: PlacedJob, *, follow: bool = False) -> Iterator[bytes]:
        """See ``Launcher``: of a long log the ledger keeps the beginning and the end."""
        place = 0
        with self._cluster() as ray:
            while True:
                is_over = _actor(ray, job.engine_id) is None
                ledger = _actor(ray, _ledger_name(_launch_of(job)))
                if ledger is None:
                    raise LaunchError(
                        "the log is gone with the node that kept it",
                        where=f"the actor {_ledger_name(_launch_of(job))} at {self.address}",
                    )
                text, place = self._answer(ray, ledger.log.remote(job.index, place))
                if text:
                    yield text
                elif is_over or not follow:
                    return
                else:
                    time.sleep(_POLL_S)

    def cancel(self, jobs: Sequence[PlacedJob]) -> dict[int, str | None]:
        """See ``Launcher``: workers that run get SIGTERM, those that wait are forgotten."""
        with self._cluster() as ray:
            done: dict[int, str | None] = {}
            for job in jobs:
                actor = _actor(ray, job.engine_id)
                facts = self._facts(ray, _launch_of(job)) or {}
                done[job.index] = None
                if actor is None:
                    continue
                try:
                    if job.index in facts:
                        self._answer(ray, actor.stop.remote())
                    else:
                        ray.kill(actor)
                except LaunchError as error:
                    done[job.index] = error.what
            return done

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Ray, connected to the cluster for as long as the block lasts."""
        ray = _imported()
        with _turn:
            mine = not ray.is_initialized()
            if mine:
                self._connect(ray)
            try:
                ray.cloudpickle.register_pickle_by_value(ray_actors)
                yield ray
            finally:
                if mine:
                    ray.shutdown()

    def _connect(self, ray: Any) -> None:
        try:
            ray.init(
                address=self.address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except Exception as error:  # Ray raises many kinds, RuntimeError and ConnectionError alike
            raise MissingEngineError(
                f"the Ray cluster cannot be reached: {_first_line(error)}",
                where=self.address,
                hint="give its address with --address HOST:6379, and its token as Ray takes it "
                "(RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH)",
            ) from error

    def _new_ledger(self, ray: Any, launch: str, workers: int) -> Any:
        """The ledger of a launch, which is there before any worker; on the head where there is one.

        A lost worker node then takes no log along but its own workers'.
        """
        on_head = {_HEAD: 0.001} if _HEAD in ray.cluster_resources() else {}
        ledger = (
            ray.remote(ray_actors.Ledger)
            .options(
                name=_ledger_name(launch),
                lifetime="detached",
                num_cpus=0,
                resources=on_head or None,
            )
            .remote(workers)
        )
        self._answer(ray, ledger.facts.remote())
        return ledger

    def _facts(self, ray: Any, launch: str) -> dict[int, dict[str, Any]] | None:
        """What the ledger of a launch knows, ``None`` when it is gone."""
        ledger = _actor(ray, _ledger_name(launch))
        if ledger is None:
            return None
        facts: dict[int, dict[str, Any]] = self._answer(ray, ledger.facts.remote())
        return facts

    def _answer(self, ray: Any, reference: Any) -> Any:
        try:
            return ray.get(reference, timeout=_ANSWER_S)
        except Exception as error:
            raise LaunchError(
                f"Ray gave no answer: {_first_line(error)}", where=self.address
            ) from error


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingEngineError(
            "Ray is not installed here", hint="pip install 'trialbook[ray]'"
        ) from error
    return ray


def _status(
    facts: dict[int, dict[str, Any]] | None, job: PlacedJob, actor: object | None
) -> JobStatus:
    """What is known of a job: from the ledger, and whether its actor is still there."""
    known = None if facts is None else facts.get(job.index)
    place = None if known is None else known["host"]
    if known is not None and known["exit"] is not None:
        code = known["exit"]
        return JobStatus(JobState.ENDED, code if isinstance(code, str) else f"exit {code}", place)
    if actor is not None:
        return JobStatus(JobState.PENDING if known is None else JobState.RUNNING, None, place)
    if facts is None:
        return JobStatus(JobState.UNKNOWN, "the cluster knows nothing of it any more")
    if known is None:
        return JobStatus(JobState.ENDED, "it never began")
    return JobStatus(JobState.ENDED, "lost with its node, or killed", place)


def _actor(ray: Any, name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _actor_name(launch: str, index: int) -> str:
    return f"trialbook-{launch}-{index}"


def _ledger_name(launch: str) -> str:
    return f"trialbook-{launch}"


def _launch_of(job: PlacedJob) -> str:
    return job.engine_id.split("-")[1] if job.engine_id.count("-") == 2 else job.engine_id


def _amount(options: Mapping[str, Any], name: str, default: float, faults: list[str]) -> float:
    value = options.get(name)
    if value is None:
        return default
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = -1.0
    if not 0 <= amount < float("inf"):
        faults.append(f"{name} must be a number from 0 up, not {value!r}")
        return default
    return amount


def _resources(value: Any, faults: list[str]) -> dict[str, float]:
    """Custom resources from JSON text or a mapping."""
    try:
        given = json.loads(value) if isinstance(value, str) else value
        return {str(name): float(amount) for name, amount in dict(given).items()}
    except (TypeError, ValueError):
        faults.append(f'resources must be JSON such as {{"big": 1}}, not {value!r}')
        return {}


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
