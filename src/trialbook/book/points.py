"""Points that an attempt has logged and that are not in the book yet.

The hot path of ``trial.log``: one call appends to typed arrays. Metrics that are always logged
together share a block; a block is a table of ``points`` rows and one column a metric.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np

from trialbook.book.texts import checked_name, checked_step
from trialbook.errors import InvalidInputError, InvalidMetricError
from trialbook.records.series import Series, joined


class _Block:
    __slots__ = ("metrics", "seconds", "steps", "values")

    def __init__(self, metrics: tuple[str, ...]) -> None:
        self.metrics = metrics
        self.steps = array("q")
        self.seconds = array("d")
        self.values = array("d")  # row by row

    def series(self) -> list[Series]:
        steps = np.frombuffer(self.steps, np.int64)
        seconds = np.frombuffer(self.seconds, np.float64)
        table = np.frombuffer(self.values, np.float64).reshape(len(steps), len(self.metrics))
        return [
            Series(metric, steps, np.ascontiguousarray(table[:, column]), seconds)
            for column, metric in enumerate(self.metrics)
        ]


class PointBuffer:
    """Points in the order in which they came. Not safe for threads: its owner holds a lock.

    Args:
        reserved: A metric that may not be logged here.

    Attributes:
        count: Number of points held.
    """

    def __init__(self, reserved: str | None = None) -> None:
        self._reserved = reserved
        self.count = 0
        self._open: dict[tuple[str, ...], _Block] = {}
        self._owner: dict[str, _Block] = {}
        self._closed: list[_Block] = []

    def log(self, metrics: Mapping[str, float], step: int, seconds: float) -> None:
        """Append one point of each metric, or nothing at all.

        Raises:
            InvalidMetricError: A value is no number.
            InvalidInputError: A name or the step cannot be kept.
        """
        names = tuple(metrics)
        block = self._open.get(names)
        if block is None:
            if not names:
                return
            block = self._opened(names)
        values = block.values
        before = len(values)
        try:
            values.extend(metrics.values())
            block.steps.append(step)
        except (TypeError, ValueError, OverflowError):
            del values[before:]
            self._append_checked(block, metrics, step)
        block.seconds.append(seconds)
        self.count += len(names)

    def _append_checked(self, block: _Block, metrics: Mapping[str, object], step: object) -> None:
        """The slow way, for values that are no floats yet, and to say what is wrong."""
        row = [_number(name, value) for name, value in metrics.items()]
        number = checked_step(step)
        block.values.extend(row)
        block.steps.append(number)

    def _opened(self, names: tuple[str, ...]) -> _Block:
        for name in names:
            checked_name(name, "a metric")
            if name == self._reserved:
                raise InvalidMetricError(
                    f"the metric name {name!r} is kept for trial.report",
                    hint="log it by another name, or report it",
                )
        if any(name in self._owner for name in names):
            # A metric of this block is also in another one: close all, to keep its order.
            self._closed.extend(self._open.values())
            self._open.clear()
            self._owner.clear()
        block = self._open[names] = _Block(names)
        for name in names:
            self._owner[name] = block
        return block

    def series(self) -> dict[str, Series]:
        """The points held, by metric."""
        parts: dict[str, list[Series]] = {}
        for block in (*self._closed, *self._open.values()):
            for series in block.series():
                parts.setdefault(series.metric, []).append(series)
        return {metric: joined(metric, found) for metric, found in parts.items()}


def _number(name: str, value: object) -> float:
    """The value as a float; text is no number, whatever it spells."""
    try:
        if isinstance(value, (str, bytes, bytearray)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidMetricError(
            f"the metric {name!r} is no number but {type(value).__name__}: {value!r:.80}",
            hint="log something that float() accepts",
        ) from None
    except OverflowError:
        raise InvalidInputError(f"the metric {name!r} does not fit into a float") from None
