"""One stage working ahead of the next: a thread and a bounded queue between two generators."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

_POLL_SECONDS = 0.1  # how soon a thread notices that nobody waits for it any more


class _End:
    """Last item of a queue: the stage is through, or raised."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T], step: Callable[[T], U], depth: int) -> Generator[U]:
    """Apply `step` to each item, in order, up to `depth` results ahead of the consumer.

    Args:
        items: what the stage before gives; iterated in this stage's thread.
        step: the stage.
        depth: results that may wait, at least 1; 0 for no thread at all: one item goes through at a time.

    Yields:
        The results, in order. An error of `items` or `step` is raised here after the results before it. When the
        consumer stops, so does the thread.
    """
    if depth == 0:
        yield from map(step, items)
        return
    results: queue.Queue[U | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_work,
        args=(items, step, results, stopped),
        name=getattr(step, "__name__", "stage"),
        daemon=True,
    )
    thread.start()
    try:
        while True:
            got = results.get()
            if isinstance(got, _End):
                if got.error is not None:
                    raise got.error
                return
            # A list, emptied as it is handed on: a batch that waits is held once, not by every stage it passed.
            passing = [got]
            del got
            yield passing.pop()
    finally:
        stopped.set()
        thread.join()


def _work(items: Iterable[T], step: Callable[[T], U], results: queue.Queue[U | _End], stopped: threading.Event) -> None:
    end = _End(None)
    iterator = iter(items)
    try:
        for item in iterator:
            done = [step(item)]
            del item
            if stopped.is_set() or not _put(results, done, stopped):
                break
    except BaseException as error:  # noqa: BLE001 - it is raised again in the consumer's thread
        end = _End(error)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
    _put(results, [end], stopped)


def _put(results: queue.Queue[U | _End], done: list[U] | list[_End], stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            results.put(done[0], timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        done.clear()
        return True
    return False
