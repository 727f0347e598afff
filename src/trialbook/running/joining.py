"""A worker that joins a study by the name of its book: a run with one worker and no study file.

Everything it needs comes from the book: how the study is searched, its code, which data, which
configuration. So it runs on a machine that has Trialbook, the study's environment and a route to
the book, and no checkout. Which trial it gets is the book's to say; where it was placed, and by
whom, is no business of it. See ``docs/design/joining.md``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from trialbook.book.location import book_url
from trialbook.book.outlasting import PATIENCE_S
from trialbook.book.storage import BookStorage
from trialbook.capture.cache_file import default_cache_dir
from trialbook.capture.process import observed_placement
from trialbook.errors import UntrustedCodeError
from trialbook.records.launches import JobId, LaunchPin
from trialbook.records.workers import Placement
from trialbook.restoring.environment import recreate
from trialbook.restoring.tool import prepared_tool
from trialbook.restoring.workplace import workplace
from trialbook.running.budget import recorded_budget
from trialbook.running.coordinator import Coordinator
from trialbook.running.gpus import worker_variables
from trialbook.running.hash_seed import hash_seed
from trialbook.running.idling import Idling
from trialbook.running.joined_code import JoinedCode, code_from_book, code_here
from trialbook.running.joined_inputs import joined_config, joined_data
from trialbook.running.messages import Job
from trialbook.running.outcome import Limits, RunEnd, RunOutcome
from trialbook.running.progress import Progress, RunState, Silence
from trialbook.running.reaping import reap, reaped_text
from trialbook.running.recorded_study import RecordedStudy, recorded_study, require_search
from trialbook.running.signals import STOP_SIGNALS, Handler
from trialbook.running.standing import Standing
from trialbook.running.surroundings import Interpreter
from trialbook.running.trust import UNPICKLES, require_trust


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """How a worker joins a study.

    Args:
        study: Name of the study.
        storage: The book, as in ``create_study``; ``None`` for the default one.
        trials: Run at most so many trials, ``None`` for no limit.
        hours: Begin no trial after so many hours, ``None`` for no limit but the study's.
        idle_exit_s: Leave after so many seconds without a trial to claim; ``None`` as soon as
            nothing is left.
        mapped: Input name to path, for inputs that lie elsewhere on this machine.
        supply: Recorded files that the book holds by digest only, to a copy of them.
        config: A configuration file that stands for the recorded configuration.
        overrides: Dotted key to value, over the configuration.
        code: ``book`` for the code that the book holds, ``here`` for the checkout around the
            working directory.
        env: ``here`` for this environment, ``recreate`` for the recorded one.
        allow: Which of ``code``, ``data``, ``settings`` and ``environment`` may differ.
        trust: Run the book's code although the study was not created on this machine.
        pin: Run it when book and code are just these, and in no other case.
        job: The job of a launch that this worker is.
        paranoid: Hash the data again even when its stat has not changed.
        grace_s: How long a trial that does not ask may go on after a signal to stop.
        workers: How many work here, all on one copy of the code.
        gpus_per_worker: Devices for each worker, ``None`` to leave them all visible to all.
    """

    study: str
    storage: str | None = None
    trials: int | None = None
    hours: float | None = None
    idle_exit_s: float | None = None
    mapped: Mapping[str, str] = field(default_factory=dict)
    supply: Mapping[str, str] = field(default_factory=dict)
    config: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    code: Literal["book", "here"] = "book"
    env: Literal["here", "recreate"] = "here"
    allow: tuple[str, ...] = ()
    trust: bool = False
    pin: LaunchPin | None = None
    job: JobId | None = None
    paranoid: bool = False
    grace_s: float = 20.0
    workers: int = 1
    gpus_per_worker: int | None = None


def join_study(options: JoinOptions, progress: Progress | None = None) -> RunOutcome:
    """Work on a study until nothing is left for this worker.

    Args:
        options: Which study, and how.
        progress: Shows how it goes on.

    Raises:
        NotFoundError: There is no such study, or no such launch.
        UntrustedCodeError: The study was created elsewhere and is not trusted, or is not what was
            pinned.
        RestoreError: Code, data or environment cannot be put in place here.
        InputsChangedError: Code, data, configuration or environment differ from the study's.
        SettingsDifferError: Its sampler or pruner can be built by its owner alone.
        TooManyFailuresError: The first ``max_failures`` trials all failed.
        TrialbookError: The book refuses, or a coordinate cannot be observed.
    """
    progress = progress or Silence()
    url = book_url(options.storage)
    # Nobody looks at a worker that a launcher placed: it waits for a server that is away.
    patience_s = None if options.job is None else PATIENCE_S
    storage = BookStorage(url, create=False, patience_s=patience_s)
    try:
        study = recorded_study(storage, options.study)
        _require_permission(storage, study, options)
        require_search(storage, study)
        placement = placement_of(storage, options.job, os.environ)
        for reaped in reap(storage, options.study):
            progress.said(reaped_text(reaped))
        study_id, name = study.record.study_id, study.record.name
        budget = recorded_budget(storage, study_id)
        state = Standing(storage, study_id, name, budget).state(0)
        if state.to_go == 0 and options.idle_exit_s is None:
            progress.began(state)
            progress.ended(state)
            return RunOutcome(name, RunEnd.BUDGET, state, ())
        return _worked(storage, study, options, progress, _Terms(url, budget, placement, state))
    finally:
        storage.close()


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is known before anything is restored.

    Args:
        url: The book with its password.
        budget: The study's total of trials.
        placement: What placed this worker.
        state: Where the study stands.
    """

    url: str
    budget: int | None
    placement: Placement
    state: RunState


