"""Read the lake with Spark, by tables with the columns, types and partitions of the Glue catalog, and print the counts.

python hive_tables.py TABLES.JSON LAKE

One line of JSON a table: rows, and for each column how many are not null. The environment is that of
`benchmarks/requirements/readers.lock`; this file imports nothing of the project.
"""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main(file, lake):
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "1")
        .getOrCreate()
    )
    for name, table in json.loads(Path(file).read_text())["tables"].items():
        if not (Path(lake) / name).exists():
            continue
        columns = ", ".join(f"`{column['name']}` {column['type']}" for column in table["columns"])
        session.sql(
            f"CREATE TABLE `{name}` ({columns}, `date` string, `hour` int) USING parquet "
            f"PARTITIONED BY (`date`, `hour`) LOCATION '{lake}/{name}'"
        )
        session.sql(f"MSCK REPAIR TABLE `{name}`")
        counts = ", ".join(f"count(`{column['name']}`) AS `{column['name']}`" for column in table["columns"])
        (row,) = session.sql(f"SELECT count(*) AS rows, {counts} FROM `{name}`").collect()
        found = {"table": name, **row.asDict()}
        if table["current"]:
            path = f"{lake}/current/{name}.parquet"
            found["current"] = session.read.schema(columns).parquet(path).count() if Path(path).exists() else None
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
