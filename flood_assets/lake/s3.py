"""Open an S3 bucket with boto3's credentials, region and endpoint. It is used by `bucket`."""

# ruff: noqa: PLC0415 - boto3 takes a fifth of a second to import, and a lake in a folder never needs it

import base64
import os
from typing import TYPE_CHECKING, Any, Protocol

from flood_assets.errors import LakeError, RefusedError
from flood_assets.lake.objects import Put, Signed

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store


class S3Settings(Protocol):
    """The used attributes of `dagster_aws.s3.S3Resource`, without importing it."""

    region_name: str | None
    endpoint_url: str | None
    profile_name: str | None
    use_unsigned_session: bool
    aws_access_key_id: str | None
    aws_secret_access_key: str | None
    aws_session_token: str | None
    verify: Any
    max_attempts: int


def open_s3(bucket: str, prefix: str, s3: S3Settings | None, client: "ClientConfig", retry: "RetryConfig") -> "S3Store":
    """Open `s3://bucket/prefix`.

    Credentials, region and endpoint come from `s3` where it says them, else from where boto3 finds them: the AWS
    variables, the shared configuration, the container or the instance. The client options get what `s3` says about TLS.

    Raises:
        LakeError: the profile does not exist, or there are no credentials.
    """
    from botocore.exceptions import BotoCoreError, ConfigParseError, ProfileNotFound
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    url = f"s3://{bucket}/{prefix}".rstrip("/")
    try:
        session = session_of(s3)
        found = session.get_credentials()
        endpoint = (s3.endpoint_url if s3 else None) or _configured_endpoint(session)
        bundle = session._session.get_config_variable("ca_bundle")
        options = session._session.get_scoped_config().get("s3")
    except BotoCoreError as error:
        # A role's credentials may be there in a moment.
        kind = RefusedError if isinstance(error, ConfigParseError | ProfileNotFound) else LakeError
        raise kind(f"{url}: {error}. Check AWS_PROFILE and ~/.aws/config") from error

    config: S3Config = {}
    if region := region_of(session, s3):
        config["region"] = region
    # Servers other than AWS rarely have a name for each bucket.
    by_host = isinstance(options, dict) and options.get("addressing_style") == "virtual"
    config["virtual_hosted_style_request"] = by_host
    if endpoint:
        # obstore leaves it to its caller to put the bucket's name in front of the host.
        config["endpoint"] = endpoint.replace("://", f"://{bucket}.", 1) if by_host else endpoint
        client["allow_http"] = endpoint.startswith("http://")
    _trust(client, s3.verify if s3 else None, bundle)

    if s3 and s3.use_unsigned_session:
        config["skip_signature"] = True
        return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=retry)
    if found is None:
        raise LakeError(
            f"{url}: no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or give the machine a role"
        )
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=client,
        retry_config=retry,
        credential_provider=Boto3CredentialProvider(session),
    )


def sign_put(bucket: str, prefix: str, s3: S3Settings | None, put: Put) -> Signed:
    """Sign a PUT of one object, which whoever has the URL can make once, with exactly these headers.

    Content-Length and If-None-Match are signed too, so that S3 refuses another size, and a second PUT while the object
    is there.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    params: dict[str, Any] = {"ContentType": put.media_type, "ContentLength": put.size, "IfNoneMatch": "*"}
    if put.encoding:
        params["ContentEncoding"] = put.encoding
    if put.sha256:
        params["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(put.sha256)).decode()
    url = f"s3://{bucket}/{prefix}".rstrip("/")
    try:
        session = session_of(s3)
        endpoint = (s3.endpoint_url if s3 else None) or _configured_endpoint(session)
        # Without the bucket in its name, AWS's host is that of another region, and answers with a redirection.
        style = {} if endpoint else {"addressing_style": "virtual"}
        client = session.client(
            "s3",
            region_name=region_of(session, s3),
            endpoint_url=endpoint,
            config=Config(signature_version="s3v4", s3=style, request_checksum_calculation="when_required"),
        )
        try:
            where = {"Bucket": bucket, "Key": f"{prefix}/{put.key}" if prefix else put.key}
            signed = client.generate_presigned_url("put_object", Params=where | params, ExpiresIn=put.expires_s)
        finally:
            client.close()
    except (BotoCoreError, ValueError) as error:
        raise LakeError(f"{url}: a PUT cannot be signed: {error}. Check AWS_PROFILE and ~/.aws/config") from error
    headers = {"Content-Type": put.media_type, "Content-Length": str(put.size), "If-None-Match": "*"}
    if put.encoding:
        headers["Content-Encoding"] = put.encoding
    if put.sha256:
        headers["x-amz-checksum-sha256"] = params["ChecksumSHA256"]
    return Signed(str(signed), headers)


def session_of(s3: S3Settings | None) -> Any:
    """Return boto3's session with the profile or the keys of the settings, else with what boto3 finds."""
    import boto3

    return boto3.Session(
        profile_name=s3.profile_name if s3 else None,
        aws_access_key_id=s3.aws_access_key_id if s3 else None,
        aws_secret_access_key=s3.aws_secret_access_key if s3 else None,
        aws_session_token=s3.aws_session_token if s3 else None,
    )


def region_of(session: Any, s3: S3Settings | None) -> str | None:
    """Return the region in use; boto3 itself passes over AWS_REGION."""
    return (s3.region_name if s3 else None) or session.region_name or os.environ.get("AWS_REGION")


def _configured_endpoint(session: Any) -> str | None:
    """Return AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile's endpoint, in boto3's own order."""
    from botocore.configprovider import ConfiguredEndpointProvider

    core = session._session  # boto3 shows neither the profile nor the endpoint without building a client
    if core.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    return ConfiguredEndpointProvider(
        full_config=core.full_config, scoped_config=core.get_scoped_config(), client_name="s3"
    ).provide()


def _trust(client: "ClientConfig", verify: bool | str | None, configured: str | None) -> None:
    """Apply boto3's `verify`: False, or the path of a bundle of certificates; else AWS_CA_BUNDLE or `ca_bundle`."""
    bundle = verify if isinstance(verify, str) else configured
    if verify is False:
        client["allow_invalid_certificates"] = True
    elif bundle:
        remedy = "Correct AWS_CA_BUNDLE, or `ca_bundle` in the profile"
        try:
            with open(bundle, "rb") as file:  # noqa: PTH123 - one read, and Path adds nothing
                found = file.read()
        except OSError as error:
            raise RefusedError(f"the certificates in '{bundle}' cannot be read: {error.strerror}. {remedy}") from error
        if b"-----BEGIN CERTIFICATE-----" not in found:
            raise RefusedError(f"'{bundle}' holds no certificate in PEM form. {remedy}")
        client["root_certificate"] = found
