"""The part of the AWS provider's schema that the modules use, `schema/aws.json.gz`, and its shape.

A machine without Terraform is checked against it. Made anew, where Terraform is, by
`terraform providers schema -json | python infrastructure/checks/extract.py`.

A body is `{"attributes": {name: "r" | "o" | "c"}, "blocks": {name: [at least, at most, body]}}`: required, optional,
computed only; at most 0 is any number.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
EXTRACT = ROOT / "schema" / "aws.json.gz"
PROVIDER = "registry.terraform.io/hashicorp/aws"

Body = dict[str, Any]


def load() -> dict[str, dict[str, Body]]:
    """`resource` and `data`, each by type."""
    found: dict[str, dict[str, Body]] = json.loads(gzip.decompress(EXTRACT.read_bytes()))
    return found


def extract(schema: Body, used: dict[str, set[str]]) -> dict[str, dict[str, Body]]:
    """Cut the schema down.

    Args:
        schema: what `terraform providers schema -json` prints.
        used: types by `resource` and `data`.
    """
    provider = schema["provider_schemas"][PROVIDER]
    parts = {"resource": provider["resource_schemas"], "data": provider["data_source_schemas"]}
    return {
        kind: {name: _body(parts[kind][name]["block"]) for name in sorted(names) if name in parts[kind]}
        for kind, names in used.items()
    }


def _body(block: Body) -> Body:
    return {
        "attributes": {name: _need(spec) for name, spec in block.get("attributes", {}).items()},
        "blocks": {
            name: [spec.get("min_items", 0), spec.get("max_items", 0), _body(spec["block"])]
            for name, spec in block.get("block_types", {}).items()
        },
    }


def _need(spec: Body) -> str:
    if spec.get("required"):
        return "r"
    return "o" if spec.get("optional") else "c"


def _used() -> dict[str, set[str]]:
    from checks.hcl import folders, read  # only needed to make the extract

    used: dict[str, set[str]] = {"resource": set(), "data": set()}
    for folder in folders(ROOT):
        module = read(folder)
        used["resource"] |= {kind for kind, _ in module.resources}
        used["data"] |= {kind for kind, _ in module.data}
    return used


if __name__ == "__main__":
    found = extract(json.load(sys.stdin), _used())
    text = json.dumps(found, separators=(",", ":"), sort_keys=True).encode()
    EXTRACT.write_bytes(gzip.compress(text, mtime=0))
    print(f"{EXTRACT}: {sum(map(len, found.values()))} types, {EXTRACT.stat().st_size:,} bytes")
