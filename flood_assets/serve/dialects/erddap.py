"""Answer under `/erddap` with the part of ERDDAP's tabledap that erddapy, rerddap, pandas and Excel use.

The datasets are in `erddap_tables`, queries are read by `erddap_query`. Errors have ERDDAP's own form, and a query
without rows is one of them (404), as it is there.
"""

import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flood_assets.partitions import cutoff
from flood_assets.serve.api import Api
from flood_assets.serve.bodies import Body
from flood_assets.serve.dialects import erddap_tables
from flood_assets.serve.dialects.erddap_query import Query, QueryError
from flood_assets.serve.dialects.erddap_tables import DATASETS, EPOCH, FILES, VARIABLES, Variable
from flood_assets.serve.formats import MEDIA_TYPES
from flood_assets.serve.snapshot import Snapshot

PREFIX = "/erddap"
# The version whose requests are understood.
VERSION = "2.25"

_TEXT, _HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
_KINDS = {"csv": MEDIA_TYPES["csv"], "csvp": MEDIA_TYPES["csv"], "csv0": MEDIA_TYPES["csv"]}
_KINDS |= {"json": "application/json", "parquet": MEDIA_TYPES["parquet"]}
_CATALOG = ("griddap", "tabledap", "Title", "Summary", "Info", "Background Info", "Institution", "Dataset ID")
_INSTITUTION = "Environment Agency"
_GLOBAL = {
    "cdm_data_type": "TimeSeries",
    "cdm_timeseries_variables": "measure_id, station_id, label, river, latitude, longitude, parameter, qualifier, unit",
    "Conventions": "COARDS, CF-1.10, ACDD-1.3",
    "infoUrl": "https://environment.data.gov.uk/flood-monitoring/doc/reference",
    "institution": _INSTITUTION,
    "license": "Open Government Licence v3.0: "
    "http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
    "subsetVariables": "measure_id, station_id, label, river, latitude, longitude, parameter, qualifier, unit",
}
_AXES = {"time": ("Time", "T"), "latitude": ("Lat", "Y"), "longitude": ("Lon", "X")}
# Parameters of a search that are compared with one of these.
_SEARCHED = {"protocol": "tabledap", "cdm_data_type": "timeseries", "institution": _INSTITUTION.lower()}
_ANY = ("", "(any)")


