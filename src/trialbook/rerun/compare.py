"""The comparison: the results of two executions of one trial, bit for bit, as typed differences.

Pure: nothing is read, run or printed here. Points are compared by their steps and the bits of
their values; the wall-clock seconds at which they were logged are no result. A declared tolerance
covers values of points and what was returned, in the sense of ``|recorded - rerun| <= atol + rtol *
|recorded|``; it never covers params, steps, prune answers, ends or artifacts.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialbook.errors import InvalidInputError
from trialbook.records.series import Series
from trialbook.records.study import ParamRecord
from trialbook.records.test_metrics import WITHHELD, is_test
from trialbook.records.verdict import ResultDifference, Verdict
from trialbook.rerun.results import Results

_LISTED_POINTS = 10
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A declared tolerance, as ``numpy.isclose`` defines it; both zero: none is declared.

    Raises:
        InvalidInputError: A bound is negative or no finite number.
    """

    rtol: float = 0.0
    atol: float = 0.0

    def __post_init__(self) -> None:
        for name, bound in (("rtol", self.rtol), ("atol", self.atol)):
            if not math.isfinite(bound) or bound < 0.0:
                raise InvalidInputError(
                    f"{name} must be a finite number of at least 0, not {bound!r}",
                    hint=f"leave {name} out to compare bit for bit",
                )

    @property
    def declared(self) -> bool:
        """Whether anything but the same bits is tolerated."""
        return self.rtol > 0.0 or self.atol > 0.0

    def covers(
        self, recorded: NDArray[np.float64], rerun: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """For each pair of values whether the tolerance covers it; NaN is close to NaN.

        Args:
            recorded: Shape (points,).
            rerun: Shape (points,).
        """
        if not self.declared:
            return np.zeros(len(recorded), dtype=np.bool_)
        with np.errstate(invalid="ignore", over="ignore"):
            close: NDArray[np.bool_] = np.isclose(
                rerun, recorded, rtol=self.rtol, atol=self.atol, equal_nan=True
            )
        return close


@dataclass(frozen=True, slots=True)
class ResultComparison:
    """What a comparison found.

    Args:
        differences: The first differing point first, then everything else that differs.
        points: Number of points compared.
        params: Number of params compared.
        artifacts: Number of artifacts compared.
    """

    differences: tuple[ResultDifference, ...]
    points: int
    params: int
    artifacts: int

    @property
    def verdict(self) -> Verdict:
        """The verdict that the differences alone allow."""
        if not self.differences:
            return Verdict.IDENTICAL
        if all(difference.tolerated for difference in self.differences):
            return Verdict.WITHIN_TOLERANCE
        return Verdict.DIFFERENT


def compared(
    recorded: Results, rerun: Results, tolerance: Tolerance, *, cut_short: bool = False
) -> ResultComparison:
    """Compare a rerun with the record.

    Args:
        recorded: What the book has.
        rerun: What the rerun gave.
        tolerance: What is accepted as the same number.
        cut_short: The rerun was stopped where the record could not be followed: only what it gave
            until then is compared, and what it never reached is no difference.
    """
    points, count = _point_differences(recorded, rerun, tolerance, cut_short)
    differences = [
        *points,
        *_param_differences(recorded.params, rerun.params, cut_short),
        *_prune_differences(recorded.prune_answers, rerun.prune_answers, cut_short),
    ]
    artifacts = len({a.name for a in recorded.artifacts} & {a.name for a in rerun.artifacts})
    if not cut_short:
        differences += _end_differences(recorded, rerun)
        differences += _value_differences("returned", recorded.returned, rerun.returned, tolerance)
        if not any(difference.what == "returned" for difference in differences):
            differences += _value_differences("value", recorded.values, rerun.values, tolerance)
        artifacts = len({a.name for a in (*recorded.artifacts, *rerun.artifacts)})
    differences += _artifact_differences(recorded, rerun, cut_short)
    params = len({p.name for p in recorded.params} & {p.name for p in rerun.params})
    return ResultComparison(tuple(differences), count, params, artifacts)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A difference with the recorded wall time at which it shows."""

    seconds: float
    difference: ResultDifference


def _point_differences(
    recorded: Results, rerun: Results, tolerance: Tolerance, cut_short: bool
) -> tuple[list[ResultDifference], int]:
    placed: list[_Placed] = []
    lengths: list[ResultDifference] = []
    count = 0
    for metric in sorted({*recorded.series, *rerun.series}):
        old = recorded.series.get(metric, _EMPTY)
        new = rerun.series.get(metric, _EMPTY)
        common = min(len(old), len(new))
        count += common
        placed += _common_points(metric, old, new, common, tolerance)
        if len(new) > common or (len(old) > common and not cut_short):
            placed.append(_first_unmatched(metric, old, new, common))
            lengths.append(ResultDifference("series", metric, recorded=len(old), rerun=len(new)))
    placed.sort(key=lambda entry: (entry.difference.tolerated, entry.seconds))
    return [entry.difference for entry in placed] + lengths, count


def _common_points(
    metric: str, old: Series, new: Series, common: int, tolerance: Tolerance
) -> Iterable[_Placed]:
    old_values, new_values = old.values[:common], new.values[:common]
    steps_differ = old.steps[:common] != new.steps[:common]
    bits_differ = old_values.view(np.uint64) != new_values.view(np.uint64)
    differing = np.flatnonzero(steps_differ | bits_differ)
    covered = tolerance.covers(old_values[differing], new_values[differing])
    covered &= ~steps_differ[differing]
    for indices, tolerated in ((differing[~covered], False), (differing[covered], True)):
        for index in indices[:_LISTED_POINTS].tolist():
            value = _told(metric, new_values[index])
            if steps_differ[index]:
                value = f"{value!r} at step {int(new.steps[index])}"
            yield _Placed(
                float(old.seconds[index]),
                ResultDifference(
                    "point",
                    metric,
                    recorded=_told(metric, old_values[index]),
                    rerun=value,
                    step=int(old.steps[index]),
                    index=index,
                    tolerated=tolerated,
                ),
            )


def _first_unmatched(metric: str, old: Series, new: Series, index: int) -> _Placed:
    if len(old) > index:
        return _Placed(
            float(old.seconds[index]),
            ResultDifference(
                "point",
                metric,
                recorded=_told(metric, old.values[index]),
                rerun=None,
                step=int(old.steps[index]),
                index=index,
            ),
        )
    # The record ends here: what comes beyond it shows after the last point that it has.
    seconds = float(old.seconds[-1]) if len(old) else math.inf
    return _Placed(
        seconds,
        ResultDifference(
            "point",
            metric,
            recorded=None,
            rerun=_told(metric, new.values[index]),
            step=int(new.steps[index]),
            index=index,
        ),
    )


def _told(metric: str, value: float) -> Any:
    """A value that differs, as the verdict tells it: one of a test metric is not shown."""
    return WITHHELD if is_test(metric) else float(value)


def _param_differences(
    recorded: Sequence[ParamRecord], rerun: Sequence[ParamRecord], cut_short: bool
) -> Iterable[ResultDifference]:
    asked = {param.name: param for param in rerun}
    for param in recorded:
        again = asked.pop(param.name, None)
        if again is None:
            if not cut_short:
                yield ResultDifference("param", param.name, recorded=param.value, rerun=None)
        elif not same_distribution(param.distribution, again.distribution):
            yield ResultDifference(
                "param", param.name, recorded=param.distribution, rerun=again.distribution
            )
        elif _bits(param.internal) != _bits(again.internal):
            yield ResultDifference("param", param.name, recorded=param.value, rerun=again.value)
    for param in asked.values():
        yield ResultDifference("param", param.name, recorded=None, rerun=param.value)


def same_distribution(recorded: str, asked: str) -> bool:
    """Whether two distributions, as Optuna writes them in JSON, are the same."""
    if recorded == asked:
        return True
    # Dumped again, so that key order is no difference and NaN equals NaN.
    return json.dumps(json.loads(recorded), sort_keys=True) == json.dumps(
        json.loads(asked), sort_keys=True
    )


def _prune_differences(
    recorded: Sequence[bool], rerun: Sequence[bool], cut_short: bool
) -> Iterable[ResultDifference]:
    if len(rerun) > len(recorded) or (len(rerun) < len(recorded) and not cut_short):
        yield ResultDifference(
            "prune", "should_prune", recorded=f"{len(recorded)} calls", rerun=f"{len(rerun)} calls"
        )
    for index, (old, new) in enumerate(zip(recorded, rerun, strict=False)):
        if old != new:
            yield ResultDifference("prune", "should_prune", recorded=old, rerun=new, index=index)
            return


def _end_differences(recorded: Results, rerun: Results) -> Iterable[ResultDifference]:
    old, new = recorded.end, rerun.end
    same = (
        old.state == new.state
        and old.exception == new.exception
        and (old.exit_code or 0) == (new.exit_code or 0)
        and old.signal == new.signal
    )
    if not same:
        yield ResultDifference("end", "end", recorded=str(old), rerun=str(new))


def _value_differences(
    name: str, recorded: Any, rerun: Any, tolerance: Tolerance
) -> Iterable[ResultDifference]:
    """Differences of what was returned, item by item when both are sequences of one length."""
    if isinstance(recorded, (list, tuple)) and isinstance(rerun, (list, tuple)):
        if len(recorded) == len(rerun):
            for index, (old, new) in enumerate(zip(recorded, rerun, strict=True)):
                yield from _value_differences(f"{name}[{index}]", old, new, tolerance)
            return
    elif isinstance(recorded, float) and isinstance(rerun, float):
        if _bits(recorded) != _bits(rerun):
            covered = bool(tolerance.covers(np.array([recorded]), np.array([rerun]))[0])
            yield ResultDifference(
                "returned", name, recorded=recorded, rerun=rerun, tolerated=covered
            )
        return
    elif isinstance(recorded, str) and isinstance(rerun, str):
        # A repr may name an address, which no two processes share.
        if _ADDRESS.sub("0x", recorded) == _ADDRESS.sub("0x", rerun):
            return
    elif recorded == rerun:
        return
    yield ResultDifference("returned", name, recorded=recorded, rerun=rerun)


def _artifact_differences(
    recorded: Results, rerun: Results, cut_short: bool
) -> Iterable[ResultDifference]:
    old = {artifact.name: artifact.digest for artifact in recorded.artifacts}
    new = {artifact.name: artifact.digest for artifact in rerun.artifacts}
    for name in sorted({*old, *new}):
        if cut_short and name not in new:
            continue
        if old.get(name) != new.get(name):
            yield ResultDifference("artifact", name, recorded=old.get(name), rerun=new.get(name))


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


_EMPTY = Series("", np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float64))
