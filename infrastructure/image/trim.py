"""Takes out of an environment what Headgate never loads, so that the image is smaller; run inside the build.

Each entry says what it is. One that matches nothing any more is an error: the list follows the locked versions.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

#: Patterns below site-packages, and why nobody misses them.
REMOVED = {
    "pyarrow/*arrow*_flight*.so*": "Arrow Flight: no RPC here (pyarrow imports it only on demand)",
    "pyarrow/_flight*.so": "its binding",
    "pyarrow/libarrow_python*.so.*.*.*": "a copy of the library that lies beside it",
    "pyarrow/libarrow_python.so": "another copy, which only linkers look for",
    "pyarrow/include": "headers",
    "pyarrow/includes": "headers for Cython",
    "pyarrow/src": "sources",
    "pyarrow/*.px[di]": "sources",
    "pyarrow/*.pyx": "sources",
    "pyarrow/tests": "tests",
    "numpy/**/tests": "tests",
    "numpy/f2py": "a compiler driver",
    "numpy/_core/include": "headers",
    "numpy/_core/lib/*.a": "a static library",
    "zstandard/_cffi*.so": "a second binding, for other Pythons",
}
#: What botocore knows of services; the rest of its descriptions is never opened.
SERVICES = {"dynamodb", "kinesis", "s3", "sso", "sso-oidc", "sts", "signin"}


def main() -> int:
    """Remove what the list names; 1 where an entry matches nothing."""
    packages = Path(sysconfig.get_path("purelib"))
    before = _bytes(packages)
    idle = [pattern for pattern in REMOVED if not _remove(list(packages.glob(pattern)))]
    descriptions = packages / "botocore" / "data"
    _remove([one for one in descriptions.iterdir() if one.is_dir() and one.name not in SERVICES])
    for pattern in idle:
        print(f"trim.py: nothing matches {pattern}: take it out of the list", file=sys.stderr)
    print(f"trim.py: {before / 1e6:.0f} MB, now {_bytes(packages) / 1e6:.0f} MB")
    return 1 if idle else 0


def _remove(paths: list[Path]) -> int:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(paths)


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
