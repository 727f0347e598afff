"""``trialbook worker``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.joining_options import joining_options
from trialbook.cli.options import common_options, confirmed, mapped_inputs
from trialbook.cli.output import write_note
from trialbook.cli.wording import given_back_text

if TYPE_CHECKING:
    from trialbook.running.outcome import RunOutcome


@click.command()
@click.argument("study", metavar="STUDY")
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Run at most N trials.")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Begin no trial after H hours.",
)
@click.option(
    "--idle-exit",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Look so long for a trial when none can be claimed.  [default: leave]",
)
@joining_options
@click.option(
    "--pinned",
    metavar="BOOK:CODE",
    help="Run the code without asking if book and code are these; else refuse.",
)
@click.option("--job", metavar="LAUNCH/INDEX", hidden=True)
@common_options
def worker(
    study: str,
    storage: str | None,
    trials: int | None,
    hours: float | None,
    idle_exit: float | None,
    inputs: tuple[str, ...],
    supplies: tuple[str, ...],
    settings: tuple[str, ...],
    config: str | None,
    code: Literal["book", "here"],
    env: Literal["here", "recreate"],
    allow: tuple[str, ...],
    paranoid: bool,
    grace: float,
    trust: bool,
    pinned: str | None,
    job: str | None,
) -> int:
    """Join a study and run trials of it, with nothing but its book.

    The study's code is restored from the book, its data are looked for here and held against
    their digests. The worker leaves when nothing is left to do. Ctrl-C finishes the running trial;
    SIGTERM, SIGUSR1 and SIGUSR2 let it save a checkpoint and give it back.
    """
    from trialbook.capture.config import parsed_overrides
    from trialbook.cli.run_progress import run_progress
    from trialbook.errors import UntrustedCodeError
    from trialbook.records.launches import JobId, LaunchPin
    from trialbook.running.joining import JoinOptions, join_study

    options = JoinOptions(
        study=study,
        storage=storage,
        trials=trials,
        hours=hours,
        idle_exit_s=idle_exit,
        mapped=mapped_inputs(inputs),
        supply=mapped_inputs(supplies, "--supply"),
        config=config,
        overrides=parsed_overrides(settings),
        code=code,
        env=env,
        allow=allow,
        trust=trust,
        pin=None if pinned is None else LaunchPin.of(pinned),
        job=None if job is None else JobId.of(job),
        paranoid=paranoid,
        grace_s=grace,
    )
    try:
        outcome = join_study(options, run_progress())
    except UntrustedCodeError as error:
        if pinned is not None or not confirmed(f"{error.what}. Run it?", yes=False, flag="--trust"):
            raise
        outcome = join_study(replace(options, trust=True), run_progress())
    return _exit_code(outcome)


def _exit_code(outcome: RunOutcome) -> ExitCode:
    from trialbook.running.outcome import RunEnd

    if outcome.given_back:
        write_note(given_back_text(outcome.given_back))
    write_note(f"the worker leaves: {outcome.end}")
    if outcome.end in (RunEnd.DRAINED, RunEnd.ABANDONED):
        return ExitCode.INTERRUPTED
    if outcome.end is RunEnd.PREEMPTED:
        return ExitCode.DONE
    if outcome.trials and all(trial.state == "FAIL" for trial in outcome.trials):
        write_note("every trial of this worker failed")
        return ExitCode.FAILED
    return ExitCode.DONE
