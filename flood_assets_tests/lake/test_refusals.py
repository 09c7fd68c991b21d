"""A store that refuses: its own words, the remedy of each, and no second try that would only take time."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import dagster as dg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flood_assets.defs.failures import explained
from flood_assets.errors import LakeError, RefusedError
from flood_assets.lake.opening import open_store
from flood_assets.lake.store import Patience

ONCE = Patience(tries=1)


@pytest.fixture
def refusing():
    """A server that answers everything with one status and code; `hosts` are those that were asked for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def do_GET(self):
            server.hosts.append(self.headers["Host"])
            status, code, words = server.reply
            body = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hosts, server.reply = [], (404, "NoSuchKey", "none")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Write AWS's shared configuration."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    def write(**settings):
        lines = ["[default]", "region = eu-west-2", *(f"{name} = {value}" for name, value in settings.items())]
        (tmp_path / "config").write_text("\n".join(lines))

    return write


REFUSED = {
    "no condition": ((501, "NotImplemented", "this header is not supported"), "does not take an object on a condition"),
    "no condition, otherwise": ((400, "InvalidArgument", "this header is not supported"), "on a condition"),
    "no checksum": (
        (400, "InvalidRequest", "Content-MD5 is required for Object Lock"),
        "AWS_CHECKSUM_ALGORITHM=SHA256",
    ),
    "long key": ((400, "KeyTooLongError", "Your key is too long"), "set FLOOD_LAKE_URL to a shorter path"),
    "host name": ((403, "SecondLevelDomainForbidden", "use the host"), "`addressing_style = virtual`"),
    "no right": ((403, "AccessDenied", "Access Denied"), "access denied: check the credentials"),
}


@pytest.mark.parametrize(("reply", "remedy"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_the_stores_words_and_its_own_remedy(refusing, profile, reply, remedy):
    profile(endpoint_url=f"http://127.0.0.1:{refusing.server_port}")
    refusing.reply = reply
    with pytest.raises(RefusedError) as error:
        open_store("s3://bucket/timeout/dns", patience=ONCE).put("connect", b"x", replaces=None)
    assert remedy in str(error.value)
    assert f"{reply[1]}: {reply[2]}" in str(error.value)
    assert "check the network" not in str(error.value)
    assert "nothing is wrong here" not in str(error.value)


def test_a_refusal_that_nobody_knows_has_the_stores_words_only(refusing, profile):
    profile(endpoint_url=f"http://127.0.0.1:{refusing.server_port}")
    refusing.reply = (400, "InvalidRequest", "no")
    with pytest.raises(LakeError) as error:
        open_store("s3://bucket/timeout", patience=ONCE).put("key", b"x", replaces=None)
    assert str(error.value) == "s3://bucket/timeout/key could not be written: InvalidRequest: no"


@pytest.mark.parametrize(("error", "again"), [(RefusedError("read-only"), False), (LakeError("away"), True)])
def test_a_run_does_not_try_again_what_is_refused(error, again):
    with pytest.raises(dg.Failure) as failure, explained():
        raise error
    assert failure.value.allow_retries is again


def test_a_folder_that_cannot_be_written_is_a_refusal(tmp_path, monkeypatch):
    store = open_store(tmp_path)

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("flood_assets.lake.folder._write", refuse)
    with pytest.raises(RefusedError, match="the folder is read-only: set FLOOD_LAKE_URL to one that can be written"):
        store.put("key", b"x", replaces=None)


@pytest.mark.parametrize("name", ["credential", "timeout", "checksum", "If-Match", "certificate", "my credentials"])
def test_the_name_of_a_place_chooses_no_remedy(tmp_path, monkeypatch, refusing, profile, name):
    def fill(*_):
        raise OSError(28, "No space left on device", f"/data/{name}/key")

    monkeypatch.setattr("flood_assets.lake.folder._write", fill)
    with pytest.raises(RefusedError, match="the disk is full"):
        open_store(tmp_path / name).put("key", b"x", replaces=None)
    profile(endpoint_url=f"http://127.0.0.1:{refusing.server_port}")
    refusing.reply = (400, "InvalidRequest", f"no</Message><Resource>/b/{name}</Resource><Key>{name}</Key><Message>")
    with pytest.raises(LakeError) as error:
        open_store("s3://bucket/lake", patience=ONCE).put(name, b"x", replaces=None)
    assert str(error.value) == f"s3://bucket/lake/{name} could not be written: InvalidRequest: no"


def test_a_place_that_cannot_be_opened_is_a_refusal(tmp_path, profile, monkeypatch):
    (tmp_path / "file").write_text("no certificate")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(RefusedError, match=r"cannot be made: .* Make the folder, or correct FLOOD_LAKE_URL"):
        open_store(tmp_path / "file" / "lake")
    for bundle, said in ((tmp_path / "missing", "cannot be read: No such file"), (tmp_path / "file", "no certificate")):
        profile(ca_bundle=bundle)
        with pytest.raises(RefusedError, match=f"{said}.*Correct AWS_CA_BUNDLE, or `ca_bundle` in the profile"):
            open_store("s3://bucket/lake")
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(RefusedError, match=r"profile \(missing\) could not be found\. Check AWS_PROFILE"):
        open_store("s3://bucket/lake")


@pytest.mark.parametrize("style", ["virtual", "path", "auto"])
def test_the_addressing_style_of_the_profile_is_followed(profile, style):
    profile(endpoint_url="http://localhost:1", s3=f"\n  addressing_style = {style}")
    with pytest.raises(LakeError) as error:
        open_store("s3://bucket/lake", patience=ONCE).read("key")
    # The address that was asked for is in the store's own words.
    asked = "http://bucket.localhost:1/lake/key" if style == "virtual" else "http://localhost:1/bucket/lake/key"
    assert asked in str(error.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority that no machine trusts: its certificate, and the certificate and key of a server at 127.0.0.1."""
    folder, now = tmp_path_factory.mktemp("authority"), datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority of the house")])
    signing = ec.generate_private_key(ec.SECP256R1())

    def signed(name, key, *extensions):
        made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension in extensions:
            made = made.add_extension(extension, critical=False)
        return made.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(signed(issuer, signing, x509.BasicConstraints(ca=True, path_length=None)))
    key = ec.generate_private_key(ec.SECP256R1())
    server = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(signed(server, key, place) + plain)
    return folder


def test_an_authority_in_the_shared_configuration_is_trusted_and_else_the_certificate_is_named(
    refusing, profile, authority, monkeypatch
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    refusing.socket = context.wrap_socket(refusing.socket, server_side=True)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    endpoint = f"https://127.0.0.1:{refusing.server_port}"
    profile(endpoint_url=endpoint, ca_bundle=authority / "ca.pem")
    assert open_store("s3://bucket/lake", patience=ONCE).read("key") is None
    profile(endpoint_url=endpoint)
    with pytest.raises(RefusedError, match="certificate is not trusted: set AWS_CA_BUNDLE, or `ca_bundle`"):
        open_store("s3://bucket/lake", patience=ONCE).read("key")
