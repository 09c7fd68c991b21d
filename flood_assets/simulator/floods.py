"""Flood areas along the simulated rivers, and the alerts and warnings that follow their floods.

Each reach has an area for alerts, and inside it one for warnings. A warning is a function of the rise of its reach in
the hours before, so that it begins, worsens, is re-issued and ends as the flood does. As the API's, its times are local
and have no zone, an ended warning stays in the list for some hours, and a few areas lack a field.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from flood_assets.simulator import geography
from flood_assets.simulator.chance import Ints, key, uniform
from flood_assets.simulator.network import ROOT
from flood_assets.simulator.weather import Weather

LONDON = ZoneInfo("Europe/London")
HOUR = 3600

SEVERE, WARNING, ALERT, ENDED = 1, 2, 3, 4
NAMES = {
    SEVERE: "Severe flood warning",
    WARNING: "Flood warning",
    ALERT: "Flood alert",
    ENDED: "Warning no longer in force",
}

# Rise of a reach (1 after usual rain, 4 in a flood) from which an area has each severity.
_ALERT_FROM, _WARNING_FROM, _SEVERE_FROM = 2.2, 3.0, 4.4
# Hours that are looked back for the beginning of a warning, that an ended one is listed (8 of 202 had ended on 2 March
# 2024), and between re-issues.
_LONGEST, _LISTED, _REISSUED = 14 * 24, 6, 12

_PARTS = ("Upper", "Middle", "Lower", "Tidal")
_ADVICE = (
    "Avoid using low lying footpaths and any bridges near local watercourses and do not attempt to walk or drive "
    "through flood water. Plan driving routes to avoid low lying roads near rivers, which may be flooded."
)


class Floods:
    """Flood areas of one country, and what is in force there at any moment."""

    def __init__(self, seed: int, ground: geography.Ground, weather: Weather) -> None:
        self._ground, self._weather = ground, weather
        self._reaches = np.arange(geography.RIVERS * geography.REACHES)
        # Minutes after the full hour at which an area's messages are written.
        self._minute = np.floor(uniform(key(seed, "messages"), self._reaches) * 60).astype(np.int64)
        self._odd = uniform(key(seed, "odd areas"), self._reaches)

    def areas(self) -> list[dict[str, Any]]:
        """Return all areas, alerts first, as `/id/floodAreas` lists them."""
        return [self._area(reach, warned) for warned in (False, True) for reach in self._reaches.tolist()]

    def polygon(self, notation: str) -> dict[str, Any] | None:
        """Return an area as GeoJSON, or None if there is none of this notation."""
        area = next((area for area in self.areas() if area["notation"] == notation), None)
        if area is None:
            return None
        size = 0.03 if "WAF" in notation else 0.012
        corners = [
            [round(area["long"] + size * np.cos(turn), 5), round(area["lat"] + 0.6 * size * np.sin(turn), 5)]
            for turn in np.linspace(0, 2 * np.pi, 13)
        ]
        corners[-1] = corners[0]
        shape = {"type": "MultiPolygon", "coordinates": [[corners]]}
        named = {"FWS_TACODE": notation, "DESCRIP": area["description"]}
        return {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": shape, "properties": named}]}

    def warnings(self, now: int) -> list[dict[str, Any]]:
        """Return what is in force, or ended some hours ago, at a moment (s since 1970), as `/id/floods` lists it."""
        found = []
        for warned in (False, True):
            levels = self._severities(now, warned)
            listed = np.flatnonzero((levels < ENDED)[:, -_LISTED:].any(axis=1))
            found += [self._warning(reach, warned, levels[reach], now) for reach in listed.tolist()]
        return found

    def _severities(self, now: int, warned: bool) -> Ints:
        """Return each area's severity in the last hours, the present one last; `ENDED` stands for none."""
        hours = now // HOUR - np.arange(_LONGEST)[::-1]
        days = range(int(hours[0] // 24), int(hours[-1] // 24) + 1)
        rise = np.concatenate([self._weather.rises(day) for day in days], axis=1)
        rise = rise[:, int(hours[0] % 24) :][:, :_LONGEST]
        levels = np.full(rise.shape, ENDED)
        if warned:
            levels[rise >= _WARNING_FROM], levels[rise >= _SEVERE_FROM] = WARNING, SEVERE
        else:
            levels[rise >= _ALERT_FROM] = ALERT
        # The message of this hour may not have been written yet: then the hour before is what is known.
        late = self._minute * 60 > now % HOUR
        levels[late, 1:] = levels[late, :-1]
        return levels

    def _warning(self, reach: int, warned: bool, levels: Ints, now: int) -> dict[str, Any]:
        area = self._area(reach, warned)
        severity = int(levels[-1])
        changes = np.flatnonzero(np.diff(levels)) + 1
        last = now // HOUR - (self._minute[reach] * 60 > now % HOUR)
        began = int(last - (len(levels) - 1 - (changes[-1] if len(changes) else 0)))
        reissued = last - (last - began) % _REISSUED if severity < ENDED else began
        changed, message = (hour * HOUR + int(self._minute[reach]) * 60 for hour in (began, reissued))
        river = self._ground.rivers[reach // geography.REACHES].name
        return {
            "@id": f"{ROOT}/id/floods/{area['notation']}",
            "description": area["description"],
            "eaAreaName": area["eaAreaName"],
            "eaRegionName": "No longer used",
            "floodArea": {
                "@id": area["@id"],
                "county": area["county"],
                "notation": area["notation"],
                "polygon": area["polygon"],
                **({} if "riverOrSea" not in area else {"riverOrSea": area["riverOrSea"]}),
            },
            "floodAreaID": area["notation"],
            "isTidal": area["isTidal"],
            "message": _message(severity, river, message),
            "severity": NAMES[severity],
            "severityLevel": severity,
            "timeMessageChanged": _local(message),
            "timeRaised": _local(message + int(self._odd[reach] * 60)),
            "timeSeverityChanged": _local(changed),
        }

    def _area(self, reach: int, warned: bool) -> dict[str, Any]:
        river, part = divmod(reach, geography.REACHES)
        place = np.array(river), np.array((part + 0.5) / geography.REACHES)
        long, lat = (float(each) for each in self._ground.along(*place))
        name = self._ground.rivers[river].name
        town = self._ground.towns[int(self._ground.town_on(*place))]
        notation = f"{river % 125:03}{'FWF' if warned else 'WAF'}{river:03}{_PARTS[part][:3]}"
        area = {
            "@id": f"{ROOT}/id/floodAreas/{notation}",
            "county": self._ground.rivers[river].county,
            "description": f"{name} at {town}" if warned else f"{_PARTS[part]} {name} and tributaries",
            "eaAreaName": f"Area {river % 14 + 1}",
            "floodWatchArea": f"{ROOT}/id/floodAreas/{notation.replace('FWF', 'WAF')}",
            "fwdCode": notation,
            "isTidal": part == geography.REACHES - 1 and river % 5 == 0,
            "label": f"{name} at {town}" if warned else f"{_PARTS[part]} {name}",
            "lat": round(lat, 5),
            "long": round(long, 5),
            "notation": notation,
            "polygon": f"{ROOT}/id/floodAreas/{notation}/polygon",
            "quickDialNumber": f"{100000 + reach * 2 + warned}",
            "riverOrSea": name,
        }
        if not warned:
            del area["floodWatchArea"]
        if self._odd[reach] < 0.01:
            del area["riverOrSea"]
        return area


def _message(severity: int, river: str, time: int) -> str:
    if severity == ENDED:
        return f"The flood message for the {river} is no longer in force. \n\nRiver levels have fallen.\n"
    then = datetime.fromtimestamp(time, LONDON) + timedelta(hours=_REISSUED)
    state = {
        ALERT: "River levels are high",
        WARNING: "Property flooding is expected",
        SEVERE: "There is a danger to life",
    }
    return (
        f"{state[severity]} along the {river}. \n\n{_ADVICE} \n\n"
        f"This message will be updated by {then:%I:%M %p on %d/%m/%Y}, or as the situation changes.\n"
    )


def _local(time: int) -> str:
    """Return a moment as the API writes it: the time in England, without a zone."""
    return f"{datetime.fromtimestamp(time, UTC).astimezone(LONDON):%Y-%m-%dT%H:%M:%S}"
