"""Contestants based on other tools, and their environments."""

from benchmarks import envs
from benchmarks.harness import Contestant
from benchmarks.session import Session


def quick_ones(session: Session, *, quick: bool) -> list[Contestant]:
    """Return the contestants that run in several rounds."""
    if quick:
        return []
    return _able(
        session,
        [
            ("dlt", Contestant("dlt, Parquet", "dlt_lake", {"to": "parquet"}, rounds=3, does="dlt's rest_api source")),
            ("dlt", Contestant("dlt, Delta", "dlt_lake", {"to": "delta"}, rounds=3, does="the same, upserted by key")),
        ],
    )


def slow_ones(session: Session, *, quick: bool) -> list[Contestant]:
    """Return the contestants that run once."""
    poller = Contestant("latest every 15 min", "latest", {"every": "15"}, does="96 polls over the day, all kept")
    if quick:
        return [poller]
    station = Contestant("one request per station", "per_station", does="requests and pandas")
    others = _able(
        session,
        [
            ("aioeafm", Contestant("aioeafm", "aioeafm_stations", does="one request per station, asyncio")),
            ("airbyte", Contestant("airbyte-cdk", "airbyte", does="a declarative manifest, JSON lines kept")),
            ("singer", Contestant("tap-rest-api-msdk", "singer", does="a Singer tap, JSON lines kept")),
        ],
    )
    return [poller, station, *others]


def _able(session: Session, wanted: list[tuple[str, Contestant]]) -> list[Contestant]:
    """Return the contestants whose environment can be created; note the others as missing."""
    able = []
    for name, contestant in wanted:
        try:
            python = session.python(name)
        except envs.MissingError as error:
            session.missing[contestant.name] = str(error)
            session.tell(f"{contestant.name} is left out: {error}")
        else:
            able.append(contestant.with_python(python))
    return able
