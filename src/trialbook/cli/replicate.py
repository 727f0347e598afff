"""``trialbook replicate``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import click

from trialbook.cli.failures import ExitCode
from trialbook.cli.joining_options import joining_options
from trialbook.cli.options import (
    comma_separated,
    common_options,
    confirmed,
    format_option,
    mapped_inputs,
)
from trialbook.cli.output import Format, write_note
from trialbook.cli.wording import counted, given_back_text

if TYPE_CHECKING:
    from trialbook.running.joining import JoinOptions
    from trialbook.running.replicating.replicate import ReplicateOptions, ReplicationRun


@click.command()
@click.argument("reference", metavar="STUDY/best|STUDY/NUMBER")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Seeds that each configuration is to have run under, in all.  [default: as many as "
    "before, else 10]",
)
@click.option(
    "--also",
    metavar="NAME,...",
    multiple=True,
    help="Compare with these: default, best:2 (the runner-up), a trial's number.",
)
@click.option(
    "--default",
    "defaults",
    metavar="PARAM=VALUE",
    multiple=True,
    help="A param of the default configuration, unless the study says what it is.",
)
@click.option("--study", metavar="NAME", help="The linked study.  [default: STUDY.replicates]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Derive the fresh seeds from this.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Replicates that run at the same time.",
)
@click.option(
    "--place-only", is_flag=True, help="Run none here: workers of the linked study do that."
)
@click.option(
    "--method",
    type=click.Choice(["t", "bootstrap"]),
    default="t",
    show_default=True,
    help="How intervals of means are made.",
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Level of the intervals.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Begin no replicate after H hours.",
)
@joining_options
@click.option(
    "--gpus-per-worker", type=click.IntRange(min=1), metavar="N", help="GPUs for each worker."
)
@format_option
@common_options
def replicate(
    reference: str,
    storage: str | None,
    seeds: int | None,
    also: tuple[str, ...],
    defaults: tuple[str, ...],
    study: str | None,
    seed: int | None,
    place_only: bool,
    method: Literal["t", "bootstrap"],
    level: float,
    format: Format,  # noqa: A002
    **join: Any,
) -> int:
    """Run a chosen configuration again under fresh seeds, in a linked study.

    What it reaches on average is printed. The replicates are not pruned, and their seeds are the
    same for every configuration, so that comparisons are paired. The same command again goes on
    where it ended, and starts nothing when all have run; with more seeds it adds to them, with
    fewer it withdraws what has not begun of the others. Workers
    elsewhere join it with 'trialbook worker STUDY.replicates'.
    """
    from trialbook.cli.replicate_page import write_replication
    from trialbook.cli.run_progress import run_progress
    from trialbook.errors import UntrustedCodeError
    from trialbook.running.replicating.replicate import ReplicateOptions, replicate_as_asked

    options = ReplicateOptions(
        reference,
        seeds=seeds,
        also=comma_separated(*also),
        study=study,
        default=_default(defaults),
        seed=seed,
        place_only=place_only,
        join=_join_options(storage, **join),
    )
    try:
        done = replicate_as_asked(options, run_progress())
    except UntrustedCodeError as error:
        if not confirmed(f"{error.what}. Run it?", yes=False, flag="--trust"):
            raise
        options = replace(options, join=replace(options.join, trust=True))
        done = replicate_as_asked(options, run_progress())
    write_replication(done, storage, format, method=method, level=level)
    return _exit_code(done, options)


def _join_options(
    storage: str | None,
    *,
    inputs: tuple[str, ...],
    supplies: tuple[str, ...],
    settings: tuple[str, ...],
    **plain: Any,
) -> JoinOptions:
    from trialbook.capture.config import parsed_overrides
    from trialbook.running.joining import JoinOptions

    return JoinOptions(
        "",
        storage=storage,
        mapped=mapped_inputs(inputs),
        supply=mapped_inputs(supplies, "--supply"),
        overrides=parsed_overrides(settings),
        grace_s=plain.pop("grace"),
        **plain,
    )


def _default(texts: tuple[str, ...]) -> dict[str, Any] | None:
    """Params by name; values are read as YAML, as those of ``--set`` are."""
    from trialbook.capture.yaml import yaml_value

    given: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--default {text!r} gives no param; write PARAM=VALUE")
        given[name] = yaml_value(value, where=f"--default {text}")
    return given or None


def _exit_code(done: ReplicationRun, options: ReplicateOptions) -> ExitCode:
    from trialbook.records.shell_words import arguments
    from trialbook.running.outcome import RunEnd

    outcome = done.outcome
    if outcome is not None and outcome.given_back:
        write_note(given_back_text(outcome.given_back))
    if done.left:
        again = (
            f"these run them: trialbook worker {arguments(done.study)}"
            if options.place_only
            else "the same command goes on"
        )
        write_note(f"{counted(done.left, 'replicate')} still to run; {again}")
    if outcome is not None and outcome.end in (RunEnd.DRAINED, RunEnd.ABANDONED):
        write_note(f"{outcome.end}")
        return ExitCode.INTERRUPTED
    if outcome is not None and outcome.end is RunEnd.PREEMPTED:
        return ExitCode.DONE
    if outcome is not None and outcome.trials and all(t.state == "FAIL" for t in outcome.trials):
        write_note("every replicate of this run failed")
        return ExitCode.FAILED
    return ExitCode.INCOMPLETE if done.left else ExitCode.DONE
