"""The authorizer's function: API Gateway's question in (payload 2.0), a simple response out, and no key in any log."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from agent_sessions.bootstrap import callers, wiring
from agent_sessions.bootstrap.wiring import Wiring
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.keys.service import KeyService

from functions.api_key_authorizer import app
from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.tables import create_api_keys_table
from tests.logs import everything_logged
from tests.unit.world import EVENTS, MovableClock, sample

TABLE = "keys-7e1a"
NO = {"isAuthorized": False}


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def dynamo(clock: MovableClock) -> Iterator[FakeDynamo]:
    fake = FakeDynamo(clock)
    create_api_keys_table(fake.as_client(), TABLE)
    wiring.wire(Wiring({"API_KEYS_TABLE": TABLE}, clock, {"dynamodb": fake}))
    yield fake
    wiring.wire(Wiring({}))


@pytest.fixture
def keys(dynamo: FakeDynamo) -> KeyService:
    return callers.api_keys()


def ask(key: str) -> dict[str, Any]:
    event = copy.deepcopy(sample("authorizer-key"))
    event["identitySource"] = [key]
    event["headers"]["x-api-key"] = key
    return app.handler(event, None)


def test_a_good_key_is_authorized_with_its_tenant_and_nothing_but_strings(keys: KeyService) -> None:
    made = keys.create("acme", "ci")
    assert ask(made.text) == {
        "isAuthorized": True,
        "context": {"tenantId": "acme", "keyId": made.record.key_id, "scope": "full"},
    }


@pytest.mark.parametrize("scope", ["client", "agent"])
def test_the_scope_of_a_key_is_handed_on(keys: KeyService, scope: str) -> None:
    assert ask(keys.create("acme", "ci", scope=scope).text)["context"]["scope"] == scope


def test_a_key_made_before_there_were_scopes_may_do_everything(keys: KeyService, dynamo: FakeDynamo) -> None:
    made = keys.create("acme", "ci")
    [item] = dynamo.items(TABLE)
    assert "scope" not in item
    assert ask(made.text)["context"]["scope"] == "full"


@pytest.mark.parametrize("event", sorted(path.stem for path in EVENTS.glob("authorizer-*.json")))
def test_the_key_of_no_sample_event_opens_anything(dynamo: FakeDynamo, event: str) -> None:
    assert app.handler(copy.deepcopy(sample(event)), None) == NO
    assert dynamo.calls["get_item"] == 1


def test_unknown_revoked_and_expired_keys_are_refused_alike(keys: KeyService, clock: MovableClock) -> None:
    revoked, expired = keys.create("acme", "ci"), keys.create("acme", "ci", lifetime_ms=1)
    keys.revoke("acme", revoked.record.key_id)
    clock.advance(1)
    for key in (revoked.text, expired.text, "as_" + "a" * 32, "hunter2", ""):
        assert ask(key) == NO


def test_two_keys_in_two_headers_are_no_key(keys: KeyService) -> None:
    """The gateway joins repeated headers with a comma."""
    first, second = keys.create("acme", "ci"), keys.create("globex", "ci")
    assert ask(f"{first.text},{second.text}") == NO
    assert ask(f"{first.text},{first.text}") == NO


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\x00", "Bearer {}", '"{}"'])
def test_a_key_is_the_whole_value_and_nothing_else(keys: KeyService, around: str) -> None:
    assert ask(around.format(keys.create("acme", "ci").text)) == NO


@pytest.mark.parametrize("source", [None, [], [None], [7], [{"S": "x"}], "as_" + "a" * 32, {}, [[]]])
def test_an_event_without_identity_source_is_refused(keys: KeyService, source: object) -> None:
    """The key in the headers does not count: the gateway remembers answers by identity source."""
    event = copy.deepcopy(sample("authorizer-key"))
    event["headers"]["x-api-key"] = keys.create("acme", "ci").text
    event["identitySource"] = source
    assert app.handler(event, None) == NO
    del event["identitySource"]
    assert app.handler(event, None) == NO


def test_a_store_that_does_not_answer_fails_closed(keys: KeyService, dynamo: FakeDynamo) -> None:
    """The gateway makes a 500 of the exception."""
    made = keys.create("acme", "ci")
    dynamo.add_hook(faults.throttle("get_item"))
    with pytest.raises(ServiceUnavailable):
        ask(made.text)


def test_one_line_a_check_says_whose_key_and_why_and_never_which(keys: KeyService) -> None:
    good, revoked = keys.create("acme", "ci"), keys.create("acme", "ci")
    keys.revoke("acme", revoked.record.key_id)
    unknown = "as_" + "q" * 32
    with everything_logged() as log:
        for key in (good.text, revoked.text, unknown):
            ask(key)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [{name: line.get(name) for name in ("allowed", "reason", "tenant", "key")} for line in lines]
    assert told == [
        {"allowed": True, "reason": "active", "tenant": "acme", "key": good.record.key_id},
        {"allowed": False, "reason": "revoked", "tenant": "acme", "key": revoked.record.key_id},
        {"allowed": False, "reason": "unknown", "tenant": None, "key": None},
    ]
    assert all(line["request_id"] == sample("authorizer-key")["requestContext"]["requestId"] for line in lines)
    for key in (good.text, revoked.text, unknown):
        for part in (key, key.removeprefix("as_"), key[-8:]):
            assert part not in log.getvalue()
