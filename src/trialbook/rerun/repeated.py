"""Several reruns of one trial, and how far their numbers spread. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialbook.records.test_metrics import is_test
from trialbook.records.verdict import RerunReport, Verdict
from trialbook.rerun.results import Results

_WORST_LAST = (
    Verdict.IDENTICAL,
    Verdict.WITHIN_TOLERANCE,
    Verdict.NOT_COMPARABLE,
    Verdict.DIFFERENT,
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far one number spread over the reruns.

    Args:
        name: ``returned``, ``returned[I]``, or a metric, whose last value it is.
        recorded: The recorded number, ``None`` when the record has none.
        count: Number of reruns that gave it.
        mean: Their mean.
        deviation: Their sample standard deviation; 0.0 for a single one.
        minimum: The least.
        maximum: The greatest.
        widest: The largest range (greatest less least) over the points of the metric that all
            reruns share; of a returned number its own range. NaN when a value is NaN.
        widest_step: The step of that point, ``None`` for a returned number.
    """

    name: str
    recorded: float | None
    count: int
    mean: float
    deviation: float
    minimum: float
    maximum: float
    widest: float
    widest_step: int | None = None


@dataclass(frozen=True, slots=True)
class RepeatedReport:
    """What several reruns of one trial said.

    Args:
        reference: ``STUDY/NUMBER``.
        reports: One for each rerun, in their order.
        spreads: Returned numbers, then metrics by name.
    """

    reference: str
    reports: tuple[RerunReport, ...]
    spreads: tuple[Spread, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all."""
        return max((report.verdict for report in self.reports), key=_WORST_LAST.index)

    @property
    def reason(self) -> str | None:
        """The reason of the first rerun with that verdict."""
        return next(r.reason for r in self.reports if r.verdict is self.verdict)


def spreads(recorded: Results, reruns: Sequence[Results]) -> tuple[Spread, ...]:
    """How far returned numbers and metrics spread over reruns, the record left out."""
    known = dict(_returned(recorded))
    found: list[Spread] = []
    given = [dict(_returned(rerun)) for rerun in reruns]
    for name in dict.fromkeys(name for numbers in given for name in numbers):
        values = np.array([numbers[name] for numbers in given if name in numbers])
        found.append(
            _spread(name, known.get(name), values, float(values.max() - values.min()), None)
        )
    for metric in sorted({m for rerun in reruns for m in rerun.series if not is_test(m)}):
        series = [r.series[metric] for r in reruns if metric in r.series and len(r.series[metric])]
        if not series:
            continue
        common = min(len(one) for one in series)
        with np.errstate(invalid="ignore"):
            ranges = np.ptp(np.stack([one.values[:common] for one in series]), axis=0)
        widest = int(np.argmax(ranges))
        before = recorded.series.get(metric)
        found.append(
            _spread(
                metric,
                None if before is None else before.last,
                np.array([one.values[-1] for one in series]),
                float(ranges[widest]),
                int(series[0].steps[widest]),
            )
        )
    return tuple(found)


def _returned(results: Results) -> Iterator[tuple[str, float]]:
    value = results.returned
    if isinstance(value, float):
        yield "returned", value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if isinstance(item, float):
                yield f"returned[{index}]", item


def _spread(
    name: str,
    recorded: float | None,
    values: NDArray[np.float64],
    widest: float,
    widest_step: int | None,
) -> Spread:
    with np.errstate(invalid="ignore"):
        deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        mean = float(values.mean())
    return Spread(
        name=name,
        recorded=recorded,
        count=len(values),
        mean=mean,
        deviation=deviation,
        minimum=float(values.min()),
        maximum=float(values.max()),
        widest=widest,
        widest_step=widest_step,
    )
