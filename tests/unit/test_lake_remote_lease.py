"""The lease in the lake: one holder, renewed, taken over after 30 s of the observer's own clock, lost with a sign."""

import socket
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from headgate.errors import TransientError
from headgate.lake.remote_lease import LEASE_PATH, TAKE_OVER_SECONDS, RemoteLease
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.clock import VirtualClock
from headgate.testing.processes import wait_until

NEVER = 3_600.0  # seconds between renewals, where the test renews by hand


class Unanswered:
    """Passes on; on demand the effect happens and its answer is lost, or nothing happens."""

    def __init__(self, inner):
        self.inner, self.lose, self.is_down = inner, 0, False

    def __getattr__(self, name):
        inner = getattr(self.inner, name)

        def call(*args):
            if self.is_down:
                raise TransientError("down")
            answer = inner(*args)
            if name.startswith("put") and self.lose:
                self.lose -= 1
                raise TransientError("lost")
            return answer

        return call


@pytest.fixture
def storage(moto, aws_credentials):
    bucket = moto.make_bucket(f"lease-{uuid.uuid4().hex}")
    return Unanswered(S3Storage(f"s3://{bucket}/l", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True)))


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def lease_of(storage, clock):
    made = []

    def make():
        made.append(RemoteLease(storage, lambda: 7, monotonic=clock.monotonic, renew_seconds=NEVER))
        return made[-1]

    yield make
    storage.is_down = False
    for lease in made:
        lease.release()


def test_one_of_many_holds_it(lease_of):
    leases = [lease_of() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda lease: lease.try_acquire(), leases)) == 1


def test_the_holder_is_named_and_released(lease_of):
    first, second = lease_of(), lease_of()
    assert first.holder() is None
    assert first.try_acquire()
    assert first.try_acquire()
    assert (second.holder().host, second.holder().since_us) == (socket.gethostname(), 7)
    assert not second.try_acquire()
    first.release()
    first.release()
    assert second.holder() is None
    assert second.try_acquire()


def test_a_silent_holder_is_taken_over_after_30_s_of_observation(lease_of, clock):
    silent, observer = lease_of(), lease_of()
    assert silent.try_acquire()
    assert not observer.try_acquire()
    clock.sleep(TAKE_OVER_SECONDS - 1)
    assert not observer.try_acquire()
    clock.sleep(1)
    assert observer.try_acquire()
    assert not silent.is_lost
    silent.renew()
    assert silent.is_lost
    assert not silent.try_acquire()
    assert not silent.is_lost


def test_a_holder_that_renews_is_never_taken_over(lease_of, clock):
    living, observer = lease_of(), lease_of()
    assert living.try_acquire()
    for _ in range(10):
        assert not observer.try_acquire()
        clock.sleep(TAKE_OVER_SECONDS - 1)
        living.renew()
    assert not living.is_lost


def test_a_dead_process_of_this_machine_is_taken_over_at_once(lease_of, storage):
    code = "import os; print(os.getpid())"
    gone = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    dead = lease_of()
    assert dead.try_acquire()
    content, version = storage.get_version(LEASE_PATH)
    written = msgspec.json.decode(content) | {"pid": gone}
    storage.put_version(LEASE_PATH, msgspec.json.encode(written), version)
    assert lease_of().try_acquire()


@pytest.mark.parametrize("renewals", [0, 1])
def test_a_renewal_whose_answer_was_lost_is_found_again(lease_of, storage, renewals):
    lease = lease_of()
    assert lease.try_acquire()
    for _ in range(renewals):
        lease.renew()
    storage.lose = 1
    lease.renew()
    lease.renew()
    assert not lease.is_lost
    assert not lease_of().try_acquire()


def test_a_storage_that_does_not_answer_is_no_loss(lease_of, storage):
    lease = lease_of()
    assert lease.try_acquire()
    storage.is_down = True
    lease.renew()
    assert not lease.is_lost
    with pytest.raises(TransientError):
        lease_of().try_acquire()
    storage.is_down = False
    lease.renew()
    assert not lease.is_lost


def test_a_first_write_whose_answer_was_lost_is_found_again(lease_of, storage):
    lease = lease_of()
    storage.lose = 1
    with pytest.raises(TransientError):
        lease.try_acquire()
    assert not lease_of().try_acquire()
    assert lease.try_acquire()


def test_what_cannot_be_read_is_taken_over_as_silent(lease_of, storage, clock):
    storage.put_if_absent(LEASE_PATH, b"rubbish")
    lease = lease_of()
    assert not lease.try_acquire()
    assert lease.holder() is None
    clock.sleep(TAKE_OVER_SECONDS)
    assert lease.try_acquire()


def test_a_thread_renews_it_until_it_is_released(storage):
    lease = RemoteLease(storage, lambda: 7, renew_seconds=0.01)
    assert lease.try_acquire()
    versions = {storage.get_version(LEASE_PATH)[1]}
    wait_until(lambda: versions.add(storage.get_version(LEASE_PATH)[1]) or len(versions) > 3, "renewals")
    lease.release()
    assert not [thread for thread in threading.enumerate() if thread.name == "lease" and thread.is_alive()]
