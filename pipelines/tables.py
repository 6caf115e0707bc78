"""The door to DuckDB and Spark: one Ibis expression runs on either, whichever opened the table.

DuckDB is embedded and spills to `scratch` beyond its memory; Spark serves tables that outgrow one
machine (`master` is `local[2]` in tests, `k8s://…` in production).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import ibis
import pyarrow as pa
from ibis.backends.sql import SQLBackend as Backend

from data_contracts.errors import BadInput, MissingPart

__all__ = ["Backend", "arrow", "duckdb_backend", "held", "parquet", "spark_backend"]

LOOPBACK = "127.0.0.1"
QUIET = """rootLogger.level = error
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n
logger.gateway.name = org.apache.spark.api.python.PythonGatewayServer
logger.gateway.level = error
"""  # the gateway would lower the root to its own level, warn


@contextmanager
def duckdb_backend(
    scratch: Path, *, memory_gib: float = 2.0, threads: int = 2
) -> Iterator[Backend]:
    """DuckDB in this process. `memory_gib` bounds its buffers; what exceeds them goes to disk."""
    scratch.mkdir(parents=True, exist_ok=True)
    backend = ibis.duckdb.connect(
        ":memory:",
        threads=threads,
        memory_limit=f"{round(memory_gib * 1024)}MiB",
        temp_directory=str(scratch),
        preserve_insertion_order=False,  # no order is asked for, and keeping it costs memory
    )
    backend.raw_sql("SET enable_progress_bar = false")
    try:
        yield backend
    finally:
        backend.disconnect()


@contextmanager
def spark_backend(
    scratch: Path,
    *,
    memory_gib: float = 2.0,
    threads: int = 2,
    master: str | None = None,
    partitions: int = 8,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Backend]:
    """A Spark session of this process, stopped at the end; MissingPart where Java is absent.

    `master` (None: `local[threads]`, in this machine's one JVM). `memory_gib` is the heap of the
    driver, which in local mode does all the work; `partitions` are made at each shuffle,
    `more` is Spark's own configuration (a cluster needs an image, executors, credentials).
    """
    if shutil.which("java") is None:
        raise MissingPart("Spark needs Java 17 and `java` is not on PATH; install openjdk-17-jre")
    from pyspark.sql import SparkSession

    scratch.mkdir(parents=True, exist_ok=True)
    logging = scratch / "log4j2.properties"
    logging.write_text(QUIET)
    options: dict[str, bool | float | int | str | None] = {
        "spark.driver.memory": f"{round(memory_gib * 1024)}m",
        "spark.driver.maxResultSize": "0",  # the shortlist comes to the driver; budget bounds it
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.autoBroadcastJoinThreshold": "128m",  # chosen ids travel, embeddings stay
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={logging.resolve().as_uri()}",
    }
    master = master or f"local[{threads}]"
    if master.startswith("local"):
        options |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    options |= more
    session = SparkSession.builder.master(master).appName("weir").config(map=options).getOrCreate()
    try:
        yield ibis.pyspark.connect(session)
    finally:
        session.stop()


def parquet(backend: Backend, files: Sequence[Path]) -> ibis.Table:
    """The rows of these Parquet files as one table; BadInput where there is none."""
    missing = [str(file) for file in files if not file.exists()]
    if missing or not files:
        raise BadInput(f"no Parquet at {', '.join(missing) or 'an empty list'}; give files")
    paths = [str(file) for file in files]
    if backend.name == "duckdb":
        return backend.read_parquet(paths)
    from pyspark.sql import SparkSession

    name = ibis.util.gen_name("parquet")
    SparkSession.active().read.parquet(*paths).createTempView(name)
    return backend.table(name)


def arrow(rows: ibis.Table) -> pa.Table:
    """The rows in memory: run where they were opened."""
    backend = rows.get_backend()
    if backend.name != "pyspark":
        return rows.to_pyarrow()
    from pyspark.sql import SparkSession

    return SparkSession.active().sql(str(ibis.to_sql(rows, dialect="pyspark"))).toArrow()


@contextmanager
def held(table: ibis.Table) -> Iterator[ibis.Table]:
    """The table computed once and kept by its engine, on disk where memory is short."""
    backend = table.get_backend()
    if backend.name == "pyspark":
        with table.cache() as kept:
            yield kept
        return
    name = ibis.util.gen_name("held")
    kept = backend.create_table(name, table, temp=True)
    try:
        yield kept
    finally:  # Ibis 12 with sqlglot 30 drops no table: its statement comes out without a name
        backend.raw_sql(f'DROP TABLE "{name}"')
