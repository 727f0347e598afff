"""One attempt under tracking, from its coordinates to its outcome.

The order is the promise: observe, commit, then run the user's code. The objective's own exception
always leaves as it came; a failure to record is told beside it.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from trialbook.book.attempt import Attempt
from trialbook.book.storage import BookStorage
from trialbook.capture.process import own_identity
from trialbook.capture.resources import ResourceMeter
from trialbook.errors import TrialbookWarning
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.replicates import REPLICATE, replicate_of
from trialbook.records.verdict import CoordinateDifference
from trialbook.records.workers import LEASE_S, Holder
from trialbook.tracking.beacon import Beacon, StopCause, stop_text
from trialbook.tracking.changes import changes_since_first, changes_since_last
from trialbook.tracking.console import ConsoleCapture, NoConsole, ProcessConsole
from trialbook.tracking.launch import current_launch
from trialbook.tracking.redaction import without_secrets
from trialbook.tracking.seeding import seed_globals, seedable, seeds_of_trial
from trialbook.tracking.session import Session
from trialbook.tracking.trial import Surroundings, TrackedTrial, current, running_count

_SHARED = (
    "trials ran side by side in threads of one process: "
    "global generators were not seeded and the console was not captured"
)


@dataclass(slots=True)
class StudyFacts:
    """What a recording needs to know of a study.

    Args:
        name: Its name.
        uid: Its random identity.
        search: What was asked of the search.
        components: The sampler and the pruner that these settings are of.
        changes: How this process's code and data differ from the study's first trial; ``None``
            until that was looked at.
        lease_s: How long a process holds a trial without a sign of life.
        seed: The study's seed, where trials are seeded from it.
    """

    name: str
    uid: str
    search: SearchSettings
    components: tuple[BaseSampler, BasePruner]
    changes: tuple[CoordinateDifference, ...] | None = None
    lease_s: float = LEASE_S
    seed: int | None = None


class Recording:
    """One execution of a trial under tracking.

    Args:
        function: The user's objective.
        trial: Optuna's trial.
        storage: The book that keeps the trial's study.
        session: The objective's probes.
        facts: The study.
        decorator_seed: The decorator's seed.
        lock: Held while the session observes.
    """

    def __init__(
        self,
        function: Callable[[TrackedTrial], Any],
        trial: optuna.Trial,
        storage: BookStorage,
        session: Session,
        facts: StudyFacts,
        decorator_seed: int | None,
        lock: threading.RLock,
    ) -> None:
        self._function = function
        self._trial = trial
        self._storage = storage
        self._session = session
        self._facts = facts
        self._decorator_seed = decorator_seed
        self._lock = lock
        self._shared = (
            threading.current_thread() is not threading.main_thread() or running_count() > 0
        )
        self._directory: Path | None = None
        self._begun_with: tuple[Snapshot, ...] = ()

    def run(self) -> Any:
        """Record, run, record; the objective's value or its exception."""
        attempt, seeds, config, data = self._begun()
        surroundings = Surroundings(
            attempt, seeds.trial, config, data, self._own_directory, current_launch().beacon
        )
        surroundings = replace(surroundings, own_globals=not self._shared)
        tracked = TrackedTrial.of(self._trial, surroundings)
        meter = ResourceMeter()
        console = self._console()
        meter.start()
        console.start()
        try:
            try:
                if not self._shared:
                    seed_globals(seeds.trial)
                with current(tracked):
                    value = self._function(tracked)
                attempt.returned(value)
            except BaseException as error:
                self._end_beside(error, attempt, tracked, meter, console)
                raise
            self._end(attempt, tracked, meter, console, None)
            return value
        finally:
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)

    def _begun(self) -> tuple[Attempt, Seeds, dict[str, Any], dict[str, Path]]:
        """Observe and commit the coordinates; nothing of the user's has run before this."""
        session, facts = self._session, self._facts
        with self._lock:
            if facts.changes is None and current_launch().claimed is None:
                # A worker's process asks its supervisor, and tells it.
                session.data.ask_others(self._storage.known_digests)
            session.observe()
            if facts.changes is None:
                facts.changes = self._changes()
                if current_launch().claimed is None:
                    self._storage.learn_digests(session.data.hashed_here)
            self._begun_with = snapshots = session.snapshots
            blobs = session.blobs
            config, data = deepcopy(session.config.config), dict(session.data.paths)
        seeds = seeds_of_trial(
            number=self._trial.number,
            study_seed=facts.seed,
            decorator_seed=self._decorator_seed,
            study_uid=facts.uid,
            given=self._given_seed(),
        )
        if not self._shared:
            seeds = replace(seeds, set_globals=seedable())
        claimed = current_launch().claimed
        attempt = self._storage.begin_attempt(
            self._trial._trial_id,
            snapshots=self._remarked(snapshots),
            blobs=blobs,
            seeds=seeds,
            claimed=claimed,
            holder=Holder(own_identity(), facts.lease_s) if claimed is None else None,
        )
        return attempt, seeds, config, data

    def _given_seed(self) -> int | None:
        """The seed of a replicate, ``None`` for any other trial."""
        attrs = self._trial._cached_frozen_trial.system_attrs
        if REPLICATE not in attrs:
            return None
        replicate = replicate_of(attrs)
        return None if replicate is None else replicate.seed

    def _changes(self) -> tuple[CoordinateDifference, ...]:
        """What this process changed since the study's first trial; warns of what is new."""
        study_id = self._trial.study._study_id
        here = self._session.code_and_data
        if current_launch().isolation == "none":
            new = changes_since_last(self._storage, study_id, here)
            if new:
                warnings.warn(
                    TrialbookWarning(
                        f"{_described(new)} since the last trial of study {self._facts.name!r}; "
                        "the trials say so. Use a new study name to keep them apart"
                    ),
                    stacklevel=2,
                )
        return changes_since_first(self._storage, study_id, here)

    def _remarked(self, snapshots: Iterable[Snapshot]) -> list[Snapshot]:
        """The snapshots, with what the execution coordinate has to say about this process."""
        remarked: list[Snapshot] = []
        for snapshot in snapshots:
            coverage = snapshot.coverage
            if snapshot.kind is Kind.EXECUTION:
                if self._facts.changes:
                    remark = f"{_described(self._facts.changes)} since the first trial of the study"
                    coverage = Coverage(coverage.level, (*coverage.reasons, remark))
                if self._shared:
                    coverage = coverage.lacking(_SHARED)
            if coverage is not snapshot.coverage:
                snapshot = Snapshot.of(snapshot.kind, coverage, snapshot.state)
            remarked.append(snapshot)
        return remarked

    def _console(self) -> ConsoleCapture:
        launch = current_launch()
        if launch.console is not None:
            return launch.console()
        return NoConsole(_SHARED) if self._shared else ProcessConsole()

    def _own_directory(self) -> Path:
        if self._directory is None:
            prefix = f"trialbook-{self._trial.number}-"
            self._directory = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        return self._directory

    def _end_beside(
        self,
        error: BaseException,
        attempt: Attempt,
        tracked: TrackedTrial,
        meter: ResourceMeter,
        console: ConsoleCapture,
    ) -> None:
        """Record the end of an objective that raised; never hide what it raised."""
        try:
            self._end(attempt, tracked, meter, console, error)
        except Exception as failure:
            error.add_note(f"Trialbook could not record the end of this attempt: {failure}")
            warnings.warn(
                TrialbookWarning(f"an attempt's end is not recorded: {failure}"), stacklevel=2
            )

    def _end(
        self,
        attempt: Attempt,
        tracked: TrackedTrial,
        meter: ResourceMeter,
        console: ConsoleCapture,
        error: BaseException | None,
    ) -> None:
        written = console.stop()
        used = meter.stop()
        with self._lock:
            for observation in self._session.changed_since_start(self._begun_with):
                attempt.amend(observation.snapshot, observation.blobs)
        message, text, redacted = _described_error(error)
        beacon = current_launch().beacon
        reason = _reason(error, beacon)
        if reason in _STOPPED.values():
            why = stop_text(beacon.cause, beacon.limit_s)
            message = why if not message else f"{why}; {message}"
        if reason is EndReason.OUT_OF_MEMORY and error is not None:
            # What the objective held when it failed is in the way of writing this down.
            traceback.clear_frames(error.__traceback__)
        outcome = OutcomeState(
            reason=reason,
            exception=None if error is None else dotted_name(type(error)),
            message=message,
            exit_code=exit_status(error),
            traceback=text,
            stdout=written.stdout,
            stderr=written.stderr,
            cpu_s=used.cpu_s,
            peak_memory_bytes=used.peak_memory_bytes,
            gpu_memory_bytes=used.gpu_memory_bytes,
            redacted=(*written.redacted, *redacted),
            gaps=(
                *written.gaps,
                *used.gaps,
                *tracked.gaps,
                *tracked.not_kept.gaps,
                *self._left_behind(tracked),
            ),
        )
        attempt.end(outcome, written.blobs)

    def _left_behind(self, tracked: TrackedTrial) -> tuple[str, ...]:
        if self._directory is None:
            return ()
        logged = tracked.logged_files
        left = sorted(
            path.relative_to(self._directory).as_posix()
            for path in self._directory.rglob("*")
            if path.is_file() and path.resolve() not in logged
        )
        if not left:
            return ()
        names = ", ".join(left[:5]) + (" and others" if len(left) > 5 else "")
        return (f"{len(left)} files of trial.dir were not logged as artifacts: {names}",)


