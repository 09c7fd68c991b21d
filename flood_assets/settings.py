"""Settings from the environment, read when they are needed and never at import."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from flood_assets import places
from flood_assets.errors import SettingsError

LIVE_API = "https://environment.data.gov.uk/flood-monitoring"
# Years of FLOOD_NOW: any that a source may have readings of.
YEARS = range(1971, 3000)
# FLOOD_ARCHIVE's name for the folder of the lake.
OWN_ARCHIVE = "archive"
# Sinks that hold rows of readings, and take no alerts.
READINGS_ONLY = frozenset({"dynamodb", "postgresql"})
# Schemes of FLOOD_PUBLISH, each with an example.
SINKS = {
    "https": "https://example.org/hook",
    "http": "http://127.0.0.1:9000/",
    "kinesis": "kinesis://flood-readings",
    "sqs": "sqs://flood-readings",
    "sns": "sns://arn:aws:sns:eu-west-2:123456789012:flood-readings",
    "eventbridge": "eventbridge://default",
    "kafka": "kafka://localhost:9092/flood-readings",
    "dynamodb": "dynamodb://flood-latest",
    "postgresql": "postgresql://flood@db.example.org/flood",
}
# Schemes of the streams that a lake can follow, likewise.
STREAMS = {
    "kinesis": "kinesis://flood-readings",
    "kafka": "kafka://localhost:9092/flood-readings",
    "sqs": "sqs://flood-readings",
}


def api_url(environ: Mapping[str, str] | None = None) -> str:
    """Return `FLOOD_API_URL` without a trailing slash; the live API by default.

    It may hold a name and a password, which `places.split_userinfo` takes out of what is shown or stored.
    """
    url = ((environ if environ is not None else os.environ).get("FLOOD_API_URL") or LIVE_API).rstrip("/")
    # Whatever stands before the last @ may be a password, also in a URL that is none.
    shown = f"...@{url.rpartition('@')[2]}" if "@" in url else url
    expected = f"expected http:// or https://, such as {LIVE_API}"
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"FLOOD_API_URL is '{shown}': {expected}")
    try:
        host, _ = urlsplit(url).hostname, urlsplit(url).port
    except ValueError:
        host = None
    if not host:
        raise SettingsError(
            f"FLOOD_API_URL is '{shown}', without a host that can be asked: {expected}; write / as %2F and @ as %40 in "
            "a name or a password"
        )
    return url


def lake_url(environ: Mapping[str, str] | None = None) -> str:
    """Return the URL of `FLOOD_LAKE_URL`, a URL or a path; the folder `lake` in the working directory by default."""
    return places.lake_url((environ if environ is not None else os.environ).get("FLOOD_LAKE_URL") or "lake")


def archive(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the place of `FLOOD_ARCHIVE`, where readings are kept when they expire; None to keep none.

    It is `archive`, a folder of the lake's own, or the URL of any other place.
    """
    given = ((environ if environ is not None else os.environ).get("FLOOD_ARCHIVE") or "").strip()
    if given in ("", OWN_ARCHIVE):
        return given or None
    try:
        # A relative path would be another place for each working directory.
        found = places.lake_url(given) if "://" in given or Path(given).is_absolute() else ""
    except SettingsError:
        found = ""
    if not found:
        raise SettingsError(
            f"FLOOD_ARCHIVE is '{given}': expected {OWN_ARCHIVE}, for a folder below the lake, or the URL of another "
            "place, such as s3://my-archive/flood or /srv/flood-archive"
        )
    return found


def alerts_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of `FLOOD_ALERTS`, the rules of the alerts; None if nothing is to be judged."""
    given = (environ if environ is not None else os.environ).get("FLOOD_ALERTS")
    return Path(given) if given else None


def network_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file of `FLOOD_NETWORK`, which describes the shards of the lake; None for a lake without shards."""
    given = (environ if environ is not None else os.environ).get("FLOOD_NETWORK")
    return Path(given) if given else None


