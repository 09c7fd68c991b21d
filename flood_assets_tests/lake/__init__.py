"""Tests of the lake: each behaviour on a local folder and on an S3 server."""
