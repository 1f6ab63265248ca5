"""Imports what any command may need; nothing here begins a thread."""

from __future__ import annotations

import importlib
import pkgutil

_ROOMS = ("claims", "config", "core", "entrypoints", "jobs", "lake", "report", "source", "telemetry", "wiring")
_LIBRARIES = ("boto3", "deltalake", "duckdb", "msgspec", "numpy", "obstore", "pyarrow.parquet", "rich", "rocksdict")

for _name in _LIBRARIES:
    importlib.import_module(_name)
for _room in _ROOMS:
    _package = importlib.import_module(f"headgate.{_room}")
    for _found in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_found.name)
