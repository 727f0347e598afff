"""One call that launches: the study found and pinned, the launch written down, workers placed.

What runs afterwards are plain ``trialbook worker`` processes; nothing of this stays behind.
"""

from __future__ import annotations

import getpass
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trialbook.book.launches import new_launch_id
from trialbook.book.location import STORAGE_VARIABLE, book_url, sqlite_path
from trialbook.book.storage import BookStorage
from trialbook.errors import BookNotFoundError, InvalidInputError, LaunchError, NotFoundError
from trialbook.records.launches import LaunchPin, LaunchRecord, PlacedJob
from trialbook.records.references import StudyReference
from trialbook.records.secrets import redacted_mapping, secret_values_of
from trialbook.running.budget import recorded_budget
from trialbook.running.hash_seed import hash_seed
from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.running.launch.engines import ENGINES, launcher
from trialbook.running.launch.reach import require_reachable, server_variables
from trialbook.running.own_study import RunOptions, own_study
from trialbook.running.pinning import pinned_reference
from trialbook.running.spec import RunSpec
from trialbook.running.standing import Standing
from trialbook.running.trust import key_file, require_trust

ALLOWANCES = ("environment", "code", "data", "settings")
ENVIRONMENTS = ("here", "recreate")
CODES = ("book", "here")

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every worker of a launch is told; ``None`` and empty leave it to the worker.

    Args:
        trials: Trials that each of them runs at most.
        hours: Hours after which each of them begins no trial.
        idle_exit_s: How long each of them waits for a trial before it leaves.
        data: Input name to path on the workers' machines.
        supply: Recorded code file that the book does not hold to its path there.
        config: File of the configuration there, where the book's record of it lacks a credential.
        env: ``here``, or ``recreate`` for the study's environment.
        code: ``book``, or ``here`` for the checkout on the workers' machines.
        allow: Which of ``ALLOWANCES`` may differ from the study's.
        grace_s: How long a trial that does not ask may go on after a signal to stop.
    """

    trials: int | None = None
    hours: float | None = None
    idle_exit_s: float | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    supply: Mapping[str, str] = field(default_factory=dict)
    config: str | None = None
    env: str | None = None
    code: str | None = None
    allow: tuple[str, ...] = ()
    grace_s: float | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as options of ``trialbook worker``, one text each."""
        given = (
            ("--trials", self.trials),
            ("--hours", self.hours),
            ("--idle-exit", self.idle_exit_s),
            *(("--data", f"{name}={_absolute(path)}") for name, path in self.data.items()),
            *(("--supply", f"{name}={_absolute(path)}") for name, path in self.supply.items()),
            ("--config", None if self.config is None else _absolute(self.config)),
            ("--env", self.env),
            ("--code", self.code),
            *(("--allow", kind) for kind in self.allow),
            ("--grace", self.grace_s),
        )
        return tuple(
            text for flag, value in given if value is not None for text in (flag, str(value))
        )

    @property
    def problems(self) -> Iterator[str]:
        """What cannot be, one sentence each."""
        if self.trials is not None and self.trials < 1:
            yield f"trials must be 1 or more, not {self.trials}"
        for name, value in (
            ("hours", self.hours),
            ("idle exit", self.idle_exit_s),
            ("grace", self.grace_s),
        ):
            if value is not None and not (math.isfinite(value) and value >= 0):
                yield f"{name} must be a number from 0 up, not {value}"
        if self.hours == 0:
            yield "hours must be above 0"
        for what, mapped in (("data", self.data), ("supply", self.supply)):
            for name, path in mapped.items():
                if not name or not path or "=" in name:
                    yield f"{what} {name!r} at {path!r} maps nothing"
        for what, text, known in (
            ("env", self.env, ENVIRONMENTS),
            ("code", self.code, CODES),
            *(("allow", kind, ALLOWANCES) for kind in self.allow),
        ):
            if text is not None and text not in known:
                yield f"{what} must be one of {', '.join(known)}, not {text!r}"


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """Where workers are placed, and how many.

    Args:
        engine: ``local``, ``ssh``, ``slurm`` or ``ray``.
        workers: How many.
        storage: The book, as in ``create_study``; ``None`` for the default one.
        engine_options: As ``Launcher`` takes them.
        settings: What each worker is told.
        same_machine: Whether the engine's workers all run on this machine, whatever it says: then
            a book that only this machine reaches will do.
        trust: Go on with a study that was not created on this machine.
    """

    engine: str = "local"
    workers: int = 1
    storage: str | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    same_machine: bool = False
    trust: bool = False


