"""Make the stations and measures of a seed, with their ids, names and oddities.

The network is made in blocks of 256 stations, each a function of (seed, block), so that a country of half a million
gauges need not be in memory at once. A block holds the API's items for its stations and measures, and the same as
columns of numbers (`Signals`) for `weather`, which makes the values, and `arrivals`, which decides when they show.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np

from flood_assets.simulator import geography, names
from flood_assets.simulator.chance import Bools, Floats, Ints, between, key, uniform, words

ROOT = "http://environment.data.gov.uk/flood-monitoring"
BLOCK = 256  # stations
_FIRST_NUMBER = 1000  # of station 0, so that every number has at least four figures


class Kind(IntEnum):
    """Kind of signal, which decides its behaviour over time."""

    RIVER = 0
    FLOW = 1
    TIDE = 2
    GROUND = 3
    RAIN = 4
    TIP = 5
    RAIN_TOTAL = 6
    WIND = 7
    DIRECTION = 8
    WARMTH = 9
    POOL = 10


@dataclass(frozen=True)
class Signal:
    """One quantity that a kind of station measures; `period` in seconds, 0 where the API says Unspecified."""

    kind: Kind
    parameter: str
    qualifier: str
    unit: str
    period: int = 900
    code: str = "i"

    def notation(self, station: str) -> str:
        """Return the measure's id at a station."""
        qualifier = self.qualifier.lower().replace(" ", "_")
        if self.qualifier == "Downstream Stage":
            qualifier = "downstage"
        period = {0: "Unspecified", 300: "5_min", 900: "15_min", 1800: "30_min", 3600: "1_h"}[self.period]
        unit = self.unit.replace("/", "_").replace("%", "_").replace(" ", "_")
        return f"{station}-{self.parameter}-{qualifier}-{self.code}-{period}-{unit}"


def _level(qualifier: str, unit: str, period: int = 900, kind: Kind = Kind.RIVER) -> Signal:
    return Signal(kind, "level", qualifier, unit, period)


def _stage(unit: str) -> Signal:
    return _level("Stage", unit)


def _down(unit: str) -> Signal:
    return _level("Downstream Stage", unit)


def _ground(unit: str, period: int = 3600) -> Signal:
    return _level("Groundwater", unit, period, Kind.GROUND)


def _tide(unit: str = "mAOD", period: int = 900, code: str = "i") -> Signal:
    return Signal(Kind.TIDE, "level", "Tidal Level", unit, period, code)


def _flow(qualifier: str, unit: str = "m3/s") -> Signal:
    return Signal(Kind.FLOW, "flow", qualifier, unit)


def _rain(unit: str = "mm", period: int = 900, code: str = "t", kind: Kind = Kind.RAIN) -> Signal:
    return Signal(kind, "rainfall", "Tipping Bucket Raingauge", unit, period, code)


_EVENT_RAIN = _rain(period=0, code="Event", kind=Kind.TIP)
_UNSPECIFIED = _level("Stage", "mASD", 0)
_WARMTH = Signal(Kind.WARMTH, "temperature", "Dry Bulb", "deg C")

