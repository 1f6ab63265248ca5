"""An erasure that kills its own process: `killed_erase.py LAKE METHOD PATH WHEN NTH`; see killed_compact.py."""

import sys

from killed_compact import Trapped

from headgate.testing.erasing import erased


def main():
    erased(Trapped(*sys.argv[1:]))


if __name__ == "__main__":
    main()
