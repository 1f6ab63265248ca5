"""The dashboard over a lake on S3, also while the bucket does not answer."""

from __future__ import annotations

from pathlib import Path

from headgate.testing.commands import ok
from headgate.testing.dashboards import dashboard
from headgate.testing.pairs import Servers
from headgate.testing.processes import wait_until
from headgate.testing.proxy import Fault, fault_proxy
from headgate.testing.server_moto import Moto

EVENT = '{"event_uuid":"%d","event_name":"shop:order","created_at":1700000000}\n'


def test_a_bucket_that_stops_answering_is_told_and_found_again(moto: Moto, tmp_path: Path) -> None:
    servers = Servers(moto=moto, redis_uri="")
    uri, env = servers.make_lake_uri(), servers.env(tmp_path / "cache")
    (tmp_path / "a.jsonl").write_text("".join(EVENT % (i % 40) for i in range(45)) + "{broken\n")
    ok("run", tmp_path / "a.jsonl", uri, **env)
    with fault_proxy(moto.port, tmp_path / "proxy") as proxy:
        shown_env = {**env, "HEADGATE__STORAGE__ENDPOINT_URL": proxy.endpoint_url}
        with dashboard(uri, tmp_path / "logs", env=shown_env) as found:
            wait_until(lambda: not (view := found.live())["note"] and view["lists"]["tables"], "the whole history")
            assert found.live()["texts"]["received"] == "46"
            assert "{broken" in found.get("/rejects").body
            link = found.get("/duplicates").body.split('class="closer" href="')[1].split('"')[0]
            assert "the same, byte for byte" in found.get(link.replace("&amp;", "&")).body
            proxy.fail(Fault(times=None))
            wait_until(lambda: found.live()["problem"], "the reason")
            assert found.live()["texts"]["received"] == "46"
            assert found.get("/").status == 200
            proxy.heal()
            wait_until(lambda: not found.live()["problem"], "it is found again")
            assert "Traceback" not in found.child.errors()
