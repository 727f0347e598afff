"""Test metrics of trials, which are shown only where the showing can be counted.

A test metric says how good a model is on data that the search has not looked at. Each look at it
that can change what somebody does next uses that data up a little (Dwork et al., "The reusable
holdout", Science 349, 2015). So records hold these metrics without their values; here is the one
way to them, and the book counts it: what was shown, by what and when.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trialbook.analysis.details import TrialDetail, reference_of
from trialbook.analysis.opening import Storage, StudyOrName, opened
from trialbook.analysis.searches.pruning_rules import executed_trials
from trialbook.analysis.searches.search import Search
from trialbook.book.gathering import summary_of
from trialbook.book.reading import Reader
from trialbook.book.replicates import linked_studies
from trialbook.book.showings import add_showing, showings
from trialbook.errors import BookReadOnlyError, NotApplicableError
from trialbook.records.references import TrialReference
from trialbook.records.showings import Showing
from trialbook.records.study import SeriesSummary, StudyRecord, TrialRecord
from trialbook.records.test_metrics import TEST_PREFIX, is_test, series_name


@dataclass(frozen=True, slots=True)
class Exposure:
    """How often the test metrics of a study were shown.

    Args:
        showings: Of its own trials, the oldest first.
        replicates: That of each study of its replicates, by name: they run what it selected.
    """

    showings: tuple[Showing, ...] = ()
    replicates: tuple[Exposure, ...] = ()

    @property
    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials whose test metrics were ever shown, ascending."""
        return tuple(sorted({number for showing in self.showings for number in showing.trials}))

    @property
    def replicated_trials(self) -> int:
        """Of how many replicates the test metrics were ever shown."""
        return sum(len(one.trials) for one in self.replicates)

    @property
    def text(self) -> str:
        """Of how many trials and replicates they were ever shown: ``1 trial and 12 replicates``."""
        trials, replicates = len(self.trials), self.replicated_trials
        text = f"{trials} trial" if trials == 1 else f"{trials} trials"
        if self.replicates:
            text += f" and {replicates} replicate{'' if replicates == 1 else 's'}"
        return text

    @property
    def first_s(self) -> float | None:
        """When any were shown first, in seconds since the epoch; ``None`` when never."""
        every = [*self.showings, *(one for found in self.replicates for one in found.showings)]
        return min((showing.at_s for showing in every), default=None)


def reveal_test_metrics(
    reference: TrialReference | StudyOrName,
    number: int | None = None,
    *,
    storage: Storage = None,
) -> tuple[SeriesSummary, ...]:
    """The test metrics of a trial, by name; the book counts that they were shown.

    Args:
        reference: As in ``analysis.trial``.
        number: Likewise.
        storage: Where the book is; not with an Optuna study.

    Returns:
        Metrics under the names that ``trial.log_test`` was given; empty without any, and then
        nothing is counted.

    Raises:
        NotFoundError: It is not in the book.
        BookReadOnlyError: The book cannot be written, so that nothing could be counted.
    """
    owner = None if isinstance(reference, (str, TrialReference)) else reference
    with opened(storage, owner) as reader:
        trial = reader.trial(reference_of(reference, number))
        return shown(reader, [trial], by="python")[trial.reference]


def shown(
    reader: Reader, trials: Sequence[TrialRecord], *, by: str, once: str | None = None
) -> dict[str, tuple[SeriesSummary, ...]]:
    """The test metrics of trials by ``STUDY/NUMBER``, after the showing was counted.

    Args:
        reader: The open book; it may be read-only, as it is opened anew to count.
        trials: Trials of any studies of the book.
        by: What shows them.
        once: A text that makes this showing the same as an earlier one with the same text, such as
            the seal that a report is about; ``None`` to count each.

    Raises:
        BookReadOnlyError: The book cannot be written, so that nothing could be counted.
    """
    found: dict[str, tuple[SeriesSummary, ...]] = {}
    seen: dict[str, list[int]] = defaultdict(list)
    for trial in trials:
        metrics: tuple[SeriesSummary, ...] = ()
        if has_test_metrics(trial):
            points = reader.trial_series(trial, with_test=True)
            metrics = tuple(_named(summary_of(s)) for name, s in points.items() if is_test(name))
            seen[trial.study].append(trial.number)
        found[trial.reference] = metrics
    if seen:
        _count(reader, {name: tuple(sorted(set(n))) for name, n in seen.items()}, by, once)
    return found


def with_test_metrics(reader: Reader, detail: TrialDetail, *, by: str) -> TrialDetail:
    """The details of a trial with the values of its test metrics, after that was counted.

    Raises:
        NotApplicableError: It has none, or the details are about another attempt than the one that
            counts.
        BookReadOnlyError: The book cannot be written, so that nothing could be counted.
    """
    if not detail.counts:
        raise NotApplicableError(
            "test metrics are shown of the attempt that counts",
            where=detail.trial.reference,
            hint="name the trial without an attempt",
        )
    metrics = shown(reader, [detail.trial], by=by)[detail.trial.reference]
    if not metrics:
        raise NotApplicableError(
            f"{detail.trial.reference} has no test metrics",
            hint="record them in the objective with trial.log_test",
        )
    values = {series_name(metric.metric): metric for metric in metrics}
    return replace(
        detail,
        series=tuple(
            replace(values[own.metric], metric=own.metric) if own.metric in values else own
            for own in detail.series
        ),
    )


def has_test_metrics(trial: TrialRecord) -> bool:
    """Whether a trial has test metrics."""
    return any(is_test(summary.metric) and summary.count for summary in trial.series)


def exposure(reader: Reader, study: StudyRecord) -> Exposure:
    """How often the test metrics of a study and of its replicates were shown so far."""
    linked = (reader.study(name) for name in linked_studies(reader.book, study.uid))
    return Exposure(
        showings(reader.book, study.study_id),
        tuple(Exposure(showings(reader.book, one.study_id)) for one in linked),
    )


def begun_after(found: Exposure, search: Search) -> int:
    """How many trials of a search began under tracking after any test metric was shown first.

    Whoever chose what to run next could know them.
    """
    first_s = found.first_s
    if first_s is None:
        return 0
    return int(np.count_nonzero(executed_trials(search) & (search.started_s > first_s)))


def _named(summary: SeriesSummary) -> SeriesSummary:
    return replace(summary, metric=summary.metric.removeprefix(TEST_PREFIX))


def _count(reader: Reader, seen: dict[str, tuple[int, ...]], by: str, once: str | None) -> None:
    at_s = time.time()
    try:
        book = reader.book.writable()
    except BookReadOnlyError as error:
        raise BookReadOnlyError(
            f"test metrics are not shown, because this showing could not be counted: {error.what}",
            where=reader.book.url,
            hint="open the book where it can be written",
        ) from error
    try:
        for name, numbers in seen.items():
            study = reader.study(name)
            add_showing(book, study.study_id, Showing(by, numbers, at_s), _key(by, numbers, once))
    finally:
        if book is not reader.book:
            book.close()


def _key(by: str, numbers: Iterable[int], once: str | None) -> str:
    if once is None:
        return secrets.token_hex(16)
    text = "\0".join((by, once, *map(str, numbers)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
