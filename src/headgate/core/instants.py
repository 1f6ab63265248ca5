"""`created_at` as it was sent, turned into an exact instant. Pure, columnar.

The unit of a number follows its magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds,
else nanoseconds. Text is a number in quotes or an ISO 8601 date-time with an offset.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.reasons import NUMERIC_TEXT, Warn

Created = float | int | str | None

SECONDS_BELOW = 1e11  # contract, section 1
MILLIS_BELOW = 1e14
MICROS_BELOW = 1e17
END_US = 253_402_300_800_000_000  # 10000-01-01T00:00:00Z in microseconds
EXACT_FLOAT = 2.0**53  # integers above it need exact arithmetic
MAX_NUMBER_TEXT = 64  # characters; no instant needs more digits

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NUMBER = re.compile(r"[+-]?(\d+)(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?(Z|z|[+-]\d\d(?::?\d\d)?)", re.ASCII)


#: The usual shape, which Arrow reads in one pass just as `iso_us` does one by one; years before 9999 only.
PLAIN_ISO = r"^[12]\d{3}-\d\d-\d\dT[01]\d:[0-5]\d:[0-5]\d(\.\d{1,6})?Z$"


class Instants(NamedTuple):
    """Columns of equal length.

    `us`: microseconds since 1970, rounded; `seconds`: Unix time; `present`: a value was sent; `ok`: it is an
    instant; `warnings`: bits of Warn, and NUMERIC_TEXT.
    """

    us: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    ok: npt.NDArray[np.bool_]
    warnings: npt.NDArray[np.uint16]


def instants(values: Sequence[Created]) -> Instants:
    """Read `created_at` values.

    Args:
        values: what the decoder gave: number, text, or None where the field is missing.

    Returns:
        Instants; `ok` is False for missing values and for what is no instant from 1970 to 9999.
    """
    kinds = list(map(type, values))
    texts = [i for i, kind in enumerate(kinds) if kind is str] if str in kinds else []
    numbers: Sequence[Created] = values
    if texts:
        numbers = list(values)
        for i in texts:
            numbers[i] = None
    result = _from_numbers(numbers)
    if texts:
        _put_texts(result, np.array(texts, dtype=np.int64), [str(values[i]) for i in texts])
    return result


def _from_numbers(values: Sequence[Created]) -> Instants:
    try:
        column = pa.array(values, type=pa.float64())
    except pa.ArrowInvalid:
        # An integer that no double holds exactly.
        column = pa.array([None if value is None else _to_float(value) for value in values], type=pa.float64())
    present = np.asarray(pc.is_valid(column))
    floats = np.array(pc.fill_null(column, 0.0))  # a copy: texts and exact integers are written into it
    result = _from_floats(floats, present)
    for i in np.flatnonzero(np.abs(floats) >= EXACT_FLOAT).tolist():
        _put_exact(result, i, values[i])
    return result


def _to_float(value: Created) -> float:
    try:
        return float(value or 0)
    except OverflowError:
        return float("inf")


def _from_floats(x: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> Instants:
    size = np.abs(x)
    seconds, warnings = x, np.zeros(len(x), dtype=np.uint16)
    us = np.rint(x * 1e6, where=size < SECONDS_BELOW, out=np.zeros_like(x))
    if size.size and size.max() >= SECONDS_BELOW:
        seconds = x.copy()
        for low, high, factor, warn in (
            (SECONDS_BELOW, MILLIS_BELOW, 1e3, Warn.CREATED_AT_UNIT_MS),
            (MILLIS_BELOW, MICROS_BELOW, 1e6, Warn.CREATED_AT_UNIT_US),
            (MICROS_BELOW, np.inf, 1e9, Warn.CREATED_AT_UNIT_NS),
        ):
            rows = (size >= low) & ((size < high) | np.isinf(high))
            seconds[rows] = x[rows] / factor
            us[rows] = np.rint(x[rows] / (factor / 1e6))
            warnings[rows] |= int(warn)
    ok = present & (us < END_US) & (x >= 0)
    return Instants(np.where(ok, us, 0).astype(np.int64), seconds, present.copy(), ok, warnings)


def _put_texts(result: Instants, rows: npt.NDArray[np.int64], values: Sequence[str]) -> None:
    texts = pa.array(values, pa.string())
    is_given = np.asarray(pc.not_equal(texts, ""))
    result.present[rows] = is_given
    result.warnings[rows[is_given]] |= int(Warn.CREATED_AT_TEXT)
    if pc.all(pc.match_substring_regex(texts, PLAIN_ISO)).as_py():
        try:
            times = np.asarray(texts.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))
        except pa.ArrowInvalid:
            pass  # a month 13 or the like among them: each for itself
        else:
            result.us[rows], result.seconds[rows], result.ok[rows] = times, times / 1e6, times >= 0
            return
    _put_each_text(result, rows, values)


def _put_each_text(result: Instants, rows: npt.NDArray[np.int64], values: Sequence[str]) -> None:
    """Numbers in quotes together, date-times one by one."""
    numbers = [_number(value) for value in values]
    read = _from_numbers(numbers)
    is_number = np.array([number is not None for number in numbers], dtype=np.bool_)
    at = rows[is_number]
    result.us[at], result.seconds[at], result.ok[at] = (c[is_number] for c in (read.us, read.seconds, read.ok))
    result.warnings[at] |= read.warnings[is_number] | NUMERIC_TEXT
    for row, value, is_read in zip(rows.tolist(), values, is_number.tolist(), strict=True):
        us = None if is_read else iso_us(value)
        if us is not None:
            result.us[row], result.seconds[row], result.ok[row] = us, us / 1e6, 0 <= us < END_US


def _number(text: str) -> int | float | None:
    if len(text) > MAX_NUMBER_TEXT or not (match := NUMBER.fullmatch(text)):
        return None
    return int(text) if match[2] is None and match[3] is None else float(text)


def iso_us(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date-time with an offset, rounded; None where it is none."""
    match = ISO.fullmatch(text)
    if match is None:
        return None
    day, minute, second, fraction, offset = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{minute}:{second or '00'}{offset.upper()}")
    except ValueError:
        return None
    digits = (fraction or "").ljust(7, "0")
    rounded = (int(digits[:7]) + 5) // 10 if fraction else 0
    try:
        return (whole - EPOCH) // MICROSECOND + rounded
    except OverflowError:
        return None


def _put_exact(result: Instants, i: int, value: Created) -> None:
    """Integers beyond 2**53: the double beside them is not exact, the microseconds are."""
    if type(value) is not int:
        return
    size = abs(value)
    if size < MICROS_BELOW:
        us = value
    else:
        us = (value + 500) // 1000
    result.us[i] = us if 0 <= us < END_US else 0
    result.ok[i] = 0 <= us < END_US
