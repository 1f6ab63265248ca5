"""A stage that works ahead: order, bounds, errors and the end of its thread."""

import threading

import pytest

from headgate.ahead import ahead


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name == "double"]


def double(x):
    return 2 * x


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_results_come_in_order(depth):
    assert list(ahead(range(50), double, depth)) == list(range(0, 100, 2))
    assert threads() == []


@pytest.mark.parametrize("depth", [0, 1])
def test_nothing_gives_nothing(depth):
    assert list(ahead([], double, depth)) == []


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("failing", ["items", "step"])
def test_an_error_comes_after_the_results_before_it(depth, failing):
    def items():
        yield from (1, 2)
        if failing == "items":
            raise KeyError("items")
        yield 0

    def step(x):
        return 10 // x

    given = []
    with pytest.raises(KeyError if failing == "items" else ZeroDivisionError):
        given += [given.append(result) for result in ahead(items(), step, depth)]
    assert given == [10, 5]


def test_one_item_at_a_time_without_depth():
    seen = []
    results = ahead(iter([1, 2, 3]), lambda x: seen.append(x) or x, 0)
    assert next(results) == 1
    assert seen == [1]


def test_no_more_results_wait_than_asked_for():
    started, release = threading.Semaphore(0), threading.Event()
    seen = []

    def step(x):
        seen.append(x)
        started.release()
        return x

    results = ahead(range(100), step, 2)
    first = next(results)
    for _ in range(4):  # one given, two waiting, one in the thread's hand
        assert started.acquire(timeout=10)
    release.set()
    assert first == 0
    assert len(seen) <= 4
    results.close()


def test_the_thread_ends_and_the_stage_before_is_closed_when_nobody_wants_more():
    closed = threading.Event()

    def items():
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    results = ahead(items(), double, 1)
    assert next(results) == 0
    results.close()
    assert closed.is_set()
    assert threads() == []
