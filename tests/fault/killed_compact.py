"""A compaction that kills its own process: `killed_compact.py LAKE METHOD PATH WHEN NTH AFTER_US`.

It dies the NTH time that the storage's METHOD is called for a path with PATH in it, WHEN being `before` or `after` the
effect. Its clock is AFTER_US ahead.
"""

import os
import signal
import sys

from headgate.lake.local import LocalStorage
from headgate.testing.compaction import compacted


class Trapped(LocalStorage):
    def __init__(self, root, method, path, when, nth):
        super().__init__(root)
        self._trap, self._left = (method, path, when), int(nth)

    def _around(self, method, path, effect):
        trapped, part, when = self._trap
        is_hit = method == trapped and part in path and self._count() == 0
        if is_hit and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = effect()
        if is_hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def _count(self):
        self._left -= 1
        return self._left

    def put(self, path, content, *, is_folder_synced=True):
        inner = super().put
        return self._around("put", path, lambda: inner(path, content, is_folder_synced=is_folder_synced))

    def put_if_absent(self, path, content):
        inner = super().put_if_absent
        return self._around("put_if_absent", path, lambda: inner(path, content))

    def delete(self, path):
        inner = super().delete
        return self._around("delete", path, lambda: inner(path))


def main():
    lake, method, path, when, nth, after_us = sys.argv[1:]
    compacted(storage=Trapped(lake, method, path, when, nth), after_us=int(after_us))


if __name__ == "__main__":
    main()
