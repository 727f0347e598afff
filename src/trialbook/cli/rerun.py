"""``trialbook rerun``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.options import common_options, confirmed, format_option, mapped_inputs
from trialbook.cli.output import Format, write_note

if TYPE_CHECKING:
    from trialbook.records.verdict import Verdict


@click.command()
@click.argument("reference", metavar="STUDY/N|STUDY/best|STUDY/best~K")
@click.option("--data", "inputs", metavar="NAME=PATH", multiple=True, help="Where input NAME lies.")
@click.option(
    "--supply",
    "supplies",
    metavar="FILE=PATH",
    multiple=True,
    help="A copy of recorded FILE, which the book holds by digest only.",
)
@click.option(
    "--allow",
    type=click.Choice(["data"]),
    multiple=True,
    help="Run on data that differ from the record; the verdict says so.",
)
@click.option(
    "--env",
    type=click.Choice(["here", "recreate"]),
    default="here",
    show_default=True,
    help="Run in this environment and list how it differs, or build the recorded one first.",
)
@click.option("--rtol", type=float, default=0.0, help="Relative tolerance for values.")
@click.option("--atol", type=float, default=0.0, help="Absolute tolerance for values.")
@click.option(
    "--times", type=click.IntRange(min=1), default=1, metavar="K", help="Run it K times; spread."
)
@click.option("--trust", is_flag=True, help="Run code of a study that was not created here.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the restored code, the console and the results in this new directory.",
)
@format_option
@common_options
def rerun(
    reference: str,
    inputs: tuple[str, ...],
    supplies: tuple[str, ...],
    allow: tuple[str, ...],
    env: str,
    rtol: float,
    atol: float,
    times: int,
    trust: bool,
    keep: Path | None,
    format: Format,  # noqa: A002
    storage: str | None,
) -> int:
    """Run a recorded trial again and say whether it came out the same.

    The code is restored from the book into a clean directory and runs in a fresh process; params
    and prune answers are those of the record. Exit code 0: identical, or within the declared
    tolerance; 4: different; 5: not comparable.
    """
    from trialbook.cli.rerun_page import write_report
    from trialbook.errors import UntrustedCodeError
    from trialbook.rerun.run import rerun_as_wished
    from trialbook.rerun.wishes import Wishes

    wishes = Wishes.of(
        data=mapped_inputs(inputs),
        supply=mapped_inputs(supplies, "--supply"),
        allow=allow,
        env=env,
        rtol=rtol,
        atol=atol,
        times=times,
        trust=trust,
        keep=keep,
        tell=write_note,
    )
    try:
        report = rerun_as_wished(reference, wishes, storage)
    except UntrustedCodeError as error:
        if not confirmed(f"{error.what}. Run it?", yes=False, flag="--trust"):
            raise
        report = rerun_as_wished(reference, wishes.trusting(), storage)
    write_report(report, format)
    return exit_code_of_verdict(report.verdict)


def exit_code_of_verdict(verdict: Verdict) -> ExitCode:
    """What the shell learns of a verdict."""
    from trialbook.records.verdict import Verdict

    if verdict in (Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE):
        return ExitCode.DONE
    # Nothing is known to differ when the comparison could not be made: it is incomplete.
    return ExitCode.DIFFERENT if verdict is Verdict.DIFFERENT else ExitCode.INCOMPLETE
