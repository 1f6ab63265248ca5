"""checkov over all files: no finding that is not explained in the file, and nothing left unread."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Scan:
    """What checkov saw.

    Attributes:
        resources: number of them.
        passed, explained: checks.
        problems: findings, files that it could not read, and skips without a reason.
    """

    resources: int
    passed: int
    explained: int
    problems: tuple[str, ...]


def scan(program: Path, folder: Path) -> Scan:
    """Run checkov, which ends with 0 also where it could not read a file: so its own report is looked at.

    Args:
        program: checkov.
        folder: what to scan; nothing is downloaded.

    Raises:
        RuntimeError: it printed no report.
    """
    done = subprocess.run(
        [program, "--skip-download", "-d", folder, "--compact", "--quiet", "--framework", "terraform", "-o", "json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
        report = report[0] if isinstance(report, list) else report
        results, summary = report["results"], report["summary"]
    except (ValueError, KeyError, IndexError) as error:
        raise RuntimeError(f"checkov gave no report: {done.stdout[-500:]} {done.stderr[-500:]}") from error
    failed = [
        f"{one['file_path']}:{one['file_line_range'][0]}: {one['check_id']}: {one['check_name']} ({one['resource']})"
        for one in results.get("failed_checks", [])
    ]
    unread = [f"{path}: checkov cannot read it" for path in results.get("parsing_errors", [])]
    return Scan(
        resources=summary["resource_count"],
        passed=summary["passed"],
        explained=summary["skipped"],
        problems=(*failed, *unread),
    )
