"""Claims of many ids on a Valkey of one's own, and a connection to it that can be cut."""

import socket
import threading
from contextlib import suppress

import numpy as np

from headgate.claims.redis import SCRIPT_KEYS, SENT_SCRIPTS, RedisClaimStore
from headgate.records import OWNER, Claims
from headgate.testing.claim_store_suite import DAY_US, NOON_US, WINDOW_US, claims_of
from headgate.testing.servers import HOST

MANY = 2 * SCRIPT_KEYS * SENT_SCRIPTS  # ids: several round trips


def opened(server, lake_id, *, ttl_us=8 * DAY_US, uri=None):
    return RedisClaimStore(uri or server.uri, lake_id=lake_id, ttl_us=ttl_us)


def many(shard, first=0):
    keys = np.zeros((MANY, 2), ">u8")
    keys[:, 0], keys[:, 1] = np.arange(MANY) * 7919, np.arange(MANY)
    owners = np.zeros(MANY, OWNER)
    sequences = np.zeros((MANY, 3), ">u8")
    sequences[:, 2] = np.arange(first, first + MANY)
    owners["sequence"] = sequences.view("V24").reshape(-1)
    owners["shard"], owners["sub"], owners["arrived"] = shard, -1, NOON_US
    return Claims(keys=keys.view(np.uint8), owners=owners)


def claim(store, *rows):
    return [row.tobytes() for row in store.claim(claims_of(rows), WINDOW_US)]


class Cut:
    """A connection through which only so many bytes of answers come until it is healed."""

    def __init__(self, port):
        self._port, self.left = port, None
        self._listener = socket.create_server((HOST, 0))
        self.uri = f"redis://{HOST}:{self._listener.getsockname()[1]}/0"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection((HOST, self._port))
            for ends in ((client, server, False), (server, client, True)):
                self._threads.append(threading.Thread(target=self._pass, args=ends, daemon=True))
                self._threads[-1].start()

    def _pass(self, source, target, is_answer):
        with source, target:
            while True:
                try:
                    got = source.recv(65_536)
                    if is_answer and self.left is not None:
                        got, self.left = got[: self.left], max(0, self.left - len(got))
                    if not got:
                        break
                    target.sendall(got)
                    if is_answer and self.left == 0:
                        break
                except OSError:
                    break
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
