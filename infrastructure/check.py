"""Everything about the infrastructure that can be proven without an account; `make deploy-check` runs it.

With Terraform on the machine: format, validity, the tests of every module against a mocked provider, and for every
design a real apply against an emulator, a second plan without changes, and destroy. Without it: the files against an
extract of the provider's schema, and one another. In both cases the policy scan.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from checks import extract, static  # noqa: E402 - beside this file
from checks.hcl import folders, read  # noqa: E402
from checks.roots import SWITCHED_OFF, Applied, apply_and_destroy  # noqa: E402
from checks.scan import scan  # noqa: E402
from checks.terraform import Failed, Terraform, find  # noqa: E402

#: What a run of Terraform leaves behind is not copied.
IGNORED = shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__")


def main() -> int:
    """Run all checks; print what was seen; 0 where all is well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkov", type=Path, help="the policy scanner; without it there is no scan")
    parser.add_argument("--without-terraform", action="store_true", help="as on a machine that has none")
    parser.add_argument("--only", default="", help="modules and designs whose name contains this")
    given = parser.parse_args()
    started, failures = time.monotonic(), list[str]()

    def check(title: str, work: Callable[[], str]) -> None:
        begun = time.monotonic()
        try:
            text = work()
        except (Failed, ValueError, RuntimeError) as error:
            failures.append(f"{title}: {error}")
            text = f"FAILED\n{error}"
        print(f"{time.monotonic() - begun:6.1f} s  {title}: {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="headgate-deploy-") as kept:
        work = Path(kept)
        terraform = None if given.without_terraform else find(work / "terraform.rc")
        check("files, schema and references", _static)
        if given.checkov:
            check("policy scan", lambda: _scan(given.checkov))
        if terraform:
            _with_terraform(terraform, work, given.only, check)
        else:
            print(
                "without Terraform: there is no `terraform` here, or no mirror of its AWS provider (TF_PLUGIN_MIRROR "
                "names one). The files were checked against the extract of the provider's schema; nothing was applied."
            )
    print(f"{time.monotonic() - started:6.1f} s in all; {len(failures) or 'no'} failures")
    return 1 if failures else 0


def _static() -> str:
    modules = {folder.resolve(): read(folder) for folder in folders(ROOT)}
    if found := static.problems(modules, extract.load()):
        raise ValueError("\n".join(found))
    resources = sum(len(module.resources) for module in modules.values())
    return f"{len(modules)} folders, {resources} resources agree with the provider's schema and with one another"


def _scan(program: Path) -> str:
    seen = scan(program, ROOT)
    written = sum(len(read(folder).resources) for folder in folders(ROOT))
    problems = list(seen.problems)  # checkov says nothing of files that it left out: so its resources are counted
    if seen.resources < written:
        problems.append(f"checkov saw {seen.resources} of {written} resources")
    if problems:
        raise ValueError("\n".join(problems))
    return f"{seen.resources} resources, {seen.passed} checks passed, {seen.explained} explained in the files"


def _with_terraform(
    terraform: Terraform, work: Path, only: str, check: Callable[[str, Callable[[], str]], None]
) -> None:
    copy = work / "infrastructure"
    shutil.copytree(ROOT, copy, ignore=IGNORED)
    check("terraform fmt", lambda: terraform(copy, "fmt", "-check", "-recursive") or "as it should be")
    chosen = [folder for folder in folders(copy) if only in folder.name]
    applied: list[Applied] = []

    def design(folder: Path) -> None:
        def run() -> str:
            applied.append(apply_and_destroy(terraform, folder, work / "logs" / folder.name))
            return _told(applied[-1])

        check(f"design {folder.name}", run)

    # Applying is mostly waiting, for what a service takes to be consistent; testing is work. So they go side by side.
    with ThreadPoolExecutor(max_workers=5) as designs:
        waiting = [designs.submit(design, folder) for folder in chosen if folder.parent.name == "designs"]
        for folder in chosen:
            if folder.parent.name == "modules":
                check(f"module {folder.name}", lambda folder=folder: _test(terraform, folder))  # type: ignore[misc]
        for one in waiting:
            one.result()
    if not only:
        seen = {type_ for one in applied for type_ in one.types}
        written = {type_ for folder in folders(copy) for type_, _ in read(folder).resources}
        print(f"only tested with a mocked provider, never applied: {', '.join(sorted(written - seen)) or 'nothing'}")
    for part in sorted({part for one in applied for part in one.switched_off}):
        print(f"switched off for the emulated run: {part}, because {SWITCHED_OFF[part]}")


def _test(terraform: Terraform, folder: Path) -> str:
    terraform(folder, "init", "-backend=false")
    terraform(folder, "validate")
    told = terraform(folder, "test")
    passed = re.search(r"(\d+) passed, 0 failed", told)
    if not passed or passed.group(1) == "0":
        raise Failed(f"no test ran in {folder.name}:\n{told[-1000:]}")
    return f"valid, {passed.group(1)} tests passed"


def _told(one: Applied) -> str:
    steps = ", ".join(f"{name} {one.seconds[name]:.0f} s" for name in ("apply", "plan", "destroy"))
    off = f"; switched off: {', '.join(one.switched_off)}" if one.switched_off else ""
    return f"{one.resources} resources ({one.planned} planned for prod): {steps}; second plan without changes{off}"


if __name__ == "__main__":
    sys.exit(main())
