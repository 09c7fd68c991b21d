"""The Dagster resources: configuration of the clock, the API and the lake.

Each opens an object that does not know Dagster (`flood_assets.ea.client`, `flood_assets.lake.lake`). Settings that are
left empty come from the environment (`flood_assets.settings`) when a run starts, not when definitions load.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from flood_assets import places, settings
from flood_assets.lake.archive import Archive
from flood_assets.lake.lake import Lake
from flood_assets.lake.store import Patience

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource

    from flood_assets.ea.client import FloodMonitoringApi


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The machine's clock, or `FLOOD_NOW` when a recording is replayed."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return settings.now()


class Source(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The flood-monitoring API of the Environment Agency, or a server that answers alike."""

    url: str = Field(default="", description="Base URL; empty: $FLOOD_API_URL, else the live API")
    connect_timeout_s: float = Field(default=10, description="Seconds to wait for a connection")
    read_timeout_s: float = Field(default=120, description="Seconds to wait for the next bytes of an answer")
    tries: int = Field(default=5, description="Attempts per request")
    deadline_s: float = Field(default=600, description="Seconds for an answer, all attempts included")
    largest_answer_mb: int = Field(
        default=1000, description="Megabytes of an answer, unpacked, after which it is abandoned; a usual day has 60"
    )

    @property
    def base_url(self) -> str:
        """Return the URL in use."""
        return self.url.rstrip("/") or settings.api_url()

    def open(self, clock: Clock) -> "FloodMonitoringApi":
        """Return a client for one run; close it after use."""
        # Only runs ask the API: loading the definitions need not import an HTTP library.
        from flood_assets.ea.client import FloodMonitoringApi  # noqa: PLC0415
        from flood_assets.ea.http import RetryPolicy  # noqa: PLC0415

        return FloodMonitoringApi(
            self.base_url,
            now=clock.now,
            retry=RetryPolicy(
                connect_timeout=self.connect_timeout_s,
                read_timeout=self.read_timeout_s,
                tries=self.tries,
                deadline=self.deadline_s,
            ),
            largest=self.largest_answer_mb * 1_000_000,
        )


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake. For `s3://`, dagster-aws's `S3Resource` supplies credentials, region and endpoint.

    Fields left empty come from `AWS_*` variables, profiles or instance roles, as with AWS's own tools.
    """

    url: str = Field(
        default="", description="A folder, or file://, s3://, az:// or gs://; empty: $FLOOD_LAKE_URL, else ./lake"
    )
    region_name: str | None = Field(default=None, description="S3 only: region")
    endpoint_url: str | None = Field(default=None, description="S3 only: endpoint of another store than AWS")
    profile_name: str | None = Field(default=None, description="S3 only: profile of the shared configuration")
    connect_timeout_s: float = Field(default=4, description="Buckets: seconds to wait for a connection")
    answer_timeout_s: float = Field(default=9, description="Buckets: seconds to wait for the next bytes of an answer")
    retry_timeout_s: float = Field(default=18, description="Buckets: seconds after which no request is retried")
    tries: int = Field(default=5, description="Buckets: attempts per request")

    @property
    def lake_url(self) -> str:
        """Return the URL in use."""
        return places.lake_url(self.url) if self.url else settings.lake_url()

    def open(self) -> Lake:
        """Open the lake; the folder of a local one is created."""
        return Lake.open(self.lake_url, s3=self._s3(self.lake_url), patience=self._patience)

    def archive(self, lake: Lake) -> Archive | None:
        """Return the archive of `FLOOD_ARCHIVE`, with the lake's credentials; None without one."""
        place = settings.archive()
        return None if place is None else Archive.beside(lake.store, place, s3=self._s3(place), patience=self._patience)

    @property
    def _patience(self) -> Patience:
        return Patience(self.connect_timeout_s, self.answer_timeout_s, self.retry_timeout_s, self.tries)

    def _s3(self, url: str) -> "S3Resource | None":
        if not url.startswith("s3://"):
            return None
        # dagster-aws takes half a second to import and brings boto3: only S3 needs it.
        from dagster_aws.s3 import S3Resource  # noqa: PLC0415

        return S3Resource(
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            profile_name=self.profile_name,
            max_attempts=self.tries,
        )
