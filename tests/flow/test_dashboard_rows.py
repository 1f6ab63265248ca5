"""Rejects and duplicates page by page: each row once, whatever the format, with filters, after replays and erasures."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headgate.errors import PermanentError
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.report.dashboard import rows, tables
from headgate.report.dashboard.original import find_original, sent
from headgate.report.dashboard.pages import templates
from headgate.report.dashboard.rowpages import RowPages
from headgate.report.dashboard.rows import Filter, Row, RowMoved, Table, one_row, row_page
from headgate.report.dashboard.watch import Watch
from headgate.report.dashboard.web import Request
from headgate.testing.commands import ok

FORMATS = ("delta", "parquet", "json")
HOSTILE = "\x1b[31m\u202e<script>"


def event(number: int, **more: object) -> str:
    return json.dumps({"event_uuid": f"id-{number}", "event_name": "shop:order", "created_at": 1_700_000_000, **more})


@pytest.fixture(scope="module", params=FORMATS)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExistingLake:
    """60 events, 60 copies of which 20 differ, 45 rejects of three reasons; several commits."""
    folder = tmp_path_factory.mktemp("rows")
    lines = [event(i) for i in range(60)]
    for i in range(60):
        lines.append(event(i, note=HOSTILE) if i % 3 == 0 else event(i))
    for i in range(15):
        lines += [f"{{broken {i}", "[1", event(i, created_at="never")]
    for number, start in enumerate(range(0, len(lines), 55)):
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / f"{number}.jsonl").write_text("\n".join(lines[start : start + 55]) + "\n")
        ok("run", folder / "in", folder / "lake", "--format", request.param)
    return find_lake(str(folder / "lake"))


def every_page(lake: ExistingLake, table: Table, wanted: Filter | None = None, replayed_at: int = 0) -> list[Row]:
    found: list[Row] = []
    after = None
    while True:
        page = row_page(lake, table, wanted or Filter(), after, replayed_at)
        assert len(page.rows) <= rows.PAGE_ROWS
        found += page.rows
        after = page.after
        if after is None:
            return found


def place(row: Row) -> tuple[str, str]:
    return row.columns["shard"], row.columns["sequence"]


@pytest.mark.parametrize(("table", "count"), [("rejected", 45), ("duplicates", 60)])
def test_pages_hold_every_row_once_and_the_newest_file_first(lake: ExistingLake, table: Table, count: int) -> None:
    found = every_page(lake, table)
    assert len({place(row) for row in found}) == len(found) == count
    arrived = list(dict.fromkeys(row.file for row in found))
    newest = [max(row.columns["arrived_at"] for row in found if row.file == file) for file in arrived]
    assert lake.about.format != "delta" or newest == sorted(newest, reverse=True)


def test_filters_choose(lake: ExistingLake) -> None:
    reasons = {row.columns["reason"] for row in every_page(lake, "rejected")}
    chosen = every_page(lake, "rejected", Filter(reason="created_at_invalid"))
    assert {row.columns["reason"] for row in chosen} == {"created_at_invalid"} < reasons
    assert len(chosen) == 15
    assert len(every_page(lake, "duplicates", Filter(is_conflict=True))) == 20
    assert len(every_page(lake, "duplicates", Filter(is_conflict=False))) == 40
    assert len(every_page(lake, "rejected", Filter(event_type="shop"))) == 15
    assert every_page(lake, "duplicates", Filter(event_type="none")) == []
    assert len(every_page(lake, "rejected", Filter(event_type=""))) == 30
    one = place(chosen[0])[1]
    assert one in {place(row)[1] for row in every_page(lake, "rejected", Filter(text=one))}


def test_times_choose_to_the_microsecond(lake: ExistingLake) -> None:
    found = every_page(lake, "rejected")
    moments = sorted({round(row.columns["arrived_at"].timestamp() * 1e6) for row in found})
    later = every_page(lake, "rejected", Filter(since_us=moments[-1]))
    assert 0 < len(later) <= len(found)
    earlier = every_page(lake, "rejected", Filter(until_us=moments[-1]))
    assert len(later) + len(earlier) == len(found)


def test_bytes_come_back_as_they_were_sent(lake: ExistingLake) -> None:
    raws = {bytes(row.columns["raw"]) for row in every_page(lake, "rejected")}
    assert {b"{broken 0", b"{broken 14", b"[1"} < raws


def test_a_link_leads_to_its_row(lake: ExistingLake) -> None:
    row = every_page(lake, "rejected")[30]
    assert one_row(lake, "rejected", row.file, row.number) == row


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "rejected/none.parquet", "_headgate/format.json"])
def test_a_link_opens_files_of_the_table_only(lake: ExistingLake, path: str) -> None:
    with pytest.raises(RowMoved):
        one_row(lake, "rejected", path, 0)
    with pytest.raises(RowMoved):
        row_page(lake, "rejected", Filter(), (path, 3), 0)


def test_a_row_beyond_the_end_is_no_row(lake: ExistingLake) -> None:
    with pytest.raises(PermanentError):
        one_row(lake, "rejected", every_page(lake, "rejected")[0].file, 10_000)


def test_every_duplicate_leads_to_its_original(lake: ExistingLake) -> None:
    for row in every_page(lake, "duplicates")[::7]:
        found = find_original(lake, row.columns)
        assert found.row is not None
        assert found.row["event_uuid"] == row.columns["event_uuid"]
        assert (found.row["shard"], found.row["sequence"]) == (
            row.columns["original_shard"],
            row.columns["original_sequence"],
        )
        differs = json.loads(sent(lake, row.columns)) != json.loads(found.row["payload"])
        assert differs == row.columns["conflict"]


def test_an_original_that_is_nowhere_is_said_to_be(lake: ExistingLake) -> None:
    columns = {**every_page(lake, "duplicates")[0].columns, "original_sequence": "123456789"}
    assert find_original(lake, columns).outcome == "none"


def test_a_page_reads_a_bounded_part_and_says_how_far(lake: ExistingLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_FILES", 1)
    page = row_page(lake, "rejected", Filter(text="nowhere"), None, 0)
    files = {row.file for row in every_page(lake, "rejected")}
    assert page.files <= 1
    assert (page.is_cut, page.rows) == (len(files) > 1, [])
    assert every_page(lake, "rejected", Filter(text="nowhere")) == []
    assert len(every_page(lake, "rejected")) == 45


def test_a_large_file_is_read_in_parts_that_fit_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f"{{broken {i}\n" for i in range(60)))
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", "parquet")
    lake = find_lake(str(tmp_path / "lake"))
    path = every_page(lake, "rejected")[0].file
    pq.write_table(pq.ParquetFile(tmp_path / "lake" / path).read(), tmp_path / "lake" / path, row_group_size=10)
    monkeypatch.setattr(rows, "MAX_SECONDS", -1.0)  # it is late at once
    page = row_page(lake, "rejected", Filter(text="nowhere"), None, 0)
    assert (page.rows, page.is_cut, page.after) == ([], True, (path, 50))
    assert every_page(lake, "rejected", Filter(text="nowhere")) == []
    assert [bytes(row.columns["raw"]) for row in every_page(lake, "rejected")] == [
        b"{broken %d" % i for i in reversed(range(60))
    ]


def test_what_is_too_large_when_inflated_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("".join(event(i, note="x" * 5_000) + "\n" for i in (1, 1)))
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", "json")
    lake = find_lake(str(tmp_path / "lake"))
    copy = every_page(lake, "duplicates")[0]
    for table in ("events", "duplicates"):
        for file in (tmp_path / "lake" / table).rglob("*.jsonl*"):
            packed = gzip.compress(file.read_bytes()) if file.suffix == ".jsonl" else file.read_bytes()
            file.unlink()
            file.with_name(file.name.removesuffix(".gz") + ".gz").write_bytes(packed)
    assert find_original(lake, copy.columns).outcome == "found"
    packed_row = every_page(lake, "duplicates")[0]
    monkeypatch.setattr(tables, "MAX_JSON_BYTES", 4_000)
    page = row_page(lake, "duplicates", Filter(), None, 0)
    assert (page.rows, page.after, list(page.left_out)) == ([], None, [packed_row.file])
    with pytest.raises(PermanentError, match="too large"):
        one_row(lake, "duplicates", packed_row.file, packed_row.number)
    found = find_original(lake, copy.columns)
    assert (found.outcome, found.files) == ("gave up", 0)


def test_of_a_large_duplicate_a_part_is_shown_and_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(event(1, note="x" * 300_000) + "\n" + event(1, note="y" * 300_000) + "\n")
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake")
    lake = find_lake(str(tmp_path / "lake"))
    row = every_page(lake, "duplicates")[0]
    pages = RowPages(Watch(lake, lambda: time.time_ns() // 1_000), templates()).table()
    shown = pages["/duplicate"](Request(query={"file": row.file, "row": str(row.number)})).body.decode()
    assert len(shown) < 150_000
    assert "Shown and compared are the first 65,536 bytes, of 300," in shown
    assert "the bytes differ" in shown
    assert "<mark>yyy" in shown


def test_what_a_replay_settled_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join([event(1), event(2, amount=-1), event(3, amount=-1), "{"]) + "\n")
    (tmp_path / "rules.toml").write_text(
        '[[rules]]\nname = "amount"\ncheck = "coalesce((payload->>\'amount\')::DOUBLE, 0) >= 0"\n'
    )
    path = tmp_path / "lake"
    ok("run", tmp_path / "a.jsonl", path, "--config", tmp_path / "rules.toml")
    lake = find_lake(str(path))
    assert len(every_page(lake, "rejected", replayed_at=lake.state().replayed_at)) == 3
    ok("replay", path)
    state = lake.state()
    assert state.replayed_at
    assert [row.columns["reason"] for row in every_page(lake, "rejected", replayed_at=state.replayed_at)] == [
        "malformed_json"
    ]


def test_an_erased_original_is_told_as_erased(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(event(1, account="42") + "\n" + event(1, account="42") + "\n")
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake")
    lake = find_lake(str(tmp_path / "lake"))
    copy = every_page(lake, "duplicates")[0]
    ok("erase", tmp_path / "lake", "--where", "payload->>'account' = '42'", "--yes")
    assert find_original(lake, copy.columns).outcome == "erased"


def test_after_compaction_a_cursor_says_that_it_is_old(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.jsonl").write_text("{\n" * 20)
        ok("run", tmp_path / "in", tmp_path / "lake")
    lake = find_lake(str(tmp_path / "lake"))
    page = row_page(lake, "rejected", Filter(), None, 0)
    ok("compact", tmp_path / "lake")
    with pytest.raises(RowMoved):
        row_page(lake, "rejected", Filter(), page.after, 0)
    assert len(every_page(lake, "rejected")) == 60