def dask(environ: Mapping[str, str] | None = None) -> str | None:
    """Return `FLOOD_DASK`: the address of a Dask scheduler, or `local[N]` for N processes; None to use none."""
    given = ((environ if environ is not None else os.environ).get("FLOOD_DASK") or "").strip()
    if given and not re.fullmatch(r"local\[[1-9]\d{0,2}\]|(tcp|tls|ws|wss)://[^\s/]+:\d+/?", given):
        raise SettingsError(
            f"FLOOD_DASK is '{given}': expected the address of a scheduler, such as tcp://127.0.0.1:8786, or local[2] "
            "for two processes of this machine"
        )
    return given or None


def emf(environ: Mapping[str, str] | None = None) -> str | None:
    """Return `FLOOD_EMF`, the environment whose runs print metrics for CloudWatch; None if none do."""
    given = (environ if environ is not None else os.environ).get("FLOOD_EMF") or None
    if given is not None and not re.fullmatch(r"[\w.-]{1,64}", given, re.ASCII):
        raise SettingsError(f"FLOOD_EMF is '{given}': expected the name of an environment, such as prod")
    return given


def use_the_systems_allocator() -> None:
    """Make Arrow use the system's memory allocator, unless `ARROW_DEFAULT_MEMORY_POOL` is set.

    Arrow's own allocator keeps a heap for each thread: on two cores a fill takes a quarter more memory and a tenth more
    time with it. Call this before anything imports pyarrow, which reads the variable once.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def now(environ: Mapping[str, str] | None = None) -> datetime:
    """Return the current time in UTC. `FLOOD_NOW` overrides it, to replay a recording."""
    override = (environ if environ is not None else os.environ).get("FLOOD_NOW")
    if not override:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(override)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SettingsError(f"FLOOD_NOW is '{override}': expected a time with a zone, such as 2026-11-21T09:00:00Z")
    if moment.year not in YEARS:
        raise SettingsError(f"FLOOD_NOW is '{override}': expected a year from {YEARS[0]} to {YEARS[-1]}")
    return moment.astimezone(UTC)


@dataclass(frozen=True)
class Serving:
    """Settings of the server.

    Attributes:
        rate: requests a second for an address; 0 for any number.
        keys: the file of keys; None without one.
        keys_required: True if each request needs a key.
        trusted_proxies: networks whose word for the address of a client is believed.
        clients: how many may follow the stream at once.
    """

    rate: float
    keys: Path | None
    keys_required: bool
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    clients: int


def serving(environ: Mapping[str, str] | None = None) -> Serving:
    """Return the settings of the server: `FLOOD_RATE`, `FLOOD_API_KEYS` and others; see docs/configuration.md."""
    given = environ if environ is not None else os.environ
    rate, clients = (given.get(name) or text for name, text in (("FLOOD_RATE", "20"), ("FLOOD_STREAMS", "2000")))
    keys, required = given.get("FLOOD_API_KEYS"), given.get("FLOOD_API_KEYS_REQUIRED") or "0"
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", rate):
        raise SettingsError(f"FLOOD_RATE is '{rate}': expected requests a second, such as 20, or 0 for no limit")
    if not re.fullmatch(r"\d{1,6}", clients):
        raise SettingsError(f"FLOOD_STREAMS is '{clients}': expected a number of clients, such as 2000")
    if required not in ("0", "1"):
        raise SettingsError(f"FLOOD_API_KEYS_REQUIRED is '{required}': expected 1 or 0")
    if required == "1" and not keys:
        raise SettingsError("FLOOD_API_KEYS_REQUIRED is 1 without FLOOD_API_KEYS: name the file of the keys")
    proxies = []
    for text in (given.get("FLOOD_TRUSTED_PROXIES") or "").replace(",", " ").split():
        try:
            proxies.append(ipaddress.ip_network(text))
        except ValueError:
            raise SettingsError(
                f"FLOOD_TRUSTED_PROXIES has '{text}': expected addresses and networks, such as 10.0.0.0/8, with commas"
            ) from None
    return Serving(float(rate), Path(keys) if keys else None, required == "1", tuple(proxies), int(clients))


def landing_queue(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the queue of `FLOOD_LANDING_QUEUE`, which is told of batches that land; None without one."""
    given = ((environ if environ is not None else os.environ).get("FLOOD_LANDING_QUEUE") or "").strip()
    if given and not re.fullmatch(r"sqs://[\w.-]+(:\d+)?(/[\w-]+/[\w-]+)?(\.fifo)?/?", given, re.ASCII):
        shown = places.split_userinfo(given)[0]
        raise SettingsError(
            f"FLOOD_LANDING_QUEUE is '{shown}': expected the name or the URL of an SQS queue, such as "
            "sqs://flood-landing or sqs://sqs.eu-west-2.amazonaws.com/123456789012/flood-landing"
        )
    return given or None


