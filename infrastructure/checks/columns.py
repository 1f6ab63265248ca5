"""The columns of the lake's tables for Glue, `modules/lake/columns.json`, made from the Arrow schemas.

Run it after a change of `headgate.core.schema`: `python infrastructure/checks/columns.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from headgate.core.schema import PARTITIONS, TABLES

TARGET = Path(__file__).parent.parent / "modules" / "lake" / "columns.json"
SIMPLE = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.binary(): "binary",
    pa.date32(): "date",
}
POSITION = ("arrived_at", "source", "shard", "sequence")
#: Columns that are not there in a line of JSON: the object's own text is the line.
NOT_IN_LINES = {"payload"}
#: Tables whose lines are the original object, with the position in `_headgate`.
LINES_OF_EVENTS = ("events", "duplicates")

Column = dict[str, str]


def glue_type(kind: pa.DataType) -> str:
    """The name that Glue and Hive have for an Arrow type."""
    if pa.types.is_map(kind):
        return f"map<{glue_type(kind.key_type)},{glue_type(kind.item_type)}>"
    return "timestamp" if pa.types.is_timestamp(kind) else SIMPLE[kind]


def line_type(kind: pa.DataType) -> str:
    """The same in a line of JSON, where times and bytes are text, and so are the keys of objects."""
    if pa.types.is_map(kind):
        return f"map<string,{line_type(kind.item_type)}>"
    return "string" if pa.types.is_timestamp(kind) or kind == pa.binary() else SIMPLE[kind]


def tables() -> dict[str, dict[str, Any]]:
    """By format and table: columns, and partition keys where Glue has to know them."""
    return {
        "delta": {name: {"columns": _columns(schema, glue_type)} for name, schema in TABLES.items()},
        "parquet": {name: _split(name, _columns(schema, glue_type)) for name, schema in TABLES.items()},
        "json": {name: _split(name, _lines(name, schema)) for name, schema in TABLES.items()},
    }


def text() -> str:
    """Content of the file."""
    return json.dumps(tables(), indent=1) + "\n"


def _columns(schema: pa.Schema, named: Any) -> list[Column]:
    return [{"name": field.name, "type": named(field.type)} for field in schema]


def _lines(name: str, schema: pa.Schema) -> list[Column]:
    columns = _columns(schema, line_type)
    if name not in LINES_OF_EVENTS:
        return columns
    position = ",".join(f"{column}:string" for column in POSITION)
    own = [column for column in columns if column["name"] not in {*POSITION, *NOT_IN_LINES}]
    return [*own, {"name": "headgate", "type": f"struct<{position}>"}]


def _split(name: str, columns: list[Column]) -> dict[str, list[Column]]:
    keys = PARTITIONS[name]
    by_name = {column["name"]: column for column in columns}
    return {
        "columns": [column for column in columns if column["name"] not in keys],
        "partitions": [by_name[key] for key in keys],
    }


if __name__ == "__main__":
    TARGET.write_text(text())
