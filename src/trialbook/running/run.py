"""One call that runs a study: the study opened or created, the job described, the run done."""

from __future__ import annotations

import os

from trialbook.running.coordinator import Coordinator
from trialbook.running.gpus import worker_variables
from trialbook.running.hash_seed import hash_seed
from trialbook.running.outcome import Limits, RunEnd, RunOutcome
from trialbook.running.own_study import RunOptions, own_study
from trialbook.running.progress import Progress, Silence
from trialbook.running.reaping import reap, reaped_text
from trialbook.running.spec import RunSpec

__all__ = ["RunEnd", "RunOptions", "RunOutcome", "run_study"]


def run_study(
    spec: RunSpec, options: RunOptions | None = None, progress: Progress | None = None
) -> RunOutcome:
    """Run a study up to its budget.

    Args:
        spec: The study.
        options: How it is run.
        progress: Shows how it goes on.

    Raises:
        TooManyFailuresError: The first ``max_failures`` trials of the run all failed.
        InputsChangedError: Code or data differ from the study's last trial and are not allowed to.
        SettingsDifferError: The study is recorded with another sampler, pruner, seed or direction.
        ObjectiveError: The objective cannot be found or does not accept a trial.
        UntrustedCodeError: The study was created elsewhere and is not trusted.
        TrialbookError: The book refuses, or a coordinate cannot be observed.
    """
    options = options or RunOptions()
    environments = _environments(spec, options)
    with own_study(spec, options) as own:
        progress = progress or Silence()
        for reaped in reap(own.storage, spec.study):
            progress.said(reaped_text(reaped))
        limits = Limits(
            _deadline_s(spec, options),
            spec.max_failures,
        )
        return Coordinator(own.storage, own.job, environments, limits, progress).run()


def _deadline_s(spec: RunSpec, options: RunOptions) -> float | None:
    given = [
        limit
        for limit in (options.timeout_s, None if spec.hours is None else spec.hours * 3600)
        if limit is not None
    ]
    return min(given, default=None)


def _environments(spec: RunSpec, options: RunOptions) -> list[dict[str, str]]:
    return worker_variables(spec.workers, options.gpus_per_worker, hash_seed(os.environ))
