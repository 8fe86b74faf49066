"""Where the lean transport finds DynamoDB, as whom it asks, and how it signs (Signature Version 4).

Reads what botocore reads from the environment. At start it refuses what it cannot do, and names the setting to use.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from agent_sessions.errors import SettingsError

if TYPE_CHECKING:
    from botocore.credentials import Credentials as BotocoreCredentials

INSTEAD: Final = "set SDK_TRANSPORT=botocore (docs/decisions.md, 2026-11-26 The request path)"

_AWS: Final = ("amazonaws.com", "api.aws")
_SUFFIXES: Final = {
    **dict.fromkeys(("us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "us-gov"), _AWS),
    "cn": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "eusc-de": ("amazonaws.eu", "api.amazonwebservices.eu"),
    "us-iso": ("c2s.ic.gov", "api.aws.ic.gov"),
    "us-isob": ("sc2s.sgov.gov", "api.aws.scloud"),
    "eu-isoe": ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    "us-isof": ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
}
"""What a region begins with -> how its hosts end, without and with dual-stack."""


class Endpoint(NamedTuple):
    """Where DynamoDB answers. `authority` is the `Host` header: the port stands in it unless it is the scheme's."""

    tls: bool
    host: str
    port: int
    authority: str
    region: str


def endpoint_of(environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint that the environment names.

    Example: `AWS_REGION=us-gov-west-1` and `AWS_USE_DUALSTACK_ENDPOINT=true` give `dynamodb.us-gov-west-1.api.aws`.

    Raises:
        SettingsError: there is no region, or the environment asks for what only botocore can do.

    """
    region = environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION")
    if not region:
        raise SettingsError(f"AWS_REGION: is required; for a region from a profile {INSTEAD}")
    if environ.get("AWS_ACCOUNT_ID_ENDPOINT_MODE") == "required":
        raise SettingsError(f"AWS_ACCOUNT_ID_ENDPOINT_MODE=required: to use an account's own endpoint {INSTEAD}")
    fips = _is_on(environ, "AWS_USE_FIPS_ENDPOINT")
    dual_stack = _is_on(environ, "AWS_USE_DUALSTACK_ENDPOINT")
    url = None
    if not _is_on(environ, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        url = environ.get("AWS_ENDPOINT_URL_DYNAMODB") or environ.get("AWS_ENDPOINT_URL")
    if url and (fips or dual_stack):
        raise SettingsError("AWS_ENDPOINT_URL_DYNAMODB: neither FIPS nor dual-stack goes with an endpoint of one's own")
    parts = urlsplit(url or f"https://{_host(region, fips=fips, dual_stack=dual_stack)}")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(f"AWS_ENDPOINT_URL_DYNAMODB: must be a scheme and a host, not {url}; for others {INSTEAD}")
    _refuse_proxy(environ, parts.scheme, parts.netloc)
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = name if port == usual else f"{name}:{port}"
    return Endpoint(parts.scheme == "https", parts.hostname, port, authority, region)


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() == "true"


def _host(region: str, *, fips: bool, dual_stack: bool) -> str:
    area, _, rest = region.rpartition("-")[0].rpartition("-")
    if area not in _SUFFIXES or not rest.isalnum() or not region.rpartition("-")[2].isdigit():
        raise SettingsError(f"AWS_REGION: {region} is in no partition that is known here; {INSTEAD}")
    # The GovCloud endpoints are validated for FIPS themselves; only their dual-stack ones have names of their own.
    named = fips and (dual_stack or area != "us-gov")
    return f"dynamodb{'-fips' if named else ''}.{region}.{_SUFFIXES[area][dual_stack]}"


def _refuse_proxy(environ: Mapping[str, str], scheme: str, authority: str) -> None:
    name = f"{scheme}_proxy"
    if not (environ.get(name) or environ.get(name.upper())):
        return
    from urllib import request  # noqa: PLC0415 - costs more than all else here

    exempt = {"no": environ.get("no_proxy") or environ.get("NO_PROXY", "")}
    if not request.proxy_bypass_environment(authority, exempt):  # type: ignore[attr-defined] # the stubs leave it out
        raise SettingsError(f"{name.upper()}: to call DynamoDB through a proxy {INSTEAD}")


class Keys(NamedTuple):
    """What a call is signed with."""

    access_key: str
    secret_key: str
    token: str | None


class Credentials:
    """The environment's keys, read anew for each call; where it has none, botocore's chain, which renews its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Load botocore's chain now where it will be needed: SnapStart takes its snapshot after this."""
        self._environ = environ
        self._chain: BotocoreCredentials | None = None
        if not environ.get("AWS_ACCESS_KEY_ID"):
            self.renew()

    def renew(self) -> None:
        """Load botocore's chain anew, unless the keys come from the environment."""
        if not self._environ.get("AWS_ACCESS_KEY_ID"):
            from agent_sessions.aws_clients.tuning import lean_session  # noqa: PLC0415 - the whole of botocore

            self._chain = lean_session().get_credentials()

    def current(self) -> Keys:
        """Return keys that have not expired.

        Raises:
            NoCredentialsError: botocore's; nobody gives any.
            CredentialRetrievalError: botocore's; they could not be renewed.

        """
        access_key = self._environ.get("AWS_ACCESS_KEY_ID")
        if access_key:
            return Keys(access_key, self._environ["AWS_SECRET_ACCESS_KEY"], self._environ.get("AWS_SESSION_TOKEN"))
        if self._chain is None:
            from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - see above

            raise NoCredentialsError
        found = self._chain.get_frozen_credentials()
        return Keys(str(found.access_key), str(found.secret_key), found.token)


class Signer:
    """Signs DynamoDB's calls for one host and region, as botocore does."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Sign for this endpoint."""
        self._host = endpoint.authority
        self._region = endpoint.region
        self._key_of: tuple[str, str] | None = None
        self._key = b""

    def headers(self, keys: Keys, epoch_seconds: float, target: str, body: bytes) -> dict[str, str]:
        """Return the signed headers of a call, in the order of their names, and the signature."""
        moment = f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y%m%dT%H%M%SZ}"
        day = moment[:8]
        headers = {"content-type": "application/x-amz-json-1.0", "host": self._host, "x-amz-date": moment}
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        headers["x-amz-target"] = target
        names = ";".join(headers)
        lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
        canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/dynamodb/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._signing_key(keys.secret_key, day), to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _signing_key(self, secret_key: str, day: str) -> bytes:
        """Return the key of a day: one serves for all its calls."""
        if self._key_of != (secret_key, day):
            key = f"AWS4{secret_key}".encode()
            for part in (day, self._region, "dynamodb", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key, self._key_of = key, (secret_key, day)
        return self._key
