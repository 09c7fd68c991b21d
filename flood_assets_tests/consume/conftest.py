"""AWS as moto plays it, and lakes that follow."""

from flood_assets_tests.publish.conftest import aws, name
from flood_assets_tests.support.s3 import s3_server

__all__ = ["aws", "name", "s3_server"]