# Number of stations of the country per combination of measures: counts of 2020, those with several measures raised to
# the 1.27 measures per station of 2026.
_SORTS: tuple[tuple[float, tuple[Signal, ...]], ...] = (
    (900, (_stage("m"),)),
    (950, (_rain(),)),
    (700, (_stage("mASD"),)),
    (270, (_stage("mAOD"),)),
    (165, (_tide(),)),
    (63, (_tide("m"),)),
    (4, (_tide("mASD"),)),
    (10, (_tide(code="Mean"),)),
    (2, (_tide("mm"),)),
    (4, (_tide(period=300),)),
    (105, (_ground("m"),)),
    (80, (_ground("mAOD"),)),
    (80, (_ground("mAOD", 900),)),
    (60, (_ground("mBDAT"),)),
    (27, (_ground("m", 900),)),
    (15, (_ground("mBDAT", 900),)),
    (75, (_flow("Stage"),)),
    (55, (_flow(""),)),
    (16, (_flow("1"),)),
    (8, (_flow("Water"),)),
    (34, (_down("mAOD"),)),
    (6, (_down("mASD"),)),
    (15, (_rain(period=3600),)),
    (4, (_EVENT_RAIN,)),
    (2, (_rain(code="Cumulative_Total", kind=Kind.RAIN_TOTAL),)),
    (7, (_level("1", "m"),)),
    (4, (_level("2", "mAOD"),)),
    (9, (_level("Height", "m"),)),
    (6, (_stage("mm"),)),
    (5, (_level("Stage", "m", 1800),)),
    (2, (_UNSPECIFIED,)),
    (6, (_level("Reservoir Level", "m", 900, Kind.POOL),)),
    (260, (_down("mASD"), _stage("mASD"))),
    (250, (_stage("---"), _stage("m"))),
    (160, (_stage("mAOD"), _stage("mASD"))),
    (95, (_flow(""), _stage("mASD"))),
    (12, (_flow(""), _stage("m"))),
    (10, (_flow("", "Ml/d"), _stage("mASD"))),
    (1, (_flow("Stage", "l/s"), _stage("m"))),
    (44, (_down("mAOD"), _stage("mAOD"))),
    (42, (_down("m"), _stage("m"))),
    (33, (_ground("mAOD", 900), _ground("mAOD"))),
    (13, (_ground("---"), _ground("mAOD"))),
    (60, (_level("1", "m"), _stage("m"))),
    (40, (_level("1", "m"), _level("2", "m"), _stage("m"))),
    (24, (_level("Logged", "mASD"), _stage("mASD"))),
    (36, (_down("---"), _down("mASD"), _stage("---"), _stage("mASD"))),
    (25, (_down("mASD"), _stage("---"), _stage("mASD"))),
    (8, (_stage("---"), _stage("mASD"))),
    (10, (_rain(), _WARMTH)),
    (70, (_rain("---"), _rain())),
    (6, (Signal(Kind.DIRECTION, "wind", "Direction", "deg", code="Mean"),
           Signal(Kind.WIND, "wind", "Speed", "m/s", code="Mean"))),
    (3, (Signal(Kind.DIRECTION, "wind", "Direction", "deg"), Signal(Kind.WIND, "wind", "Speed", "Knots"),
         _WARMTH, _rain())),
    (16, ()),
)  # fmt: skip

# Oddities found once or twice in the country have fixed positions, so that small networks have them too.
_ZERO, _NAMELESS, _LISTED, _TWINS, _TWOFOLD, _AHEAD = 0, 1, 2, (6, 7), 8, 9
_URL_SCALES = (3, 4)
# The station of the examples has no oddity, and the real number of its page; the station of that number has its.
_KINGSTON, _FIRST_PAGE = 20, 3000
_PAGES = {_KINGSTON: names.KINGSTON_PAGE, names.KINGSTON_PAGE - _FIRST_PAGE: _FIRST_PAGE + _KINGSTON}
_FIXED: dict[int, tuple[Signal, ...]] = {
    _ZERO: (
        _level("1", "m"), _level("1", "mAOD"), _level("2", "m"), _level("3", "m"), _level("4", "m"),
        _ground("mAOD", 900), _stage("m"), _stage("mAOD"),
    ),
    _NAMELESS: (_flow("Logged"), _level("Reservoir Level", "m", 900, Kind.POOL), _stage("m")),
    _LISTED: (_stage("mAOD"),),
    3: (_stage("mASD"),),
    4: (_stage("mAOD"), _stage("mASD")),
    5: (_EVENT_RAIN,),
    6: (_tide(),),
    7: (_tide(),),
    _TWOFOLD: (_stage("mASD"),),
    _AHEAD: (_stage("mASD"),),
    10: (_stage("m"), _stage("mAOD")),
    11: (_level("3", "m"), _stage("m")),
    12: (_ground("mAOD"),),
    13: (),
    14: (_UNSPECIFIED,),
    15: (_tide(period=300),),
    16: (_tide(),),
    17: (_flow(""), _stage("mASD")),
    18: (_level("Stage", "m", 1800),),
    19: (_rain(),),
    _KINGSTON: (_flow(""), _stage("mASD")),
}  # fmt: skip
_UNLISTED, _UNMAPPED, _RENAMED, _MISNAMED_PERIOD, _ODD_SECONDS, _ALWAYS_ALIVE = 10, 11, 12, 16, 17, 22
_NAMES = {_ZERO: "0", _NAMELESS: ""}

