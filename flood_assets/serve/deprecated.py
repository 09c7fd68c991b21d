"""Name the parameters and columns that are to go, and say so in answers (RFC 9745).

A name that goes stays for a while, marked here: answers that it takes part in have the header `Deprecation`, and
OpenAPI shows it as deprecated. Nothing is renamed at present.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time

# When each parameter or column became deprecated.
DEPRECATED: dict[str, date] = {}


def headers(names: Iterable[str]) -> dict[str, str]:
    """Return the header of an answer that some names take part in; none if all of them stay."""
    since = min((DEPRECATED[name] for name in names if name in DEPRECATED), default=None)
    if since is None:
        return {}
    return {
        "deprecation": f"@{int(datetime.combine(since, time(), UTC).timestamp())}",
        "link": '</docs>; rel="deprecation"; type="text/html"',
    }
