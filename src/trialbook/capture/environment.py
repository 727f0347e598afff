"""The environment probe: interpreter, machine, packages, numerics, variables, placement."""

from __future__ import annotations

import os
from pathlib import Path

from trialbook.capture.machine import interpreter, machine
from trialbook.capture.numerics import (
    ThreadPools,
    current_locale,
    determinism_flags,
    result_variables,
    timezone,
)
from trialbook.capture.packages import index_url, installed_packages, lock_files, site_times
from trialbook.capture.placement import batch_job, container
from trialbook.capture.probe import Observation
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.environment import EnvironmentState


class EnvironmentProbe:
    """Observes the environment. Nothing is imported for it, nothing is installed.

    Args:
        root: The code's root, where lock files are looked for; ``None`` looks for none.
    """

    kind = Kind.ENVIRONMENT

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._pools = ThreadPools()
        self._observed: tuple[object, ...] | None = None

    def observe(self) -> Observation:
        """The environment as it is now; what cannot be observed is a gap with its reason."""
        hardware, gaps = machine()
        packages, unread = installed_packages()
        locks, unread_locks = lock_files(self._root) if self._root is not None else ({}, ())
        pools, flags = self._pools.observed(), determinism_flags()
        variables, effective = result_variables(os.environ), current_locale()
        self._observed = (site_times(), pools, flags, variables, effective)
        state = EnvironmentState(
            interpreter=interpreter(),
            machine=hardware,
            packages=packages,
            index_url=index_url(os.environ, _home()),
            lock_files=locks,
            thread_pools=pools,
            determinism=flags,
            variables=variables,
            locale=effective,
            timezone=timezone(os.environ),
            container=container(os.environ),
            job=batch_job(os.environ),
        )
        coverage = Coverage.of([*gaps, *unread, *unread_locks])
        return Observation(Snapshot.of(Kind.ENVIRONMENT, coverage, state))

    def changed(self) -> bool:
        """Whether libraries were loaded, flags or variables set, or distributions installed."""
        if self._observed is None:
            return True
        now = (
            site_times(),
            self._pools.observed(),
            determinism_flags(),
            result_variables(os.environ),
            current_locale(),
        )
        return now != self._observed


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home directory
        return Path("/nonexistent")
