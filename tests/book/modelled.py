"""What a book must show after anything that clients did to it: the model of the state machine.

Plain values without a database. ``test_state_machine.py`` does the same to both and compares.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState

from trialbook.book.attempt import Attempt
from trialbook.book.retrying import Fate
from trialbook.records.execution import EndReason
from trialbook.records.retries import QUARANTINED, Ending, Retry, RetryBudgets, decision
from trialbook.records.workers import Holder

BUDGETS = RetryBudgets(lost=2, out_of_memory=1, failed=1, backoff_s=0.0)
WAITING, RUNNING = TrialState.WAITING, TrialState.RUNNING
FINAL = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
SAYS = {
    TrialState.COMPLETE: EndReason.COMPLETE,
    TrialState.PRUNED: EndReason.PRUNED,
    TrialState.FAIL: EndReason.FAILED,
}


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def of_one_attempt(key: str) -> bool:
    return key.startswith(("completed_rung_", "constraints"))


@dataclass
class Tried:
    """An attempt that has a row, as the book must show it."""

    number: int
    worker: str | None = None
    lease: str | None = None  # "live" or "over"
    began: bool = False
    reason: EndReason | None = None
    died: bool = False
    reports: list[tuple[int, float]] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    resumed: Saved | None = None

    @property
    def counted_reports(self) -> dict[int, float]:
        """The reports that count, with those up to the checkpoint that it went on from."""
        before = [] if self.resumed is None else self.resumed.reports
        return dict([*before, *self.reports])

    @property
    def counted_points(self) -> list[tuple[int, float]]:
        return [*([] if self.resumed is None else self.resumed.points), *self.points]

    def save(self, own: dict[str, dict[str, Any]]) -> None:
        before = self.resumed
        self.saved.append(
            Saved(
                [*([] if before is None else before.reports), *self.reports],
                self.counted_points,
                dict(own["user"]),
                dict(own["system"]),
            )
        )


@dataclass
class Saved:
    """A checkpoint: what counts up to it, and the attributes that come back with it."""

    reports: list[tuple[int, float]]
    points: list[tuple[int, float]]
    user: dict[str, Any]
    system: dict[str, Any]


@dataclass
class Known:
    """A trial as the book must show it."""

    trial_id: int
    number: int
    state: TrialState
    current: int = 0
    deleted: bool = False
    values: list[float] | None = None
    params: dict[str, float] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    tried: dict[int, Tried] = field(default_factory=dict)

    @property
    def attempt(self) -> Tried | None:
        return self.tried.get(self.current)

    @property
    def finished(self) -> bool:
        return self.state in FINAL

    def counts(self, number: int) -> bool:
        return not self.deleted and self.state is RUNNING and self.current == number

    def next_attempt(self, holder: Holder | None, began: bool) -> Tried:
        before = self.attempt
        if before is not None and before.reason is None:
            before.reason = EndReason.FENCED
        if self.current == 0 or before is not None:
            self.current += 1
        made = Tried(self.current, began=began)
        if holder is not None:
            made.worker = holder.worker.worker_id
            made.lease = "over" if holder.lease_s < 0 else "live"
        self.tried[self.current] = made
        return made

    def some_attempt(self) -> Tried:
        return self.attempt or self.next_attempt(None, False)

    def newest_saved(self, before: int) -> Saved | None:
        """What an attempt of this number goes on from."""
        earlier = [
            s for number, t in sorted(self.tried.items()) if number < before for s in t.saved
        ]
        return earlier[-1] if earlier else None

    def give_back(self) -> None:
        self.state = WAITING
        self.current += 1
        self.user = {}
        self.system = {k: v for k, v in self.system.items() if not of_one_attempt(k)}

    def finish(self, state: TrialState, values: list[float] | None, reason: EndReason) -> None:
        self.state, self.values = state, values
        if self.attempt is not None and self.attempt.reason is None:
            self.attempt.reason = reason

    def dies(self, reason: EndReason, died: bool, only_retry: bool = False) -> Fate:
        """End the current attempt without a result."""
        history = [
            Ending(tried.reason, tried.died)
            for _, tried in sorted(self.tried.items())
            if tried.reason is not None and tried.number < self.current
        ]
        decided = decision([*history, Ending(reason, died)], BUDGETS, 0.5)
        if only_retry and not isinstance(decided, Retry):
            return Fate.OVER
        attempt = self.some_attempt()
        attempt.reason, attempt.died = reason, died
        if isinstance(decided, Retry):
            self.give_back()
            return Fate.RETRIED
        self.state = TrialState.FAIL
        if decided.quarantine is None:
            return Fate.FAILED
        self.system[QUARANTINED] = decided.quarantine
        return Fate.QUARANTINED


@dataclass
class Hold:
    """A trial that a client holds: what it has written, and what of that is pending."""

    known: Known
    attempt: Attempt
    tried: Tried
    noticed: bool = False
    pending: bool = False
    params: dict[str, float] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    reports: list[tuple[int, float]] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)
    own: dict[str, dict[Any, Any]] = field(
        default_factory=lambda: {"params": {}, "user": {}, "system": {}, "reports": {}}
    )

    @property
    def counts(self) -> bool:
        return self.known.counts(self.tried.number)

    @property
    def closed(self) -> bool:
        """Whether somebody else has finished the trial with this attempt: its record is sealed."""
        return self.known.finished and self.known.current == self.tried.number

    def reason(self, state: TrialState) -> EndReason:
        """Why the attempt ended, when it is told like this."""
        said = self.attempt.outcome
        return said.reason if state is TrialState.FAIL and said is not None else SAYS[state]

    def write(self) -> None:
        """What reaches the book with a flush: points, and the rest while the attempt counts."""
        if self.counts:
            self.known.params.update(self.params)
            self.known.user.update(self.user)
            self.known.system.update(self.system)
        if not self.closed:
            self.tried.reports.extend(self.reports)
            self.tried.points.extend(self.points)
        for gathered in (self.params, self.user, self.system, self.reports, self.points):
            gathered.clear()
        self.pending = False

    def flush(self) -> bool:
        """Whether the flush says that the attempt is fenced: once, and only if it wrote."""
        if not self.pending:
            return False
        fenced = not self.counts
        self.write()
        said = fenced and not self.noticed
        self.noticed = self.noticed or fenced
        return said


def same(one: dict[int, float], other: dict[int, float]) -> bool:
    return {s: bits(v) for s, v in one.items()} == {s: bits(v) for s, v in other.items()}
