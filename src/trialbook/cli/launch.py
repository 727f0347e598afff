"""``trialbook launch``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trialbook.cli.options import common_options, confirmed, format_option, mapped_inputs
from trialbook.cli.output import (
    Column,
    Format,
    write_csv,
    write_json,
    write_note,
    write_table,
)
from trialbook.cli.wording import counted

if TYPE_CHECKING:
    from trialbook.records.launches import LaunchRecord
    from trialbook.running.launch.launching import LaunchOptions
    from trialbook.running.spec import RunSpec

_COLUMNS = (Column("JOB"), Column("ENGINE"), Column("ENGINE'S ID"), Column("PLACE"))
_CSV = ("job", "engine", "engine_id", "place")


@click.command()
@click.argument("target", metavar="STUDY|STUDY.yaml|FILE.py:FUNCTION|MODULE:FUNCTION")
@click.option(
    "--on",
    "engine",
    type=click.Choice(["local", "ssh", "slurm", "ray"]),
    default="local",
    show_default=True,
    help="The engine that places the workers.",
)
@click.option(
    "-w",
    "--workers",
    type=click.IntRange(min=1),
    help="How many.  [default: 1, or what the study file says]",
)
@click.option("--study", metavar="NAME", help="Name of the study that a file or function is.")
@click.option("--trials", type=click.IntRange(min=1), help="Trials of each worker at most.")
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Each worker begins no trial after this time.",
)
@click.option(
    "--idle-exit",
    "idle_exit_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long a worker waits for a trial before it leaves.",
)
@click.option(
    "--data", "inputs", metavar="NAME=PATH", multiple=True, help="Where input NAME lies there."
)
@click.option(
    "--supply",
    "supplies",
    metavar="FILE=PATH",
    multiple=True,
    help="A copy there of a code file that the book does not hold.",
)
@click.option("--config", metavar="FILE", help="The study's configuration file there.")
@click.option(
    "--env",
    type=click.Choice(["here", "recreate"]),
    help="Run in the environment that is there, or recreate the study's.",
)
@click.option(
    "--code",
    type=click.Choice(["book", "here"]),
    help="Run the code that the book keeps, or the checkout that is there.",
)
@click.option(
    "--allow",
    type=click.Choice(["environment", "code", "data", "settings"]),
    multiple=True,
    help="Let workers in although this differs; their trials say so.",
)
@click.option(
    "--grace",
    "grace_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="After a signal, how long a trial that does not ask may go on.",
)
@click.option(
    "--gpus-per-worker", type=click.IntRange(min=1), metavar="N", help="GPUs for each worker."
)
@click.option("--python", metavar="PATH", help="The interpreter on the workers' machines.")
@click.option("--host", "hosts", metavar="HOST", multiple=True, help="A host (ssh).")
@click.option(
    "--hosts",
    "host_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with a host a line (ssh).",
)
@click.option("--address", metavar="ADDRESS", help="The cluster (ray).")
@click.option(
    "-o",
    "--option",
    "options",
    metavar="KEY[=VALUE]",
    multiple=True,
    help="An option of the engine; docs/launching.md lists them.",
)
@click.option(
    "--same-machine",
    is_flag=True,
    help="All workers run on this machine, whatever the engine: a local book will do.",
)
@click.option("--trust", is_flag=True, help="Go on with a study that was not created here.")
@format_option
@common_options
def launch(
    target: str,
    engine: str,
    workers: int | None,
    study: str | None,
    inputs: tuple[str, ...],
    supplies: tuple[str, ...],
    storage: str | None,
    same_machine: bool,
    trust: bool,
    format: Format,  # noqa: A002
    **given: Any,
) -> None:
    """Place workers for a study: here, or through SSH, SLURM or Ray.

    They outlive the command. A study that is not in the book is created from its file or function,
    as 'trialbook run' does; what its workers are to run is then written down, and each of them is
    held to it. When its budget is met none is placed.
    """
    from trialbook.errors import UntrustedCodeError
    from trialbook.running.launch.launching import LaunchOptions, WorkerSettings
    from trialbook.running.launch.launching import launch as launched

    told = ("trials", "hours", "idle_exit_s", "config", "env", "code", "allow", "grace_s")
    options = LaunchOptions(
        engine=engine,
        workers=1 if workers is None else workers,
        storage=storage,
        engine_options=_engine_options(given),
        settings=WorkerSettings(
            data=mapped_inputs(inputs),
            supply=mapped_inputs(supplies, "--supply"),
            **{name: given[name] for name in told},
        ),
        same_machine=same_machine,
        trust=trust,
    )
    wanted = _target(target, study, options)
    if workers is None and not isinstance(wanted, str):
        options = replace(options, workers=wanted.workers)
    try:
        record = launched(wanted, options, write_note)
    except UntrustedCodeError as error:
        if not confirmed(f"{error.what}. Go on?", yes=False, flag="--trust"):
            raise
        record = launched(wanted, replace(options, trust=True), write_note)
    _write(record, format)


def _target(target: str, name: str | None, options: LaunchOptions) -> str | RunSpec:
    """The name of a study, or the study that a file or function describes."""
    from trialbook.running.launch.launching import is_recorded
    from trialbook.running.spec import objective_spec, read_spec

    if target.endswith((".yaml", ".yml")):
        spec = read_spec(Path(target))
    elif name is None and (":" not in target or is_recorded(options.storage, target)):
        return target
    else:
        spec = objective_spec(target, Path.cwd())
    return spec if name is None else replace(spec, study=name)


def _engine_options(given: dict[str, Any]) -> dict[str, Any]:
    """As ``Launcher`` takes them: only what was given."""
    found: dict[str, Any] = {}
    for text in given["options"]:
        key, equals, value = text.partition("=")
        if not key:
            raise click.UsageError(f"--option {text!r} names nothing; write KEY or KEY=VALUE")
        one: str | bool = value if equals else True
        if key not in found:
            found[key] = one
        elif isinstance(found[key], list):
            found[key].append(one)
        else:
            found[key] = [found[key], one]
    hosts = [*given["hosts"], *_listed(given["host_file"])]
    own = {
        "hosts": hosts or None,
        "address": given["address"],
        "python": given["python"],
        "gpus_per_worker": given["gpus_per_worker"],
    }
    for key, value in own.items():
        if key in found:
            flag = "host" if key == "hosts" else key.replace("_", "-")
            raise click.UsageError(f"--option {key} is an option of its own: write --{flag}")
        if value is not None:
            found[key] = value
    return found


def _listed(file: Path | None) -> Sequence[str]:
    """The lines of a file of hosts, for the engine to read."""
    if file is None:
        return ()
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--hosts {file}: it cannot be read: {error}") from error


def _rows(record: LaunchRecord) -> list[tuple[str, str, str, str]]:
    return [
        (f"{record.launch_id}/{job.index}", record.engine, job.engine_id, job.place or "")
        for job in record.jobs
    ]


def _write(record: LaunchRecord | None, format: Format) -> None:  # noqa: A002
    rows = [] if record is None else _rows(record)
    match format:
        case Format.JSON:
            write_json(record)
        case Format.CSV:
            write_csv(_CSV, rows)
        case Format.TABLE if rows:
            write_table(_COLUMNS, rows)
    if record is not None:
        write_note(
            f"launch {record.launch_id}: {counted(len(record.jobs), 'worker')} of study "
            f"{shlex.quote(record.study)}. 'trialbook jobs {record.launch_id}' shows how they do, "
            f"'trialbook drain {record.launch_id}' lets them finish and leave"
        )