class _StoppedError(BaseException):
    """A signal asked this process to stop before it had a worker that could hear it."""


def _worked(
    storage: BookStorage,
    study: RecordedStudy,
    options: JoinOptions,
    progress: Progress,
    terms: _Terms,
) -> RunOutcome:
    """Put everything in place and run trials; what was put there is gone afterwards."""
    try:
        with _stopped_by_signals(), workplace() as directory:
            job = _job(storage, study, options, terms, directory, progress.said)
            own = hash_seed(os.environ, study.environment.interpreter.hash_seed)
            return Coordinator(
                storage,
                job,
                worker_variables(options.workers, options.gpus_per_worker, own),
                Limits(_time_s(study, options), study.spec.max_failures, options.trials),
                progress,
                Idling(
                    options.idle_exit_s, lambda: recorded_budget(storage, study.record.study_id)
                ),
            ).run()
    except _StoppedError:
        return RunOutcome(study.record.name, RunEnd.PREEMPTED, terms.state, ())


def _job(
    storage: BookStorage,
    study: RecordedStudy,
    options: JoinOptions,
    terms: _Terms,
    directory: Path,
    tell: Callable[[str], None],
) -> Job:
    config, overrides = joined_config(study.config, options.config, options.overrides)
    interpreter = _interpreter(study, options, directory, tell)
    code = _code(storage, study, options, directory, interpreter, tell)
    data = joined_data(
        study,
        code,
        storage,
        options.mapped,
        allow_other="data" in options.allow,
        paranoid=options.paranoid,
    )
    for remark in data.remarks:
        tell(remark)
    spec = study.spec
    return Job(
        book=terms.url,
        shown_book=storage.url,
        study=study.record.name,
        study_id=study.record.study_id,
        search=spec.search,
        name=code.source.name,
        file=code.source.file,
        module=code.source.module,
        search_path=code.search_path,
        data=data.declared,
        mapped=data.paths,
        config=config,
        overrides=overrides,
        config_of=study.config,
        seed=study.reference.seed,
        isolation=spec.isolation,
        paranoid=options.paranoid,
        allowed=options.allow,
        budget=terms.budget,
        lease_s=spec.lease_s,
        limits=spec.limits,
        grace_s=options.grace_s,
        joined=True,
        placement=terms.placement,
        entry=code.entry,
        place=code.place,
        interpreter=interpreter,
    )


def _code(
    storage: BookStorage,
    study: RecordedStudy,
    options: JoinOptions,
    directory: Path,
    interpreter: Interpreter | None,
    tell: Callable[[str], None],
) -> JoinedCode:
    if options.code == "here":
        return code_here(study)
    supply = {name: Path(path).expanduser().absolute() for name, path in options.supply.items()}
    tool = None if interpreter is None else Path(interpreter.tool)
    return code_from_book(study, storage, directory, supply, tool, tell)


def _interpreter(
    study: RecordedStudy, options: JoinOptions, directory: Path, tell: Callable[[str], None]
) -> Interpreter | None:
    if options.env == "here":
        return None
    cache = default_cache_dir() / "environments"
    python = recreate(study.environment, cache_dir=cache, tell=tell)
    return Interpreter(str(python), str(prepared_tool(directory / "tool")))


def _time_s(study: RecordedStudy, options: JoinOptions) -> float | None:
    given = [hours for hours in (options.hours, study.spec.search.hours) if hours is not None]
    return 3600 * min(given) if given else None


def _require_permission(storage: BookStorage, study: RecordedStudy, options: JoinOptions) -> None:
    if options.pin is None:
        if options.code == "here":
            require_trust(study.record, options.trust, because=UNPICKLES)
        else:
            require_trust(study.record, options.trust)
        return
    here = LaunchPin(storage.book.book_id, study.code_snapshot.digest)
    if here != options.pin:
        raise UntrustedCodeError(
            f"this worker is to run {options.pin}, and the book holds {here} for study "
            f"{study.record.name!r} (BOOK:CODE)",
            where=storage.url,
            hint="launch workers again for the code that the study has now",
        )


def placement_of(storage: BookStorage, job: JobId | None, environ: Mapping[str, str]) -> Placement:
    """What placed this worker.

    Args:
        storage: The book.
        job: The job of a launch that it is, ``None`` when nobody launched it.
        environ: Its environment, where a batch system may have put its own id of the job.

    Raises:
        NotFoundError: There is no such launch.
    """
    observed = observed_placement(environ)
    if job is None:
        return observed
    engine = storage.launches.one(job.launch).engine
    own_id = observed.job if observed.launcher == engine else None
    return Placement(engine, own_id or str(job), str(job))


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Until a run hears them, let the signals that ask to stop end what is being prepared."""

    def heard(*_: object) -> NoReturn:
        raise _StoppedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Handler] = {}
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, heard)  # type: ignore[assignment]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
