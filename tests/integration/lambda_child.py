"""A function as the runtime client loads it, with Redis claims; it can be told to die between two effects."""

import os
import signal
import sys

from headgate.claims.redis import RedisClaimStore
from headgate.clock import SystemClock
from headgate.config import Config
from headgate.entrypoints import aws_lambda
from headgate.entrypoints.container import assemble
from headgate.invocation import InvocationSettings
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.opening import open_storage
from headgate.telemetry.log import LogLines
from headgate.testing.action_log import ActionLog, LoggedStorage
from headgate.testing.logged_ports import LoggedClaimStore


class DeadlyLog(ActionLog):
    """Ends the process by SIGKILL just before or just after an effect."""

    at = int(os.environ.get("DIE_AT", "-1"))
    is_after = os.environ.get("DIE_AFTER") == "yes"

    def do(self, name, effect, about="", lost=OSError):
        number = len(self.effects)
        self.effects.append(name)
        if number == self.at and not self.is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = effect()
        if number == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def _container():
    clock, log = SystemClock(), DeadlyLog()
    telemetry = LogLines(sys.stderr, level="info", style="json", now_us=clock.now_us)
    storage = LoggedStorage(open_storage(os.environ["LAKE"]), log)
    lake = open_lake(storage, os.environ.get("FORMAT"), LakeOptions(), now_us=clock.now_us)
    uri = os.environ["CLAIMS"]
    window_us = Config().dedup.window_us

    def claims():
        return LoggedClaimStore(RedisClaimStore(uri, lake_id=lake.about.lake_id, ttl_us=2 * window_us), log)

    publish = InvocationSettings(publish_seconds=float(os.environ.get("PUBLISH_SECONDS", "0")))
    return assemble(Config(), lake, claims, clock=clock, telemetry=telemetry, settings=publish), log


_opened = None


def handler(event, context):
    global _opened
    if _opened is None:
        _opened = _container()
    container, log = _opened
    answer = aws_lambda.admit(container, event, context)
    return {**answer, "effects": len(log.effects)}
