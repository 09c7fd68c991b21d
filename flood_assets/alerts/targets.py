"""Read from the file of rules who is told of alerts: `[[notify]]`. What may be secret is in no message."""

import tomllib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from urllib.parse import urlsplit

from flood_assets import settings
from flood_assets.alerts.rules import AlertRulesError
from flood_assets.errors import SettingsError

ALERTMANAGER, WEBHOOK, SINK, APPRISE = "alertmanager", "webhook", "sink", "apprise"
_KINDS = {
    ALERTMANAGER: "http://127.0.0.1:9093",
    WEBHOOK: "https://example.org/hook",
    SINK: "sns://arn:aws:sns:eu-west-2:123456789012:alerts",
    APPRISE: "mailto://...",
}
_PAGE = "page"


@dataclass(frozen=True)
class Target:
    """A receiver.

    Attributes:
        kind: which it is; a webhook is a sink.
        url: its URL, which may hold a password and is never shown.
        page: address of the page of the alerts, for messages to people; None without one.
    """

    kind: str
    url: str
    page: str | None = None

    @property
    def name(self) -> str:
        """Name for messages, without what may be secret."""
        scheme, _, rest = self.url.partition("://")
        if self.kind == APPRISE:
            return f"{APPRISE} {scheme}://"
        if scheme in ("http", "https"):
            return f"{WEBHOOK if self.kind == SINK else self.kind} at {urlsplit(self.url).hostname}"
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    @property
    def key(self) -> str:
        """Name in the state."""
        return blake2b(self.url.encode(), digest_size=6).hexdigest()


def read_targets(path: Path) -> tuple[Target, ...]:
    """Return the receivers of a file of rules, which `rules.read_rules` has read.

    Raises:
        AlertRulesError: one is not understood.
    """
    given = tomllib.loads(path.read_text(encoding="utf-8")).get("notify", [])
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise AlertRulesError(f"{path}: begin each receiver with a line [[notify]]")
    found = dict[str, Target]()
    for number, each in enumerate(given, 1):
        place = f"{path}: notify {number}"
        kinds = [key for key in each if key != _PAGE]
        if len(kinds) != 1 or kinds[0] not in _KINDS:
            examples = " or ".join(f'{kind} = "{example}"' for kind, example in _KINDS.items())
            raise AlertRulesError(f"{place} has {', '.join(each) or 'nothing'}: give it one of {examples}")
        page = _page(each[_PAGE], place) if _PAGE in each else None
        target = _target(kinds[0], each[kinds[0]], page, place)
        found.setdefault(target.url, target)
    return tuple(found.values())


def _target(kind: str, url: object, page: str | None, place: str) -> Target:
    # A wrong URL may hold a password too, so none is shown.
    scheme, separator, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    if not isinstance(url, str) or not separator:
        raise AlertRulesError(f"{place}: {kind} is no URL: expected one such as {_KINDS[kind]}")
    if kind in (ALERTMANAGER, WEBHOOK):
        if scheme not in ("http", "https") or not _host(url):
            raise AlertRulesError(f"{place}: {kind} is no URL: expected http:// or https://")
    elif kind == SINK:
        try:
            settings.sink_scheme(url)
            known = scheme not in settings.READINGS_ONLY and (scheme not in ("http", "https") or bool(_host(url)))
        except SettingsError:
            known = False
        if not known:
            examples = [text for name, text in settings.SINKS.items() if name not in settings.READINGS_ONLY]
            only = f" ({scheme}:// holds readings only)" if scheme in settings.READINGS_ONLY else ""
            raise AlertRulesError(f"{place}: sink is no URL of one that takes alerts{only}: expected {_any(examples)}")
    elif not rest:
        raise AlertRulesError(f"{place}: apprise has no URL of Apprise, such as mailto://user:password@example.org")
    if kind == ALERTMANAGER:
        return Target(kind, url.rstrip("/"), page)
    return Target(SINK if kind == WEBHOOK else kind, url, page)


def _page(given: object, place: str) -> str:
    if not isinstance(given, str) or not given.startswith(("http://", "https://")) or not _host(given):
        raise AlertRulesError(
            f"{place}: page is {given!r}: expected where `flood-assets serve` is, such as https://..."
        )
    return f"{given.rstrip('/').removesuffix('/alerts')}/alerts"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _any(examples: list[str]) -> str:
    return f"{', '.join(examples[:-1])} or {examples[-1]}"
