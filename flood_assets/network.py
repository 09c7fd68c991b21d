"""Describe a network of shards in one small TOML file; every error names the shard, the key, the value and the remedy.

    name = "england"

    [[shard]]
    name = "level"
    parameter = "level"

    [[shard]]
    name = "somerset"
    api = "https://flood.example.org/flood-monitoring"
    stations = ["52203", "531160"]

A shard is a part of the network with a lake of its own, below the common URL. Nothing here reads a lake or asks an API.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flood_assets.errors import SettingsError
from flood_assets.places import below, split_userinfo
from flood_assets.words import counted

# Requests that all shards together have under way at one API: it asks its users to go easy.
AT_ONCE = 4

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KEYS = ("name", "api", "parameter", "stations", "stations_file")


class NetworkError(SettingsError):
    """File of a network that cannot be used, or one that does not fit the lakes."""


@dataclass(frozen=True)
class Scope:
    """Part of an API that is asked for: everything, one parameter, or a list of stations.

    Attributes:
        parameter: as the API's filter takes it, such as "level"; None for any.
        stations: notations of stations, sorted; empty for any.
    """

    parameter: str | None = None
    stations: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return the scope as a lake's `_lake.json` holds it: a list of stations as its length and its digest."""
        if self.stations:
            digest = hashlib.blake2b("\n".join(self.stations).encode(), digest_size=8).hexdigest()
            return {"stations": len(self.stations), "digest": digest}
        return {} if self.parameter is None else {"parameter": self.parameter}


WHOLE = Scope()


def described(told: Mapping[str, Any]) -> str:
    """Return in words which shard of which network it is, and what it asks for, of what `Shard.told` returned."""
    asked = "everything"
    if "parameter" in told:
        asked = f"parameter {told['parameter']}"
    elif "stations" in told:
        asked = counted(told["stations"], "station")
    return f"the shard {told['name']} of the network {told['network']} ({asked})"


@dataclass(frozen=True)
class Shard:
    """A part of a network.

    Attributes:
        name: its name, unique in the network: lower case letters, digits, - and _.
        network: the name of its network.
        api: the URL of its API, with name and password if it wants any.
        scope: what it asks there.
        leads: True for the first shard of each API: it alone lists flood warnings and flood areas, which belong to no
            shard.
        at_once: requests that all shards together may have under way at this API.
    """

    name: str
    network: str
    # Dask's logs show the arguments of work that failed.
    api: str = field(repr=False)
    scope: Scope
    leads: bool
    at_once: int = AT_ONCE

    @property
    def source(self) -> str:
        """The URL of its API without name and password."""
        return split_userinfo(self.api)[0]

    def lake_url(self, common: str) -> str:
        """Return the URL of its lake below the common URL."""
        return below(common, self.name)

    def told(self) -> dict[str, Any]:
        """Return the shard as `_lake.json` and `_network.json` hold it: without the password of its API."""
        return {"name": self.name, "network": self.network, **self.scope.told()}


@dataclass(frozen=True)
class Network:
    """A network: its name, and its shards in the order of the file."""

    name: str
    shards: tuple[Shard, ...]

    def shard(self, name: str) -> Shard:
        """Return the shard of a name; NetworkError names those that there are."""
        for each in self.shards:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.shards)
        raise NetworkError(f"the network {self.name} has no shard '{name}': it has {known}")

    def told(self) -> dict[str, Any]:
        """Return what `_network.json` at the common URL holds: the shards that readers unite."""
        return {"network": self.name, "shards": [{**each.told(), "api": each.source} for each in self.shards]}


def read_network(path: Path, api: str) -> Network:
    """Return the network of a file.

    Args:
        path: the TOML file; a `stations_file` in it, with one notation a line, begins in its folder.
        api: the API of each shard that names none.

    Raises:
        NetworkError: it cannot be read or understood.
    """
    return parse_network(_read(path, "FLOOD_NETWORK"), api, str(path), path.parent)