class RefusedError(Exception):
    """A request that is answered with an error of ERDDAP's form."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def response(self) -> Response:
        """Return the answer."""
        title = {400: "Bad Request", 404: "Not Found"}[self.status]
        message = json.dumps(f"{title}: {self}", ensure_ascii=False)
        text = f"Error {{\n    code={self.status};\n    message={message};\n}}\n"
        return Response(text, self.status, {"cache-control": "no-store"}, _TEXT)


Maker = Callable[[Snapshot, datetime], Body]


def routes(api: Api) -> list[Route]:
    """Return the routes of tabledap, and of what describes its datasets."""

    async def answer(request: Request) -> Response:
        path = request.scope["path"].partition(PREFIX)[2].strip("/")
        query = request.scope["query_string"].decode("latin-1")
        try:
            return await api.answer(request, _maker(path, query), key="erddap")
        except QueryError as error:
            return RefusedError(400, f"Query error: {error}").response()
        except RefusedError as refused:
            return refused.response()

    return [Route(each, answer, methods=["GET"]) for each in (PREFIX, f"{PREFIX}/{{path:path}}")]


def _maker(path: str, query: str) -> Maker:
    """Return what answers a request; RefusedError or QueryError if nothing does."""
    folder, _, file = path.partition("/")
    name, _, form = file.partition(".")
    if folder == "tabledap" and name not in ("index", ""):
        return _of_dataset(name, form or "html", query)
    if path in ("version", "version_string"):
        said = f"ERDDAP_{path}={VERSION}{'' if path == 'version' else '_flood_assets'}\n"
        return lambda snapshot, _: Body(said.encode(), _TEXT, snapshot.cut(snapshot.taken_at))
    if path in ("", "index.html"):
        return _page("flood_assets: ERDDAP tabledap", [(name, each.summary) for name, each in DATASETS.items()])
    if folder == "info" and file.count("/") == 1:
        dataset, _, index = file.partition("/")
        return _table(_info(dataset), index.partition("."))
    catalogs = ("info/index", "tabledap/index", "search/index", "search/advanced")
    if path.rpartition(".")[0] in catalogs:
        return lambda snapshot, now: _table(_catalog(snapshot, now, query), path.partition("."))(snapshot, now)
    raise RefusedError(404, f"there is nothing at {PREFIX}/{path[:200]}: see {PREFIX}/info/index.csv")


def _of_dataset(name: str, form: str, query: str) -> Maker:
    dataset = DATASETS.get(name)
    if dataset is None:
        raise RefusedError(404, f"Currently unknown datasetID={name[:80]}: there are {', '.join(DATASETS)}")
    asked = Query.of(query)
    if form == "html":
        examples = [
            (each.name, f"{each.meaning} [{each.units}]" if each.units else each.meaning) for each in VARIABLES.values()
        ]
        return _page(dataset.title, examples)
    if form in ("das", "dds"):
        text = _das(name) if form == "das" else _dds(asked)
        return lambda snapshot, now: Body(text.encode(), _TEXT, snapshot.cut(now))
    if form not in FILES:
        raise RefusedError(400, f"Query error: fileType=.{form[:20]} isn't supported: there are .{', .'.join(FILES)}")

    def make(snapshot: Snapshot, now: datetime) -> Body:
        found = erddap_tables.rows(snapshot, name, asked, now)
        if not found.count:
            raise _nothing()
        if form == "parquet":
            body = Body(erddap_tables.parquet(found), _KINDS[form], snapshot.cut(now), found.until)
        else:
            parts = erddap_tables.json_table(found) if form == "json" else erddap_tables.csv(found, form)
            body = Body.of_parts(parts, _KINDS[form], snapshot.cut(now), found.until)
        file = f"{name}.{'csv' if form.startswith('csv') else form}"
        body.headers = {"content-disposition": f'attachment; filename="{file}"'}
        return body

    return make


# ---- descriptions


def _attributes(each: Variable) -> dict[str, str]:
    found = {"long_name": each.meaning}
    if each.name in _AXES:
        kind, axis = _AXES[each.name]
        found |= {"_CoordinateAxisType": kind, "axis": axis, "standard_name": each.name}
    if each.name == "measure_id":
        found["cf_role"] = "timeseries_id"
    if each.is_time:
        found |= {"time_origin": "01-JAN-1970 00:00:00", "units": EPOCH}
    elif each.units:
        found["units"] = each.units
    return dict(sorted(found.items()))


def _globals(name: str) -> dict[str, str]:
    dataset = DATASETS[name]
    return {**_GLOBAL, "summary": dataset.summary, "title": dataset.title}


def _das(name: str) -> str:
    lines = ["Attributes {", " s {"]
    for each in VARIABLES.values():
        lines += [f"  {each.name} {{", *_said(_attributes(each)), "  }"]
    return "\n".join([*lines, " }", "  NC_GLOBAL {", *_said(_globals(name)), "  }", "}", ""])


def _said(attributes: Mapping[str, str]) -> list[str]:
    return [f"    String {name} {json.dumps(value)};" for name, value in attributes.items()]


def _dds(asked: Query) -> str:
    wanted = [erddap_tables.known_variable(name) for name in asked.names] or [*VARIABLES.values()]
    lines = [f"    {each.dap} {each.name};" for each in wanted]
    return "\n".join(["Dataset {", "  Sequence {", *lines, "  } s;", "} s;", ""])


Cells = tuple[Sequence[str], list[list[str]]]


def _info(name: str) -> Cells:
    """Return the attributes of a dataset and of its variables, a row each."""
    if name not in DATASETS:
        raise RefusedError(404, f"Currently unknown datasetID={name[:80]}: there are {', '.join(DATASETS)}")
    rows = [["attribute", "NC_GLOBAL", key, "String", value] for key, value in _globals(name).items()]
    for each in VARIABLES.values():
        rows.append(["variable", each.name, "", each.kind, ""])
        rows += [["attribute", each.name, key, "String", value] for key, value in _attributes(each).items()]
    return ("Row Type", "Variable Name", "Attribute Name", "Data Type", "Value"), rows


def _catalog(snapshot: Snapshot, now: datetime, query: str) -> Cells:
    """Return the datasets that a search finds; each word must be in one's description, and none after a minus."""
    given = {key: value.lower() for key, value in parse_qsl(query, max_num_fields=100)}
    for key, value in _SEARCHED.items():
        if given.get(key, "") not in (*_ANY, value):
            raise _nothing()
    edges = {"Lat": snapshot.lat, "Lon": snapshot.long}
    for axis, values in edges.items():
        known = values[values == values]  # noqa: PLR0124 - NaN is not equal to itself
        least, most = (float(known.min()), float(known.max())) if len(known) else (-180.0, 180.0)
        if _number(given.get(f"max{axis}"), most) < least or _number(given.get(f"min{axis}"), least) > most:
            raise _nothing()
    start, end = cutoff(now).timestamp(), now.timestamp()
    if _number(given.get("maxTime"), end) < start or _number(given.get("minTime"), start) > end:
        raise _nothing()
    words = given.get("searchFor", "").replace('"', " ").split()
    rows = []
    for name, dataset in DATASETS.items():
        text = " ".join([name, dataset.title, dataset.summary, *_GLOBAL.values(), *VARIABLES]).lower()
        if all((word[1:] not in text) if word.startswith("-") else (word in text) for word in words):
            info = f"{PREFIX}/info/{name}/index.csv"
            cells = ["", f"{PREFIX}/tabledap/{name}", dataset.title, dataset.summary, info, _GLOBAL["infoUrl"]]
            rows.append([*cells, _INSTITUTION, name])
    if not rows:
        raise _nothing()
    return _CATALOG, rows


