"""What changed in a history: told where it is so, and not where it is only quiet or rare."""

import tracemalloc

import numpy as np
import pyarrow as pa

from headgate.core.histogram import BUCKETS
from headgate.core.quality import quality_table
from headgate.core.schema import COUNTS, HISTOGRAM, TIMESTAMP
from headgate.report.drift import drift_of
from headgate.report.history import COLUMNS, HOUR_US, MINUTE_US, History

START_US = 1_795_000_000_000_000 // HOUR_US * HOUR_US


def history_of(counts: dict[str, list[int]], units: dict[str, list[str]] | None = None, late: dict | None = None):
    """Events of each type by step of ten minutes."""
    rows = [(step, name, n) for name, values in counts.items() for step, n in enumerate(values) if n]
    unit = {name: (units or {}).get(name, ["seconds"] * len(values)) for name, values in counts.items()}
    number = pa.array([n for *_, n in rows], pa.int64())
    staged = pa.array([START_US + step * 10 * MINUTE_US + 5 for step, *_ in rows], pa.int64()).cast(TIMESTAMP)
    known = {
        "entry_id": pa.array([f"e{i}" for i in range(len(rows))]),
        "staged_at": staged,
        "event_type": pa.array([name for _, name, _ in rows]),
        "received": number,
        "accepted": number,
        **{name: pa.array(np.zeros(len(rows), dtype=np.int64)) for name in ("duplicates", "conflicts", "rejected")},
        "units": pa.array([[(unit[name][step], n)] for step, name, n in rows], COUNTS),
        "created_to_arrived": pa.array(
            [[(7_200.0 if step in (late or {}).get(name, ()) else 1.0, n)] for step, name, n in rows], HISTOGRAM
        ),
        "created_min": staged,
        "created_max": staged,
    }
    found = History()
    found.add(quality_table(known, len(rows)).select(COLUMNS))
    return found


def test_a_type_that_falls_silent_is_missed_once_enough_of_it_would_have_come():
    found = drift_of(history_of({"a": [100] * 12, "b": [10] * 6 + [0] * 6, "rare": [2] * 6 + [0] * 6}))
    assert [(turn.event_type, turn.events, turn.expected) for turn in found.stopped] == [("b", 60, 59)]
    assert found.stopped[0].at_us == START_US + 50 * MINUTE_US + MINUTE_US


def test_a_type_that_always_had_such_pauses_is_not_missed():
    nightly = [50, 0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0]
    assert drift_of(history_of({"a": [100] * 19, "nightly": nightly})).stopped == []


def test_a_new_type_is_told_and_one_that_was_there_from_the_first_is_not():
    found = drift_of(history_of({"a": [100] * 12, "b": [0] * 6 + [40] * 6, "c": [5] * 12}))
    assert [(turn.event_type, turn.at_us, turn.events) for turn in found.begun] == [("b", START_US + HOUR_US, 240)]


def test_a_switch_of_unit_is_told_with_the_step_in_which_it_began():
    units = {"b": ["seconds"] * 4 + ["milliseconds"] * 4, "c": ["text"] * 8, "d": ["seconds"] * 7 + ["text"]}
    found = drift_of(history_of({"a": [50] * 8, "b": [30] * 8, "c": [30] * 8, "d": [9] * 7 + [1]}, units)).switches
    assert [(s.event_type, s.before, s.unit, s.began_us, s.events, s.share) for s in found] == [
        ("b", "seconds", "milliseconds", START_US + 40 * MINUTE_US, 120, 1.0),
        ("d", "seconds", "text", START_US + 70 * MINUTE_US, 1, 1.0),
    ]


def test_a_few_events_in_another_unit_are_no_switch():
    units = {"a": ["seconds"] * 4 + ["milliseconds"] + ["seconds"] * 3}
    assert drift_of(history_of({"a": [50] * 4 + [1] + [5_000] * 3}, units)).switches == []


def test_late_hours_are_those_with_many_late_events():
    found = drift_of(history_of({"a": [100] * 12, "few": [5] * 12}, late={"a": (7, 8), "few": (1,)})).late
    assert [(hour.event_type, hour.staged_us, hour.late, hour.events) for hour in found] == [
        ("a", START_US + HOUR_US, 200, 600)
    ]


def test_nothing_changes_where_nothing_is():
    found = drift_of(History())
    assert (found.switches, found.stopped, found.begun, found.late) == ((), (), (), ())


def test_late_events_are_looked_for_in_little_memory():
    hours, types = 2_999, 200
    of_all_buckets = hours * types * len(BUCKETS) * 8
    random = np.random.default_rng(0)
    staged = START_US + np.array([0, hours]) * HOUR_US
    known = {
        "entry_id": pa.array([f"e{i}" for i in range(2 * types)]),
        "staged_at": pa.array(np.repeat(staged, types)).cast(TIMESTAMP),
        "event_type": pa.array([f"t{i % types}" for i in range(2 * types)]),
        **{name: pa.array(np.full(2 * types, 30)) for name in ("received", "accepted")},
        **{name: pa.array(np.zeros(2 * types, dtype=np.int64)) for name in ("duplicates", "conflicts", "rejected")},
        "created_to_arrived": pa.array(
            [[(bound, int(random.integers(1, 3))) for bound in BUCKETS] for _ in range(2 * types)], HISTOGRAM
        ),
    }
    history = History()
    history.add(quality_table(known, 2 * types).select(COLUMNS))
    tracemalloc.start()
    try:
        drift_of(history)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < of_all_buckets / 2
