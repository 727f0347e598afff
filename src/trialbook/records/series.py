"""A series: the points of one metric of one attempt, and the bytes that hold it.

Payload, all little-endian (twenty lines read it; ``docs/record-format.md`` shows them)::

    offset  size  content
    0       4     b"TBS1", magic and version
    4       1     flags: 1 when the rest is zlib-compressed
    5       3     zero
    8       8     uint64 count of points
    16      ...   int64 steps[count], float64 values[count], float64 seconds[count]

The columns are compressed together at zlib level 1, or left plain when they are short (below 1
KiB, where compressing costs more time than it saves space) or would not get shorter.
NaN payloads, infinities, -0.0 and 64-bit steps survive bit for bit.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialbook.errors import BookCorruptError

OBJECTIVE = "objective"
"""The series that ``trial.report`` writes."""

_HEADER = struct.Struct("<4sB3xQ")
_MAGIC = b"TBS1"
_COMPRESSED = 1
_POINT_BYTES = 24
_SHORT_BYTES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points in the order in which they were logged.

    Args:
        metric: Name of the metric.
        steps: ``int64``, shape (points,).
        values: ``float64``, shape (points,).
        seconds: ``float64``, shape (points,): wall time as seconds since the epoch.
    """

    metric: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> float | None:
        """The last value logged, ``None`` when empty."""
        return float(self.values[-1]) if len(self) else None

    @property
    def minimum(self) -> float | None:
        """The least value that is not NaN, ``None`` when there is none."""
        finite = self.values[~np.isnan(self.values)]
        return float(finite.min()) if len(finite) else None

    @property
    def maximum(self) -> float | None:
        """The greatest value that is not NaN, ``None`` when there is none."""
        finite = self.values[~np.isnan(self.values)]
        return float(finite.max()) if len(finite) else None


def encoded(series: Series) -> bytes:
    """The payload of a series; its metric's name is not part of it."""
    columns = (
        np.ascontiguousarray(series.steps, dtype="<i8").tobytes()
        + np.ascontiguousarray(series.values, dtype="<f8").tobytes()
        + np.ascontiguousarray(series.seconds, dtype="<f8").tobytes()
    )
    if len(columns) >= _SHORT_BYTES:
        packed = zlib.compress(columns, 1)
        if len(packed) < len(columns):
            return _HEADER.pack(_MAGIC, _COMPRESSED, len(series)) + packed
    return _HEADER.pack(_MAGIC, 0, len(series)) + columns


def decoded(metric: str, payload: bytes) -> Series:
    """The series that was encoded as this payload.

    Raises:
        BookCorruptError: The payload is cut short, damaged, or of an unknown version.
    """
    try:
        magic, flags, count = _HEADER.unpack_from(payload)
        if magic != _MAGIC or flags not in (0, _COMPRESSED):
            raise ValueError("unknown header")
        columns = payload[_HEADER.size :]
        if flags & _COMPRESSED:
            columns = zlib.decompress(columns, bufsize=count * _POINT_BYTES or 1)
        if len(columns) != count * _POINT_BYTES:
            raise ValueError(f"{len(columns)} bytes for {count} points")
    except (struct.error, zlib.error, ValueError, OverflowError, MemoryError) as error:
        raise BookCorruptError(
            f"the points of metric {metric!r} cannot be read: {error}",
            hint="run 'trialbook verify' to list everything that is damaged",
        ) from error
    return Series(
        metric,
        np.frombuffer(columns, "<i8", count, 0),
        np.frombuffer(columns, "<f8", count, 8 * count),
        np.frombuffer(columns, "<f8", count, 16 * count),
    )


def joined(metric: str, parts: list[Series]) -> Series:
    """The parts of one series, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Series(
        metric,
        np.concatenate([p.steps for p in parts]) if parts else np.empty(0, np.int64),
        np.concatenate([p.values for p in parts]) if parts else np.empty(0, np.float64),
        np.concatenate([p.seconds for p in parts]) if parts else np.empty(0, np.float64),
    )
