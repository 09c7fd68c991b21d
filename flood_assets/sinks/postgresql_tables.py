"""Write the SQL of a PostgreSQL database's tables: definitions from `schemas`, upserts and deletions. Pure."""

# ruff: noqa: S608 - names are quoted, values are parameters

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from flood_assets.schemas import CONDITIONS, MEASURES, READINGS, STATIONS, TIME, Column, Table

SCHEMA = "flood"
# What PostgreSQL cuts off of longer names.
LONGEST_NAME = 63
TABLES = (READINGS, STATIONS, MEASURES, CONDITIONS)
# The row that says which version the tables have, and of when they are.
PUBLICATION = "publication"
POINT = "geom"

_TYPES = {
    pa.string(): "text",
    TIME: "timestamptz",
    pa.float64(): "double precision",
    pa.int32(): "integer",
    pa.int8(): "smallint",
    pa.bool_(): "boolean",
    pa.date32(): "date",
}
_INDEXES = {
    READINGS.name: (("station_id", "date_time"), ("date_time",)),
    MEASURES.name: (("station_id",),),
    CONDITIONS.name: (("station_id",),),
}


def quoted(name: str) -> str:
    """Return an identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def place(schema: str, name: str) -> str:
    """Return the full name of a table."""
    return f"{quoted(schema)}.{quoted(name)}"


def version() -> str:
    """Return a digest of the tables' definitions: it changes with a column, a type or a key, not with a description."""
    definitions = [each for table in TABLES for each in _definitions(SCHEMA, table)] + [_publication(SCHEMA)]
    return hashlib.sha256("\n".join(definitions).encode()).hexdigest()[:12]


def creation(schema: str) -> list[str]:
    """Return the statements that make all tables in a schema that exists, without points."""
    found = [_publication(schema), f"INSERT INTO {place(schema, PUBLICATION)} (version) VALUES ({literal(version())})"]
    found += _described(
        schema,
        PUBLICATION,
        "State of the lake that the tables show: one row",
        [
            ("version", "Version of the tables' definitions"),
            ("source", "API that the readings come from"),
            ("published_at", "Time of the last publication; null before the first"),
        ],
    )
    for table in TABLES:
        found += _definitions(schema, table)
        told = "Readings of the last 24 hours" if table is READINGS else f"Newest {table.name}"
        found += _described(schema, table.name, told, [(c.name, _meaning(c)) for c in table.columns])
    return found


def removal(schema: str) -> str:
    """Return the statement that drops them."""
    return f"DROP TABLE {', '.join(place(schema, name) for name in (PUBLICATION, *(each.name for each in TABLES)))}"


def pointed(schema: str, postgis: str) -> list[str]:
    """Return the statements that add each station's point; `postgis` is the schema of that extension.

    The column follows `lat` and `long` by itself, and no writer has to know of it.
    """
    stations, ours = place(schema, STATIONS.name), quoted(postgis)
    point = f"{ours}.ST_SetSRID({ours}.ST_MakePoint({quoted('long')}, {quoted('lat')}), 4326)"
    return [
        f"ALTER TABLE {stations} ADD COLUMN {POINT} {ours}.geometry(Point, 4326) GENERATED ALWAYS AS ({point}) STORED",
        f"CREATE INDEX ON {stations} USING gist ({POINT})",
        f"COMMENT ON COLUMN {stations}.{POINT} IS 'Position, WGS 84; null where there is none'",
    ]


def arrival(schema: str, table: Table) -> str:
    """Return the statement that makes the table where rows of another arrive, until the transaction ends."""
    names = _names(table.schema.names)
    like = f"SELECT {names} FROM {place(schema, table.name)} LIMIT 0"
    return f"CREATE TEMP TABLE incoming_{table.name} ON COMMIT DROP AS {like}"


def copy(table: Table) -> str:
    """Return the statement that takes rows as CSV there."""
    return f"COPY {_incoming(table)} FROM STDIN (FORMAT csv)"


def emptying(table: Table) -> str:
    """Return the statement that takes away what arrived."""
    return f"TRUNCATE {_incoming(table)}"


