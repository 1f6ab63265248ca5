"""Whether an erased event came back as new: asked by `verify`, of the digests whose windows are open."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.core.erased import digests_of
from headgate.jobs.existing import ExistingLake
from headgate.jobs.position_rows import PositionRows
from headgate.jobs.proof import Proof, many
from headgate.jobs.table_rows import EVENTS
from headgate.lake.erasures import secret_of

_BLOCK_ROWS = 131_072


def prove_erased_ids(lake: ExistingLake, rows: PositionRows, proof: Proof) -> None:
    """No event has the id of an erased one within the window. Costs a digest an event that arrived around these.

    Args:
        lake: whose secret makes the digests.
        rows: the scratch database, with `rows` and `erased_ids`.
        proof: gets the breach.

    Raises:
        PermanentError: the secret cannot be read.
    """
    sql = rows.connection.sql
    spans = sql("SELECT min(arrived), max(arrived) FROM erased_ids HAVING count(*) > 0").fetchall()
    if not spans:
        return
    low, high = spans[0]
    known = np.unique(_heads(sql("SELECT DISTINCT digest FROM erased_ids").to_arrow_table()["digest"].to_pylist()))
    secret, suspects = secret_of(lake.storage), []
    reader = sql(
        f"SELECT shard, sequence, sub, arrived, k0, k1 FROM rows WHERE t = {EVENTS} "  # noqa: S608  own numbers
        f"AND arrived BETWEEN {low - proof.window_us} AND {high + proof.window_us}"
    ).to_arrow_reader(_BLOCK_ROWS)
    for block in reader:
        halves = np.stack([np.asarray(block.column(name)) for name in ("k0", "k1")], axis=1)
        digests = digests_of(np.ascontiguousarray(halves).view(np.uint8).reshape(-1, 16), secret)
        found = np.flatnonzero(np.isin(digests.view(np.uint64)[:, 0], known))
        taken = pa.Table.from_batches([block]).take(pa.array(found)).drop_columns(["k0", "k1"])
        column = pa.array([digests[row].tobytes() for row in found.tolist()], pa.binary())
        suspects.append(taken.append_column("digest", column))
    if not sum(table.num_rows for table in suspects):
        return
    rows.connection.register("suspects", pa.concat_tables(suspects))
    again = rows.first(
        "SELECT DISTINCT s.shard, s.sequence, s.sub, e.shard, e.sequence, e.sub FROM suspects s "  # noqa: S608  own numbers
        "JOIN erased_ids e USING (digest) "
        f"WHERE abs(s.arrived - e.arrived) <= {proof.window_us} "
        "AND (s.shard, s.sequence, s.sub) <> (e.shard, e.sequence, e.sub)"
    )
    rows.connection.unregister("suspects")
    if again:
        examples = [f"{rows.text(*row[3:6])} (erased) and {rows.text(*row[:3])}" for row in again]
        sentence = f"{many(again[0][-1], 'event')} accepted with an id that an erased one had within the window"
        proof.add("same_id", sentence, examples)


def _heads(digests: list[bytes]) -> npt.NDArray[np.uint64]:
    """The first half of each digest."""
    return np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)[:, 0]
