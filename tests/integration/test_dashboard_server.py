"""The dashboard as a real process: its door, its patience with bad clients, and that it changes nothing."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headgate.testing.commands import ok, run
from headgate.testing.dashboards import Dashboard, dashboard
from headgate.testing.processes import wait_until

TOKEN = "a-token-of-the-tests-0123456789"
EVENT = '{"event_uuid":"%d","event_name":"shop:order","created_at":1700000000}\n'
PAGES = ("/", "/rejects", "/duplicates", "/api/live", "/metrics", "/healthz", "/static/live.js", "/none")


def made_lake(folder: Path) -> Path:
    (folder / "a.jsonl").write_text("".join(EVENT % (i % 40) for i in range(50)) + "{broken\n" * 5)
    ok("run", folder / "a.jsonl", folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def shown(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with dashboard(lake, tmp_path_factory.mktemp("logs")) as found:
        yield found


def whole(found: Dashboard) -> dict:
    """The view once everything was read."""
    wait_until(lambda: not (view := found.live())["note"] and view["lists"]["tables"], "the whole history")
    return found.live()


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_it_shows_is_what_status_says(shown: Dashboard, lake: Path) -> None:
    counts = ok("status", lake)["counts"]
    view = whole(shown)
    names = ("received", "accepted", "duplicates", "rejected")
    assert {name: int(view["texts"][name].replace(",", "")) for name in names} == counts
    assert [row[0]["text"] for row in view["lists"]["reasons"]] == ["malformed_json"]
    assert view["problem"] == ""
    assert f">{counts['received']}<" in shown.get("/").body


def test_no_file_of_the_lake_changes(shown: Dashboard, lake: Path) -> None:
    before = contents(lake)
    for page in PAGES:
        shown.get(page)
    for page in ("/rejects", "/duplicates"):
        link = next(part.split('"')[0] for part in shown.get(page).body.split('class="closer" href="')[1:])
        assert shown.get(link.replace("&amp;", "&")).status == 200
    whole(shown)
    assert contents(lake) == before


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_carries_what_keeps_a_browser_in_bounds(shown: Dashboard, page: str) -> None:
    headers = shown.get(page).headers
    assert "unsafe" not in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert shown.get(page, method="HEAD").body == ""


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/..%2f..%2fetc/passwd", "/static/", "/%00"],
)
def test_no_path_leads_to_other_files(shown: Dashboard, path: str) -> None:
    assert shown.get(path).status in (400, 404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?range=century", 400),
        ("/reject", 400),
        ("/reject?file=rejected/x.parquet&row=1", 500),
        ("/duplicate?file=..%2F..%2Fetc%2Fpasswd&row=0", 500),
        ("/reject?file=x&row=-1", 400),
        ("/rejects?since=yesterday", 200),
        ("/rejects?file=rejected/none.parquet&row=3", 200),
        ("/rejects?reason=" + "x" * 600, 400),
        ("/rejects?text=" + "x" * 5_000, 400),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_sentence(shown: Dashboard, path: str, status: int) -> None:
    answer = shown.get(path)
    assert answer.status == status
    assert "Traceback" not in answer.body
    assert "Error" not in answer.body


def test_nothing_new_costs_nothing(shown: Dashboard) -> None:
    whole(shown)

    # A minute may pass between two requests, and ages and rates with it.
    def is_unchanged() -> bool:
        tag = shown.get("/api/live").headers["etag"]
        again = shown.get("/api/live", If_None_Match=tag)
        return again.status == 304 and again.body == ""

    wait_until(is_unchanged, "an answer without a body")


def test_another_host_name_is_refused(shown: Dashboard) -> None:
    assert shown.get("/", Host="evil.example").status == 421
    assert shown.get("/", Host=f"localhost:{shown.port}").status == 200
    assert shown.get("/", method="POST").status == 405


def test_metrics_pass_promtool_and_add_up(shown: Dashboard) -> None:
    view = whole(shown)
    text = shown.get("/metrics").body
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + checked.stdout
    samples = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    received = sum(float(value) for name, value in samples if name.startswith("headgate_received_events_total{"))
    assert f"{received:,.0f}" == view["texts"]["received"]
    assert any(name == 'headgate_table_rows{table="events"}' and float(value) == 40 for name, value in samples)


def test_random_bytes_do_no_harm(shown: Dashboard) -> None:
    rng = random.Random(8)
    starts = [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"POST / HTTP/1.1\r\n"]
    ends = [b"", b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\r\nContent-Length: -5\r\n\r\n"]
    for _ in range(120):
        sent = rng.choice(starts) + rng.randbytes(rng.randrange(400)) + rng.choice(ends)
        with socket.create_connection(("127.0.0.1", shown.port), timeout=30) as client:
            client.sendall(sent)
            if rng.random() < 0.5:
                client.shutdown(socket.SHUT_WR)
                try:
                    while client.recv(65_536):
                        pass
                except ConnectionError:
                    pass
    assert shown.get("/").status == 200
    assert shown.child.is_running
    assert "Traceback" not in shown.child.errors()


def test_large_requests_are_refused(shown: Dashboard) -> None:
    assert shown.get("/", X_Filler="x" * 40_000).status == 431
    with socket.create_connection(("127.0.0.1", shown.port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
        assert b" 413 " in client.recv(200)


def test_stalled_clients_keep_nobody_waiting(shown: Dashboard) -> None:
    with ExitStack() as clients:
        for number in range(60):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", shown.port), timeout=30))
            if number % 2:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Never: ends")
            else:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
                client.sendall(b"GET /?types=all HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)  # and reads no answer
        for page in ("/", "/api/live", "/rejects"):
            assert shown.get(page).status == 200


def test_a_lake_that_is_moved_is_told_and_found_again(tmp_path: Path) -> None:
    lake = made_lake(tmp_path)
    with dashboard(lake, tmp_path / "logs") as found:
        received = whole(found)["texts"]["received"]
        lake.rename(tmp_path / "elsewhere")
        wait_until(lambda: "no lake" in found.live()["problem"], "a sentence about the lake")
        assert found.get("/readyz").status == 503
        view = found.live()
        assert (view["texts"]["received"], view["as_of_us"] > 0) == (received, True)
        assert "moved or removed" in found.get("/").body
        assert found.get("/rejects").status in (500, 503)
        (tmp_path / "elsewhere").rename(lake)
        wait_until(lambda: found.live()["problem"] == "", "the lake is found again")
        assert found.get("/readyz").status == 200
        assert "Traceback" not in found.child.errors()


def test_another_lake_in_its_place_is_shown_from_its_beginning(tmp_path: Path) -> None:
    lake = made_lake(tmp_path)
    with dashboard(lake, tmp_path / "logs") as found:
        whole(found)
        lake.rename(tmp_path / "old")
        (tmp_path / "b.jsonl").write_text(EVENT % 1)
        ok("run", tmp_path / "b.jsonl", lake)
        wait_until(lambda: found.live()["texts"]["received"] == "1", "the other lake")
        wait_until(lambda: [row[2]["text"] for row in found.live()["lists"]["types"]] == ["1"], "its history")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_whoever_is_connected(lake: Path, tmp_path: Path, number: signal.Signals) -> None:
    with dashboard(lake, tmp_path) as found:
        with socket.create_connection(("127.0.0.1", found.port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            found.child.signal(number)
            assert found.child.wait() == 0
        assert found.child.errors() == ""


def test_beyond_this_machine_a_token_is_made_and_asked_for(lake: Path, tmp_path: Path) -> None:
    with dashboard(lake, tmp_path, "--host", "0.0.0.0") as found:
        assert found.token
        assert len(found.token) > 30
        assert [found.get(page).status for page in PAGES] == [401, 401, 401, 401, 401, 200, 401, 401]
        exchanged = found.get(f"/rejects?token={found.token}")
        assert (exchanged.status, exchanged.headers["location"]) == (303, "/rejects")
        cookie = exchanged.headers["set-cookie"].split(";")[0]
        assert found.get("/rejects", Cookie=cookie).status == 200
        assert found.get("/metrics", Authorization=f"Bearer {found.token}").status == 200
        assert found.token not in found.child.errors()


def test_a_token_of_ones_own_holds_over_a_restart(lake: Path, tmp_path: Path) -> None:
    env = {"HEADGATE_DASHBOARD_TOKEN": TOKEN}
    with dashboard(lake, tmp_path / "1", env=env) as found:
        port = found.port
        cookie = found.get(f"/?token={TOKEN}").headers["set-cookie"].split(";")[0]
        assert found.get("/").status == 401
    with dashboard(lake, tmp_path / "2", "--port", str(port), env=env) as found:
        assert found.get("/", Cookie=cookie).status == 200


def test_wrong_usage_is_one_line(shown: Dashboard, lake: Path, tmp_path: Path) -> None:
    for args, said, env in [
        ((lake, "--port", shown.port), "Address already in use; choose another", {}),
        ((lake, "--host", "host.invalid"), "no name or address of this machine", {}),
        ((tmp_path, "--port", 0), "no lake", {}),
        ((tmp_path / "none", "--port", 0), "no such folder", {}),
        ((lake, "--port", 0), "at least 16 bytes", {"HEADGATE_DASHBOARD_TOKEN": "short"}),
    ]:
        result = run("dashboard", *args, **env)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
        assert said in result.stderr


def test_the_address_is_printed_for_people_too(lake: Path, tmp_path: Path) -> None:
    with dashboard(lake, tmp_path) as found:
        told = json.loads(found.child.out.read_text())
    assert told["url"] == told["address"] == f"http://127.0.0.1:{told['port']}/"
    assert told["token"] is None