def _number(text: str | None, otherwise: float) -> float:
    try:
        return otherwise if text is None or text in _ANY else float(text)
    except ValueError:
        return otherwise


def _table(cells: Cells, index: tuple[str, str, str]) -> Maker:
    """Return a table of texts as CSV, which has no line of units here, or as JSON."""
    names, rows = cells
    form = index[2]
    if form not in ("csv", "json"):
        raise RefusedError(400, f"Query error: fileType=.{form[:20]} isn't supported: there are .csv, .json")
    if form == "json":
        table = {"columnNames": names, "columnTypes": ["String"] * len(names), "rows": rows}
        data = json.dumps({"table": table})
    else:
        data = "".join(f"{','.join(map(erddap_tables.quoted, row))}\n" for row in (names, *rows))
    return lambda snapshot, now: Body(data.encode(), _KINDS[form], snapshot.cut(now))


def _page(title: str, rows: Iterable[tuple[str, str]]) -> Maker:
    """Return a page of a title and a list, with an example of a request."""
    listed = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(said)}</dd>" for name, said in rows)
    example = f"{PREFIX}/tabledap/flood_readings.csv?time,station_id,value&time>=now-3hours"
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head><body>'
        f"<h1>{html.escape(title)}</h1><dl>{listed}</dl>"
        f'<p>An example: <a href="{html.escape(example)}">{html.escape(example)}</a>. '
        f"Formats: .{', .'.join(FILES)}, .das, .dds.</p></body></html>\n"
    )
    headers = {"content-security-policy": "default-src 'none'", "x-content-type-options": "nosniff"}
    return lambda snapshot, now: Body(text.encode(), _HTML, snapshot.cut(now), headers=headers)


def _nothing() -> RefusedError:
    return RefusedError(404, "Your query produced no matching results. (nRows = 0)")