def parse_network(text: str, api: str, place: str = "network", folder: Path | None = None) -> Network:
    """Return the network of a text; `place` is named in errors. NetworkError as for `read_network`."""
    import tomllib  # noqa: PLC0415 - a lake without shards needs none

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetworkError(f"{place} is no TOML: {error}") from None
    for key in content:
        if key not in ("name", "at_once", "shard"):
            raise NetworkError(f"{place} has '{key}': expected name, at_once and [[shard]]")
    name, at_once = content.get("name"), content.get("at_once", AT_ONCE)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NetworkError(f'{place} has name = {name!r}: expected a name such as "england"')
    if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= 64:
        raise NetworkError(f"{place} has at_once = {at_once!r}: expected a number of requests from 1 to 64, such as 4")
    given = content.get("shard")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise NetworkError(f"{place} describes no shard: each begins with [[shard]]")
    shards = list[Shard]()
    for number, each in enumerate(given, 1):
        shard = _shard(each, number, name, api, at_once, place, folder)
        if shard.name in {known.name for known in shards}:
            raise NetworkError(f"{place} describes the shard '{shard.name}' twice: give one of them another name")
        shards.append(replace(shard, leads=shard.source not in {known.source for known in shards}))
    _require_apart(shards, place)
    return Network(name, tuple(shards))


def _shard(
    given: Mapping[str, Any], number: int, network: str, api: str, at_once: int, place: str, folder: Path | None
) -> Shard:
    name = given.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NetworkError(
            f"{place}, shard {number}, has name = {name!r}: expected lower case letters, digits, - and _, such as "
            '"rainfall"'
        )
    where = f"{place}, shard {name},"
    for key in given:
        if key not in _KEYS:
            raise NetworkError(f"{where} has '{key}': expected {', '.join(_KEYS)}")
    chosen = [key for key in ("parameter", "stations", "stations_file") if key in given]
    if len(chosen) > 1:
        raise NetworkError(f"{where} has {' and '.join(chosen)}: choose one of them")
    url, parameter = given.get("api", api), given.get("parameter")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        shown = f"...@{url.rpartition('@')[2]}" if isinstance(url, str) and "@" in url else url
        raise NetworkError(f"{where} has api = {shown!r}: expected http:// or https://")
    if "parameter" in given and (not isinstance(parameter, str) or not parameter.strip()):
        raise NetworkError(f'{where} has parameter = {parameter!r}: expected a parameter of the API, such as "level"')
    return Shard(name, network, url.rstrip("/"), Scope(parameter, _stations(given, where, folder)), True, at_once)


def _stations(given: Mapping[str, Any], where: str, folder: Path | None) -> tuple[str, ...]:
    if "stations_file" in given:
        named = given["stations_file"]
        if not isinstance(named, str) or not named:
            raise NetworkError(f'{where} has stations_file = {named!r}: expected a file such as "north.txt"')
        found = [line.strip() for line in _read((folder or Path()) / named, f"stations_file of {where}").splitlines()]
        stations = [line for line in found if line and not line.startswith("#")]
    else:
        stations = given.get("stations", [])
        if not isinstance(stations, list) or not all(isinstance(each, str) and each.strip() for each in stations):
            raise NetworkError(f'{where} has stations = {stations!r}: expected texts, such as ["1029TH", "52203"]')
    if not stations and ("stations" in given or "stations_file" in given):
        raise NetworkError(f"{where} names no station: leave the key out to ask for all of them")
    return tuple(sorted({each.strip() for each in stations}))


def _require_apart(shards: list[Shard], place: str) -> None:
    """Refuse shards of one API that would fetch the same readings: each reading is in one shard."""
    by_api = dict[str, list[Shard]]()
    for each in shards:
        by_api.setdefault(each.source, []).append(each)
    for together in by_api.values():
        kinds = {
            "parameter" if s.scope.parameter else "stations" if s.scope.stations else "everything" for s in together
        }
        names = ", ".join(each.name for each in together)
        if len(kinds) > 1 or (len(together) > 1 and kinds == {"everything"}):
            raise NetworkError(
                f"{place}: the shards {names} ask one API for the same readings: give all of them a parameter, or all "
                "of them stations"
            )
        asked = dict[str, str]()
        for each in together:
            for one in (each.scope.parameter,) if each.scope.parameter else each.scope.stations:
                if one in asked:
                    raise NetworkError(
                        f"{place}: '{one}' is in the shards {asked[one]} and {each.name}: keep it in one"
                    )
                asked[one] = each.name


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NetworkError(f"{what} is '{path}', which cannot be read ({error})") from None
