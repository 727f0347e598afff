"""What a held attempt was told and no committed transaction has yet: gathered, taken, put back.

Nothing is written here. Who tells is in ``attempt.py``, who takes and writes in
``attempt_writes.py``; how the rows look is in ``attempt_rows.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from optuna.distributions import BaseDistribution

from trialbook.book.attempt_rows import Batch, Facts
from trialbook.book.flusher import URGENT_S, WAIT_S, Flusher
from trialbook.book.points import PointBuffer
from trialbook.records.blobs import Blob
from trialbook.records.series import OBJECTIVE, Series, joined

FLUSH_POINTS = 10_000
"""So many points are written without waiting for the clock."""


class Pending:
    """What is pending of one attempt; whoever tells it something holds its lock.

    Args:
        flusher: The thread that writes it in time.

    Attributes:
        lock: See above.
        closed: Whether nothing is taken in any more: it would reach no transaction.
        points: What ``trial.log`` told.
        reported: What ``trial.report`` told.
        params: New params: JSON of the internal value, and the distribution.
        user_attrs: New user attributes, as JSON.
        system_attrs: New system attributes, as JSON.
        facts: What the attempt says of itself, new or not.
        new_facts: Whether any of them is new.
        blobs: Contents that the facts name.
        since: When the first of it began to wait, ``None`` while nothing waits.
    """

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher
        self.closed = False
        self.facts = Facts()
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: what is pending is the parent's to write."""
        self.lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        """Begin to gather anew."""
        self.points = PointBuffer(reserved=OBJECTIVE)
        self.reported = PointBuffer()
        self.params: dict[str, tuple[str, BaseDistribution]] = {}
        self.user_attrs: dict[str, str] = {}
        self.system_attrs: dict[str, str] = {}
        self.new_facts = False
        self.blobs: list[Blob] = []
        self.since: float | None = None
        self._urgent_since: float | None = None
        self._put_back: list[dict[str, Series]] = []

    # Under the lock.

    def wait(self) -> None:
        """What was told may wait a little, from now on."""
        self.since = time.monotonic()
        self._flusher.attend()

    def hurry(self) -> None:
        """What was told is looked at by others, and is written at once."""
        if self._urgent_since is None:
            self._urgent_since = time.monotonic()
            self._flusher.urgent()

    # Without it.

    def due(self, now: float) -> bool:
        """Whether something has waited long enough."""
        if self._urgent_since is not None and now - self._urgent_since >= URGENT_S:
            return True
        if self.since is None:
            return False
        return now - self.since >= WAIT_S or self.points.count >= FLUSH_POINTS

    def taken(self, everything: bool = False, even_nothing: bool = False) -> Batch | None:
        """What is pending, which is pending no more; ``None`` when nothing waits.

        Args:
            everything: Take what waits for the result too, and close.
            even_nothing: Give an empty batch instead of ``None``.
        """
        with self.lock:
            quiet = self.since is None and self._urgent_since is None and not self.blobs
            if quiet and not (everything or even_nothing or self._put_back):
                return None
            parts = [*self._put_back, self.points.series(), self.reported.series()]
            batch = Batch(
                self.params,
                self.user_attrs,
                self.system_attrs,
                _by_metric(parts),
                self.facts.copied(),
                self.new_facts,
                self.blobs,
            )
            self._clear()
            # With everything taken, what a thread logs from now on would reach no transaction.
            self.closed = everything
        return batch

    def put_back(self, batch: Batch) -> None:
        """Keep a batch that was not written, before what came since."""
        with self.lock:
            self.params = {**batch.params, **self.params}
            self.user_attrs = {**batch.user_attrs, **self.user_attrs}
            self.system_attrs = {**batch.system_attrs, **self.system_attrs}
            if batch.series:
                self._put_back.insert(0, batch.series)
            self.new_facts = self.new_facts or batch.new_facts
            self.blobs = [*batch.blobs, *self.blobs]
            if self.since is None:
                self.since = time.monotonic()


def _by_metric(parts: Iterable[dict[str, Series]]) -> dict[str, Series]:
    found: dict[str, list[Series]] = {}
    for series in parts:
        for metric, points in series.items():
            found.setdefault(metric, []).append(points)
    return {metric: joined(metric, points) for metric, points in found.items()}
