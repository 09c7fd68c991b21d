"""Find stations for the map's list: by words of their names, rivers and towns, by state and by kind."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import numpy as np

from flood_assets.grouping import Flags, Ints
from flood_assets.query.conditions import BANDS, FRESHNESS, TRENDS
from flood_assets.query.names import suggestions
from flood_assets.serve.errors import BadRequestError
from flood_assets.serve.pages import words
from flood_assets.serve.pages.overview import KINDS, Overview

PAGE = 50
NO_BAND = "none"
FILTERS: Mapping[str, Mapping[str, str]] = {
    "band": {**words.BANDS, NO_BAND: "No typical range to compare with"},
    "kind": words.KINDS,
    "trend": words.TRENDS,
    "freshness": words.FRESHNESS,
    "place": {"none": "Without a position, so not on the map"},
}
_MOST = 200
_RIVERS = 5


@dataclass(frozen=True)
class Search:
    """Words and filters of a search.

    Attributes:
        q: words, each of which must be in the station's name, river, town, catchment or numbers.
        chosen: the words of each filter, of which any may match; filters without words are left out.
        page: from 1.
    """

    q: str
    chosen: Mapping[str, tuple[str, ...]]
    page: int = 1

    @classmethod
    def of(cls, given: Iterable[tuple[str, str]]) -> "Search":
        """Return the search of a URL's parameters; unknown ones are others' (links gather them) and left out.

        Raises:
            BadRequestError: a word that a filter does not know, a page that is none.
        """
        found: dict[str, list[str]] = {}
        for name, value in given:
            if value:
                found.setdefault(name, []).append(value)
        for name, known in FILTERS.items():
            for word in found.get(name, ()):
                if word not in known:
                    raise BadRequestError(f"{name} is '{word[:80]}': choose from {', '.join(known)}")
        page = found.get("page", ["1"])[0]
        if not page.isascii() or not page.isdigit() or int(page[:9]) < 1 or len(page) > 9:
            raise BadRequestError(f"page is '{page[:80]}': expected a number from 1")
        chosen = {name: tuple(dict.fromkeys(found[name])) for name in FILTERS if name in found}
        return cls(" ".join(found.get("q", [""])[0].split())[:_MOST], chosen, int(page))

    @property
    def all(self) -> bool:
        """True if every station matches."""
        return not self.q and not self.chosen

    @property
    def narrowed(self) -> bool:
        """True if another filter than that of the bands is used."""
        return bool(self.chosen.keys() - {"band"})

    def url(self, page: int = 1) -> str:
        """Return the address of a page of this search."""
        given = [("q", self.q)] if self.q else []
        given += [(name, word) for name, chosen in self.chosen.items() for word in chosen]
        given += [("page", str(page))] if page > 1 else []
        return f"/?{urlencode(given)}" if given else "/"

    def stations(self, seen: Overview) -> Ints:
        """Return the stations that match, those first that are called so, else the most severe."""
        fits: Flags = np.ones(len(seen.stations), np.bool_)
        for name, chosen in self.chosen.items():
            fits &= _fits(seen, name, chosen)
        found: Ints = seen.order[fits[seen.order]]
        wanted = self.q.casefold().split()
        if not wanted:
            return found
        named = [at for at in found.tolist() if all(word in seen.texts[at] for word in wanted)]
        # Sorting keeps the order of equal ranks.
        return np.array(sorted(named, key=lambda at: _rank(seen.labels[at].casefold(), " ".join(wanted))), np.int64)

    def rivers(self, seen: Overview) -> list[str]:
        """Return the rivers whose names have all the words, if they are few."""
        wanted = self.q.casefold().split()
        known = {river for river in seen.stations["river"].unique().to_pylist() if river} if wanted else set()
        found = sorted(each for each in known if all(word in each.casefold() for word in wanted))
        return found if len(found) <= _RIVERS else []

    def suggestions(self, seen: Overview) -> list[str]:
        """Return sentences that suggest similar names where nothing is called so."""
        rivers, towns = (seen.stations[name].unique().to_pylist() for name in ("river", "town"))
        known = {text for texts in (seen.labels, rivers, towns) for text in texts if text}
        return suggestions("station, river or town", [self.q], sorted(known)) if self.q else []


def station_url(station_id: str, measure_id: str = "") -> str:
    """Return the address of a station's page: `/station/{id}`, or with a parameter where an id is no part of a path.

    Args:
        station_id: perhaps empty.
        measure_id: of a measure whose station nobody knows.
    """
    if measure_id:
        return f"/station?{urlencode({'measure_id': measure_id})}"
    if not station_id.strip(".") or "/" in station_id:
        return f"/station?{urlencode({'id': station_id})}"
    return f"/station/{quote(station_id, safe='')}"


def river_url(river: str) -> str:
    """Return the address of a river's page; as for a station."""
    if not river.strip(".") or "/" in river:
        return f"/rivers?{urlencode({'name': river})}"
    return f"/rivers/{quote(river, safe='')}"


def _rank(label: str, wanted: str) -> int:
    if label == wanted:
        return 0
    return 1 if label.startswith(wanted) else 2 if wanted in label else 3


def _fits(seen: Overview, name: str, chosen: Sequence[str]) -> Flags:
    found: Flags
    if name == "kind":
        bits = sum(1 << KINDS.index(word) for word in chosen)
        found = (seen.kinds & bits) > 0
    elif name == "place":
        found = ~seen.placed
    else:
        column = {"band": seen.band, "trend": seen.trend, "freshness": seen.freshness}[name]
        known = {"band": BANDS, "trend": TRENDS, "freshness": FRESHNESS}[name]
        found = np.isin(column, [known.index(word) if word in known else -1 for word in chosen])
    return found
