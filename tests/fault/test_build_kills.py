"""`build` killed at each of its effects, before and after: the next run ends with each event once."""

import threading
from datetime import date, timedelta

import pytest

from headgate.errors import TransientError
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.local import LocalStorage
from headgate.testing.build_rows import build_all, commit, payload_values
from headgate.testing.lake_rows import CREATED_DAY, NOW_US
from headgate.testing.scripted_storage import Killed, ScriptedStorage

CREATED_DATE = date(1970, 1, 1) + timedelta(days=CREATED_DAY)
EFFECTS = ("put", "put_if_absent", "delete", "rename")


class DyingStorage(ScriptedStorage):
    """Fails at the n-th effect; once killed, nothing happens any more."""

    def __init__(self, inner, number, moment):
        super().__init__(inner)
        self._number, self._moment, self._done = number, moment, 0
        self._dying = threading.RLock()
        self.is_dead = False

    def _do(self, method, path, effect):
        with self._dying:
            if self.is_dead:
                raise Killed(f"{method} {path}")
            if method not in EFFECTS or "analytics" not in path:
                return super()._do(method, path, effect)
            self._done += 1
            if self._done != self._number:
                return super()._do(method, path, effect)
            if self._moment == "unanswered":
                effect()
                raise TransientError(f"{path}: the answer was lost")
            self.is_dead = True
            if self._moment == "after":
                effect()
            raise Killed(f"{method} {path}")


def lake_at(folder, is_second_run):
    """Two tables; where it is the second run, one column becomes a double."""
    storage = LocalStorage(folder)
    lake = open_lake(storage, "delta", LakeOptions(), now_us=lambda: NOW_US)
    commit(lake, ['{"n":1}', '{"n":2}'])
    commit(lake, ['{"n":7}'], event_type="page")
    if is_second_run:
        build_all(storage, lake.about, lake)
        commit(lake, ['{"n":3}', '{"n":4.5}'])
        commit(lake, ['{"n":8}'], event_type="page", day=-1)
        commit(lake, ['{"n":9}'], event_type="quiz")
    return storage, lake


@pytest.mark.parametrize("moment", ["before", "after", "unanswered"])
@pytest.mark.parametrize("is_second_run", [False, True])
def test_killed_at_any_effect_the_next_run_ends_with_each_event_once(tmp_path, moment, is_second_run):
    wanted = {"payment_order": [1, 2], "page_order": [7]}
    if is_second_run:
        wanted = {"payment_order": [1.0, 2.0, 3.0, 4.5], "page_order": [7, 8], "quiz_order": [9]}
    number = faults = 0
    while True:
        number += 1
        storage, lake = lake_at(tmp_path / str(number), is_second_run)
        dying = DyingStorage(storage, number, moment)
        try:
            build_all(dying, lake.about, lake)
        except (Killed, TransientError):
            faults += 1
            commit(lake, ['{"n":100}'], event_type="page")
            build_all(storage, lake.about, lake)
            wanted_now = {**wanted, "page_order": [*wanted["page_order"], 100]}
        else:
            wanted_now = wanted
        assert build_all(storage, lake.about, lake).rows == 0
        lake.close()
        assert {folder: payload_values(storage, folder) for folder in wanted} == wanted_now, number
        if number > faults:
            break
    assert faults >= 6


@pytest.mark.parametrize("moment", ["before", "after", "unanswered"])
def test_a_date_built_anew_and_killed_at_any_effect_is_whole(tmp_path, moment):
    number = faults = 0
    is_over = False
    while not is_over:
        number += 2  # every second one: all of them take a minute
        storage, lake = lake_at(tmp_path / str(number), True)
        dying = DyingStorage(storage, number, moment)
        try:
            build_all(dying, lake.about, lake, created_date=CREATED_DATE)
        except (Killed, TransientError):
            faults += 1
            build_all(storage, lake.about, lake)
        else:
            is_over = True
        found = {folder: payload_values(storage, folder) for folder in ("payment_order", "page_order", "quiz_order")}
        assert found == {"payment_order": [1.0, 2.0, 3.0, 4.5], "page_order": [7, 8], "quiz_order": [9]}, number
        build_all(storage, lake.about, lake, created_date=CREATED_DATE)
        assert {folder: payload_values(storage, folder) for folder in found} == found
        lake.close()
    assert faults >= 3
