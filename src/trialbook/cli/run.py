"""``trialbook run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, confirmed, mapped_inputs
from trialbook.cli.output import Format, write_note
from trialbook.cli.wording import given_back_text

if TYPE_CHECKING:
    from trialbook.running.run import RunOutcome
    from trialbook.running.spec import RunSpec

_BEST_SHOWN = 3


@click.command()
@click.argument("target", metavar="STUDY.yaml|FILE.py:FUNCTION|MODULE:FUNCTION")
@click.option("--trials", type=click.IntRange(min=1), help="Total of finished trials.")
@click.option("--workers", type=click.IntRange(min=1), help="Trials that run at the same time.")
@click.option("--timeout", metavar="SECONDS", type=float, help="Begin no trial after this time.")
@click.option("--study", metavar="NAME", help="Name of the study in the book.")
@click.option(
    "--direction",
    "directions",
    type=click.Choice(["minimize", "maximize"]),
    multiple=True,
    help="Once for each objective.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="The study's seed.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Set config KEY.")
@click.option("--data", "inputs", metavar="NAME=PATH", multiple=True, help="Where input NAME lies.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "fork", "fresh", "none"]),
    help="How trials are kept apart.",
)
@click.option(
    "--gpus-per-worker", type=click.IntRange(min=1), metavar="N", help="GPUs for each worker."
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    metavar="N",
    help="Stop when the first N trials all fail; 0: never.  [default: 3]",
)
@click.option(
    "--allow",
    type=click.Choice(["code", "data", "settings", "environment"]),
    multiple=True,
    help="Go on although this changed since the study's last trial.",
)
@click.option("--paranoid", is_flag=True, help="Hash the data again even when its stat is equal.")
@click.option(
    "--retries",
    metavar="NAME=N",
    multiple=True,
    help="Try a trial again N times: lost, out_of_memory, failed; backoff_s seconds apart.",
)
@click.option(
    "--trial-limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="End a trial that takes longer; 0: no limit.",
)
@click.option(
    "--progress-limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="End a trial that logs nothing for so long; 0: no limit.",
)
@click.option(
    "--lease",
    "lease_s",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    help="A worker silent for so long counts as lost.  [default: 60]",
)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default="20",
    help="After a signal, how long a trial that does not ask may go on.",
)
@click.option("--trust", is_flag=True, help="Go on with a study that was not created here.")
@common_options
def run(
    target: str,
    storage: str | None,
    inputs: tuple[str, ...],
    gpus_per_worker: int | None,
    allow: tuple[str, ...],
    paranoid: bool,
    timeout: float | None,
    grace: float,
    trust: bool,
    **flags: Any,
) -> int:
    """Run a search up to its budget, every trial recorded.

    The same command again continues the study, and starts nothing when the budget is met. Ctrl-C
    finishes the running trials. SIGTERM, SIGUSR1 and SIGUSR2 let them save a checkpoint and give
    them back. A second signal does so at once.
    """
    from trialbook.cli.run_progress import run_progress
    from trialbook.errors import UntrustedCodeError
    from trialbook.running.run import RunOptions, run_study

    spec = _spec(target, **flags)
    options = RunOptions(
        storage=storage,
        timeout_s=timeout,
        mapped=mapped_inputs(inputs),
        allow=allow,
        gpus_per_worker=gpus_per_worker,
        paranoid=paranoid,
        grace_s=grace,
        trust=trust,
    )
    try:
        outcome = run_study(spec, options, run_progress())
    except UntrustedCodeError as error:
        if not confirmed(f"{error.what}. Go on?", yes=False, flag="--trust"):
            raise
        outcome = run_study(spec, replace(options, trust=True), run_progress())
    _write_best(outcome, storage)
    return _exit_code(outcome)


def _spec(
    target: str,
    *,
    trials: int | None,
    workers: int | None,
    study: str | None,
    directions: tuple[str, ...],
    seed: int | None,
    settings: tuple[str, ...],
    isolation: str | None,
    max_failures: int | None,
    retries: tuple[str, ...],
    trial_limit: float | None,
    progress_limit: float | None,
    lease_s: float | None,
) -> RunSpec:
    """The study that is asked for: a file or an objective, with the flags on top."""
    from trialbook.capture.config import parsed_overrides
    from trialbook.running.conduct import retries_of
    from trialbook.running.spec import objective_spec, read_spec

    if target.endswith((".yaml", ".yml")):
        spec = read_spec(Path(target))
    else:
        spec = objective_spec(target, Path.cwd())
    given: dict[str, Any] = {
        "trials": trials,
        "workers": workers,
        "study": study,
        "directions": directions or None,
        "seed": seed,
        "isolation": isolation,
        "max_failures": max_failures,
        "lease_s": lease_s,
    }
    limits = {"trial_s": trial_limit, "progress_s": progress_limit}
    asked = {name: value or None for name, value in limits.items() if value is not None}
    return replace(
        spec,
        overrides=parsed_overrides(settings),
        retries={**spec.retries, **retries_of(retries)},
        limits={**spec.limits, **asked},
        **{name: value for name, value in given.items() if value is not None},
    )


def _write_best(outcome: RunOutcome, storage: str | None) -> None:
    """The best trials to stdout, the front when there are several objectives."""
    from trialbook.analysis.opening import opened
    from trialbook.cli.study_page import write_ranking
    from trialbook.errors import BadReferenceError, NotFoundError

    if not outcome.state.states.get("COMPLETE"):
        write_note("no trial is complete")
        return
    with opened(storage) as reader:
        record = reader.study(outcome.study)
        if len(record.directions) > 1:
            trials, ranked = reader.front(outcome.study), False
        else:
            try:
                trials, ranked = reader.best(outcome.study, _BEST_SHOWN), True
            # Complete ones, but none that keeps its constraints; or replicates.
            except (BadReferenceError, NotFoundError) as error:
                write_note(error.what)
                return
        write_ranking(reader, record, trials, Format.TABLE, ranked=ranked)


def _exit_code(outcome: RunOutcome) -> ExitCode:
    from trialbook.running.run import RunEnd

    if outcome.given_back:
        write_note(given_back_text(outcome.given_back))
    if outcome.end is RunEnd.PREEMPTED:
        write_note(f"{outcome.end}; the same command goes on")
        return ExitCode.DONE
    if outcome.end in (RunEnd.DRAINED, RunEnd.ABANDONED):
        write_note(f"{outcome.end}; the same command goes on")
        return ExitCode.INTERRUPTED
    if outcome.end is not RunEnd.BUDGET:
        write_note(f"{outcome.end}")
    if outcome.trials and all(trial.state == "FAIL" for trial in outcome.trials):
        write_note("every trial of this run failed")
        return ExitCode.FAILED
    running = outcome.state.states.get("RUNNING", 0)
    if outcome.end is RunEnd.BUDGET and running:
        trials, them = ("trial is", "it") if running == 1 else ("trials are", "them")
        write_note(
            f"{running} {trials} RUNNING elsewhere; the budget counts {them}, and this run does "
            "not wait. 'trialbook status' shows who runs what"
        )
        return ExitCode.INCOMPLETE
    return ExitCode.DONE
