"""API keys: their form, what they cost and what happens when the store fails (docs/contract.md, Callers and tenants).

What the management of keys does is a suite of its own, here on the fake.
"""

import re

import pytest
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.keys import service as keys
from agent_sessions.keys.dynamo_store import DynamoKeyStore
from agent_sessions.keys.service import KeyNotActive, KeyService, NewKey

from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fixtures import Table
from tests.engines.tables import create_api_keys_table
from tests.key_suite.service import *  # noqa: F403 - every test of the module, and its fixtures
from tests.key_suite.service import DAY, HOUR, UNKNOWN
from tests.unit.world import MovableClock

TABLE = "keys-7e1a"


@pytest.fixture
def key_table(clock: MovableClock) -> Table:
    """An empty table of keys."""
    fake = FakeDynamo(clock).as_client()
    return Table(fake, create_api_keys_table(fake), "fake")


@pytest.fixture
def dynamo(clock: MovableClock) -> FakeDynamo:
    """The fake that counts calls and refuses them."""
    fake = FakeDynamo(clock)
    create_api_keys_table(fake.as_client(), TABLE)
    fake.calls.clear()
    return fake


@pytest.fixture
def counted(dynamo: FakeDynamo, clock: MovableClock) -> KeyService:
    return KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)


# --- the form of a key ------------------------------------------------------------------------------------------------


def test_a_key_has_a_prefix_and_at_least_128_random_bits() -> None:
    text = keys.key_text(bytes(range(20)))
    assert text == "as_aaaqeayeaudaocajbifqydiob4ibceqt"
    assert re.fullmatch(keys.KEY_PATTERN, text)
    assert len(keys.new_secret()) * 8 >= 128
    assert keys.new_secret() != keys.new_secret()


@pytest.mark.parametrize(
    "text", ["", "as_", "hunter2", UNKNOWN + "a", UNKNOWN[:-1], UNKNOWN.upper(), UNKNOWN + "\n", "as_" + "1" * 32]
)
def test_what_is_no_key_of_ours_is_told_apart_by_its_looks(text: str) -> None:
    assert not keys.is_key(text)
    assert keys.is_key(UNKNOWN)


# --- make and check ---------------------------------------------------------------------------------------------------


def test_neither_key_nor_anything_that_leads_to_it_is_stored(counted: KeyService, dynamo: FakeDynamo) -> None:
    made = counted.create("acme", "ci", lifetime_ms=DAY)
    [item] = dynamo.items(TABLE)
    assert item.keys() == {"keyHash", "tenantId", "name", "createdAt", "lastFour", "expiresAt", "purgeAt"}
    random_part = made.text.removeprefix("as_")
    for length in range(5, len(random_part)):
        assert random_part[:length] not in repr(item)
        assert random_part[-length:] not in repr(item)


# --- the work of a check ----------------------------------------------------------------------------------------------


def test_every_check_is_one_consistent_read_whatever_was_sent(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    good, expired, revoked = (counted.create("acme", "ci", lifetime_ms) for lifetime_ms in (None, 1, None))
    counted.revoke("acme", revoked.record.key_id)
    clock.advance(1)
    log = dynamo.add_hook(faults.Log())
    for text in (good.text, expired.text, revoked.text, UNKNOWN, "", "hunter2", "\ud800", "x" * 8_000):
        dynamo.calls.clear()
        counted.verify(text)
        assert dynamo.calls == {"get_item": 1}, text
    assert {call for call, _ in log.calls} == {"get_item"}
    assert all(request["ConsistentRead"] is True for _, request in log.calls)
    assert len({len(repr(request)) for _, request in log.calls}) == 1, "they differ in nothing but the hash"


# --- list -------------------------------------------------------------------------------------------------------------


def test_more_keys_than_one_page_of_the_index_holds_are_listed(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    for number in range(5):
        counted.create("acme", f"key {number}")
        clock.advance(1)

    class TwoAtATime(faults.Hook):
        def before(self, call: str, request: object) -> None:
            assert isinstance(request, dict)
            if call == "query":
                request["Limit"] = 2

    dynamo.add_hook(TwoAtATime())
    assert [key.name for key in counted.of_tenant("acme")] == [f"key {number}" for number in range(5)]
    assert dynamo.calls["query"] == 3


# --- revoke -----------------------------------------------------------------------------------------------------------


def test_what_is_revoked_and_expired_is_purged_ninety_days_later_and_not_before(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    kept, revoked = counted.create("acme", "kept"), counted.create("acme", "revoked")
    expiring = counted.create("acme", "expiring", lifetime_ms=1_500)
    counted.revoke("acme", revoked.record.key_id)

    def purge_at(key: NewKey) -> int | None:
        item = dynamo.peek(TABLE, key.record.key_hash)
        assert item is not None
        return int(item["purgeAt"]["N"]) if "purgeAt" in item else None

    assert purge_at(kept) is None
    assert purge_at(revoked) == (clock.now_ms() + 90 * DAY) // 1000
    assert purge_at(expiring) == (clock.now_ms() + 90 * DAY) // 1000 + 2


# --- rotate -----------------------------------------------------------------------------------------------------------


def test_a_key_revoked_while_it_is_rotated_leaves_no_key_that_lets_anybody_in(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    old = counted.create("acme", "ci")
    other = KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)
    dynamo.add_hook(faults.Meanwhile("put_item", "after", lambda: other.revoke_leaked(old.text)))
    with pytest.raises(KeyNotActive):
        counted.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    assert {key.state(clock.now_ms()) for key in counted.of_tenant("acme")} == {"revoked"}


def test_of_two_rotations_at_once_one_gives_a_successor(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    old = counted.create("acme", "ci")
    other = KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)
    made: list[NewKey] = []
    rotate_too = faults.Meanwhile(
        "put_item", "after", lambda: made.append(other.rotate("acme", old.record.key_id, HOUR))
    )
    dynamo.add_hook(rotate_too)
    with pytest.raises(KeyNotActive):
        counted.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    [successor] = made
    states = {key.key_id: key.state(clock.now_ms()) for key in counted.of_tenant("acme")}
    assert states.pop(successor.record.key_id) == states.pop(old.record.key_id) == "active"
    assert {*states.values()} == {"revoked"}


def test_a_rotation_that_breaks_off_leaves_the_old_key_as_it_was(counted: KeyService, dynamo: FakeDynamo) -> None:
    old = counted.create("acme", "ci")
    hook = dynamo.add_hook(faults.throttle("update_item"))
    with pytest.raises(ServiceUnavailable):
        counted.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    dynamo.remove_hook(hook)
    assert counted.verify(old.text) == (True, "active", old.record)
