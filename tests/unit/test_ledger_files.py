"""Ledger entries read side by side: the same entries in the same order, and never past a hole."""

import pytest

from headgate.lake.entry import entry_path
from headgate.lake.ledger_files import MOST_AT_ONCE, contents, following
from headgate.testing.memory_storage import MemoryStorage


class Remote(MemoryStorage):
    """Asked over a network; knows who asked for what."""

    def __init__(self, is_remote, numbers):
        super().__init__()
        self._is_remote, self.asked = is_remote, []
        for number in numbers:
            self.put(entry_path(number), str(number).encode())

    @property
    def is_remote(self):
        return self._is_remote

    def get(self, path):
        self.asked.append(path)
        return super().get(path)


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7, 50])
@pytest.mark.parametrize("number", [0, 9])
def test_all_that_follows_comes_in_order(is_remote, count, number):
    storage = Remote(is_remote, range(1, number + count + 1))
    wanted = [str(n).encode() for n in range(number + 1, number + count + 1)]
    assert list(following(storage, number)) == wanted
    assert len(storage.asked) <= count + MOST_AT_ONCE if is_remote else count + 1


@pytest.mark.parametrize("is_remote", [False, True])
@pytest.mark.parametrize("hole", [1, 2, 3, 8])
def test_nothing_behind_a_hole_is_taken(is_remote, hole):
    """What is there behind it was written between two reads that went out together."""
    storage = Remote(is_remote, [n for n in range(1, 20) if n != hole])
    assert list(following(storage, 0)) == [str(n).encode() for n in range(1, hole)]


@pytest.mark.parametrize("is_remote", [False, True])
def test_wanted_entries_come_in_the_order_asked_for(is_remote):
    storage = Remote(is_remote, range(1, 40))
    numbers = [7, 3, *range(10, 39), 99]
    assert list(contents(storage, numbers)) == [*(str(n).encode() for n in numbers[:-1]), None]
    assert list(contents(storage, [])) == []
