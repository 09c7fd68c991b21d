"""Remember which API or stream a lake is filled from, in which layout, and which format its writers have to know.

Two versions of this package may be at work on one lake, as while a new one is rolled out: whoever writes asks here
first, and leaves the lake alone if a newer version writes columns that it would drop.
"""

import json
from contextlib import suppress

from flood_assets.errors import LakeError, RefusedError, WrongLakeError
from flood_assets.lake.layout import FORMAT, IDENTITY, LAYOUT
from flood_assets.lake.objects import Blob, ConflictError
from flood_assets.lake.parquet import NewerFormatError
from flood_assets.lake.store import Store
from flood_assets.places import is_api, is_same_source, split_userinfo


class LayoutError(RefusedError):
    """Lake of another layout."""


def claim(store: Store, url: str) -> None:
    """Make sure that this lake is filled from this API or stream; the first claim decides, and is remembered.

    A name and a password in the URL are neither stored nor compared; `places.is_same_source` says what is the same.
    From then on versions that know only an older format leave the lake to this one.
    WrongLakeError if it is filled from another; NewerFormatError as for `require_format`; else as for `source`.
    """
    url = split_userinfo(url.rstrip("/"))[0]
    blob = store.read(IDENTITY)
    stored = None if blob is None else _api(store, blob)
    newest = 1 if blob is None else _format(store, blob)
    found: str | None = split_userinfo(stored or url)[0]
    # Earlier versions stored the password with the URL.
    if found != stored or newest < FORMAT:
        with suppress(ConflictError):
            more = {"format": FORMAT} if FORMAT > 1 else {}
            identity = json.dumps({"api": found, "layout": LAYOUT, **more}).encode()
            store.put(IDENTITY, identity, replaces=None if blob is None else blob.meta)
        found = source(store)
    if found is None or not is_same_source(found, url):
        raise WrongLakeError(
            f"the lake {store.url} holds readings of {found} and not of {url}: {_remedy(found)}set FLOOD_LAKE_URL to "
            "another place, or delete the lake"
        )


def require_format(store: Store) -> None:
    """Refuse to write a lake that a newer version writes: NewerFormatError; LayoutError for one of another layout.

    A `_lake.json` that cannot be understood says nothing; the next refresh tells of it.
    """
    blob = store.read(IDENTITY)
    if blob is not None:
        with suppress(_DamagedIdentityError):
            _api(store, blob)
            _format(store, blob)


def require_layout(store: Store) -> None:
    """Refuse to read a lake of another layout: LayoutError."""
    blob = store.read(IDENTITY)
    if blob is not None:
        with suppress(_DamagedIdentityError):
            _api(store, blob)


def require_api(store: Store) -> None:
    """Refuse to fill a lake from the API that follows a stream; WrongLakeError says what fills it."""
    found = source(store)
    if found is not None and not is_api(found):
        raise WrongLakeError(
            f"the lake {store.url} follows the stream {found} and is not filled from the API: {_remedy(found)}set "
            "FLOOD_LAKE_URL to another place"
        )


def _remedy(found: str | None) -> str:
    return "" if found is None or is_api(found) else f"`flood-assets consume {found}` fills it; "


def source(store: Store) -> str | None:
    """Return the URL of the API or stream that the lake is filled from; None as long as nobody has claimed it.

    Raises:
        LakeError: it has another layout, or its `_lake.json` cannot be read.
    """
    blob = store.read(IDENTITY)
    return None if blob is None else split_userinfo(_api(store, blob))[0]


class _DamagedIdentityError(LakeError):
    pass


def _format(store: Store, blob: Blob) -> int:
    """Return the format that `_lake.json` holds; NewerFormatError if it is none that this version writes."""
    found = json.loads(blob.data.to_pybytes()).get("format", 1)
    if not isinstance(found, int) or found > FORMAT:
        raise NewerFormatError(f"{store.url}/{IDENTITY}", found)
    return found


def _api(store: Store, blob: Blob) -> str:
    """Return the URL that `_lake.json` holds; errors as for `source`."""
    place = f"{store.url}/{IDENTITY}"
    try:
        identity = json.loads(blob.data.to_pybytes())
        api, layout = identity["api"], identity["layout"]
        if not isinstance(api, str) or not isinstance(layout, int):
            raise TypeError("'api' must be text and 'layout' a number")  # noqa: TRY301 - one message for all of it
    except (ValueError, KeyError, TypeError) as error:
        raise _DamagedIdentityError(
            f"{place} cannot be understood ({error}): delete it, and the next refresh writes it anew"
        ) from error
    if layout > LAYOUT:
        raise LayoutError(f"{place} says layout {layout}; this version knows {LAYOUT}: upgrade flood_assets")
    if layout < LAYOUT:
        raise LayoutError(
            f"{store.url} is a lake of layout {layout}, and this version writes layout {LAYOUT}: set FLOOD_LAKE_URL to "
            "a new place; the next refresh fills it from the API in two requests, then delete the old lake"
        )
    return api
