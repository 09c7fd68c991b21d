"""The Dagster resources: the clock, the API and the lake, as configuration and no more.

Each opens the plain object that does the work (`flood_assets.ea.client`, `flood_assets.lake.lake`), which know
nothing of Dagster. The settings that are left empty come from the environment (`flood_assets.settings`) when a
run starts, not when definitions load.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from flood_assets import settings
from flood_assets.lake.lake import Lake
from flood_assets.lake.store import Patience

if TYPE_CHECKING:
    from flood_assets.ea.client import FloodMonitoringApi


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What time it is: the machine's, or `FLOOD_NOW` when a recording is replayed."""

    def now(self) -> datetime:
        """The time in UTC."""
        return settings.now()


class Source(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The flood-monitoring API of the Environment Agency, or something that answers as it does."""

    url: str = Field(default="", description="Base URL; empty: $FLOOD_API_URL, else the live API")
    connect_timeout_s: float = Field(default=10, description="Seconds to wait for a connection")
    read_timeout_s: float = Field(default=120, description="Seconds to wait for the next bytes of an answer")
    tries: int = Field(default=5, description="How often a request is tried before it is given up")
    deadline_s: float = Field(default=600, description="Seconds for an answer in all, its repetitions included")
    largest_answer_mb: int = Field(
        default=1000, description="Megabytes of an answer, unpacked, after which it is given up; a usual day has 60"
    )

    @property
    def base_url(self) -> str:
        """The URL in force."""
        return self.url.rstrip("/") or settings.api_url()

    def open(self, clock: Clock) -> "FloodMonitoringApi":
        """A client for one run."""
        # Only runs ask the API: who loads the definitions is spared the client and what it brings of HTTP.
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

    What is left empty here comes from where AWS's own tools take it: `AWS_*` variables, profiles, instance roles.
    """

    url: str = Field(default="", description="file://, s3://, az:// or gs://; empty: $FLOOD_LAKE_URL, else ./lake")
    region_name: str | None = Field(default=None, description="S3 only: region")
    endpoint_url: str | None = Field(default=None, description="S3 only: endpoint of a store that is not AWS's")
    profile_name: str | None = Field(default=None, description="S3 only: profile of the shared configuration")
    connect_timeout_s: float = Field(default=4, description="Buckets: seconds to wait for a connection")
    answer_timeout_s: float = Field(default=9, description="Buckets: seconds to wait for the next bytes of an answer")
    retry_timeout_s: float = Field(default=18, description="Buckets: seconds after which no request is tried again")
    tries: int = Field(default=5, description="Buckets: how often a request is tried before it is given up")

    @property
    def lake_url(self) -> str:
        """The URL in force."""
        return self.url or settings.lake_url()

    def open(self) -> Lake:
        """The lake, ready to read and write; the folder of a local one is made."""
        patience = Patience(self.connect_timeout_s, self.answer_timeout_s, self.retry_timeout_s, self.tries)
        if not self.lake_url.startswith("s3://"):
            return Lake.open(self.lake_url, patience=patience)
        # dagster-aws takes half a second to import and brings boto3: only those who use S3 pay for it.
        from dagster_aws.s3 import S3Resource  # noqa: PLC0415

        s3 = S3Resource(
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            profile_name=self.profile_name,
            max_attempts=self.tries,
        )
        return Lake.open(self.lake_url, s3=s3, patience=patience)
