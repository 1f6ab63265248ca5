"""`headgate build`: generated events of 100 types into typed tables; rate, CPU, memory, and a run that does nothing.

    make bench-build                                   5,000,000 events, beside PySpark 4 in the same run
    python benchmarks/build.py --events 1000000        without the peer

The peer infers each event name's schema with Spark's own JSON reader, in the JVM, and writes one plain Parquet table a
name, partitioned by date: without incremental runs, rescued values or a registry. Its start is not counted, ours is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from main_job import HEADGATE, measured

SPARK = """
import sys, time, json, pathlib
from pyspark.sql import DataFrame, SparkSession, functions as F
lake, out, began = sys.argv[1], sys.argv[2], time.time()
spark = (SparkSession.builder.master("local[2]").config("spark.driver.memory", "2g").config("spark.ui.enabled", "false")
         .config("spark.sql.session.timeZone", "UTC").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
started = time.time()
rows = 0
for folder in sorted(pathlib.Path(lake, "events").glob("event_type=*")):
    events = spark.read.option("basePath", lake + "/events").parquet(str(folder)).cache()
    for (name,) in events.select("event_name").distinct().collect():
        some = events.where(F.col("event_name") == name)
        texts = getattr(some.select("payload")._jdf, "as")(spark._jvm.org.apache.spark.sql.Encoders.STRING())
        schema = DataFrame(spark._jsparkSession.read().json(texts), spark).schema
        typed = some.select(*[c for c in some.columns if c != "payload"], F.from_json("payload", schema).alias("_p"))
        kept = [f.name for f in schema.fields if f.name not in some.columns]
        typed = typed.select(*[c for c in some.columns if c != "payload"], *[F.col("_p")[k].alias(k) for k in kept])
        typed.repartition("created_date").write.partitionBy("created_date").parquet(out + "/" + name.replace(":", "_"))
    rows += events.count()
    events.unpersist()
print(json.dumps({"rows": rows, "start": started - began, "seconds": time.time() - started}))
"""


def make_lake(events: int, folder: Path) -> Path:
    """The lake of generated events; kept between runs where the folder is kept."""
    lake = folder / f"lake-{events}"
    if not lake.exists():
        print(f"generating and admitting {events:,} events ...", flush=True)
        path = folder / f"events-{events}.jsonl"
        options = ["--events", str(events), "--out", str(path), "--start", "2026-11-01T00:00:00Z"]
        subprocess.run([*HEADGATE, "generate", *options], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*HEADGATE, "run", str(path), str(lake)], check=True, capture_output=True)
        path.unlink()
    for built in (lake / "analytics", lake / "_headgate" / "analytics"):
        shutil.rmtree(built, ignore_errors=True)
    return lake


def show(what: str, rows: int, seconds: float, cpu: float, peak: float) -> float:
    """One line, and the rate."""
    rate = rows / seconds
    print(
        f"{what:<22} {rate:>9,.0f} events/s   {seconds:7.2f} s   CPU {cpu:7.2f} s ({cpu / rows * 1e6:5.1f} us an event)"
        f"   peak {peak:6,.0f} MiB"
    )
    return rate


def main() -> None:
    """Build, build again, and let the peer do it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=5_000_000)
    options.add_argument("--dir", type=Path, help="keep the lake there for the next time")
    options.add_argument("--spark", metavar="PYTHON", help="an interpreter that has PySpark, to compare with")
    given = options.parse_args()
    if given.spark and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        sys.exit("the peer needs Java 17: apt-get install openjdk-17-jre-headless")
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as scratch:
        folder = given.dir or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        lake = make_lake(given.events, folder)
        wall, cpu, peak, output = measured([*HEADGATE, "build", str(lake), "--json"])
        built = json.loads(output)
        rate = show("headgate build", built["rows"], wall, cpu, peak)
        print(f"{'':<22} {len(built['tables'])} tables, {sum(t['files'] for t in built['tables'])} files")
        wall, cpu, _, output = measured([*HEADGATE, "build", str(lake), "--json"])
        print(f"again, nothing to do   {wall:9.2f} s   CPU {cpu:.2f} s   rows {json.loads(output)['rows']}")
        if given.spark:
            out = folder / "spark-out"
            shutil.rmtree(out, ignore_errors=True)
            *_, output = measured([given.spark, "-c", SPARK, str(lake), str(out)])
            peer = json.loads(output.splitlines()[-1])
            peer_rate = peer["rows"] / peer["seconds"]
            print(f"{'PySpark, once started':<22} {peer_rate:>9,.0f} events/s   {peer['seconds']:7.2f} s")
            print(f"headgate / PySpark     {rate / peer_rate:9.1f}")


if __name__ == "__main__":
    main()
