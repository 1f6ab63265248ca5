"""The live view from the ledger and the tables: totals, rates, commits, files, shards, and hints. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.jobs.status import Status
from headgate.lake.entry import Head
from headgate.ports import LedgerState
from headgate.report.dashboard import words
from headgate.report.dashboard.geometry import spark
from headgate.report.dashboard.view import Cell, Row, View, number, text
from headgate.report.dashboard.watch import KEPT_US, Seen

PARTS = ("received", "accepted", "duplicates", "rejected")
SHOWN_COMMITS = 8
SHOWN_SHARDS = 8
PULSE_US = 2_000_000  # microseconds; width of a step of the line beside the rates
PULSE_STEPS = KEPT_US // PULSE_US
_SMALL_BYTES = 8 << 20  # bytes; files of events below that on average are worth joining
_MANY_FILES = 500
_QUIET_US = 600_000_000  # microseconds without a commit after which a lake is called quiet


def add_ledger(view: View, seen: Seen, now_us: int) -> None:
    """Totals, rates and commits."""
    state = seen.state
    view.texts |= dict.fromkeys(PARTS, "–")
    view.texts |= dict.fromkeys([f"{name}_{what}" for name in PARTS for what in ("rate", "share")], "–")
    view.texts |= {"conserved": "reading the ledger", "entry": "–", "event_types": "–", "writer": "–"}
    view.lists["commits"], view.paths["pulse"], view.flags["is_conserved"] = [], "", False
    view.times["committed"] = 0
    rates = seen.rates(now_us)
    if state is None:
        return
    for name, total, a_second in zip(PARTS, state.counts, rates, strict=True):
        view.texts[name] = words.count(total)
        view.texts[f"{name}_rate"] = words.rate(a_second) if a_second else "–"
        view.texts[f"{name}_share"] = words.share(total, state.counts.received)
    is_conserved = state.counts.is_conserved
    view.texts["conserved"] = "conserved: nothing is missing" if is_conserved else "NOT conserved: run headgate verify"
    view.flags["is_conserved"] = is_conserved
    view.texts["entry"] = words.count(state.number)
    view.texts["event_types"] = words.count(len(state.event_types))
    view.texts["writer"] = text(_writer(state.writer)).text
    view.times["committed"] = state.committed_us
    view.paths["pulse"] = spark(_pulse(seen.heads, now_us))
    view.lists["commits"] = [_commit(head) for head in reversed(seen.heads[-SHOWN_COMMITS:])]


def _pulse(heads: Iterable[Head], now_us: int) -> list[float]:
    """Received a second in each of the last steps."""
    steps = [0.0] * PULSE_STEPS
    end = now_us - now_us % PULSE_US
    for head in heads:
        at = PULSE_STEPS - 1 - (end - head.committed_us) // PULSE_US
        if 0 <= at < PULSE_STEPS:
            steps[at] += head.counts.received / (PULSE_US / 1e6)
    return steps


def _writer(writer: object) -> str:
    if not isinstance(writer, dict) or not writer:
        return "–"
    rest = [f"{name} {value}" for name, value in writer.items() if name not in ("host", "pid", "version", "privacy")]
    return " · ".join([f"{writer.get('host', '?')} pid {writer.get('pid', '?')}", *rest])


def _commit(head: Head) -> Row:
    counts = head.net
    kind = {"batch": "", "replay": "replay", "note": "note"}[head.kind]
    return [
        number(words.count(head.number)),
        Cell(us=head.committed_us),
        *(number(words.count(count), kind="number" if count else "number quiet") for count in counts),
        text(f"{_writer(head.writer)}{' · ' + kind if kind else ''}", kind="quiet"),
    ]


def add_health(view: View, health: Status | None) -> None:
    """Files, shards and claims."""
    view.lists["tables"], view.lists["shards"] = [], []
    view.texts |= {"claims": "–", "unpublished": "–", "lease": "–", "more_shards": ""}
    if health is None:
        return
    for name, table in health.tables.items():
        mean = table.size_bytes / table.files if table.files else 0
        view.lists["tables"].append(
            [
                text(name),
                number("?" if table.rows is None else words.count(table.rows)),
                number(words.count(table.files)),
                number(words.size(table.size_bytes)),
                number(words.size(mean) if table.files else "–"),
            ]
        )
    behind = sorted(health.shards, key=lambda shard: (shard.is_closed, -(shard.lag_bytes or 0), shard.shard))
    for shard in behind[:SHOWN_SHARDS]:
        lag = "closed" if shard.is_closed else "?" if shard.lag_bytes is None else words.size(shard.lag_bytes)
        position = "–" if shard.position is None else shard.position
        view.lists["shards"].append(
            [
                text(shard.shard, kind="mono"),
                number(position, kind="number mono"),
                number(lag),
                text(shard.source, kind="quiet"),
            ]
        )
    more = len(health.shards) - SHOWN_SHARDS
    view.texts["more_shards"] = f"and {words.count(more)} more: headgate status --json lists all" if more > 0 else ""
    claims = health.claims
    held = "" if claims.disk_bytes is None else f", {words.size(claims.disk_bytes)}"
    view.texts["claims"] = "none yet" if claims.kind is None else text(f"{claims.kind} {claims.identity}{held}").text
    waiting = len(health.unpublished)
    view.texts["unpublished"] = f"{words.count(waiting)} entries" if waiting else "nothing: all rows can be read"
    view.texts["lease"] = _lease(health)


def _lease(health: Status) -> str:
    if health.lease is None:
        return "free"
    who = text(f"{health.lease.host} pid {health.lease.pid}").text
    return f"free; left by {who}, which is dead" if health.is_lease_stale else who


def ledger_hints(lake: str, state: LedgerState | None, health: Status | None, now_us: int) -> list[Row]:
    """What deserves a look, by ledger and files: kind of urgency, sentence, command."""
    found: list[Row] = []
    if state is not None and not state.counts.is_conserved:
        found.append(
            hint(
                "bad",
                "The counts do not add up: received is not accepted + duplicates + rejected.",
                f"headgate verify SOURCE {lake}",
            )
        )
    if state is not None and state.number and now_us - state.committed_us > _QUIET_US:
        age = words.seconds((now_us - state.committed_us) / 1e6)
        found.append(
            hint(
                "warn",
                f"Nothing was committed for {age}: is a run at work, and does the source send?",
                f"headgate status {lake}",
            )
        )
    if health is None:
        return found
    if len(health.unpublished) > 1:
        count = words.count(len(health.unpublished))
        found.append(
            hint("warn", f"{count} entries are committed and their rows not shown yet: the next run shows them.")
        )
    events = health.tables.get("events")
    if events is not None and events.files > _MANY_FILES and events.size_bytes / events.files < _SMALL_BYTES:
        mean = words.size(events.size_bytes / events.files)
        sentence = (
            f"The events lie in {words.count(events.files)} files of {mean} on average: joined, they are read faster."
        )
        found.append(hint("warn", sentence, f"headgate compact {lake}"))
    if health.is_lease_stale:
        found.append(
            hint("info", "The last run on this host ended without saying so; the next one goes on where it was.")
        )
    if health.erasures.unfinished:
        found.append(
            hint(
                "bad",
                "An erasure is not finished: rows that were to go may still be there.",
                "headgate erase, as before",
            )
        )
    return found


def hint(kind: str, sentence: str, command: str = "", href: str = "") -> Row:
    """A row of the list of hints."""
    return [Cell(text=kind, kind=kind), text(sentence, href=href), text(command, kind="mono")]
