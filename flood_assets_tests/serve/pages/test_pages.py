"""Pages as they are sent: what they say, against the questions on the same lake; and what must never be in one."""

import html
import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from flood_assets import query
from flood_assets.lake.lake import Lake
from flood_assets.partitions import london
from flood_assets.serve.pages import words
from flood_assets.serve.pages.render import POLICY
from flood_assets_tests.support.lake_rows import fetched
from flood_assets_tests.support.paged_lake import DST, EVIL, NOW, STATION_ROWS, fill
from flood_assets_tests.support.served import Served, served

PAGES = [
    "/",
    "/?q=thames&band=above&kind=river",
    "/?q=no+such+place",
    "/?page=0",
    "/station/K1",
    "/station/R1",
    "/station/E",
    "/station/M",
    "/station/unknown",
    "/station?id=",
    "/station?measure_id=nobody-knows-it",
    "/rivers",
    "/rivers/River%20Thames",
    "/rivers/River%20%3Cb%3EBold%3C%2Fb%3E",
    "/rivers/Styx",
    "/warnings",
    "/warnings?river=River+Thames",
    "/status",
    "/docs",
]


def text_of(page: str) -> str:
    """Return what a person reads of a page, without charts."""
    bare = re.sub(r"<(svg|script|head)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare))).replace("\u00a0", " ")


def get(site: Served, path: str, status: int = 200) -> str:
    response = site.client.get(path)
    assert response.status_code == status, response.text
    return response.text


class Tags(HTMLParser):
    """All tags of a page with their attributes, and the text in scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline, self._open = "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data):
        if self._open in ("script", "style"):
            self.inline += data.strip()

    def handle_endtag(self, tag):
        self._open = ""


# --- All pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_nothing_of_a_foreign_host_and_has_nothing_inline(site, path):
    response = site.client.get(path)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", response.text) == []
    tags = Tags(response.text)
    assert tags.inline == ""
    for tag, given in tags.tags:
        assert tag not in ("style", "iframe", "object", "base")
        assert not [name for name in given if name.startswith("on") or name == "style"], (tag, given)
        for name in ("src", "href", "action"):
            assert (given.get(name) or "/").startswith(("/", "#")), (tag, given)
        assert not (given.get("href") or "").startswith("//")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_a_language_a_title_one_heading_of_the_first_rank_and_labels(site, path):
    page = site.client.get(path).text
    tags = Tags(page).tags
    names = [tag for tag, _ in tags]
    assert ("html", {"lang": "en-GB"}) in tags
    assert (names.count("h1"), names.count("main"), names.count("title")) == (1, 1, page.count("<title>"))
    ids = [given["id"] for _, given in tags if given.get("id")]
    assert len(ids) == len(set(ids))
    labelled = {given["for"] for tag, given in tags if tag == "label" and given.get("for")}
    fields = [given for tag, given in tags if tag in ("input", "select") and given.get("type") != "checkbox"]
    assert fields or "form" not in names
    assert {given["id"] for given in fields} <= labelled


def test_every_address_of_our_own_files_and_every_download_answers(site):
    found = set()
    for path in PAGES:
        tags = Tags(site.client.get(path).text).tags
        links = [given.get(name) or "" for _, given in tags for name in ("src", "href", "data-coast", "data-url")]
        found |= {link for link in links if link.startswith(("/static/", "/api/", "/map."))}
    assert len(found) > 60
    wrong = {link: site.client.get(link).status_code for link in found}
    assert {link: status for link, status in wrong.items() if status != 200} == {}


def test_every_link_from_one_page_to_another_leads_to_one(site):
    links = {given["href"] for path in PAGES for tag, given in Tags(site.client.get(path).text).tags if tag == "a"}
    pages = {link for link in links if link.startswith("/") and not link.startswith("/api/")}
    assert {"/station?id=", "/station?id=S%2F1", "/station?measure_id=nobody-knows-it"} <= pages
    assert {link: code for link in pages if (code := site.client.get(link).status_code) != 200} == {}


def test_markup_in_names_and_messages_is_text(site):
    for path in ("/", "/station/E", "/rivers", "/warnings", f"/?q={quote(EVIL)}", f"/station/{quote(EVIL)}"):
        page = site.client.get(path).text
        assert "<script>alert" not in page
        assert "<b>" not in page
    assert EVIL in html.unescape(get(site, "/station/E"))
    assert "<b>Act</b> now." in html.unescape(get(site, "/warnings"))
    # JSON is no page, and no browser takes it for one.
    assert site.client.get("/map.json").headers["content-type"] == "application/json"


def test_pages_are_compressed_kept_for_a_moment_and_not_sent_twice(site):
    first = site.client.get("/")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "public, max-age=15"
    again = site.client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert site.client.head("/").headers["etag"] == first.headers["etag"]


# --- The map and the list -----------------------------------------------------------------------------------------


def names_in(page: str) -> list[str]:
    listed = page.partition('<ol class="stations"')[2]
    return [html.unescape(each) for each in re.findall(r'<a href="/station[^"]*">([^<]*)</a>', listed)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("q=kingston", ["Kingston"]),
        ("q=KINGSTON+thames", ["Kingston"]),
        ("q=river+thames", ["Kingston", "Nameless Lock", "Nowhere Farm", "Slash Mill"]),
        ("q=hull", ["Hull Docks"]),
        ("q=A%26E", [EVIL]),
        ("q=7267", ["Kingston"]),
        ("band=above", ["Kingston"]),
        ("band=record&band=below", []),
        ("kind=rain", ["Rainfall station"]),
        ("kind=flow", ["Kingston"]),
        ("kind=tide&kind=rain", ["Hull Docks", "Rainfall station"]),
        ("place=none", ["Nowhere Farm"]),
        ("q=thames&band=above", ["Kingston"]),
        ("q=%20&utm_source=letter", sorted((row["label"] for row in STATION_ROWS), key=lambda n: (n != "Kingston", n))),
    ],
)
def test_stations_are_found_by_name_river_town_and_state(site, asked, expected):
    assert names_in(get(site, f"/?{asked}")) == expected


def test_a_name_that_nothing_has_brings_similar_ones_and_a_rivers_name_its_page(site):
    assert "there is 'Kingston'" in html.unescape(get(site, "/?q=Kingstn"))
    assert 'Rivers of this name: <a href="/rivers/River%20Thames">River Thames</a>' in get(site, "/?q=thames")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/?band=huge", "Band is 'huge': choose from record, above, normal, below, none."),
        ("/?page=two", "Page is 'two': expected a number from 1."),
        ("/?page=7", "Page is '7': the list has 1."),
        ("/?kind=%3Cb%3E", "Kind is '<b>': choose from"),
        ("/station", "Id is missing: give a station's id, or measure_id."),
    ],
)
def test_what_cannot_be_answered_is_said_on_a_page(site, path, said):
    assert said in text_of(get(site, path, 400))


def test_the_list_is_cut_into_pages_that_make_the_whole(paged, monkeypatch):
    monkeypatch.setattr("flood_assets.serve.pages.routes.PAGE", 3)
    with served(paged, NOW) as site:
        pages = [get(site, f"/?page={number}") for number in (1, 2, 3)]
        assert [len(names_in(page)) for page in pages] == [3, 3, 2]
        assert {name for page in pages for name in names_in(page)} == {row["label"] for row in STATION_ROWS}
        assert "4 to 6 of 8 stations" in text_of(pages[1])
        assert 'rel="next" href="/?page=3#list-title"' in pages[1]


def test_the_part_for_the_script_is_the_list_of_the_page(site):
    whole, part = get(site, "/?q=thames"), get(site, "/?q=thames&part=list")
    assert part.strip() in whole
    listed = re.search(r' data-list="([^"]*)" data-places="([^"]*)"', part)
    found = site.client.get("/map.json").json()
    assert listed.group(1) == found["list"]
    labels = query.stations(site.lake, NOW).rows["label"].to_pylist()
    assert [labels[place] for place in json.loads(listed.group(2))] == names_in(part)
    assert 'data-places=""' in get(site, "/")
    assert "<html" not in part


def test_a_reading_that_is_hours_old_says_so_in_the_list(paged):
    with served(paged, NOW) as site:
        assert "old" not in text_of(get(site, "/?q=kingston")).partition("Stations")[2].partition("This is no")[0]
        site.now = NOW + timedelta(hours=5)
        assert "at Sat 21 Nov, 09:00 GMT (09:00 UTC) 5 hours old" in text_of(get(site, "/?q=kingston"))


def test_stations_are_put_together_for_a_new_snapshot_before_somebody_asks_where_pages_are_read(tmp_path):
    lake = fill(Lake.open(tmp_path / "lake"))
    with served(lake, NOW) as site:
        for minutes, read in ((10, False), (11, True)):
            later = NOW + timedelta(minutes=minutes)
            lake.upsert_readings(fetched(("K1-level", NOW.replace(minute=15, second=0), float(minutes))), later, later)
            site.now = later
            site.watcher.look()
            assert site.watcher.snapshot.has("overview", later) is read
            assert f"{minutes} m" in text_of(get(site, "/?q=kingston"))


def test_the_map_is_a_picture_for_browsers_without_script(site):
    picture = site.client.get("/map.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.count("z") >= 1
    assert '<noscript><p class="picture"><img src="/map.svg"' in get(site, "/")


# --- A station ----------------------------------------------------------------------------------------------------


def test_a_station_says_its_state_in_a_sentence_with_the_time_in_england_and_in_utc(site, paged):
    page = text_of(get(site, "/station/K1"))
    assert "The river level is 1.6 m, above its typical range of 0.5 to 1.5 m, and rising by 0.04 m an hour." in page
    assert "Measured at 09:00 GMT on Saturday 21 November 2026 (09:00 UTC) , 7 minutes ago." in page
    (row,) = query.conditions(paged, NOW, measure="K1-level").rows.to_pylist()
    assert (row["value"], row["band"], row["trend"]) == (1.6, "above", "rising")
    assert "Next reading due Sat 21 Nov, 09:25 GMT (09:25 UTC)" in page


def test_a_correction_is_told_with_both_values_and_when_it_was_known(site):
    page = text_of(get(site, "/station/K1"))
    first, known = "Sat 21 Nov, 07:07 GMT (07:07 UTC)", "Sat 21 Nov, 09:07 GMT (09:07 UTC)"
    said = f"Sat 21 Nov, 06:00 GMT (06:00 UTC) 1.48 1.4 {first} {known} 1"
    assert said in page
    assert "value before a correction" in page
    assert (
        '<circle class="before"' in get(site, "/station/K1").partition('<svg class="chart"')[2].partition("</svg>")[0]
    )


def test_flagged_readings_are_told_apart_in_the_chart_and_in_words(site):
    page = get(site, "/station/K1")
    chart = page.partition('<svg class="chart"')[2].partition("</svg>")[0]
    for mark in ("fail", "several", "no-value", "line", "typical"):
        assert f'class="{mark}"' in chart, mark
    assert 'class="suspect"' not in chart
    said = text_of(page)
    assert "failed the checks, not used" in said
    assert "Sat 21 Nov, 08:15 GMT (08:15 UTC) 99 failed the checks" in said
    assert "1.2 or 1.9 no single value" in said
    # 99 m is marked at the edge: it does not stretch the scale.
    assert ">2<" in chart
    assert ">100<" not in chart


def test_gaps_are_shown_as_gaps_and_never_as_dry_hours(site, paged):
    page = get(site, "/station/R1")
    chart = page.partition('<svg class="chart"')[2].partition("</svg>")[0]
    assert chart.count('class="gap"') == 1
    assert 'class="bars"' in chart
    said = text_of(page)
    assert "with 1 gap" in said
    (row,) = query.conditions(paged, NOW, measure="R1-rain").rows.to_pylist()
    for hours in (1, 6, 24):
        total, share = row[f"rain_{hours}h"], row[f"rain_{hours}h_coverage"]
        assert (
            f"{words.number(total, 1)} mm, from {words.percent(share)} of the readings".replace("\u00a0", " ") in said
        )
    hours = query.completeness(paged, NOW, measure="R1-rain").rows.to_pylist()
    missing = {hour["window_start"]: hour["missing"] for hour in hours if hour["missing"]}
    assert sum(missing.values()) == 12
    assert "Completeness: 84 of 96 expected readings are here" in said
    for start, count in missing.items():
        row = re.search(rf"{start:%H}:00 GMT \({start:%H}:00 UTC\) 4 {4 - count} ([^.]*?)(?: Sat| Fri|$)", said)
        assert row.group(1).startswith(f"{count} not "), row


def test_a_tide_has_no_band_and_the_page_says_why(site):
    page = text_of(get(site, "/station/K2"))
    assert "Tides have no typical range." in page
    assert "range of" not in page


def test_a_station_lists_its_warnings_and_its_neighbours(site):
    page = text_of(get(site, "/station/K1"))
    assert "Flood warning River Thames at Kingston The middle of its area is 0.1 km from here." in page
    assert "Other stations on River Thames The nearest first, in a straight line: the Agency does not say" in page
    assert re.search(r"Nameless Lock 3\.6 km north-west.* Slash Mill .* west.* Nowhere Farm position not known", page)
    far = text_of(get(site, "/station/K2"))
    assert "None is in force." in far


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/station?id=", "Nameless Lock"),
        ("/station/?id=", "Station"),
        ("/station?id=S/1", "Slash Mill"),
        ("/station/S%2F1", "Slash Mill"),
        ("/station?measure_id=-begins-with-a-dash", "Nameless Lock"),
        ("/station?measure_id=K1-flow", "Kingston"),
        ("/station?measure_id=nobody-knows-it", "nobody-knows-it"),
        ("/station/M", "Mute"),
    ],
)
def test_every_station_and_measure_has_a_door(site, path, label):
    page = get(site, path)
    heading = html.unescape(re.search(r"<h1>(.*?)</h1>", page).group(1))
    assert label in heading or path.startswith("/station/?")


def test_an_unknown_station_is_told_with_similar_names(site):
    page = text_of(get(site, "/station/Kingstom", 404))
    assert "The lists of the last 24 hours have no station 'Kingstom'." in page
    assert "there is 'Kingston'" in page


# --- Rivers, warnings, state --------------------------------------------------------------------------------------


def test_a_river_lists_its_stations_along_its_longer_side(site):
    page = get(site, "/rivers/River%20Thames")
    links = re.findall(r'<a href="/station[^"]*">([^<]*)</a>', page)
    assert links == ["Slash Mill", "Nameless Lock", "Kingston", "Nowhere Farm"]
    assert "Sorted from west to east" in page
    assert "4 stations: 1 above the typical range." in text_of(page)
    assert "1 flood alert or warning in force names this river." in text_of(page)
    assert get(site, "/rivers?name=river thames") == page
    assert "there is 'River Thames'" in text_of(get(site, "/rivers/River Tames", 404))


def test_warnings_are_those_of_query_and_those_that_ended(site, paged):
    page = text_of(get(site, "/warnings"))
    assert "1 flood warning." in page
    assert "Flood warning River Thames at Kingston" in page
    assert "Stations near: Kingston (0.1 km)" in page
    assert "No longer in force Gone" in page
    assert query.warnings(paged, NOW).rows["label"].to_pylist() == ["River Thames at Kingston"]
    assert "0 of 1 match" in text_of(get(site, "/warnings?county=Kent"))


def test_the_state_tells_the_age_of_everything_by_region(site):
    page = text_of(get(site, "/status"))
    assert "Everything is as it should be." in page
    assert "The Agency was last asked 09:07 GMT on Saturday 21 November 2026 (09:07 UTC) , just now" in page
    assert re.search(r"Thames 1 1 2 100 % 7 minutes ago \d", page)
    assert "No catchment given 7 0" in page
    assert "nobody-knows-it" in page
    assert site.lake.url not in page


def test_old_data_are_said_to_be_old(paged):
    with served(paged, NOW + timedelta(hours=2)) as site:
        for path in ("/", "/station/K1", "/warnings"):
            said = "These data are old. The Environment Agency was last asked 2 hours ago"
            assert said in text_of(get(site, path))
        assert "This list is over an hour old." in get(site, "/warnings")
        assert "Sat 21 Nov, 09:25 GMT (09:25 UTC) , 102 minutes overdue" in text_of(get(site, "/station/K1"))


def test_nothing_is_shown_that_is_over_a_day_old_at_the_moment_of_the_answer(paged):
    with served(paged, NOW) as site:
        for passed in (timedelta(0), timedelta(hours=3), timedelta(hours=20), timedelta(hours=24, minutes=-8)):
            site.now = NOW + passed
            page = get(site, "/station/K1")
            shown = re.findall(r'<th scope="row"><time datetime="([^"]+)"', page)
            assert shown
            oldest = min(datetime.fromisoformat(each) for each in shown)
            # Hours of the completeness begin before the first reading that is kept.
            assert oldest > site.now - timedelta(hours=25)
            readings = page.partition('<caption class="visually-hidden">Readings')[2]
            times = [
                datetime.fromisoformat(each)
                for each in re.findall(r'datetime="([^"]+)"', readings.partition("</table>")[0])
            ]
            assert min(times) > site.now - timedelta(hours=24)
        site.now = NOW + timedelta(hours=26)
        for path in ("/", "/map.json", "/map/places.json", "/map.svg", "/station/K1", "/rivers"):
            assert "There are no readings of the last 24 hours" in get(site, path, 503)
        assert "No list of flood warnings of the last 24 hours is here" in text_of(get(site, "/warnings"))
        get(site, "/status")


# --- The night in which the clocks go back --------------------------------------------------------------------------


def test_both_hours_of_one_name_are_told_apart(clocks_back):
    with served(clocks_back, DST) as site:
        page = get(site, "/station/K1")
    text = text_of(page)
    assert "Measured at 03:00 GMT on Sunday 25 October 2026 (03:00 UTC)" in text
    assert "Sun 25 Oct, 01:30 BST (00:30 UTC)" in text
    assert "Sun 25 Oct, 01:30 GMT (01:30 UTC)" in text
    # Half an hour after midnight in England it is still the day before in UTC.
    assert "Sun 25 Oct, 00:30 BST (Sat 23:30 UTC)" in text
    for iso, shown in re.findall(r'<time datetime="([^"]+)">([^<]+)</time>', page):
        local = datetime.fromisoformat(iso).astimezone(london())
        assert f"{local:%H:%M %Z}" in shown
    axis = re.findall(
        r'text-anchor="middle">([^<]+)</text>', page.partition('<svg class="chart"')[2].partition("</svg>")[0]
    )
    assert axis[:12] == [
        "05:00",
        "BST Sat",
        "04:00",
        "09:00",
        "08:00",
        "13:00",
        "12:00",
        "17:00",
        "16:00",
        "21:00",
        "20:00",
        "01:00",
    ]