def launch(
    target: str | RunSpec, options: LaunchOptions, said: Said = lambda _: None
) -> LaunchRecord | None:
    """Place workers for a study.

    A study in the book is held to its reference, which is fixed by this. One that is described by
    a ``RunSpec`` is created as a run does it, and its code, data and configuration as they are
    here become its reference unless it has one.

    Args:
        target: The name of a study in the book, or what is to be run.
        options: Where, and how many.
        said: Is told what the user should know.

    Returns:
        The launch, with the jobs as the engine took them. ``None`` when the study's budget is met:
        then nothing is placed, unless the workers are told how long to wait for a larger one.

    Raises:
        InvalidInputError: Arguments cannot be, all of them named; or the workers could not reach
            the book.
        MissingEngineError: The engine is not installed or not to be reached here.
        NotFoundError: There is no such study or book.
        UntrustedCodeError: The study was created elsewhere and is not trusted.
        InputsChangedError: What is to be run differs from the study and is not allowed to.
        LaunchError: Nothing says what the study's workers are to run; or the engine could not
            place them all, and those that it did place work.
    """
    engine = _checked_launcher(options)
    url = book_url(options.storage)
    name = target if isinstance(target, str) else target.study
    here = engine.stays_here or options.same_machine
    require_reachable(url, name, everybody_is_here=here)
    environment = {**hash_seed(os.environ), **engine.environment(options.workers)}
    reference = _fixed_reference(target, url, options, environment, said)
    if reference is None:
        return None
    storage = BookStorage(url, create=False)
    try:
        code = reference.coordinates.code
        pin = None if code is None else LaunchPin(storage.book.book_id, code)
        record = _recorded(storage, name, options, pin)
        order = _order(record, url, options.settings)
        return _placed(engine, order, record, storage, said)
    finally:
        storage.close()


def _checked_launcher(options: LaunchOptions) -> Launcher:
    problems = list(options.settings.problems)
    if options.workers < 1:
        problems.insert(0, f"there must be 1 or more workers, not {options.workers}")
    hint = "correct it; 'trialbook launch --help' lists the options"
    found: Launcher | None = None
    if options.engine not in ENGINES:
        problems.append(f"there is no engine {options.engine!r}, but {', '.join(ENGINES)}")
    else:
        try:
            found = launcher(options.engine, options.engine_options)
        except InvalidInputError as error:
            problems.append(error.what)
            hint = error.hint or hint
    if problems or found is None:
        raise InvalidInputError("; ".join(problems), hint=hint)
    return found


def _fixed_reference(
    target: str | RunSpec,
    url: str,
    options: LaunchOptions,
    environment: Mapping[str, str],
    said: Said,
) -> StudyReference | None:
    """What the workers of the study are held to, from now on; ``None`` when it needs none."""
    if isinstance(target, RunSpec):
        # Inputs that the workers find elsewhere may lie there on this machine too.
        mapped = {n: path for n, path in options.settings.data.items() if Path(path).exists()}
        given = RunOptions(url, mapped=mapped, allow=options.settings.allow, trust=options.trust)
        with own_study(target, given) as own:
            if _has_nothing_left(own.storage, own.job.study_id, options, said):
                return None
            return pinned_reference(own, environment)
    storage = BookStorage(url, create=False)
    try:
        return _fixed(storage, target, options, said)
    finally:
        storage.close()


def _fixed(
    storage: BookStorage, study: str, options: LaunchOptions, said: Said
) -> StudyReference | None:
    try:
        record = storage.get_study_record(storage.get_study_id_from_name(study))
    except NotFoundError as error:
        raise NotFoundError(
            error.what,
            where=error.where,
            hint="give its study file or FILE.py:FUNCTION to create it, or see 'trialbook ls'",
        ) from error
    require_trust(record, options.trust)
    if _has_nothing_left(storage, record.study_id, options, said):
        return None
    reference = storage.fix_reference(record.study_id)
    if reference is None:
        raise LaunchError(
            f"nothing says what the workers of study {study!r} are to run: it has no tracked trial",
            where=storage.url,
            hint="launch its study file, or FILE.py:FUNCTION with --study",
        )
    return reference


