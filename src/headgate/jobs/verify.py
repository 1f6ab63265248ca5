"""`verify`: conservation and uniqueness of a lake, proven by ledger, tables and source.

The lake is read as of the last published ledger entry; whatever a run adds meanwhile is left out. All
comparisons are made in a scratch database on disk, so that memory does not grow with the lake.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.privacy import Privacy
from headgate.errors import ConfigError, PermanentError
from headgate.jobs import row_proof, source_proof
from headgate.jobs.erased_again import prove_erased_ids
from headgate.jobs.erased_positions import ErasedPositions, check_calm
from headgate.jobs.existing import ExistingLake
from headgate.jobs.ledger_proof import LedgerProof, prove_ledger
from headgate.jobs.position_rows import PositionRows
from headgate.jobs.proof import Proof
from headgate.jobs.settled_rows import SettledRows, check_still
from headgate.jobs.source_rows import create_source_table, reread
from headgate.jobs.table_rows import create_tables, load_tables, quality_counts
from headgate.lake.erase_receipt import erasures
from headgate.lake.filed import FILED
from headgate.ports import LedgerState, Source
from headgate.records import Shard, ShardState

MEMORY_LIMIT = "1GB"  # of the scratch database; the rest goes to disk


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """How the source was read.

    Attributes:
        envelope: where the common fields are.
        limits: sizes and depth.
        window_us: window of de-duplication in microseconds.
        privacy: what the runs did to payloads; rows of runs that did anything else are not compared byte for byte.
        is_from_start: False where runs may have begun later than at the source's start (`--start`).
        is_forgetful: True where the source forgets its oldest records, as a stream does.
        memory_limit: of the scratch database, as DuckDB writes sizes.
        folder: where the scratch database is made; None for the system's temporary folder.
    """

    envelope: Envelope
    limits: Limits
    window_us: int
    privacy: Privacy | None = None
    is_from_start: bool = True
    is_forgetful: bool = False
    memory_limit: str = MEMORY_LIMIT
    folder: Path | None = None


def verify(
    lake: ExistingLake,
    source: Source | None,
    settings: VerifySettings,
    *,
    source_name: str,
    advance: Callable[[float], None] = lambda _: None,
    describe: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Prove that every record is in the lake once, or find where not.

    Args:
        lake: what is verified.
        source: opened anew; None where it cannot be read again.
        settings: how it was read.
        source_name: name in positions.
        advance: is told rows and parts as they are read.
        describe: is told what goes on.

    Returns:
        The proof; `is_proven` is False where there are breaches.

    Raises:
        ConfigError: the lake holds nothing of this source, but of others.
        TransientError: the source or the storage did not answer.
    """
    proof = Proof(lake=lake.path, format=lake.about.format, source=source_name, window_us=settings.window_us)
    describe("ledger")
    known = erasures(lake.storage)
    ledger = prove_ledger(lake, proof)
    mine = _shards_of(ledger, source_name)
    with tempfile.TemporaryDirectory(prefix="headgate-verify-", dir=settings.folder) as folder:
        rows = _scratch(Path(folder), ledger, settings.memory_limit)
        try:
            describe("tables")
            create_tables(rows)
            settled = SettledRows(lake, ledger.replays, rows, proof)
            load_tables(lake, rows, settled, proof, advance)
            check_calm(lake, known, proof)
            erased = ErasedPositions(lake, rows, settled, proof)
            settled.prove(proof, erased.settled)
            _prove_tables(lake, ledger, rows, settled, erased, proof)
            if source is not None:
                describe("source")
                create_source_table(rows)
                found = reread(source, mine, rows, settings.envelope, settings.limits, settings.privacy, advance)
                proof.reread_parts, proof.unread_records = found.parts, found.unread_records
                source_proof.prove_source(
                    rows,
                    proof,
                    found,
                    mine,
                    is_from_start=settings.is_from_start,
                    is_forgetful=settings.is_forgetful,
                )
                source_proof.prove_contents(rows, proof, _others(ledger, settings.privacy))
            source_proof.count_ledger_only(rows, proof, ledger)
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise PermanentError(
                f"no room to compare in {folder}: {error}; give --memory, or --temp with a folder that has room"
            ) from error
        finally:
            rows.close()
    return proof


def _scratch(folder: Path, ledger: LedgerProof, memory_limit: str) -> PositionRows:
    try:
        ends = {shard: origin.end for shard, origin in ledger.filed.items()}
        return PositionRows(folder, ledger.ranges, memory_limit, ends)
    except duckdb.Error as error:
        raise ConfigError(f"--memory {memory_limit}: {error}; write it as 500MB or 4GB") from error


def _prove_tables(
    lake: ExistingLake,
    ledger: LedgerProof,
    rows: PositionRows,
    settled: SettledRows,
    erased: ErasedPositions,
    proof: Proof,
) -> None:
    latest = latest_state(lake, ledger.state)
    check_still(latest, ledger.state, lake.path)
    row_proof.prove_counts(lake, rows, proof, ledger, settled.deltas, erased.counts)
    row_proof.prove_filed(rows, proof, ledger, latest, settled.filed, erased.filed)
    row_proof.prove_outside(rows, proof, latest)
    row_proof.prove_positions(rows, proof)
    row_proof.prove_ids(rows, proof)
    prove_erased_ids(lake, rows, proof)
    row_proof.prove_originals(rows, proof)
    row_proof.prove_quality(quality_counts(lake, proof), proof, ledger, latest)


def _others(ledger: LedgerProof, privacy: Privacy | None) -> list[int]:
    """Numbers of the ranges whose writer had other [privacy] settings: their rows cannot be made again."""
    identity = "" if privacy is None else privacy.identity
    return [number for number, moved in enumerate(ledger.ranges) if moved.privacy != identity]


def latest_state(lake: ExistingLake, known: LedgerState) -> LedgerState:
    """The ledger's end as a run sees it now; `known` where an entry is damaged, which is a breach of its own."""
    try:
        return lake.state()
    except PermanentError:
        return known


def _shards_of(ledger: LedgerProof, source_name: str) -> dict[Shard, ShardState]:
    """The source's shards, as the ledger knows them; of those that were only filed the end of what was."""
    known = {shard: ShardState(position=str(origin.end)) for shard, origin in ledger.filed.items()}
    known |= {shard: state for shard, state in ledger.state.shards.items() if shard != FILED}
    mine = {shard: state for shard, state in known.items() if shard.source == source_name}
    if not mine and known:
        others = sorted({shard.source for shard in known})
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise ConfigError(
            f"the lake holds nothing of source {source_name}, but of {shown}: name that one, or its name with "
            "--source-name"
        )
    return mine
