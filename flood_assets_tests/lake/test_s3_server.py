"""Moto's S3 as the tests run it answers as a real one does where clients would wait."""

import socket
from urllib.parse import urlsplit

from flood_assets_tests.support.s3 import BUCKET


def test_the_body_of_an_object_is_asked_for_before_any_of_it_was_sent(s3_server):
    """Boto3 sends the body when it is asked, or after a second."""
    place = urlsplit(s3_server.endpoint_url)
    head = f"PUT /{BUCKET}/expected HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(f"{head}Authorization: AWS flood:x\r\n\r\n".encode())
        with connection.makefile("rb") as answers:
            assert answers.readline().startswith(b"HTTP/1.1 100 ")
            assert answers.readline() == b"\r\n"
            connection.sendall(b"body")
            assert answers.readline().startswith(b"HTTP/1.1 200 ")
    assert s3_server.client().get_object(Bucket=BUCKET, Key="expected")["Body"].read() == b"body"