_UNITS = {
    "m": "Meter", "mASD": "Meter", "mAOD": "Meter", "mBDAT": "Meter", "mm": "Millimeter",
    "m3/s": "CubicMeterPerSecond", "deg C": "DegreeCelsius", "deg": "DegreeAngle", "m/s": "MeterPerSecond",
}  # fmt: skip
_PARAMETERS = {
    "level": "Water Level",
    "flow": "Flow",
    "rainfall": "Rainfall",
    "wind": "Wind",
    "temperature": "Temperature",
}
_VALUE_TYPES = {
    "i": "instantaneous",
    "t": "total",
    "Mean": "mean",
    "Event": "event",
    "Cumulative_Total": "cumulative total",
}
# Factor from metres (or, for flow, cubic metres a second) to the measure's unit.
_FACTORS = {"mm": 1000.0, "Ml/d": 86.4, "l/s": 1000.0, "Knots": 1.944}
_AREAS = (("Thames", "Thames - West Thames"), ("Midland", "Midlands - Trent"), ("North East", "Yorkshire"),
          ("North West", "Greater Manchester, Merseyside and Cheshire"), ("Anglian", "Anglian - Eastern"),
          ("South West", "Wessex"), ("Southern", "Solent and South Downs"))  # fmt: skip
_ENDINGS = ("", " Weir", " Bridge", " Mill", " GS", " Lock", ", Mill Lane", " Road", " (Temporary)", " Sluice",
            " Upstream", " Downstream", " Ford", ", Church Lane", " Park", " Road Bridge")  # fmt: skip


