"""Rubbish of every kind through the command line: the good events around it are stored, nothing ends the process."""

import gzip
import json
import os
import random
from collections import Counter
from pathlib import Path

import duckdb
import pytest
import zstandard

from headgate.testing.independent import breaches, totals, visible_files
from headgate.testing.processes import Child, run

MIB = 1 << 20
CREATED = 1_780_000_000
GOOD = {"event_name": "payment:order", "created_at": CREATED}
COUNT_KEYS = ("received", "accepted", "duplicates", "rejected")


def good(number: int | str, **fields: object) -> bytes:
    return json.dumps({"event_uuid": f"good-{number}", **GOOD, **fields}).encode()


def bad(**fields: object) -> bytes:
    event = {"event_uuid": "bad", **GOOD, **fields}
    return json.dumps({key: value for key, value in event.items() if value is not None}).encode()


class Lake:
    """A lake of a test, and what `run` says of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "lake"

    def admit(self, source: Path | str, *flags: str, code: int = 0, stdin: Path | None = None) -> dict[str, object]:
        """Run; the printed summary. Never a traceback, and what is counted is what is stored."""
        with (stdin or Path(os.devnull)).open("rb") as file:
            found, child = run(["run", source, self.path, "--json", *flags], self.folder / "logs", stdin=file.fileno())
        assert found == code, child.errors()
        assert "Traceback" not in child.errors()
        assert "bug" not in child.errors()
        assert breaches(self.path) == []
        return json.loads(child.out.read_text())

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def column(self, table: str, expression: str) -> list[object]:
        files = visible_files(self.path, table)
        if not files:
            return []
        query = f"SELECT {expression} FROM read_parquet($files, hive_partitioning = true)"
        with duckdb.connect() as connection:
            return [value for (value,) in connection.execute(query, {"files": files}).fetchall()]

    def reasons(self) -> Counter[object]:
        return Counter(self.column("rejected", "reason"))

    def ids(self) -> list[object]:
        return sorted(self.column("events", "event_uuid"), key=str)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def deep(levels: int) -> bytes:
    return b'{"event_uuid":"x","event_name":"a:b","created_at":1,"x":' + b"[" * levels + b"]" * levels + b"}"


REJECTS = {
    "malformed_json": [
        b"rubbish",
        b'{"event_uuid": "a"',
        bad().replace(b"1780000000", b"NaN"),
        bad()[:-1] + b",}",
        bad(x="@").replace(b"@", b"\xff"),
        bad(x="@").replace(b"@", b"\\ud800"),
        deep(129),
        deep(100_000),
        b"[" * 100_000,
        b"[1, 2",
        b"\x00\x01",
    ],
    "not_an_object": [b"17", b'"text"', b"null", b"true"],
    "too_large": [bad(x="y" * (10 * MIB))],
    "event_uuid_missing": [bad(event_uuid=None), bad(event_uuid="")],
    "event_uuid_invalid": [bad(event_uuid="x" * 513), bad(event_uuid=[1]), bad(event_uuid=1.5)],
    "event_name_missing": [bad(event_name=None), bad(event_name="")],
    "event_name_invalid": [
        bad(event_name=":x"),
        bad(event_name="x" * 257),
        bad(event_name="/" * 81),
        bad(event_name="é" * 100),
        bad(event_name=7),
    ],
    "created_at_missing": [bad(created_at=None)],
    "created_at_invalid": [
        bad(created_at="soon"),
        bad(created_at=-1),
        bad(created_at="2026-01-01T00:00:00"),
        bad(created_at=True),
        bad(created_at=0).replace(b'"created_at": 0', b'"created_at": ' + b"9" * 5_000),
    ],
    "created_at_in_future": [bad(created_at=9_000_000_000)],
}


def test_every_reject_reason_leaves_the_good_events_around_it(lake: Lake) -> None:
    lines, wanted = [good("first")], Counter()
    for reason, rejects in REJECTS.items():
        for number, reject in enumerate(rejects):
            lines += [reject, good(f"{reason}-{number}")]
            wanted[reason] += 1
    wanted["rule:no_tests"] = 1
    lines += [bad(event_uuid="test", mode="test"), good("last")]
    config = lake.write("c.toml", b'[[rules]]\nname = "no_tests"\ncheck = "payload->>\'mode\' IS NULL"\n')
    source = lake.write("events.jsonl", b"\n".join(lines) + b"\n")
    summary = lake.admit(source, "--config", str(config))
    assert lake.reasons() == wanted
    assert lake.ids() == sorted(json.loads(line)["event_uuid"] for line in lines if b'"good-' in line)
    assert summary["rejected"] == wanted.total()
    raws = lake.column("rejected", "raw")
    assert {raw for raw in raws if isinstance(raw, bytes)} == {
        *(reject for rejects in REJECTS.values() for reject in rejects),
        bad(event_uuid="test", mode="test"),
    }


def test_the_types_above_the_limit_are_rejected_in_order(lake: Lake) -> None:
    lines = [bad(event_uuid=str(n), event_name=f"type-{n % 50_000}:x") for n in range(50_010)]
    summary = lake.admit(lake.write("events.jsonl", b"\n".join(lines)))
    assert {key: summary[key] for key in COUNT_KEYS} == {
        "received": 50_010,
        "accepted": 1_010,
        "duplicates": 0,
        "rejected": 49_000,
    }
    assert lake.reasons() == {"event_type_limit": 49_000}
    assert {int(str(event_id)) % 50_000 for event_id in lake.ids()} == set(range(1_000))


def test_a_gzip_bomb_is_a_reject_and_memory_stays_bounded(lake: Lake) -> None:
    folder = lake.folder / "source"
    folder.mkdir()
    bomb = b"".join(gzip.compress(b"x" * (64 * MIB), 9) for _ in range(5))
    (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(good(1) + b"\n") + bomb + gzip.compress(b"\n" + good(2)))
    (folder / "long.jsonl").write_bytes(good(3) + b"\n" + b"y" * (70 * MIB) + b"\n" + good(4) + b"\n")
    program = (
        "import resource, sys, runpy\n"
        "from headgate.entrypoints.cli import main\n"
        "try:\n    main()\nfinally:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    with Child(["-c", program, "run", folder, lake.path], lake.folder / "logs", is_cold=True) as child:
        assert child.wait(120) == 0, child.errors()
    assert breaches(lake.path) == []
    assert lake.ids() == [f"good-{n}" for n in (1, 2, 3, 4)]
    assert lake.reasons() == {"too_large": 2}
    assert int(child.errors().splitlines()[-1]) < 1_200_000, "KiB"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", b""),
        ("newlines.jsonl", b"\n" * 100_000),
        ("blanks.jsonl", b" \r\n\t\n" * 1000),
        ("empty.jsonl.gz", b""),
        ("empty.json", b""),
        ("nothing.json", b"[]"),
        ("zeros.jsonl.gz", gzip.compress(b"")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_nothing_is_nothing(lake: Lake, name: str, content: bytes) -> None:
    summary = lake.admit(lake.write(name, content))
    assert [summary[key] for key in COUNT_KEYS] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("crlf.jsonl", good(1) + b"\r\n" + good(2) + b"\r\n"),
        ("bom.jsonl", b"\xef\xbb\xbf" + good(1) + b"\n" + good(2) + b"\n"),
        ("no-end.jsonl", good(1) + b"\n" + good(2)),
        ("members.jsonl.gz", gzip.compress(good(1) + b"\n") + gzip.compress(good(2))),
        ("array.json", b"[" + good(1) + b",\n" + good(2) + b"]"),
        ("bom-array.json", b"\xef\xbb\xbf [\n" + good(1) + b",\n" + good(2) + b"]"),
        ("pretty.json", json.dumps(json.loads(good(1)), indent=2).encode() + good(2)),
        ("side-by-side.jsonl", good(1) + good(2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_files_of_good_events_are_read(lake: Lake, name: str, content: bytes) -> None:
    source = lake.write(name, content)
    lake.admit(source)
    assert (lake.ids(), lake.reasons()) == (["good-1", "good-2"], {})
    code, child = run(["verify", source, lake.path], lake.folder / "logs")
    assert code == 0, child.out.read_text()


@pytest.mark.parametrize("name", ["noise.jsonl", "noise.json", "noise.jsonl.gz", "noise.jsonl.zst"])
def test_binary_noise_harms_nothing(lake: Lake, name: str) -> None:
    noise = random.Random(7).randbytes(5 * MIB)
    folder = lake.folder / "source"
    folder.mkdir()
    (folder / name).write_bytes(noise)
    (folder / "z.jsonl").write_bytes(good(1))
    summary = lake.admit(folder)
    assert summary["accepted"] == 1
    assert int(str(summary["rejected"])) > 0


def test_a_cut_gzip_file_keeps_what_was_whole(lake: Lake) -> None:
    whole = gzip.compress(b"\n".join(good(n, noise=random.Random(n).random()) for n in range(5000)))
    summary = lake.admit(lake.write("cut.jsonl.gz", whole[: len(whole) // 2]))
    assert int(str(summary["accepted"])) > 1000
    assert summary["rejected"] == 1


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_cut_file_of_which_nothing_inflates_is_told(lake: Lake, suffix: str) -> None:
    content = b"\n".join(good(n, noise=random.Random(n).random()) for n in range(2000))
    whole = gzip.compress(content) if suffix == "gz" else zstandard.compress(content)
    source = lake.write(f"cut.jsonl.{suffix}", whole[:30])
    code, child = run(["run", source, lake.path], lake.folder / "logs")
    assert code == 0
    assert source.name in "".join(line for line in child.errors().splitlines() if "noticed" in line)


def test_folders_and_loops_among_the_files_are_no_matter(lake: Lake) -> None:
    folder = lake.folder / "source"
    (folder / "x.jsonl").mkdir(parents=True)
    (folder / "x.jsonl" / "inner.jsonl").write_bytes(good(1))
    (folder / "loop").symlink_to(folder)
    (folder / "self.jsonl").symlink_to(folder / "self.jsonl")
    (folder / "gone.jsonl").symlink_to(folder / "nowhere")
    (folder / "good.jsonl").write_bytes(good(2))
    lake.admit(folder)
    assert lake.ids() == ["good-1", "good-2"]


def test_a_file_that_shrank_or_was_replaced_is_read_anew(lake: Lake) -> None:
    source = lake.write("events.jsonl", b"".join(good(n) + b"\n" for n in range(100)))
    assert lake.admit(source)["accepted"] == 100
    source.write_bytes(good(0) + b"\n" + good("new") + b"\n")
    summary = lake.admit(source)
    assert (summary["accepted"], summary["duplicates"]) == (1, 1)
    source.write_bytes(b"".join(good(f"other-{n}") + b"\n" for n in range(100)))
    assert lake.admit(source)["accepted"] == 100
    assert lake.admit(source)["received"] == 0


def test_standard_input_is_read_to_its_end(lake: Lake) -> None:
    source = lake.write("events", good(1) + b"\nrubbish\n" + good(2) + good(3))
    summary = lake.admit("-", stdin=source)
    assert [summary[key] for key in COUNT_KEYS] == [4, 3, 0, 1]
    assert lake.admit("-", stdin=source)["duplicates"] == 3
    assert totals(lake.path) == (3, 3, 2)


def test_names_that_could_leave_the_lake_stay_inside(lake: Lake) -> None:
    names = ["../../x", "a/b=c%2F", "__HIVE_DEFAULT_PARTITION__", "..", "x" * 240, "x\u0000y", "a\nb"]
    lines = [bad(event_uuid=str(n), event_name=f"{name}:y") for n, name in enumerate(names)]
    lines += [bad(event_uuid="long", event_name="x" * 300)]
    lake.admit(lake.write("events.jsonl", b"\n".join(lines)))
    assert lake.reasons() == {"event_name_invalid": 1}
    assert len(lake.ids()) == len(names)
    assert sorted(path.name for path in lake.folder.iterdir()) == ["events.jsonl", "lake", "logs"]
