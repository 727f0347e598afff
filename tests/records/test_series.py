from __future__ import annotations

import struct
import zlib
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialbook.errors import BookCorruptError
from trialbook.records.series import Series, decoded, encoded, joined

INT64 = st.integers(-(2**63), 2**63 - 1)
BITS = st.integers(0, 2**64 - 1)  # every double there is: each NaN payload, -0.0, infinities
POINTS = st.lists(st.tuples(INT64, BITS, BITS), max_size=60)


def _of_bits(points: list[tuple[int, int, int]]) -> Series:
    steps, values, seconds = zip(*points, strict=True) if points else ((), (), ())
    return Series(
        "m",
        np.array(steps, np.int64),
        np.array(values, np.uint64).view(np.float64),
        np.array(seconds, np.uint64).view(np.float64),
    )


def _bits(series: Series) -> list[tuple[int, int, int]]:
    return list(
        zip(
            series.steps.tolist(),
            series.values.view(np.uint64).tolist(),
            series.seconds.view(np.uint64).tolist(),
            strict=True,
        )
    )


@given(POINTS)
def test_every_bit_survives(points: list[tuple[int, int, int]]) -> None:
    assert _bits(decoded("m", encoded(_of_bits(points)))) == points


@given(st.lists(POINTS, max_size=5))
def test_joined_parts_are_the_points_one_after_the_other(
    parts: list[list[tuple[int, int, int]]],
) -> None:
    whole = joined("m", [decoded("m", encoded(_of_bits(part))) for part in parts])
    assert _bits(whole) == [point for part in parts for point in part]


@given(POINTS)
def test_twenty_lines_of_another_reader_agree(points: list[tuple[int, int, int]]) -> None:
    """The format as the documentation has it, read without NumPy."""
    payload = encoded(_of_bits(points))
    magic, flags, count = struct.unpack_from("<4sB3xQ", payload)
    columns = payload[16:]
    if flags & 1:
        columns = zlib.decompress(columns)
    assert magic == b"TBS1"
    assert len(columns) == 24 * count
    steps = struct.unpack_from(f"<{count}q", columns, 0)
    values = struct.unpack_from(f"<{count}Q", columns, 8 * count)
    seconds = struct.unpack_from(f"<{count}Q", columns, 16 * count)
    assert list(zip(steps, values, seconds, strict=True)) == points


@given(POINTS, st.data())
def test_a_cut_payload_is_noticed(points: list[tuple[int, int, int]], data: st.DataObject) -> None:
    payload = encoded(_of_bits(points))
    cut = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(BookCorruptError, match="'m'"):
        decoded("m", payload[:cut])


@given(st.binary(max_size=200))
def test_noise_is_refused_or_decodes_to_what_it_says(noise: bytes) -> None:
    try:
        series = decoded("m", noise)
    except BookCorruptError:
        return
    assert noise.startswith(b"TBS1")
    assert len(series) == struct.unpack_from("<Q", noise, 8)[0]


def test_a_huge_count_allocates_nothing() -> None:
    payload = struct.pack("<4sB3xQ", b"TBS1", 1, 2**62) + zlib.compress(b"")
    with pytest.raises(BookCorruptError):
        decoded("m", payload)


def test_summaries_leave_nan_out() -> None:
    nan = float("nan")
    series = Series("m", np.arange(3), np.array([nan, -0.0, 2.0]), np.array(array("d", [0, 0, 0])))
    assert (series.minimum, series.maximum, series.last) == (0.0, 2.0, 2.0)
    only = Series("m", np.arange(1), np.array([nan]), np.zeros(1))
    assert (only.minimum, only.maximum) == (None, None)
    assert only.last != only.last
    empty = _of_bits([])
    assert (empty.last, empty.minimum, empty.maximum, len(empty)) == (None, None, None, 0)


def test_equal_columns_compress() -> None:
    series = Series("m", np.arange(10_000), np.zeros(10_000), np.zeros(10_000))
    assert len(encoded(series)) < 24 * 10_000 / 5
