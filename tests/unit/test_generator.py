"""Generated events are what their truth says, by a naive reading with json and a set."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import islice

import pytest

from headgate.errors import ConfigError
from headgate.testing.event_types import SHAPES, SLOTS, event_names
from headgate.testing.generator import BLOCK, LATE_MS, EventSpec, Truth, generate
from headgate.testing.rubbish import DEPTH, FAULTS, Parts

START_MS = 1_790_000_000_000
SPEC = EventSpec(events=2 * BLOCK + 4321, start_ms=START_MS, seed=7)
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def lines_of(spec: EventSpec, truth: Truth | None = None) -> list[bytes]:
    return b"".join(generate(spec, truth)).split(b"\n")[:-1]


def refuse(constant: str) -> None:
    raise ValueError(constant)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def created_seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError("no offset") from None
            value = moment.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    return value if value < 1e11 else value / 1e3 if value < 1e14 else value / 1e6 if value < 1e17 else value / 1e9


def reason_of(line: bytes) -> str | None:
    """The contract's reject reason, read without any of Headgate's code; None for a good event."""
    try:
        event = json.loads(line.decode("utf-8"), parse_constant=refuse)
        json.dumps(event, ensure_ascii=False).encode("utf-8")  # lone surrogates have no UTF-8
    except ValueError:
        return "malformed_json"
    if depth(event) > 128:
        return "malformed_json"
    if not isinstance(event, dict):
        return "not_an_object"
    uuid, name, created_at = (event.get(key) for key in ("event_uuid", "event_name", "created_at"))
    if uuid is None:
        return "event_uuid_missing"
    if isinstance(uuid, bool) or not isinstance(uuid, str | int) or not 0 < len(str(uuid).encode()) <= 512:
        return "event_uuid_invalid"
    if name is None:
        return "event_name_missing"
    if not isinstance(name, str) or len(name.encode()) > 256 or not name.split(":")[0].strip():
        return "event_name_invalid"
    if created_at is None:
        return "created_at_missing"
    try:
        seconds = created_seconds(created_at)
    except ValueError:
        return "created_at_invalid"
    if not 0 <= seconds < 253_402_300_800:
        return "created_at_invalid"
    return "created_at_in_future" if seconds > START_MS / 1000 + 86_400 * 30 else None


def warnings_of(event: dict[str, object]) -> list[str]:
    created_at = event["created_at"]
    found = ["created_at_text"] if isinstance(created_at, str) else []
    found += ["created_at_unit_ms"] if isinstance(created_at, int | float) and created_at >= 1e11 else []
    return [*found, *(["event_subtype_missing"] if ":" not in str(event["event_name"]) else [])]


def naive_truth(lines: list[bytes]) -> dict[str, object]:
    first: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for line in lines:
        if reason := reason_of(line):
            reasons[reason] += 1
            continue
        event = json.loads(line)
        warnings.update(warnings_of(event))
        key = event["event_uuid"].replace("-", "").lower()
        if key in first:
            counts["duplicates"] += 1
            counts["conflicts"] += line != first[key]
            continue
        first[key] = line
        types[event["event_name"].split(":")[0]] += 1
    return {
        "received": len(lines),
        "accepted": len(first),
        "duplicates": counts["duplicates"],
        "conflicts": counts["conflicts"],
        "rejected": reasons.total(),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "warnings": dict(sorted(warnings.items())),
        "accepted_by_type": dict(sorted(types.items())),
        "payload_bytes": sum(map(len, lines)),
    }


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        EventSpec(events=BLOCK + 1, start_ms=START_MS, seed=1, types=250, rate=5),
        EventSpec(events=5000, start_ms=START_MS, seed=2, duplicates=0.7, invalid=0.3, types=3),
        EventSpec(events=BLOCK * 2, start_ms=START_MS, seed=3, duplicates=1, invalid=0),
        EventSpec(events=1, start_ms=START_MS, invalid=1, duplicates=0),
        EventSpec(events=0, start_ms=START_MS),
    ],
    ids=["usual", "many types", "mostly copies", "copies only", "one line", "nothing"],
)
def test_truth_equals_a_naive_reading(spec: EventSpec) -> None:
    truth = Truth()
    lines = lines_of(spec, truth)
    told = truth.to_dict()
    del told["late"]
    assert told == naive_truth(lines)
    assert truth.received == spec.events == truth.accepted + truth.duplicates + truth.rejected


def test_shares_are_those_of_the_spec() -> None:
    truth = Truth()
    lines = lines_of(SPEC, truth)
    assert truth.duplicates / truth.received == pytest.approx(SPEC.duplicates, rel=0.1)
    assert truth.rejected / truth.received == pytest.approx(SPEC.invalid, rel=0.2)
    assert truth.conflicts / truth.duplicates == pytest.approx(1 / 3, rel=0.15)
    assert truth.late / truth.accepted == pytest.approx(SPEC.late, rel=0.15)
    assert 270 < truth.payload_bytes / len(lines) < 340


def test_same_seed_same_bytes_and_more_events_only_add() -> None:
    long = b"".join(generate(SPEC))
    assert long == b"".join(generate(SPEC))
    for events in (1, 777, BLOCK, BLOCK + 1):
        short = b"".join(generate(replace(SPEC, events=events)))
        assert long.startswith(short)
        assert short.count(b"\n") == events


def test_another_seed_has_no_id_in_common() -> None:
    def ids(seed: int) -> set[bytes]:
        return {line[:60] for line in lines_of(replace(SPEC, events=3000, seed=seed, invalid=0))}

    assert not ids(1) & ids(2)


def test_blocks_end_in_whole_lines_and_come_one_at_a_time() -> None:
    endless = replace(SPEC, events=10**9)
    truth = Truth()
    for block in islice(generate(endless, truth), 2):
        assert block.endswith(b"\n")
        assert block.count(b"\n") == BLOCK
    assert truth.received == 2 * BLOCK


def test_every_type_is_present_and_frequencies_are_skewed() -> None:
    truth = Truth()
    lines_of(replace(SPEC, events=1000), truth)
    assert len(truth.accepted_by_type) == 100
    truth = Truth()
    lines_of(SPEC, truth)
    counts = [count for _, count in truth.accepted_by_type.most_common()]
    assert counts[0] > 20 * counts[-1]


def test_ids_are_version_4_uuids() -> None:
    lines = lines_of(replace(SPEC, events=500, invalid=0, duplicates=0))
    ids = [json.loads(line)["event_uuid"] for line in lines]
    assert len(set(ids)) == 500
    assert all(map(UUID4.fullmatch, ids))


def test_created_at_lies_between_three_days_before_the_start_and_the_end() -> None:
    spec = replace(SPEC, rate=100, invalid=0)
    seconds = [created_seconds(json.loads(line)["created_at"]) for line in lines_of(spec)]
    assert max(seconds) * 1000 <= START_MS + spec.duration_ms
    assert max(seconds) * 1000 > START_MS + spec.duration_ms * 0.99
    assert START_MS - LATE_MS - 60_000 <= min(seconds) * 1000 < START_MS - LATE_MS * 0.9


def test_copies_come_soon_and_late() -> None:
    first: dict[str, int] = {}
    distances = []
    for at, line in enumerate(lines_of(replace(SPEC, invalid=0))):
        key = json.loads(line)["event_uuid"].replace("-", "").lower()
        if key in first:
            distances.append(at - first[key])
        first.setdefault(key, at)
    assert sum(d < 1000 for d in distances) > len(distances) / 2
    assert sum(d > BLOCK for d in distances) > len(distances) / 20


def test_the_first_line_is_a_good_event() -> None:
    for seed in range(20):
        line = lines_of(EventSpec(events=1, start_ms=START_MS, seed=seed, invalid=0.5, duplicates=0.5))[0]
        assert reason_of(line) is None


@pytest.mark.parametrize("number", range(len(FAULTS)))
@pytest.mark.parametrize("draw", [0, 40, 2**31 - 1])
def test_a_fault_earns_its_reason_in_one_line(number: int, draw: int) -> None:
    body = ',"user":{"id":1,"name":"Zoé"},"tags":["a","b"]'.encode()
    parts = Parts(b'"6f9619ff-8b86-4d01-b42d-00cf4fc964ff"', b'"payment:order:completed"', b"1790000000.5", body, draw)
    line = FAULTS[number].make(parts)
    assert reason_of(line) == FAULTS[number].reason
    assert line.strip()
    assert b"\n" not in line
    assert not line.startswith((b"[", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))


def test_the_faults_cover_the_reasons_that_a_line_can_earn() -> None:
    assert {fault.reason for fault in FAULTS} == {
        "malformed_json",
        "not_an_object",
        *(f"{field}_{what}" for field in ("event_uuid", "event_name", "created_at") for what in ("missing", "invalid")),
        "created_at_in_future",
    }
    assert DEPTH > 128


def test_shapes_use_the_slots_in_order_and_every_name_is_its_own() -> None:
    for shape in SHAPES.values():
        places = [SLOTS.index(slot) for slot in re.findall(r"<(\w+)>", shape)]
        assert places == sorted(set(places))
    names = [name.name for names in event_names(250) for name in names]
    assert len(names) == len(set(names))
    assert len({name.split(":")[0] for name in names}) == 250


def test_texts_are_of_the_world() -> None:
    text = b"".join(generate(replace(SPEC, events=2000, invalid=0))).decode("utf-8")
    assert "é" in text
    assert "🎉" in text
    assert "\\u00e9" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": -1},
        {"types": 0},
        {"rate": 0},
        {"rate": float("nan")},
        {"seed": -1},
        {"duplicates": 1.1},
        {"late": -0.1},
        {"invalid": 0.6, "duplicates": 0.6},
        {"start_ms": 0},
        {"rate": 1e-9},
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_made_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="generate"):
        replace(SPEC, **wrong)
