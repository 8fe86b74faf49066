"""Where the lean client finds DynamoDB and as whom it asks, beside botocore's rules; what it refuses to start with."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.session
import pytest
from agent_sessions.aws_clients.lean_access import Credentials, endpoint_of
from agent_sessions.aws_clients.lean_http import trust
from agent_sessions.bootstrap import wiring
from agent_sessions.errors import SettingsError
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError, NoCredentialsError

from tests.engines.lean import KEYS, lean_client

FLAGS: Final = [(fips, dual) for fips in (False, True) for dual in (False, True)]


@cache
def rules() -> EndpointProvider:
    """Botocore's rules for DynamoDB's endpoints."""
    loader = botocore.session.Session().get_component("data_loader")
    return EndpointProvider(
        loader.load_service_model("dynamodb", "endpoint-rule-set-1"), loader.load_data("partitions")
    )


def regions() -> Iterator[str]:
    """Every region that botocore knows, in every partition, and one that is yet to come."""
    for partition in botocore.session.Session().get_component("data_loader").load_data("partitions")["partitions"]:
        yield from (name for name in partition["regions"] if not name.endswith("-global"))
    yield "eu-north-9"


@pytest.mark.parametrize("flags", FLAGS)
def test_endpoints_are_botocores_in_every_region_of_every_partition(flags: tuple[bool, bool]) -> None:
    fips, dual = flags
    variables = {"AWS_USE_FIPS_ENDPOINT": str(fips), "AWS_USE_DUALSTACK_ENDPOINT": str(dual).lower()}
    found = {region: endpoint_of({"AWS_REGION": region, **variables}) for region in regions()}
    assert len(found) > 30
    theirs = {region: rules().resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual).url for region in found}
    assert {region: f"https://{endpoint.authority}" for region, endpoint in found.items()} == theirs
    assert {(endpoint.tls, endpoint.port) for endpoint in found.values()} == {(True, 443)}


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:8000"}, (False, "127.0.0.1", 8000, "127.0.0.1:8000")),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://a:80/", "AWS_ENDPOINT_URL": "http://b"}, (False, "a", 80, "a")),
        ({"AWS_ENDPOINT_URL": "https://[::1]:8443"}, (True, "::1", 8443, "[::1]:8443")),
        (
            {"AWS_ENDPOINT_URL": "http://b", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"},
            (True, "dynamodb.eu-west-1.amazonaws.com", 443, "dynamodb.eu-west-1.amazonaws.com"),
        ),
        (
            {"AWS_DEFAULT_REGION": "eu-south-2", "AWS_ENDPOINT_URL": ""},
            (True, "dynamodb.eu-south-2.amazonaws.com", 443, "dynamodb.eu-south-2.amazonaws.com"),
        ),
    ],
)
def test_an_endpoint_of_ones_own_comes_from_the_standard_variables(
    environ: dict[str, str], expected: tuple[Any, ...]
) -> None:
    assert endpoint_of({"AWS_REGION": "eu-west-1", **environ})[:4] == expected


REFUSED: Final[dict[str, dict[str, str]]] = {
    "AWS_REGION": {"AWS_REGION": ""},
    "AWS_REGION: mars-1": {"AWS_REGION": "mars-1"},
    "AWS_REGION: us-east-1-fips": {"AWS_REGION": "us-east-1-fips"},
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "required"},
    "HTTPS_PROXY": {"https_proxy": "http://proxy:3128"},
    "HTTP_PROXY": {"HTTP_PROXY": "http://proxy:3128", "AWS_ENDPOINT_URL": "http://elsewhere"},
    "AWS_ENDPOINT_URL_DYNAMODB: must be": {"AWS_ENDPOINT_URL": "https://host/with/a/path"},
    "AWS_ENDPOINT_URL_DYNAMODB: must": {"AWS_ENDPOINT_URL": "ftp://host"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_only_botocore_can_do_is_refused_at_start_by_a_message_that_names_it(message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}.*SDK_TRANSPORT=botocore"):
        lean_client(environ=KEYS | REFUSED[message])


@pytest.mark.parametrize("flag", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_an_endpoint_of_ones_own_goes_with_neither_fips_nor_dual_stack(flag: str) -> None:
    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL_DYNAMODB"):
        endpoint_of(KEYS | {"AWS_ENDPOINT_URL": "http://a", flag: "true"})
    with pytest.raises(EndpointProviderError):
        rules().resolve_endpoint(
            Region="eu-west-1", Endpoint="http://a", UseFIPS="FIPS" in flag, UseDualStack="DUAL" in flag
        )


def test_a_host_that_needs_no_proxy_is_called_without_one() -> None:
    environ = KEYS | {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.amazonaws.com"}
    assert endpoint_of(environ).host == "dynamodb.eu-west-1.amazonaws.com"


def test_a_bundle_that_cannot_be_read_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AWS_CA_BUNDLE"):
        lean_client(environ=KEYS | {"AWS_CA_BUNDLE": str(tmp_path / "none.pem")})


def test_without_a_bundle_botocores_is_trusted() -> None:
    ours = trust({}).cert_store_stats()["x509_ca"]
    bundle = Path(botocore.session.__file__).with_name("cacert.pem")
    assert ours == bundle.read_text().count("BEGIN CERTIFICATE") > 50


# --- the setting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, kind", [("lean", "LeanDynamoDb"), ("botocore", "DynamoDB"), ("", "DynamoDB"), (None, "DynamoDB")]
)
def test_the_setting_chooses_the_transport_of_the_functions_that_callers_wait_for(
    setting: str | None, kind: str
) -> None:
    named = {} if setting is None else {"SDK_TRANSPORT": setting}
    wiring.wire(wiring.Wiring(KEYS | named))
    assert type(wiring.dynamodb()).__name__ == kind
    assert type(wiring.client("dynamodb")).__name__ == "DynamoDB"


def test_another_transport_is_refused() -> None:
    wiring.wire(wiring.Wiring(KEYS | {"SDK_TRANSPORT": "urllib3"}))
    with pytest.raises(SettingsError, match="SDK_TRANSPORT: must be lean or botocore, not urllib3"):
        wiring.dynamodb()


# --- credentials ------------------------------------------------------------------------------------------------------


def test_the_environments_keys_are_read_anew_for_each_call() -> None:
    environ = dict(KEYS)
    credentials = Credentials(environ)
    assert credentials.current() == ("AKIDEXAMPLE", "secret", None)
    environ |= {"AWS_SECRET_ACCESS_KEY": "next", "AWS_SESSION_TOKEN": "token"}
    assert credentials.current() == ("AKIDEXAMPLE", "next", "token")


def test_without_keys_in_the_environment_botocores_chain_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    profile = tmp_path / "credentials"
    profile.write_text("[default]\naws_access_key_id = kept\naws_secret_access_key = hidden\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    credentials = Credentials({})
    assert credentials.current() == ("kept", "hidden", None)
    profile.write_text("[default]\naws_access_key_id = newer\naws_secret_access_key = hidden\n")
    credentials.renew()
    assert credentials.current().access_key == "newer"


def test_the_chains_credentials_are_renewed_before_they_expire(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a container's are, which SnapStart has: here a process of the profile gives them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    given = tmp_path / "given"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {given}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    def give(name: str, minutes: int) -> None:
        expiry = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
        given.write_text(json.dumps({"Version": 1, "AccessKeyId": name, "SecretAccessKey": "s", "Expiration": expiry}))

    give("first", minutes=5)
    credentials = Credentials({})
    give("second", minutes=60)
    assert [credentials.current().access_key for _ in range(2)] == ["second", "second"]


def test_without_any_credentials_a_call_fails_as_botocores_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
    with pytest.raises(NoCredentialsError):
        Credentials({}).current()
