"""Running a recorded trial again: the order of things in the parent process.

Trust, plan, environment, then for each repetition: restore the code into a clean directory, find
the data, start the child, compare, store the verdict. Each step lives in a file of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from trialbook.book.book import Book
from trialbook.book.reading import Reader
from trialbook.book.reruns import add_rerun
from trialbook.capture.cache_file import default_cache_dir
from trialbook.errors import BookError, BookReadOnlyError, NotFoundError, TrialbookWarning
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.verdict import RerunReport
from trialbook.rerun.judgement import Circumstances, judged, unfinished
from trialbook.rerun.order import RecordedTrial, ReplayOrder, write_order
from trialbook.rerun.plan import RerunPlan, rerun_plan
from trialbook.rerun.process import child_environment, run_child
from trialbook.rerun.repeated import RepeatedReport, spreads
from trialbook.rerun.results import End, ReplayOutcome, Results, read_outcome, recorded_results
from trialbook.rerun.wishes import Environment, Wishes
from trialbook.restoring.code import restore_code
from trialbook.restoring.inputs import found_inputs, place_inputs
from trialbook.restoring.places import CodePlaces, found_files, placed_code, require_loaded
from trialbook.restoring.search_path import SearchPath
from trialbook.restoring.tool import prepared_tool
from trialbook.running.trust import require_trust


@dataclass(frozen=True, slots=True)
class Subject:
    """A recorded trial with everything that a rerun of it looks at."""

    plan: RerunPlan
    snapshots: Mapping[Kind, Snapshot]
    recorded: Results


@overload
def rerun(
    reference: str,
    *,
    storage: str | Path | None = None,
    data: Mapping[str, str | Path] | None = None,
    allow: Collection[str] = (),
    env: Environment = "here",
    rtol: float = 0.0,
    atol: float = 0.0,
    times: Literal[1] = 1,
    trust: bool = False,
    keep: str | Path | None = None,
    supply: Mapping[str, str | Path] | None = None,
    tell: Callable[[str], None] | None = None,
) -> RerunReport: ...


@overload
def rerun(
    reference: str,
    *,
    storage: str | Path | None = None,
    data: Mapping[str, str | Path] | None = None,
    allow: Collection[str] = (),
    env: Environment = "here",
    rtol: float = 0.0,
    atol: float = 0.0,
    times: int,
    trust: bool = False,
    keep: str | Path | None = None,
    supply: Mapping[str, str | Path] | None = None,
    tell: Callable[[str], None] | None = None,
) -> RerunReport | RepeatedReport: ...


def rerun(
    reference: str,
    *,
    storage: str | Path | None = None,
    data: Mapping[str, str | Path] | None = None,
    allow: Collection[str] = (),
    env: Environment = "here",
    rtol: float = 0.0,
    atol: float = 0.0,
    times: int = 1,
    trust: bool = False,
    keep: str | Path | None = None,
    supply: Mapping[str, str | Path] | None = None,
    tell: Callable[[str], None] | None = None,
) -> RerunReport | RepeatedReport:
    """Run a recorded trial again, in a fresh process on the restored code, and compare.

    Nothing is searched: params and prune answers are those of the record. The verdict is stored
    in the book.

    Args:
        reference: ``STUDY/NUMBER``, ``STUDY/best`` or ``STUDY/best~K``.
        storage: The book, as in ``create_study``.
        data: Input name to where it lies on this machine.
        allow: ``"data"`` to run on data that differ from the record; the report says so.
        env: ``"here"`` runs in this environment and lists how it differs; ``"recreate"`` builds
            the recorded one first.
        rtol: Relative tolerance for values; 0.0 compares bits.
        atol: Absolute tolerance for values.
        times: How often to run it.
        trust: Run the book's code although the study was not created on this machine.
        keep: A new or empty directory that keeps the restored code, the console and the results.
        supply: Recorded files that the book holds by digest only, path to a copy of them.
        tell: Called with a line about each step.

    Returns:
        The report; with ``times`` above 1 all of them and their spread.

    Raises:
        InvalidInputError: An argument cannot be used; every fault is named.
        NotFoundError: There is no such study or trial.
        UntrustedCodeError: The study was not created here and ``trust`` is false.
        RerunError: The trial cannot be run again.
        RestoreError: Its code cannot be put back here.
        RestoreDataError: An input is missing or has other content.
        RestoreEnvironmentError: The environment cannot be recreated.
    """
    wishes = Wishes.of(
        data=data,
        supply=supply,
        allow=allow,
        env=env,
        rtol=rtol,
        atol=atol,
        times=times,
        trust=trust,
        keep=keep,
        tell=tell,
    )
    return rerun_as_wished(reference, wishes, storage)


def rerun_as_wished(
    reference: str, wishes: Wishes, storage: str | Path | None = None
) -> RerunReport | RepeatedReport:
    """Run a recorded trial again, as ``rerun`` says, with arguments that were checked before."""
    book = _opened(storage)
    try:
        reader = Reader(book)
        subject = _subject(reader, reference, wishes.trust)
        python = _interpreter(subject, wishes)
        reports: list[RerunReport] = []
        results: list[Results] = []
        with _workspace(wishes.keep) as directory:
            for index in range(wishes.times):
                place = directory if wishes.times == 1 else directory / str(index + 1)
                report, result = _performed(subject, reader, wishes, python, place)
                _store(book, subject, report)
                reports.append(report)
                results.append(result)
    finally:
        book.close()
    if wishes.times == 1:
        return reports[0]
    return RepeatedReport(
        subject.plan.reference, tuple(reports), spreads(subject.recorded, results)
    )


def _opened(storage: str | Path | None) -> Book:
    try:
        return Book.open(storage, create=False)
    except BookReadOnlyError:
        return Book.open(storage, create=False, read_only=True)


def _subject(reader: Reader, reference: str, trust: bool) -> Subject:
    trial = reader.trial(reference)
    study = reader.study(trial.study)
    require_trust(study, trust)
    attempt = trial.attempt
    snapshots: dict[Kind, Snapshot] = {}
    if attempt is not None:
        for kind in Kind:
            digest = attempt.coordinates.of(kind)
            if digest is not None:
                snapshots[kind] = reader.snapshot(digest)
    plan = rerun_plan(study, trial, snapshots)
    series = reader.trial_series(trial, with_test=True)
    return Subject(plan, snapshots, recorded_results(trial, plan.attempt, series))


def _interpreter(subject: Subject, wishes: Wishes) -> Path:
    if wishes.env == "here":
        return Path(sys.executable)
    from trialbook.restoring.environment import recreate

    wishes.tell("recreating the recorded environment")
    state = subject.plan.states.environment
    return recreate(state, cache_dir=default_cache_dir() / "environments", tell=wishes.tell)


@contextmanager
def _workspace(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    directory = Path(tempfile.mkdtemp(prefix="trialbook-rerun-")).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _performed(
    subject: Subject, reader: Reader, wishes: Wishes, python: Path, directory: Path
) -> tuple[RerunReport, Results]:
    """One rerun in a directory of its own."""
    plan = subject.plan
    states = plan.states
    wishes.tell("restoring the code")
    supply = {**found_files(states.code, states.launch.bases), **wishes.supply}
    restored = restore_code(states.code, reader.blob, directory / "code", supply=supply)
    require_loaded(restored)
    code = placed_code(states.code, states.launch.bases, restored, directory / "code")
    wishes.tell("checking the data")
    found = found_inputs(states.data, code, wishes.data, allow_other=wishes.allow_data)
    circumstances = Circumstances(
        (*found.differences, *place_inputs(states.data, code, found)),
        tuple(difference.what for difference in found.differences),
    )
    tool = prepared_tool(directory / "tool")
    order = _order(plan, code, found.paths, directory, tool)
    path = directory / "order.json"
    write_order(order, path)
    wishes.tell(f"running {plan.reference}")
    ended = run_child(
        python,
        plan.command.options,
        path,
        tool,
        child_environment(os.environ, states.environment, states.launch.gpus),
    )
    outcome = read_outcome(Path(order.results))
    if outcome is None:
        results = Results(End("FAIL", exit_code=ended.code, signal=ended.signal))
        stopped = unfinished(ended.code, ended.signal, ended.stderr)
        outcome = ReplayOutcome(results, stopped=stopped)
    report = judged(
        plan,
        subject.recorded,
        outcome,
        wishes.tolerance,
        subject.snapshots[Kind.ENVIRONMENT],
        circumstances,
    )
    return report, outcome.results


def _order(
    plan: RerunPlan, code: CodePlaces, data: Mapping[str, Path], directory: Path, tool: Path
) -> ReplayOrder:
    """What the child is told; the directories that it needs are made."""
    results, trial = directory / "results", directory / "trial"
    results.mkdir()
    trial.mkdir()
    launch, environment = plan.states.launch, plan.states.environment
    # An empty directory is in no manifest, so the recorded one may have to be made.
    cwd = code.counterpart(launch.cwd) or code.restored["."]
    cwd.mkdir(parents=True, exist_ok=True)
    return ReplayOrder(
        trial=RecordedTrial(
            study=plan.study.name,
            directions=plan.study.directions,
            number=plan.trial.number,
            trial_id=plan.trial.trial_id,
            study_attrs=plan.study.user_attrs,
            attrs=plan.initial_attrs,
        ),
        params=plan.params,
        prune_answers=plan.trial.prune_answers,
        seeds=plan.seeds,
        config=plan.states.config.as_seen,
        entry=plan.entry,
        module=plan.command.module,
        argv=_argv(plan, code),
        cwd=str(cwd),
        path=SearchPath(
            recorded=launch.sys_path,
            originals=launch.bases,
            restored={label: str(place) for label, place in code.restored.items()},
            tool=str(tool),
        ),
        data={name: str(path) for name, path in data.items()},
        thread_pools=environment.thread_pools,
        determinism=environment.determinism,
        cpus=environment.machine.cpu_affinity or environment.machine.cpu_count,
        directory=str(trial),
        results=str(results),
    )


def _argv(plan: RerunPlan, code: CodePlaces) -> tuple[str, ...]:
    """``sys.argv`` as the recorded code saw it.

    A worker's children are told by messages what to run; they show the objective's file or module.
    """
    if plan.entry.how == "script":
        return plan.command.argv
    if plan.states.launch.isolation == "none" and not plan.command.is_worker:
        return plan.command.argv
    if plan.entry.path is None:
        return (str(plan.entry.module),)
    return (str(code.restored[plan.entry.base] / plan.entry.path),)


def _store(book: Book, subject: Subject, report: RerunReport) -> None:
    """Keep the verdict; a book that cannot be written does not take the report away."""
    try:
        add_rerun(book, subject.plan.attempt.attempt_id, report, socket.gethostname())
    except (BookError, NotFoundError) as error:
        warnings.warn(
            TrialbookWarning(f"the verdict is not stored in the book: {error.what}"), stacklevel=3
        )
