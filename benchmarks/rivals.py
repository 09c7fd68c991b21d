"""The contestants that others wrote, and what each needs."""

from benchmarks import envs
from benchmarks.harness import Contestant
from benchmarks.session import Session


def quick_ones(session: Session, *, quick: bool) -> list[Contestant]:
    """Those that take part in every round or some."""
    if quick:
        return []
    return _able(
        session,
        [
            ("dlt", Contestant("dlt, Parquet", "dlt_lake", {"to": "parquet"}, rounds=3, does="dlt's rest_api source")),
            ("dlt", Contestant("dlt, Delta", "dlt_lake", {"to": "delta"}, rounds=3, does="the same, merged by key")),
        ],
    )


def slow_ones(session: Session, *, quick: bool) -> list[Contestant]:
    """Those that run once."""
    poller = Contestant("latest every 15 min", "latest", {"every": "15"}, does="96 polls over the day, all kept")
    if quick:
        return [poller]
    station = Contestant("one request per station", "per_station", does="requests and pandas")
    others = _able(
        session,
        [
            ("aioeafm", Contestant("aioeafm", "aioeafm_stations", does="one request per station, asyncio")),
            ("airbyte", Contestant("airbyte-cdk", "airbyte", does="a declarative manifest")),
            ("singer", Contestant("tap-rest-api-msdk", "singer", does="a Singer tap, its messages kept")),
        ],
    )
    return [poller, station, *others]


def _able(session: Session, wanted: list[tuple[str, Contestant]]) -> list[Contestant]:
    """Those whose environment can be made."""
    able = []
    for name, contestant in wanted:
        try:
            python = session.python(name)
        except envs.MissingError as error:
            session.missing[contestant.name] = str(error)
            session.tell(f"{contestant.name} cannot take part: {error}")
        else:
            able.append(contestant.with_python(python))
    return able
