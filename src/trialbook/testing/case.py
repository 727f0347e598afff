"""What the parts of the contract of a book stand on: a book, a study of one's own, and workers.

The book may hold other studies, and others may use it meanwhile: a test looks at its own study only
and deletes it afterwards.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from trialbook.book.attempt import Attempt
from trialbook.book.reading import Reader
from trialbook.book.storage import BookStorage
from trialbook.errors import NotFoundError
from trialbook.records.config import ConfigState
from trialbook.records.coordinates import Kind, Snapshot
from trialbook.records.coverage import Coverage
from trialbook.records.execution import Seeds
from trialbook.records.retries import RetryBudgets
from trialbook.records.study import StudySpec, TrialRecord
from trialbook.records.workers import Claim, Holder, WorkerIdentity

WAITING = create_trial(state=TrialState.WAITING)


def bits(value: float) -> bytes:
    """A float as its eight bytes: what tells -0.0 from 0.0, and one NaN from another."""
    return struct.pack("<d", value)


def config(**resolved: object) -> Snapshot:
    """A snapshot of this configuration."""
    return Snapshot.of(Kind.CONFIG, Coverage.of(()), ConfigState(resolved=resolved))


def expired(holder: Holder) -> Holder:
    """The same worker, whose leases are over as soon as it gets them."""
    return Holder(holder.worker, -1.0)


class BookCase:
    """Fixtures and shorthands for tests of a book.

    Attributes:
        url: The storage URL of the book that is tested; it is made when it is not there.
    """

    url: str | None = None

    @pytest.fixture
    def book_url(self) -> str:
        """The storage URL of the book; a subclass sets ``url`` or overrides this fixture."""
        if self.url is None:
            pytest.fail(f"{type(self).__name__} names no book: give it a 'url'")
        return self.url

    @pytest.fixture
    def storage(self, book_url: str) -> Iterator[BookStorage]:
        """The book."""
        storage = BookStorage(book_url)
        yield storage
        storage.close()

    @pytest.fixture
    def elsewhere(self, book_url: str, storage: BookStorage) -> Iterator[BookStorage]:
        """The same book as another process has it open."""
        elsewhere = BookStorage(book_url)
        yield elsewhere
        elsewhere.close()

    @pytest.fixture
    def reference(self, tmp_path: Path) -> Iterator[BookStorage]:
        """An empty book on SQLite, which every other database is to be like."""
        reference = BookStorage(tmp_path / "reference.db")
        yield reference
        reference.close()

    @pytest.fixture
    def study(self) -> str:
        """The name of a study that nobody else has."""
        return f"contract-{uuid.uuid4().hex}"

    @pytest.fixture
    def study_id(self, storage: BookStorage, study: str) -> Iterator[int]:
        """A study of that name, without trials; it is deleted when the test is over."""
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], study)
        yield study_id
        try:
            storage.delete_study(study_id)
        except NotFoundError:
            return  # the test has done it

    @pytest.fixture
    def begin(self, storage: BookStorage, study_id: int) -> Callable[..., Attempt]:
        """Begins to execute a trial, a new one by default, in this process."""

        def begun(trial_id: int | None = None) -> Attempt:
            if trial_id is None:
                trial_id = storage.create_new_trial(study_id)
            return storage.begin_attempt(trial_id, snapshots=[], seeds=Seeds(trial=1))

        return begun

    @pytest.fixture
    def here(self, storage: BookStorage, study_id: int) -> Holder:
        """A worker."""
        return self.worker(storage, study_id, "here")

    @pytest.fixture
    def there(self, storage: BookStorage, study_id: int) -> Holder:
        """Another worker."""
        return self.worker(storage, study_id, "there")

    @pytest.fixture
    def budgets(self, storage: BookStorage, study_id: int) -> Callable[..., None]:
        """Sets how many times trials of the study are tried again, without a wait."""

        def asked(**values: Any) -> None:
            retries = RetryBudgets(**{"backoff_s": 0.0, **values})
            storage.set_study_spec(study_id, StudySpec(retries=retries))

        return asked

    def worker(self, storage: BookStorage, study_id: int, host: str) -> Holder:
        """A worker that the book knows."""
        holder = Holder(WorkerIdentity(uuid.uuid4().hex, host, 1), 600.0)
        storage.leases.register(holder.worker, study_id)
        return holder

    def claimed(
        self,
        storage: BookStorage,
        study_id: int,
        holder: Holder | None = None,
        *,
        budget: int | None = None,
    ) -> Claim:
        """A trial that was claimed."""
        claim = storage.claim(study_id, holder=holder, budget=budget)
        assert isinstance(claim, Claim)
        return claim

    def begun(self, storage: BookStorage, claim: Claim) -> Attempt:
        """The attempt of a claim, begun."""
        return storage.begin_attempt(
            claim.trial_id,
            snapshots=[config(layers=2)],
            seeds=Seeds(trial=1),
            claimed=claim.attempt,
        )

    def record(self, storage: BookStorage, study: str, number: int = 0) -> TrialRecord:
        """A trial as the book has it, whoever holds it."""
        return Reader(storage.book).trial(f"{study}/{number}")
