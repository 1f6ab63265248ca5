"""Answers of a query as table, CSV, JSON or Parquet. Values of events are hostile: a terminal never obeys them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import IO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.shown import safe as safe
from headgate.entrypoints.output import number

MAX_CELL = 80  # characters of a cell in the table; the other outputs are exact

_JSON = msgspec.json.Encoder(decimal_format="number", enc_hook=str)

Cell = object
Rows = Iterator[Mapping[str, Cell]]


def rows_of(reader: pa.RecordBatchReader) -> Rows:
    """The rows, one at a time, maps as dictionaries."""
    for batch in reader:
        yield from batch.to_pylist(maps_as_pydicts="lossy")


def write_table(reader: pa.RecordBatchReader, out: IO[str], shown: int) -> bool:
    """Write at most `shown` rows in columns; True where there are more."""
    names = [safe(name) for name in reader.schema.names]
    lines: list[list[str]] = []
    is_right = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in reader.schema]
    is_more = False
    for row in rows_of(reader):
        if len(lines) == shown:
            is_more = True
            break
        lines.append([_cell(value) for value in row.values()])
    widths = [max([len(name), *(len(line[i]) for line in lines)]) for i, name in enumerate(names)]
    for line in [names, ["─" * width for width in widths], *lines]:
        cells = (
            f"{text:>{width}}" if right else f"{text:<{width}}"
            for text, width, right in zip(line, widths, is_right, strict=True)
        )
        out.write("  ".join(cells).rstrip() + "\n")
    return is_more


def write_csv(reader: pa.RecordBatchReader, out: IO[bytes]) -> None:
    """Write CSV (RFC 4180): values exact, null empty, an empty text quoted; nested values as JSON.

    A cell may begin with `=`, `+`, `-` or `@`: it is data, and stays as it is.
    """
    head = io.StringIO()
    csv.writer(head, lineterminator="\r\n").writerow(reader.schema.names)
    out.write(head.getvalue().encode())
    for batch in reader:
        lines = (",".join(map(_field, row.values())) for row in batch.to_pylist(maps_as_pydicts="lossy"))
        out.write("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogatepass"))


def write_json(reader: pa.RecordBatchReader, out: IO[bytes]) -> None:
    """Write one JSON array, an object a line; binary as base64, times as ISO 8601."""
    is_first = True
    out.write(b"[")
    for row in rows_of(reader):
        out.write((b"\n" if is_first else b",\n") + _JSON.encode(row))
        is_first = False
    out.write(b"]\n" if is_first else b"\n]\n")


def write_parquet(reader: pa.RecordBatchReader, out: IO[bytes]) -> None:
    """Write a Parquet file."""
    with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def _text(value: Cell) -> str:
    """A value as text; what has no text of its own as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int | float | Decimal):
        return str(value)
    return _JSON.encode(value).decode().strip('"') if isinstance(value, bytes) else _JSON.encode(value).decode()


def _cell(value: Cell) -> str:
    if value is None:
        return "·"
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    text = number(value) if is_count else _text(value)
    if isinstance(value, bytes):
        text = value.decode("utf-8", "backslashreplace")
    text = safe(text[: MAX_CELL + 1])
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _field(value: Cell) -> str:
    if value is None:
        return ""
    text = _text(value)
    if text == "" or any(c in text for c in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text
