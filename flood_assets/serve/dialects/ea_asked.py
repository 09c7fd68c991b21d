"""Read requests to the paths of the Environment Agency's API, and refuse them in its words."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request

PREFIX = "/flood-monitoring"
FORMS = {"json": "application/json", "csv": "text/csv; charset=utf-8"}

_COMMON = {"_view", "_limit", "_offset", "_sorted"}
# More is no question.
_MOST_PARAMETERS = 100


class RefusedError(Exception):
    """A request that is answered with a status other than 200 and a line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        path: the parts of the path below the root, without the suffix.
        form: `json` or `csv`.
        query: the first value of each parameter.
        raw: the query as it was sent.
    """

    path: tuple[str, ...]
    form: str
    query: Mapping[str, str]
    raw: str

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """Read the path, the query and the Accept header of a request.

        Raises:
            RefusedError: there is no such format, or far too many parameters.
        """
        scope = request.scope
        # An id may have an encoded slash, which the decoded path does not tell from one between two parts.
        whole = scope.get("raw_path") or quote(scope["path"]).encode()
        path = whole.decode("latin-1").partition("?")[0].partition(f"{PREFIX}/")[2]
        form = "csv" if "text/csv" in request.headers.get("accept", "") else "json"
        suffix = re.search(r"\.(json|csv|rdf|ttl|html)$", path)
        if suffix:
            form, path = suffix[1], path[: suffix.start()]
        if form not in FORMS:
            raise RefusedError(406, f"{form} is not a format of this server: ask for json or csv")
        raw = scope["query_string"].decode("latin-1")
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            raise RefusedError(400, f"There are more than {_MOST_PARAMETERS} request parameters") from None
        query = dict(reversed(pairs))
        parts = tuple(unquote(part) for part in path.split("/"))
        # A station without a name has a path that ends with a slash; no list has.
        return cls(parts[:-1] if len(parts) != 3 and not parts[-1] else parts, form, query, raw)

    @property
    def full(self) -> bool:
        """True if the full view is asked for."""
        return self.query.get("_view") == "full"

    def check(self, known: Iterable[str]) -> None:
        """Raise RefusedError for parameters that the endpoint does not know."""
        if unknown := sorted(set(self.query) - {*known} - _COMMON):
            names = ", ".join(unknown)[:200]
            text = f"Did not recognize request parameters [{names}] as valid for this endpoint, incorrect endpoint?"
            raise RefusedError(400, text)

    def number(self, name: str) -> int | None:
        """Return a parameter as an int; None without it."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return max(-1, min(int(text), 1 << 40))
        except ValueError:
            raise RefusedError(400, f"Bad format for {name}, should be an integer but was {text[:80]}") from None

    def moment(self, name: str) -> datetime | None:
        """Return a time, of which a date alone is the midnight; None without it."""
        text = self.query.get(name)
        if text is None:
            return None
        bad = f"Bad format for {name}, should be a legal ISO date or datetime but was {text[:80]}"
        if not re.match(r"\d{4}-\d\d-\d\d($|T)", text):
            raise RefusedError(400, bad)
        try:
            # A plus sign that is not encoded arrives as a space.
            found = datetime.fromisoformat(text.replace(" ", "+"))
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
            # Room for a day more, and less.
            return min(max(found, datetime(2, 1, 1, tzinfo=UTC)), datetime(9998, 1, 1, tzinfo=UTC))
        except (ValueError, OverflowError):
            raise RefusedError(400, bad) from None