def upsert(schema: str, table: Table) -> str:
    """Return the statement that upserts what arrived.

    Of two states of a reading the one that was changed later stays, of equals that of the higher revision. A row of
    another table is replaced by a different one.
    """
    names = table.schema.names
    others = [name for name in names if name not in table.key]
    rule = "({new}) IS DISTINCT FROM ({held})"
    compared: Sequence[str] = others
    if table is READINGS:
        rule, compared = "({new}) > ({held})", ("changed_at", "revision")
    rule = rule.format(new=_names(compared, "excluded."), held=_names(compared, "held."))
    values = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
    return (
        f"INSERT INTO {place(schema, table.name)} AS held ({_names(names)}) "
        f"SELECT {_names(names)} FROM {_incoming(table)} "
        f"ON CONFLICT ({_names(table.key)}) DO UPDATE SET {values} WHERE {rule}"
    )


def expiry(schema: str) -> str:
    """Return the statement that deletes readings up to a time."""
    return f"DELETE FROM {_beside_values(schema, READINGS.name)} WHERE date_time <= %s"


def departure(schema: str, table: Table) -> str:
    """Return the statement that deletes the rows whose keys are not in a list."""
    (key,) = table.key
    return (
        f"DELETE FROM {_beside_values(schema, table.name)} AS held "
        f"WHERE NOT EXISTS (SELECT FROM unnest(%s::text[]) AS stays WHERE stays = held.{quoted(key)})"
    )


def asked_at(schema: str, table: Table) -> str:
    """Return the query for when the rows of a table were asked for."""
    return f"SELECT max(observed_at) FROM {place(schema, table.name)}"


def state(schema: str) -> str:
    """Return the query for the version of the tables and the time of the last publication."""
    return f"SELECT version, published_at FROM {place(schema, PUBLICATION)}"


def state_set(schema: str) -> str:
    """Return the statement that says of when the tables are, and where the readings come from."""
    return f"UPDATE {_beside_values(schema, PUBLICATION)} SET source = %s, published_at = %s"


def _publication(schema: str) -> str:
    return (
        f"CREATE TABLE {place(schema, PUBLICATION)} (version text NOT NULL, source text, published_at timestamptz, "
        "one boolean PRIMARY KEY DEFAULT true CHECK (one))"
    )


def _definitions(schema: str, table: Table) -> list[str]:
    indexes = _INDEXES.get(table.name, ())
    sorted_by = {name for names in (table.key, *indexes) for name in names}
    columns = [_column(column, sorted_by) for column in table.columns]
    name = place(schema, table.name)
    # A row is updated in place while its page has room: that of conditions four times an hour.
    filled = "" if table.time else " WITH (fillfactor = 50)"
    return [
        f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({_names(table.key)})){filled}",
        *(f"CREATE INDEX ON {name} ({_names(names)})" for names in indexes),
    ]


def _column(column: Column, sorted_by: set[str]) -> str:
    # Ids are compared by their bytes. By a language's rules it takes longer, and an index is wrong on a replica whose
    # operating system has others.
    collated = ' COLLATE "C"' if pa.types.is_string(column.type) and column.name in sorted_by else ""
    return f"{quoted(column.name)} {_TYPES[column.type]}{collated}{'' if column.nullable else ' NOT NULL'}"


def _described(schema: str, table: str, told: str, columns: Sequence[tuple[str, str]]) -> list[str]:
    name = place(schema, table)
    return [
        f"COMMENT ON TABLE {name} IS {literal(told)}",
        *(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(meaning)}" for column, meaning in columns),
    ]


def _meaning(column: Column) -> str:
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning


def _beside_values(schema: str, name: str) -> str:
    """Return the full name of a table for a statement that has %s for values."""
    return place(schema, name).replace("%", "%%")


def _incoming(table: Table) -> str:
    return f"pg_temp.incoming_{table.name}"


def _names(names: Sequence[str], before: str = "") -> str:
    return ", ".join(f"{before}{quoted(name)}" for name in names)
