"""Reach AWS for the sinks: clients with boto3's own settings, requests of several entries, and errors with a remedy."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from flood_assets import __version__, settings
from flood_assets.errors import SettingsError
from flood_assets.grouping import Flags
from flood_assets.lake.s3 import region_of, session_of
from flood_assets.sinks.base import TRIES, Sent, Sink, SinkError

# Requests at once: each waits for its answer.
THREADS = 8


class AwsSink(Sink):
    """A sink of AWS. Credentials, region and endpoint are found as AWS's tools find them.

    Args:
        url: as of `Sink`.
        service: boto3's name of it.
        pause_s: as of `Sink`.
    """

    def __init__(self, url: str, service: str, *, pause_s: float = 0.5) -> None:
        super().__init__(url, pause_s=pause_s)
        self._client = client(service)

    def close(self) -> None:  # noqa: D102
        self._client.close()

    def put_all(
        self, portions: Sequence[tuple[int, int]], put: Callable[[Sequence[int]], dict[int, str]], *, threads: int
    ) -> Sent:
        """Put entries portion by portion, the failed ones of each again, and return which were taken.

        Args:
            portions: (start, end) of each request.
            put: makes a request with the entries of these numbers and returns the reason of each that failed.
            threads: requests at once; 1 keeps the order.

        Raises:
            SinkError: none was taken.
        """
        taken: Flags = np.zeros(portions[-1][1] if portions else 0, np.bool_)
        troubles: list[str] = []

        def placed(portion: tuple[int, int]) -> None:
            left = list(range(*portion))
            for attempt in range(1, TRIES + 1):
                if troubles:
                    return
                try:
                    with explained(self.name):
                        failed = put(left)
                except SinkError as error:
                    troubles.append(str(error))
                    return
                taken[[number for number in left if number not in failed]] = True
                left = sorted(failed)
                if not left:
                    return
                if attempt < TRIES:
                    self.pause(attempt)
            troubles.append(f"{self.name}: {failed[left[0]]} in {TRIES} tries")

        if threads == 1:
            for portion in portions:
                placed(portion)
        else:
            # The order does not matter: whoever is free takes the next, and waits for no other.
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(placed, portions))
        if troubles and not taken.any():
            raise SinkError(troubles[0])
        return Sent(taken, troubles[0] if troubles else "")


def client(service: str) -> Any:
    """Return boto3's client of a service; SinkError without a region."""
    config = Config(
        # Both were a sixth of our CPU for a put: boto3 composes a name for each request, and looks at every value,
        # as AWS does too.
        parameter_validation=False,
        user_agent=f"flood-assets/{__version__}",
        connect_timeout=4,
        read_timeout=10,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=THREADS,
    )
    try:
        session = session_of(None)
        return session.client(service, region_name=region_of(session, None), config=config)
    except NoRegionError as error:
        raise SinkError(f"no region for {service}: set AWS_DEFAULT_REGION") from error
    except (BotoCoreError, ValueError) as error:
        raise SinkError(f"{service} cannot be used: {error}. Check AWS_PROFILE and ~/.aws/config") from error


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn an error of AWS into a SinkError with a remedy."""
    try:
        yield
    except NoCredentialsError as error:
        remedy = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        raise SinkError(f"{place}: no AWS credentials: {remedy}") from error
    except ClientError as error:
        said = error.response.get("Error", {})
        code, message = said.get("Code", "Error"), said.get("Message", "")
        remedy = next(
            (remedy for pattern, remedy in _REMEDIES if re.search(pattern, code)), "the next tick tries again"
        )
        raise SinkError(f"{place}: {code}: {message.rstrip('.')}: {remedy}") from error
    except BotoCoreError as error:
        raise SinkError(f"{place}: {error}. Check the network and AWS_ENDPOINT_URL") from error


_REMEDIES = (
    ("AccessDenied|Unauthorized|InvalidClientTokenId|Signature|ExpiredToken", "check the credentials and their rights"),
    ("NotFound|NonExistent|NoSuch|NotExist", "create it, or correct the URL or the region"),
    ("Validation|Invalid", "check how it was made: see docs/publishing.md"),
)


def named(url: str) -> str:
    """Return what an AWS URL names: all behind `//`, without a slash at the end."""
    scheme, _, rest = url.partition("://")
    name = rest.rstrip("/")
    if not name or urlsplit(url).query:
        raise SettingsError(f"'{url}' is no sink: expected a name, such as {settings.SINKS[scheme]}")
    return name
