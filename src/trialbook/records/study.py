"""Records of studies, trials, attempts, artifacts and reruns, as the book gives them out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from trialbook.records.adjustments import Adjustment
from trialbook.records.checkpoints import CheckpointRecord
from trialbook.records.config import SearchSettings
from trialbook.records.coordinates import CoordinateDigests
from trialbook.records.execution import EndReason, OutcomeState, Seeds
from trialbook.records.retries import RetryBudgets, TrialLimits
from trialbook.records.test_metrics import is_test
from trialbook.records.verdict import RerunRecord
from trialbook.records.workers import LEASE_S

TrialState = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]
Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class StudySpec:
    """What a study was asked to be; kept in the book, so that it can be resumed by its name.

    Args:
        search: Sampler, pruner, seed and budget.
        objective: ``FILE.py:function`` or ``module:function`` when the study came from a file
            or a command, else ``None``.
        isolation: ``auto``, ``fork``, ``fresh`` or ``none``.
        max_failures: Stop a run whose first so many trials all fail.
        tags: Free key and value text.
        changes: Every later change of sampler, pruner and seed that was asked for, oldest first, as
            text.
        source: Text of the study's YAML file, ``None`` without one.
        retries: How many times a trial is tried again, by cause.
        limits: What ends a trial that takes too long.
        lease_s: Seconds without a sign of life after which a worker counts as lost.
        default: Params of the configuration that was in use before the search, by name; empty when
            nobody said.
        adjustments: Every later change of budget, retries, limits, lease and default, oldest first.
        keeps_adjustments: Whether those are all since the study was created; earlier versions of
            Trialbook kept none.
        seed_from_sampler: Whether the study was given no seed, and has that of its sampler. The
            decorator's comes before it where trials are seeded.
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    objective: str | None = None
    isolation: str = "auto"
    max_failures: int = 3
    tags: dict[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    source: str | None = None
    retries: RetryBudgets = field(default_factory=RetryBudgets)
    limits: TrialLimits = field(default_factory=TrialLimits)
    lease_s: float = LEASE_S
    default: dict[str, Any] = field(default_factory=dict)
    adjustments: tuple[Adjustment, ...] = ()
    keeps_adjustments: bool = False
    seed_from_sampler: bool = False

    @property
    def change_texts(self) -> tuple[str, ...]:
        """Every later change of any setting, a sentence each."""
        return (*self.changes, *(adjustment.text for adjustment in self.adjustments))


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study. Times are seconds since the epoch.

    Args:
        study_id: The book's id.
        uid: A random identity that moves with the study.
        name: Its name.
        directions: One for each objective.
        spec: What was asked; ``None`` for a study that plain Optuna made.
        origin: Proof of the machine that created it (see ``running/trust.py``); may be ``None``.
        created_s: When it was created.
        deleted_s: When it was deleted, ``None`` while it lives.
        states: Number of trials in each state.
        user_attrs: Optuna's user attributes.
        metric_names: What its objectives are called (``Study.set_metric_names`` of Optuna), one for
            each direction; ``None`` when nobody has named them.
    """

    study_id: int
    uid: str
    name: str
    directions: tuple[Direction, ...]
    spec: StudySpec | None
    origin: str | None
    created_s: float
    deleted_s: float | None
    states: dict[TrialState, int]
    user_attrs: dict[str, Any]
    metric_names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ParamRecord:
    """One parameter of a trial.

    Args:
        name: Its name.
        value: What the objective saw.
        internal: Optuna's internal value (for a categorical, the index of the choice).
        distribution: its text, as in ``records/distributions.py``.
    """

    name: str
    value: Any
    internal: float
    distribution: str


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """A metric without its points; ``last``, ``minimum`` and ``maximum`` as in ``Series``.

    They are ``None`` too where they are withheld: test metrics are shown only where that is
    counted, see ``book/showings.py``.
    """

    metric: str
    count: int
    first_step: int | None
    last_step: int | None
    last: float | None
    minimum: float | None
    maximum: float | None

    @property
    def withheld(self) -> bool:
        """Whether its values are there and not given out: it is a test metric."""
        return is_test(self.metric) and self.count > 0 and self.last is None

    def without_values(self) -> SeriesSummary:
        """The same with its values withheld."""
        return replace(self, last=None, minimum=None, maximum=None)


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A file that an attempt produced, kept by content."""

    name: str
    digest: str
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One execution of a trial on one worker. Times are seconds since the epoch.

    Args:
        attempt_id: The book's id.
        number: 1 for the first; also the fencing token.
        coordinates: Digests of its five snapshots.
        seeds: ``None`` for an attempt that was not tracked.
        started_s: When it began.
        ended_s: When it ended, ``None`` while it runs.
        end_reason: ``None`` while it runs.
        outcome: ``None`` while it runs.
        returned: What the objective returned, before Optuna looked at it; floats, else text.
        prune_answers: Each answer of ``should_prune``, in order.
        series: Every metric, sorted by name.
        artifacts: Sorted by name.
        host: Host of the worker, ``None`` when no worker is recorded.
        pid: The worker's process id there, likewise.
        worker_id: Who holds or held it, ``None`` when nobody had a lease on it.
        lease_s: When its lease ends, on the book's clock; ``None`` without one.
        resumed_from: The checkpoint of an earlier attempt from which it went on, if it did.
        checkpoints: Those that it saved, oldest first.
        launcher: What placed the worker, ``None`` when no worker is recorded.
        job: The launcher's own id of its job, ``None`` without one.
        launch: ``LAUNCH/INDEX`` when ``trialbook launch`` placed it.
    """

    attempt_id: int
    number: int
    coordinates: CoordinateDigests
    seeds: Seeds | None
    started_s: float
    ended_s: float | None
    end_reason: EndReason | None
    outcome: OutcomeState | None
    returned: Any
    prune_answers: tuple[bool, ...]
    series: tuple[SeriesSummary, ...] = ()
    artifacts: tuple[ArtifactRecord, ...] = ()
    host: str | None = None
    pid: int | None = None
    worker_id: str | None = None
    lease_s: float | None = None
    resumed_from: CheckpointRecord | None = None
    checkpoints: tuple[CheckpointRecord, ...] = ()
    launcher: str | None = None
    job: str | None = None
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial with its attempts.

    Args:
        trial_id: The book's id.
        study: The study's name.
        number: Its number in the study.
        state: Optuna's state.
        values: Objective values, one for each direction; ``None`` when there are none.
        params: In the order in which they were asked.
        user_attrs: Optuna's user attributes.
        system_attrs: Optuna's system attributes.
        started: Local wall time, as in Optuna.
        completed: Local wall time, as in Optuna.
        attempts: Oldest first; empty for a trial that was never executed under tracking.
        current: Number of the attempt that counts; 0 when there is none.
        record_digest: Digest of the finished record, ``None`` while unfinished.
        deleted_s: When it was deleted, ``None`` while it lives.
        reruns: Stored verdicts, oldest first.
        stitched: When the attempt that counts went on from a checkpoint: every metric of the
            trial, with what counts of the attempts before it; else ``None``.
    """

    trial_id: int
    study: str
    number: int
    state: TrialState
    values: tuple[float, ...] | None
    params: tuple[ParamRecord, ...]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    started: datetime | None
    completed: datetime | None
    attempts: tuple[AttemptRecord, ...] = ()
    current: int = 0
    record_digest: str | None = None
    deleted_s: float | None = None
    reruns: tuple[RerunRecord, ...] = ()
    stitched: tuple[SeriesSummary, ...] | None = None

    @property
    def reference(self) -> str:
        """``STUDY/NUMBER``."""
        return f"{self.study}/{self.number}"

    @property
    def series(self) -> tuple[SeriesSummary, ...]:
        """Every metric of the trial, sorted by name.

        An attempt that went on from a checkpoint continues the points of the one before.
        """
        if self.stitched is not None:
            return self.stitched
        return () if self.attempt is None else self.attempt.series

    @property
    def continued(self) -> tuple[AttemptRecord, ...]:
        """The earlier attempts that the one that counts continues, oldest first."""
        found: list[AttemptRecord] = []
        attempt = self.attempt
        while attempt is not None and attempt.resumed_from is not None:
            origin = attempt.resumed_from.attempt
            if origin >= attempt.number:  # a damaged row; 'verify' names it
                break
            attempt = next((a for a in self.attempts if a.number == origin), None)
            if attempt is not None:
                found.insert(0, attempt)
        return tuple(found)

    @property
    def prune_answers(self) -> tuple[bool, ...]:
        """Each answer of ``should_prune`` that counts, in order, as ``series`` counts points."""
        attempt = self.attempt
        if attempt is None:
            return ()
        whole = (*self.continued, attempt)
        answers: list[bool] = []
        for earlier, later in pairwise(whole):
            until = 0 if later.resumed_from is None else later.resumed_from.position.prune_answers
            answers += earlier.prune_answers[:until]
        return (*answers, *attempt.prune_answers)

    @property
    def attempt(self) -> AttemptRecord | None:
        """The attempt that counts, ``None`` when there is none."""
        for attempt in self.attempts:
            if attempt.number == self.current:
                return attempt
        return None
