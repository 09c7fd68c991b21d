"""Split a filled lake into shards by measure, object by object, so that both hold the same rows."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from flood_assets.lake import members, watermarks
from flood_assets.lake.lake import Lake
from flood_assets.lake.layout import ALERTS_KEY, FAILURE, current_key, key_of
from flood_assets.lake.parquet import WindowFile, encode
from flood_assets.lake.store import Store
from flood_assets.network import parse_network
from flood_assets.schemas import MEASURES, STATIONS, TABLES, WARNING_AREAS, WARNINGS, Table

API = "https://flood.example"
NAMES = ("level", "rainfall", "flow", "rest")


def by_hash(measure: str) -> str:
    """Put a measure into one of four shards, whatever it measures."""
    return NAMES[zlib.crc32(measure.encode()) % len(NAMES)]


def split(lake: Lake, common: Path, shard_of: Callable[[str], str] = by_hash, names: tuple[str, ...] = NAMES) -> None:
    """Fill shards below a folder with the rows of a lake; stations are in each shard that has a measure of theirs.

    Args:
        lake: is left as it is.
        common: is made.
        shard_of: the shard of a measure_id.
        names: of all shards; the first has the flood warnings, and the stations without measures.
    """
    listed = _all_measures(lake)
    for name in names:
        _fill(lake, Lake.open(common / f"shard={name}"), name, shard_of, listed, leads=name == names[0])
    described = "".join(f'[[shard]]\nname = "{name}"\nparameter = "{name}"\n' for name in names)
    network = parse_network(f'name = "england"\n{described}', lake.source() or API)
    members.replace(Lake.open(common).store, network, None)


def _all_measures(lake: Lake) -> dict[str, set[str]]:
    """Return the measures of each station in any snapshot."""
    found: dict[str, set[str]] = {}
    for stored in lake.windows(MEASURES):
        for row in _rows(lake.store, MEASURES, stored.key)[0].to_pylist():
            found.setdefault(row["station_id"], set()).add(row["measure_id"])
    return found


def _fill(
    lake: Lake, shard: Lake, name: str, shard_of: Callable[[str], str], listed: dict[str, set[str]], *, leads: bool
) -> None:
    if source := lake.source():
        shard.claim(source)

    def mine(table: Table, rows: pa.Table) -> pa.Table:
        if "measure_id" in rows.column_names:
            return _where(rows, "measure_id", lambda measure: shard_of(measure) == name)
        if table is STATIONS:
            of = {
                each: {shard_of(measure) for measure in listed.get(each, ())} for each in rows["station_id"].to_pylist()
            }
            return _where(rows, "station_id", lambda each: name in of[each] or (leads and not of[each]))
        return rows if leads else rows.slice(0, 0)

    for table in TABLES.values():
        if leads or table not in (WARNINGS, WARNING_AREAS):
            _copy(lake, shard, table, mine)
    for key in (ALERTS_KEY, FAILURE) if leads else ():
        if (blob := lake.store.read(key)) is not None:
            shard.store.put(key, blob.data.to_pybytes(), replaces=None)
    marks = watermarks.load(lake.store)
    if marks is not None:
        watermarks.advance(shard.store, mine(MEASURES, marks.rows), marks.as_of, marks.asked)


def _copy(lake: Lake, shard: Lake, table: Table, mine: Callable[[Table, pa.Table], pa.Table]) -> None:
    for key in [*(key_of(table, stored.window) for stored in lake.windows(table)), current_key(table)]:
        if lake.store.head(key) is not None:
            rows, asked_at = _rows(lake.store, table, key)
            shard.store.put(key, encode(table, mine(table, rows), asked_at=asked_at), replaces=None)


def _where(rows: pa.Table, column: str, wanted: Callable[[str], bool]) -> pa.Table:
    return rows.filter(pa.array([wanted(each) for each in rows[column].to_pylist()], pa.bool_()))


def _rows(store: Store, table: Table, key: str):
    blob = store.read(key)
    assert blob is not None
    file = WindowFile(table, key, blob.data)
    return file.read(), file.asked_at
