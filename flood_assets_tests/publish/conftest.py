"""Lakes with changes to publish, and AWS as moto plays it: see `support.sinks_given`."""

from flood_assets_tests.support.s3 import s3_server
from flood_assets_tests.support.sinks_given import aws, events, lake, name, receiver

__all__ = ["aws", "events", "lake", "name", "receiver", "s3_server"]