def _has_nothing_left(
    storage: BookStorage, study_id: int, options: LaunchOptions, said: Said
) -> bool:
    """Whether workers would find the budget met and leave at once; says so."""
    if options.settings.idle_exit_s is not None:
        return False
    study = storage.get_study_record(study_id).name
    state = Standing(storage, study_id, study, recorded_budget(storage, study_id)).state(0)
    if state.to_go != 0:
        return False
    said(
        f"{study}: {state.done} done, 0 to go, so no worker was placed; with --idle-exit SECONDS "
        "workers wait so long for a larger budget"
    )
    return True


def _absolute(path: str) -> str:
    """A path as it is from here: on the same place of a shared file system it is there, too."""
    return str(Path(path).absolute())


def is_recorded(storage: str | None, study: str) -> bool:
    """Whether there is a book that holds a study of this name."""
    try:
        book = BookStorage(storage, create=False)
    except BookNotFoundError:
        return False
    try:
        book.get_study_id_from_name(study)
    except KeyError:
        return False
    finally:
        book.close()
    return True


def launch_directory(launch_id: str) -> Path:
    """Where a launch keeps its files on the machine that launched: logs, scripts."""
    return key_file().parent / "launches" / launch_id


def _recorded(
    storage: BookStorage, study: str, options: LaunchOptions, pin: LaunchPin | None
) -> LaunchRecord:
    """The launch, written down before anything is placed."""
    launch_id = new_launch_id()
    directory = launch_directory(launch_id)
    try:
        directory.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise LaunchError(
            f"there is no place for the files of the launch: {error.strerror}",
            where=str(directory),
            hint="set XDG_STATE_HOME to a directory that can be written",
        ) from error
    shown, _ = redacted_mapping(options.engine_options, secrets=secret_values_of(os.environ))
    record = LaunchRecord(
        launch_id=launch_id,
        study_id=storage.get_study_id_from_name(study),
        study=study,
        engine=options.engine,
        created_s=time.time(),
        host=socket.gethostname(),
        user=_user(),
        workers=options.workers,
        options=shown,
        place=str(directory),
        pin=pin,
    )
    storage.launches.add(record)
    return record


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in containers
        return None


def _order(record: LaunchRecord, url: str, settings: WorkerSettings) -> WorkerOrder:
    pinned = () if record.pin is None else ("--pinned", str(record.pin))
    server = {} if sqlite_path(url) is not None else server_variables(os.environ)
    return WorkerOrder(
        launch_id=record.launch_id,
        study=record.study,
        arguments=(*pinned, *settings.arguments),
        environment={
            **server,
            STORAGE_VARIABLE: url,
            **hash_seed(os.environ),
        },
        directory=Path(str(record.place)),
    )


def _placed(
    engine: Launcher, order: WorkerOrder, record: LaunchRecord, storage: BookStorage, said: Said
) -> LaunchRecord:
    jobs: dict[int, PlacedJob] = {}

    def placed(job: PlacedJob) -> None:
        jobs[job.index] = job
        storage.launches.set_jobs(record.launch_id, _by_index(jobs))

    try:
        engine.submit(order, record.workers, placed)
    except BaseException as error:  # an interrupt too: what was placed works
        if jobs:
            said(
                f"launch {record.launch_id}: {len(jobs)} of {record.workers} workers were placed "
                "and work"
            )
            # Writing it down may be what was broken off.
            storage.launches.set_jobs(record.launch_id, _by_index(jobs))
        if isinstance(error, LaunchError) and error.where is None:
            error.where = f"launch {record.launch_id}"
        raise
    return replace(record, jobs=_by_index(jobs))


def _by_index(jobs: Mapping[int, PlacedJob]) -> tuple[PlacedJob, ...]:
    return tuple(jobs[index] for index in sorted(jobs))