@dataclass(frozen=True)
class Signals:
    """Measures of a block as columns of numbers, one element a measure.

    Attributes:
        number: identifies the measure in the whole network; counter of all its random numbers.
        station: the station's number in the whole network.
        kind: a `Kind`.
        period: seconds between readings.
        phase: seconds after the full period at which they are taken.
        x: easting in km.
        y: northing in km.
        river: index of the river.
        share: position on the river, 0 source to 1 mouth.
        low: level or flow in dry weather, in the measure's unit.
        span: from there to the usual high; for tides the amplitude of M2; for groundwater the yearly swing.
        turn: phase of M2 in radians.
        factor: from metres, cubic metres a second or mm to the measure's unit.
        spoilt: constant error of a faulty sensor, mostly 0.
        upload: seconds between two uploads of the station; 0 when it is polled at each reading.
        uploaded: seconds after the full `upload` at which it uploads; the usual delay for polled stations.
        dead: true if nothing was measured for longer than the API remembers.
        unlisted: true if there are readings but no list has the measure.
        twofold: true if every reading has two values.
        ahead: true if its clock is ahead.
    """

    number: Ints
    station: Ints
    kind: Ints
    period: Ints
    phase: Ints
    x: Floats
    y: Floats
    river: Ints
    share: Floats
    low: Floats
    span: Floats
    turn: Floats
    factor: Floats
    spoilt: Floats
    upload: Ints
    uploaded: Ints
    dead: Bools
    unlisted: Bools
    twofold: Bools
    ahead: Bools

    def take(self, which: Ints) -> "Signals":
        """Return the columns of the selected measures."""
        return Signals(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class Measure:
    """Measure: its id, the index of its station in the block, and its `/id/measures` item without the reading."""

    notation: str
    station: int
    item: dict[str, Any]

    def brief(self) -> dict[str, Any]:
        """Return the fields of the measure that a list of stations shows."""
        shown = ("@id", "parameter", "parameterName", "period", "qualifier", "unitName")
        return {k: self.item[k] for k in shown if k in self.item}


@dataclass(frozen=True)
class Station:
    """Station: its id, the indexes of its measures in the block, and its API items.

    Attributes:
        item: its item in a list, without `measures`.
        scales: the objects that `stageScale` and `downstageScale` stand for.
        detail: fields that only the station's own page has.
    """

    notation: str
    measures: tuple[int, ...]
    item: dict[str, Any]
    scales: dict[str, dict[str, Any]]
    detail: dict[str, Any]


@dataclass(frozen=True)
class Block:
    """Up to 256 consecutive stations and their measures."""

    index: int
    stations: list[Station]
    measures: list[Measure]
    signals: Signals

    def listed(self, station: Station) -> list[Measure]:
        """Return the measures that a station's item lists."""
        return [self.measures[m] for m in station.measures if not self.signals.unlisted[m]]


@dataclass(frozen=True)
class _Sites:
    """Positions and kinds of the stations of a block, one element a station."""

    index: Ints
    signals: list[tuple[Signal, ...]]
    long: Floats
    lat: Floats
    easting: Floats
    northing: Floats
    river: Ints
    share: Floats
    town: Ints


class Network:
    """Network of all stations of a seed."""

    def __init__(self, stations: int, seed: int) -> None:
        self.stations = stations
        self.blocks = -(-stations // BLOCK)
        self.ground = geography.ground(seed)
        self._seed = seed
        weights = np.array([weight for weight, _ in _SORTS])
        self._sorts = np.cumsum(weights) / weights.sum()

    def _key(self, purpose: str) -> int:
        return key(self._seed, purpose)

    def _sort(self, index: Ints) -> list[tuple[Signal, ...]]:
        drawn = np.searchsorted(self._sorts, uniform(self._key("sort"), index), side="right")
        found = [_FIXED.get(i) if i in _FIXED else _SORTS[n][1] for i, n in zip(index.tolist(), drawn, strict=True)]
        twins = self._twins(index)
        return [(_tide(),) if twin else signals or () for signals, twin in zip(found, twins, strict=True)]

    def _twins(self, index: Ints) -> Bools:
        """Return a mask of stations that share a stationReference with a neighbour."""
        drawn = (uniform(self._key("twins"), index // 2) < 0.0018) & (index >= _ALWAYS_ALIVE)
        return np.asarray(drawn | np.isin(index, _TWINS))

    def notation(self, index: int) -> str:
        """Return the id of a station, from its number alone."""
        return self._notations(np.array([index]))[0][0]

    def _notations(self, index: Ints) -> list[tuple[str, str]]:
        """Return id and stationReference of stations."""
        style = uniform(self._key("style"), index)
        twins = self._twins(index)
        renamed = (uniform(self._key("renamed"), index) < 0.0086) | (index == _RENAMED)
        return [
            self._named(*row)
            for row in zip(index.tolist(), style.tolist(), twins.tolist(), renamed.tolist(), strict=True)
        ]

    @staticmethod
    def _named(index: int, style: float, twin: bool, renamed: bool) -> tuple[str, str]:
        number = _FIRST_NUMBER + index
        if index in _NAMES:
            return _NAMES[index], _NAMES[index]
        if twin:
            reference = f"E{number - index % 2}"
            return f"{reference}-{'anglian' if index % 2 else 'southern'}", reference
        if renamed:
            return f"{number:06d}_TG_316", f"{number:06d}_TG 316"
        styles = (
            (0.30, f"E{number}"), (0.46, f"{number}TH"), (0.64, str(number)), (0.78, f"{number:06d}"),
            (0.86, f"L{number:05d}"), (0.92, f"{number}TP"), (0.96, f"F{number}"), (0.98, f"{number}_w1TH"),
            (2.0, f"SU38_{number}"),
        )  # fmt: skip
        name = next(text for limit, text in styles if style < limit)
        return name, name

    @staticmethod
    def block_number(station: int) -> int:
        """Return the number of the block that holds a station."""
        return station // BLOCK

    def find(self, notation: str) -> int | None:
        """Return the number of the station with this id, read from the figures in it, or None."""
        for index, name in _NAMES.items():
            if notation == name and index < self.stations:
                return index
        for figures in re.findall(r"\d+", notation):
            first = int(figures[:12]) - _FIRST_NUMBER
            for index in (first, first + 1):
                if 0 <= index < self.stations and self.notation(index) == notation:
                    return index
        return None

    def find_measure(self, notation: str) -> Iterator[int]:
        """Return the numbers of stations whose id, followed by `-`, is a prefix of this measure id."""
        for dash in re.finditer("-", notation):
            index = self.find(notation[: dash.start()])
            if index is not None:
                yield index

    def _members(self, block: int) -> Ints:
        return np.arange(block * BLOCK, min((block + 1) * BLOCK, self.stations), dtype=np.int64)

    def count(self, block: int) -> int:
        """Count the measures of a block."""
        return sum(len(sort) for sort in self._sort(self._members(block)))

    def block(self, number: int) -> Block:
        """Make one block."""
        index = self._members(number)
        sites = self._sites(index)
        signals = self._signals(sites)
        notations = self._notations(index)
        stations: list[Station] = []
        measures: list[Measure] = []
        facts = _Facts(self._seed, sites, self.ground, notations)
        for i, sort in enumerate(sites.signals):
            places = tuple(range(len(measures), len(measures) + len(sort)))
            station = facts.station(i, places, signals)
            stations.append(station)
            measures += [facts.measure(i, signal) for signal in sort]
        return Block(number, stations, measures, signals)

    def _sites(self, index: Ints) -> _Sites:
        sorts = self._sort(index)
        kinds = np.array([sort[0].kind if sort else Kind.RIVER for sort in sorts], dtype=np.int64)
        river = (uniform(self._key("river"), index) ** 1.6 * geography.RIVERS).astype(np.int64)
        share = between(0.02, 0.98, self._key("share"), index)
        river, share = np.where(index == _KINGSTON, 0, river), np.where(index == _KINGSTON, names.KINGSTON_SHARE, share)
        long, lat = self.ground.along(river, share)
        stray = np.radians(uniform(self._key("stray"), index) * 360)
        long, lat = long + 0.01 * np.cos(stray), lat + 0.01 * np.sin(stray)
        coast = (uniform(self._key("port"), index) * self.ground.coast[0].size).astype(np.int64)
        at_sea = kinds == Kind.TIDE
        long = np.where(at_sea, self.ground.coast[0][coast], long)
        lat = np.where(at_sea, self.ground.coast[1][coast], lat)
        anywhere = ~np.isin(kinds, (Kind.RIVER, Kind.FLOW, Kind.POOL, Kind.TIDE))
        free_long, free_lat = geography.scatter(self._key("site"), index)
        long, lat = np.where(anywhere, free_long, long), np.where(anywhere, free_lat, lat)
        easting, northing = geography.to_grid(lat, long)
        coarse = np.isin(kinds, (Kind.RAIN, Kind.TIP, Kind.RAIN_TOTAL))  # rain gauges are known to 100 m
        easting = np.where(coarse, easting // 100 * 100, np.floor(easting))
        northing = np.where(coarse, northing // 100 * 100, np.floor(northing))
        on_river = np.isin(kinds, (Kind.RIVER, Kind.FLOW, Kind.POOL))
        town = np.where(on_river, self.ground.town_on(river, share), self.ground.town_of(long, lat))
        return _Sites(index, sorts, long, lat, easting, northing, river, share, town)

    def _signals(self, sites: _Sites) -> Signals:
        place = np.array([i for i, sort in enumerate(sites.signals) for _ in sort], dtype=np.int64)
        order = np.array([j for sort in sites.signals for j, _ in enumerate(sort)], dtype=np.int64)
        flat = [signal for sort in sites.signals for signal in sort]
        station = sites.index[place]
        number = station * 16 + order
        kind = np.array([s.kind for s in flat], dtype=np.int64)
        period = np.array([s.period or 900 for s in flat], dtype=np.int64)
        period[station == _MISNAMED_PERIOD] = 300
        low, span = self._ranges(flat, station, number, kind)
        amplitude, turn = geography.tide_at(sites.long, sites.lat)
        tidal = kind == Kind.TIDE
        mean = between(-0.3, 0.3, self._key("mean sea"), number)
        factor = np.array([1.0 if s.parameter == "rainfall" else _FACTORS.get(s.unit, 1.0) for s in flat])
        upload, uploaded = self._uploads(station, np.isin(kind, (Kind.GROUND,)), np.isin(kind, (Kind.RAIN,)))
        alive = (station < _ALWAYS_ALIVE) | (kind == Kind.TIP)
        odd = uniform(self._key("odd"), number)
        falls = np.isin(kind, (Kind.RAIN, Kind.TIP, Kind.RAIN_TOTAL))  # no gauge has been seen to report negative rain
        spoilt = np.where(
            (odd < 0.001) & ~alive & ~falls, np.round(between(-40, 30, self._key("spoilt"), number), 2), 0
        )
        return Signals(
            number=number,
            station=station,
            kind=kind,
            period=period,
            phase=self._phases(station, number, kind, period),
            x=sites.easting[place] / 1000,
            y=sites.northing[place] / 1000,
            river=sites.river[place],
            share=sites.share[place],
            low=np.where(tidal, mean, low),
            span=np.where(tidal, amplitude[place], span),
            turn=turn[place],
            factor=factor,
            spoilt=spoilt,
            upload=upload,
            uploaded=uploaded,
            dead=~alive & (uniform(self._key("dead"), number) < np.where(period == 900, 0.235, 0.2)),
            unlisted=((odd > 0.999) & ~alive) | ((station == _UNLISTED) & (order == 1)),
            twofold=((odd > 0.5) & (odd < 0.50015) & ~alive) | (station == _TWOFOLD),
            ahead=((odd > 0.6) & (odd < 0.6004)) | (station == _AHEAD),
        )

    def _ranges(self, flat: list[Signal], station: Ints, number: Ints, kind: Ints) -> tuple[Floats, Floats]:
        """Return dry-weather value and usual range; the levels of a station differ only by datum."""
        low = between(0.05, 0.6, self._key("low"), station)
        span = 0.25 + 2.2 * uniform(self._key("span"), station) ** 2
        flowing = kind == Kind.FLOW
        size = np.exp(between(-3.0, 4.0, self._key("size"), station))
        size[station == _KINGSTON] = 60  # m³/s: near its mouth the Thames is no brook
        low, span = np.where(flowing, 0.15 * size, low), np.where(flowing, size, span)
        ground = kind == Kind.GROUND
        span = np.where(ground, between(0.5, 9.0, self._key("table"), station), span)
        low = np.where(ground, between(-5.0, 40.0, self._key("depth"), station), low)
        datum = between(1.0, 120.0, self._key("datum"), station)
        above_sea = np.array([s.unit == "mAOD" and s.kind == Kind.RIVER for s in flat], dtype=np.bool_)
        down = np.array([s.qualifier in ("Downstream Stage", "1", "2") for s in flat], dtype=np.bool_)
        low = low + np.where(above_sea, datum, 0) - np.where(down, between(0.0, 0.9, self._key("drop"), number), 0)
        return low, span * np.where(down, 0.8, 1)

    def _phases(self, station: Ints, number: Ints, kind: Ints, period: Ints) -> Ints:
        """Return seconds after the full quarter of an hour: 0 for all but some in a thousand."""
        odd = uniform(self._key("phase"), number)
        choice = np.array([1, 2, 3, 5, 300, 600, 300, 600])
        drawn = choice[(uniform(self._key("seconds"), number) * choice.size).astype(np.int64)]
        phase = np.where((odd < 0.0035) & (period >= 900), drawn, 0)
        phase = np.where(np.isin(kind, (Kind.WIND, Kind.DIRECTION)) & (odd < 0.4), 30, phase)
        return np.where(station == _ODD_SECONDS, 5, phase).astype(np.int64)

    def _uploads(self, station: Ints, ground: Bools, rain: Bools) -> tuple[Ints, Ints]:
        """Return seconds between uploads (0 if polled), and the time of the upload or the delay of the poll."""
        drawn = uniform(self._key("upload"), station)
        hours = np.array([0, 1, 4, 8, 12, 24])
        shares = np.array([0.735, 0.755, 0.825, 0.955, 0.990, 1.0])
        at_ground = np.array([0.30, 0.33, 0.55, 0.87, 0.98, 1.0])
        at_rain = np.array([0.70, 0.82, 0.92, 0.98, 0.995, 1.0])
        row = np.searchsorted(shares, drawn, side="right")
        row = np.where(ground, np.searchsorted(at_ground, drawn, side="right"), row)
        row = np.where(rain, np.searchsorted(at_rain, drawn, side="right"), row)
        row[station < _ALWAYS_ALIVE] = 0
        upload = hours[row] * 3600
        free = uniform(self._key("upload time"), station)
        # Half of the uploading stations upload around five in the morning, the others later.
        early = uniform(self._key("early"), station) < 0.5
        at = np.where(early, (5 * 3600 + 2400 * free) % np.maximum(upload, 1), free * upload)
        polled = 60 + 420 * free
        return upload, np.where(upload > 0, at, polled).astype(np.int64)


class _Facts:
    """Builder of the API's items for the stations of a block."""

    def __init__(self, seed: int, sites: _Sites, ground: geography.Ground, notations: list[tuple[str, str]]) -> None:
        self.sites, self.ground, self.notations = sites, ground, notations
        # One row of random numbers for each station, one column for each use.
        self.drawn = uniform(key(seed, "facts"), sites.index[:, None], np.arange(24)).tolist()
        self.bits = words(key(seed, "ids"), sites.index).tolist()
        self._labels: dict[int, str] = {}

    def station(self, i: int, measures: tuple[int, ...], signals: Signals) -> Station:
        sort, u, index = self.sites.signals[i], self.drawn[i], int(self.sites.index[i])
        notation, reference = self.notations[i]
        at = f"{ROOT}/id/stations/{notation}"
        kind = sort[0].kind if sort else Kind.RIVER
        item: dict[str, Any] = {
            "@id": at,
            "label": self._label(i, kind),
            "notation": notation,
            "stationReference": reference,
        }
        self._place(i, kind, item)
        on_page = kind in (Kind.RIVER, Kind.FLOW, Kind.TIDE) and index not in (_ZERO, _NAMELESS) and u[0] < 0.74
        scales = {}
        if on_page or index in (_LISTED, *_URL_SCALES, _KINGSTON):
            scales = self._page(i, kind, measures, signals, item)
        if index == _LISTED:
            town = item.get("town", self.ground.towns[0])
            item |= {"RLOIid": [item["RLOIid"], "9240"], "town": [town, self.ground.towns[0] + " Bridge"]}
            item["status"] = [f"{ROOT}/def/core/statusActive", f"{ROOT}/def/core/statusClosed"]
        region, area = _AREAS[int(u[1] * len(_AREAS))]
        detail = {"type": _types(sort), "eaAreaName": area, "eaRegionName": region}
        return Station(notation, measures, dict(sorted(item.items())), scales, detail)

    def _label(self, i: int, kind: Kind) -> str:
        u, index = self.drawn[i], int(self.sites.index[i])
        town = self.ground.towns[self.sites.town[i]]
        river = self.ground.rivers[self.sites.river[i]].name
        if index == _KINGSTON:
            label = names.KINGSTON
        elif index == _UNMAPPED or u[2] < 0.0009:
            label = "ElementNotMappedToAnOutstation"
        elif kind in (Kind.RAIN, Kind.TIP, Kind.RAIN_TOTAL):
            label = "Rainfall station"
        elif kind == Kind.GROUND:
            label = f"{town.upper()} GWL" if u[3] < 0.6 else f"{town} Farm"
        elif kind == Kind.TIDE:
            label = f"{town} Tidal" if u[3] < 0.4 else town
        else:
            label = town + _ENDINGS[int(u[3] * len(_ENDINGS))]
            label = f"{river} at {town}" if u[4] < 0.15 else label.upper() if u[4] < 0.4 else label
        self._labels[i] = label
        return label

    def _place(self, i: int, kind: Kind, item: dict[str, Any]) -> None:
        u, sites = self.drawn[i], self.sites
        easting, northing = int(sites.easting[i]), int(sites.northing[i])
        lost = u[5] < 0.8 if kind == Kind.GROUND else u[5] < 0.009
        if lost:
            item["gridReference"] = geography.grid_reference(easting, northing, 2)
            return
        item |= {"easting": easting, "northing": northing}
        item |= {"lat": round(float(sites.lat[i]), 6), "long": round(float(sites.long[i]), 6)}
        if u[6] < 0.0004:
            item["easting"] = easting + 0.22468
        if u[7] < 0.68:
            item["gridReference"] = geography.grid_reference(easting, northing)

    def _page(
        self, i: int, kind: Kind, measures: tuple[int, ...], signals: Signals, item: dict[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Add the fields of stations shown on 'River levels on the internet'; return their scales."""
        u, index, sites = self.drawn[i], int(self.sites.index[i]), self.sites
        shares = (("Active", 0.98), ("Suspended", 0.99), ("Closed", 0.998), ("ukcmf", 2.0))
        status = next(name for name, limit in shares if u[8] < limit)
        item |= {
            "RLOIid": str(_PAGES.get(index, _FIRST_PAGE + index)),
            "catchmentName": self.ground.rivers[sites.river[i]].catchment,
            "riverName": "Tide" if kind == Kind.TIDE else self.ground.rivers[sites.river[i]].name,
            "dateOpened": f"{1960 + int(u[9] * 62)}-{1 + int(u[10] * 12):02d}-01",
            "status": f"{ROOT}/def/core/status{status}",
        }
        if u[11] < 0.96:
            item["town"] = self.ground.towns[sites.town[i]]
        if u[12] < 0.98:
            item["wiskiID"] = item["notation"] if u[12] < 0.4 else f"{self.bits[i] % 999_999:06d}"
        if u[13] < 0.13:
            item["datumOffset"] = round(u[14] * 120, 3)
        levels = [m for m in measures if signals.kind[m] in (Kind.RIVER, Kind.TIDE)]
        named = {"stageScale": levels[-1:], "downstageScale": levels[:1] if len(levels) > 1 and u[15] < 0.4 else []}
        scales = {
            name: self._scale(f"{item['@id']}/{name}", u, signals, of[0] if of else 0)
            for name, of in named.items()
            if of or name == "stageScale"
        }
        item |= {name: scale["@id"] for name, scale in scales.items()}
        return {} if index in _URL_SCALES else scales

    def _scale(self, at: str, u: list[float], signals: Signals, of: int) -> dict[str, Any]:
        low, span = (float(signals.low[of]), float(signals.span[of])) if signals.low.size else (0.2, 1.0)
        if signals.low.size and signals.kind[of] == Kind.TIDE:
            low, span = low - 1.2 * span, 2.4 * span
        scale: dict[str, Any] = {"@id": at}
        watermarks = {
            "highestRecent": 1.25 + u[16] * 0.5,
            "maxOnRecord": 1.8 + u[17],
            "minOnRecord": -0.15 * u[18] - 0.02,
        }
        for i, (name, share) in enumerate(watermarks.items()):
            if name == "highestRecent" and u[19] < 0.26:
                continue
            day = f"{2000 + int(u[16 + i] * 26)}-{1 + int(u[17] * 12):02d}-{1 + int(u[18] * 28):02d}"
            moment = f"{day}T{int(u[20] * 24):02d}:45:00"
            scale[name] = {"@id": f"{at}/{name}", "dateTime": moment, "value": round(low + share * span, 3)}
        scale["scaleMax"] = max(1, round(low + 3.2 * span))
        if u[21] >= 0.012:
            ends = {"typicalRangeHigh": round(low + span, 3), "typicalRangeLow": round(low + 0.05 * span, 3)}
            if u[21] > 0.999:
                ends = dict(zip(ends, reversed(ends.values()), strict=True))
            scale |= ends
        return scale

    def measure(self, i: int, signal: Signal) -> Measure:
        notation, reference = self.notations[i]
        own = signal.notation(notation)
        tail = own.removeprefix(f"{notation}-")
        rain = signal.parameter == "rainfall"
        item: dict[str, Any] = {"@id": f"{ROOT}/id/measures/{own}"}
        if signal.unit in ("mASD", "mAOD", "mBDAT"):
            item["datumType"] = f"{ROOT}/def/core/datum{signal.unit[1:]}"
        item |= {
            "label": tail if rain else f"{self._labels[i]} - {tail}",
            "notation": own,
            "parameter": signal.parameter,
            "parameterName": _PARAMETERS[signal.parameter],
        }
        if signal.period:
            item["period"] = signal.period
        item |= {
            "qualifier": signal.qualifier,
            "station": f"{ROOT}/id/stations/{notation}",
            "stationReference": reference,
        }
        if signal.unit in _UNITS:
            item["unit"] = f"http://qudt.org/1.1/vocab/unit#{_UNITS[signal.unit]}"
        item |= {"unitName": signal.unit, "valueType": _VALUE_TYPES[signal.code]}
        return Measure(own, i, item)


def _types(sort: tuple[Signal, ...]) -> list[str]:
    kinds = {signal.kind for signal in sort}
    found = []
    if kinds & {Kind.RAIN, Kind.TIP, Kind.RAIN_TOTAL, Kind.WIND, Kind.WARMTH}:
        found.append("Meteorological")
    if Kind.GROUND in kinds:
        found.append("Groundwater")
    if Kind.TIDE in kinds:
        found.append("Coastal")
    if kinds & {Kind.RIVER, Kind.FLOW, Kind.POOL}:
        found.append("SingleLevel" if len(sort) == 1 else "MultiTraceLevel")
    return [f"{ROOT}/def/core/{name}" for name in found or ["SingleLevel"]]