def sink_scheme(url: str) -> str:
    """Return the scheme of a sink's URL in `FLOOD_PUBLISH`; SettingsError if there is no such sink."""
    scheme, found, place = url.partition("://")
    plain = places.split_userinfo(url)[0]
    # Only a webhook's path may hold an @. Anywhere else a password before it was not taken for one.
    misread = "@" in plain and scheme not in {"https", "http"}
    if found and place and scheme in SINKS and not misread:
        return scheme
    # A query may hold a secret.
    shown = plain.rpartition("@")[2].partition("?")[0]
    if misread:
        remedy = "write / as %2F, @ as %40, # as %23 and ? as %3F in a name or a password"
        raise SettingsError(f"FLOOD_PUBLISH has '...@{shown}': {remedy}")
    if scheme == "postgres":
        raise SettingsError(f"FLOOD_PUBLISH has '{shown}': write postgresql:// in place of postgres://")
    raise SettingsError(f"FLOOD_PUBLISH has '{shown}': expected URLs with spaces between, each such as {_examples()}")


def stream_scheme(url: str) -> str:
    """Return the scheme of the URL of a stream; SettingsError if it is none."""
    scheme, found, place = url.partition("://")
    if found and place and scheme in STREAMS:
        return scheme
    shown = places.split_userinfo(url)[0].partition("?")[0]
    raise SettingsError(f"'{shown}' is no stream: expected {', '.join(STREAMS.values())}")


def _examples() -> str:
    *first, last = (example for scheme, example in SINKS.items() if scheme != "http")
    return f"{', '.join(first)} or {last}"


@dataclass(frozen=True)
class Publishing:
    """Settings of publication.

    Attributes:
        sinks: a URL for each; empty to publish nothing.
        secret: signs what is sent to webhooks; None for no signature.
    """

    sinks: tuple[str, ...]
    secret: str | None


def kafka_login(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return `FLOOD_KAFKA_USERNAME` and `FLOOD_KAFKA_PASSWORD`; None without a name."""
    given = environ if environ is not None else os.environ
    name = given.get("FLOOD_KAFKA_USERNAME")
    return (name, given.get("FLOOD_KAFKA_PASSWORD") or "") if name else None


def publishes(environ: Mapping[str, str] | None = None) -> bool:
    """Return True if `FLOOD_PUBLISH` is set, right or wrong: the run that publishes says what is wrong."""
    return bool((environ if environ is not None else os.environ).get("FLOOD_PUBLISH", "").strip())


def webhook_secret(environ: Mapping[str, str] | None = None) -> str | None:
    """Return `FLOOD_PUBLISH_SECRET`, which signs what is sent to webhooks; None for no signature."""
    return (environ if environ is not None else os.environ).get("FLOOD_PUBLISH_SECRET") or None


def publishing(environ: Mapping[str, str] | None = None) -> Publishing:
    """Return the settings of publication: `FLOOD_PUBLISH` and `FLOOD_PUBLISH_SECRET`."""
    given = environ if environ is not None else os.environ
    urls = tuple(dict.fromkeys((given.get("FLOOD_PUBLISH") or "").split()))
    for url in urls:
        sink_scheme(url)
    return Publishing(urls, webhook_secret(given))
