"""Read Parquet files as people without this package do, in an environment of its own, and print what was read.

python other_readers.py READER FILE...

One line of JSON a file: each column's values; times and dates as milliseconds since 1970, and null for null. The
environment is that of `benchmarks/requirements/readers.lock`; this file imports nothing of the project.
"""

# ruff: noqa: PLC0415, ICN001 - each reader is imported for itself: another may not be installed
import json
import math
import sys
from datetime import UTC, date, datetime

DAY_MS = 86_400_000


def duckdb(path):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    found = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [path])
    names = [column[0] for column in found.description]
    return transposed(names, found.fetchall())


def polars(path):
    import polars

    return polars.read_parquet(path, hive_partitioning=False).to_dict(as_series=False)


def pandas_pyarrow(path):
    return with_pandas(path, "pyarrow")


def pandas_fastparquet(path):
    return with_pandas(path, "fastparquet")


def with_pandas(path, engine):
    import pandas

    frame = pandas.read_parquet(path, engine=engine)
    return {name: frame[name].tolist() for name in frame}


def datafusion(path):
    import datafusion

    return datafusion.SessionContext().read_parquet(path).to_pydict()


def chdb(path):
    import chdb

    # In the answer's JSON 64-bit numbers are texts; times and dates are asked for as numbers.
    described = json.loads(str(chdb.query(f"DESCRIBE file('{path}', Parquet)", "JSON")))["data"]
    columns = [
        f"toUnixTimestamp64Milli(`{each['name']}`) AS `{each['name']}`" if "DateTime64" in each["type"]
        else f"toInt32(`{each['name']}`) * {DAY_MS} AS `{each['name']}`" if "Date" in each["type"]
        else f"`{each['name']}`"
        for each in described
    ]  # fmt: skip
    told = str(chdb.query(f"SELECT {', '.join(columns)} FROM file('{path}', Parquet)", "JSONCompact"))
    settings = json.loads(told)
    rows = [
        [
            int(v) if isinstance(v, str) and "Int" in meta["type"] else v
            for v, meta in zip(row, settings["meta"], strict=True)
        ]
        for row in settings["data"]
    ]
    return transposed([meta["name"] for meta in settings["meta"]], rows)


def spark(path):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    from pyspark.sql import functions

    frame = session.read.parquet(path)
    # Python's times of Spark are in the machine's zone.
    plainly = {"timestamp": functions.unix_millis, "date": lambda name: functions.unix_date(name).cast("long") * DAY_MS}
    columns = [plainly.get(kind, functions.col)(name).alias(name) for name, kind in frame.dtypes]
    return transposed(frame.columns, [tuple(row) for row in frame.select(columns).collect()])


def transposed(names, rows):
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def plain(value):
    if (
        value is None
        or type(value).__name__ in ("NaTType", "NAType")
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(value.timestamp() * 1000)
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days * DAY_MS
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def main(reader, *paths):
    read = globals()[reader]
    for path in paths:
        print(json.dumps({name: [plain(value) for value in values] for name, values in read(path).items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