def _described(changes: tuple[CoordinateDifference, ...]) -> str:
    kinds = " and ".join(dict.fromkeys(change.kind for change in changes))
    names = ", ".join(change.what for change in changes[:3])
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return f"loaded {kinds} changed ({names}{more})"


_STOPPED = {
    StopCause.PREEMPTED: EndReason.PREEMPTED,
    StopCause.TIMED_OUT: EndReason.TIMED_OUT,
    StopCause.STALLED: EndReason.STALLED,
}


def _reason(error: BaseException | None, beacon: Beacon) -> EndReason:
    if isinstance(error, optuna.TrialPruned):
        return EndReason.PRUNED
    cause = beacon.cause
    limit = cause in (StopCause.TIMED_OUT, StopCause.STALLED)
    # Whoever was told to stop has stopped. What raises when a limit of time has ended what it
    # waited for has reached the limit too.
    if cause is not StopCause.NONE and (beacon.has_asked or (limit and error is not None)):
        return _STOPPED[cause]
    if error is None:
        return EndReason.COMPLETE
    if is_out_of_memory(error):
        return EndReason.OUT_OF_MEMORY
    if isinstance(error, KeyboardInterrupt) and current_launch().entry is None:
        # A command's workers hear of an interrupt by message, so there the objective raised it.
        return EndReason.ABANDONED
    return EndReason.FAILED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the host or of a GPU, has run out."""
    if isinstance(error, MemoryError):
        return True
    return any(
        kind.__name__ == "OutOfMemoryError" and kind.__module__.partition(".")[0] == "torch"
        for kind in type(error).__mro__
    )


def exit_status(error: BaseException | None) -> int | None:
    """The status of a process that this exception would end by itself; ``None`` for others."""
    if not isinstance(error, SystemExit):
        return None
    if error.code is None:
        return 0
    return error.code if isinstance(error.code, int) else 1


def dotted_name(kind: type[BaseException]) -> str:
    """The name under which an exception's type is recorded; builtins without their module."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _described_error(
    error: BaseException | None,
) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Message and traceback of the user's part of the stack, redacted, and what was redacted."""
    if error is None:
        return None, None, ()
    message, in_message = without_secrets(str(error))
    if isinstance(error, optuna.TrialPruned):
        return message or None, None, ("message",) if in_message else ()
    own = error.__traceback__
    # The first frame is Recording.run's; the user's own function comes after it.
    inner = own.tb_next if own is not None and own.tb_next is not None else own
    lines = traceback.format_exception(type(error), error, inner)
    text, in_traceback = without_secrets("".join(lines))
    redacted = [
        name for name, count in (("message", in_message), ("traceback", in_traceback)) if count
    ]
    return message, text, tuple(redacted)
