"""API keys: their form, what lets a caller in, and making, listing, revoking and rotating them (API.md section 7)."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from agent_sessions import keys
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.key_store import DynamoKeyStore
from agent_sessions.keys import ApiKey, InvalidKeyRequest, KeyNotActive, KeyService, NewKey, UnknownKey
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.tables import create_api_keys_table
from tests.unit.world import MovableClock

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

TABLE = "keys-7e1a"
HOUR = 3_600_000
DAY = 24 * HOUR
UNKNOWN = "as_" + "a" * 32


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=["fake", "moto"])
def client(request: pytest.FixtureRequest, clock: MovableClock) -> Iterator["DynamoDBClient"]:
    if request.param == "fake":
        yield FakeDynamo(clock).as_client()
        return
    with mock_aws():
        yield boto3.client("dynamodb", region_name="eu-central-1")


@pytest.fixture
def service(client: "DynamoDBClient", clock: MovableClock) -> KeyService:
    create_api_keys_table(client, TABLE)
    return KeyService(DynamoKeyStore(client, TABLE), clock)


@pytest.fixture
def dynamo(clock: MovableClock) -> FakeDynamo:
    """The fake alone, for what moto cannot show: counts and faults."""
    fake = FakeDynamo(clock)
    create_api_keys_table(fake.as_client(), TABLE)
    fake.calls.clear()
    return fake


@pytest.fixture
def counted(dynamo: FakeDynamo, clock: MovableClock) -> KeyService:
    return KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)


def reason(service: KeyService, key: NewKey | str) -> str:
    verdict = service.verify(key if isinstance(key, str) else key.text)
    assert verdict.allowed == (verdict.reason == "active")
    return verdict.reason


# --- the form of a key ------------------------------------------------------------------------------------------------


def test_a_key_has_a_prefix_and_at_least_128_random_bits() -> None:
    text = keys.key_text(bytes(range(20)))
    assert text == "as_aaaqeayeaudaocajbifqydiob4ibceqt"
    assert re.fullmatch(keys.KEY_PATTERN, text)
    assert len(keys.new_secret()) * 8 >= 128
    assert keys.new_secret() != keys.new_secret()


def test_every_random_bit_is_in_the_key() -> None:
    secrets = [
        bytes(20),
        *(bytes([*bytes(place), 1 << bit, *bytes(19 - place)]) for place in range(20) for bit in range(8)),
    ]
    assert len({keys.key_text(secret) for secret in secrets}) == 161


@pytest.mark.parametrize(
    "text", ["", "as_", "hunter2", UNKNOWN + "a", UNKNOWN[:-1], UNKNOWN.upper(), UNKNOWN + "\n", "as_" + "1" * 32]
)
def test_what_is_no_key_of_ours_is_told_apart_by_its_looks(text: str) -> None:
    assert not keys.is_key(text)
    assert keys.is_key(UNKNOWN)


@pytest.mark.parametrize("text", ["", "\x00", "schlüssel", "\ud800", "\U0001f511" * 10_000])
def test_whatever_a_caller_sends_has_a_hash(text: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", keys.key_hash(text))


# --- make and check ---------------------------------------------------------------------------------------------------


def test_a_new_key_lets_its_tenant_in(service: KeyService) -> None:
    made = service.create("acme", "ci")
    verdict = service.verify(made.text)
    assert verdict == (True, "active", made.record)
    assert made.record.tenant_id == "acme"
    assert made.record.last_four == made.text[-4:]


def test_two_keys_of_one_tenant_are_not_alike(service: KeyService) -> None:
    assert service.create("acme", "ci").text != service.create("acme", "ci").text


def test_neither_key_nor_anything_that_leads_to_it_is_stored(counted: KeyService, dynamo: FakeDynamo) -> None:
    made = counted.create("acme", "ci", lifetime_ms=DAY)
    [item] = dynamo.items(TABLE)
    assert item.keys() == {"keyHash", "tenantId", "name", "createdAt", "lastFour", "expiresAt", "purgeAt"}
    random_part = made.text.removeprefix("as_")
    for length in range(5, len(random_part)):
        assert random_part[:length] not in repr(item)
        assert random_part[-length:] not in repr(item)


def test_a_new_key_that_is_printed_by_mistake_shows_its_record_only(service: KeyService) -> None:
    made = service.create("acme", "ci")
    assert made.text not in repr(made)
    assert made.text not in f"{made} {made.record}"


def test_an_unknown_key_lets_nobody_in(service: KeyService) -> None:
    assert service.verify(UNKNOWN) == (False, "unknown", None)


def test_a_key_is_good_to_the_last_millisecond_of_its_lifetime(service: KeyService, clock: MovableClock) -> None:
    made = service.create("acme", "ci", lifetime_ms=DAY)
    clock.advance(DAY - 1)
    assert reason(service, made) == "active"
    clock.advance(1)
    assert reason(service, made) == "expired"


def test_a_key_without_lifetime_is_good_for_ever(service: KeyService, clock: MovableClock) -> None:
    made = service.create("acme", "ci")
    clock.advance(50 * 365 * DAY)
    assert reason(service, made) == "active"


@pytest.mark.parametrize("tenant", ["", "a" * 65, "a#b", "a b", "a/b", "ä", "a\n", "a:b", '"', "a,b", "{}"])
def test_a_tenants_name_holds_nothing_that_separates_or_needs_escaping(service: KeyService, tenant: str) -> None:
    with pytest.raises(InvalidKeyRequest, match="tenant"):
        service.create(tenant, "ci")


@pytest.mark.parametrize("tenant", ["a", "A.b_c-9", "a" * 64])
def test_letters_digits_dots_underscores_and_hyphens_name_a_tenant(service: KeyService, tenant: str) -> None:
    assert service.create(tenant, "ci").record.tenant_id == tenant


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\x1b[31m"])
def test_a_keys_name_is_short_and_printable(service: KeyService, name: str) -> None:
    with pytest.raises(InvalidKeyRequest, match="name"):
        service.create("acme", name)


@pytest.mark.parametrize("lifetime_ms", [0, -1])
def test_a_key_is_not_made_expired(service: KeyService, lifetime_ms: int) -> None:
    with pytest.raises(InvalidKeyRequest, match="lifetime"):
        service.create("acme", "ci", lifetime_ms)


def test_a_key_that_is_there_is_never_written_over(client: "DynamoDBClient", clock: MovableClock) -> None:
    create_api_keys_table(client, TABLE)
    service = KeyService(DynamoKeyStore(client, TABLE), clock, secret=lambda: bytes(20))
    service.create("acme", "ci")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        service.create("globex", "ci")


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


@pytest.mark.parametrize(
    "fault",
    [
        faults.throttle("get_item"),
        faults.fail("get_item", "InternalServerError"),
        faults.connection_lost("get_item", "before", times=None),
    ],
)
def test_a_store_that_does_not_answer_lets_nobody_in(
    counted: KeyService, dynamo: FakeDynamo, fault: faults.Hook
) -> None:
    made = counted.create("acme", "ci")
    dynamo.add_hook(fault)
    with pytest.raises(ServiceUnavailable):
        counted.verify(made.text)


# --- list -------------------------------------------------------------------------------------------------------------


def test_a_tenants_keys_are_listed_oldest_first_and_nobody_elses(service: KeyService, clock: MovableClock) -> None:
    made: list[ApiKey] = []
    for name in ("first", "second", "third"):
        made.append(service.create("acme", name).record)
        service.create("globex", name)
        clock.advance(1)
    assert service.of_tenant("acme") == made
    assert service.of_tenant("initech") == []


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


def test_a_revoked_key_lets_nobody_in_from_then_on(service: KeyService, clock: MovableClock) -> None:
    made, other = service.create("acme", "ci"), service.create("acme", "ci")
    clock.advance(HOUR)
    ended = service.revoke("acme", made.record.key_id)
    assert ended.revoked_at_ms == clock.now_ms()
    assert reason(service, made) == "revoked"
    assert reason(service, other) == "active"


def test_to_revoke_once_more_changes_nothing(service: KeyService, clock: MovableClock) -> None:
    made = service.create("acme", "ci")
    first = service.revoke("acme", made.record.key_id)
    clock.advance(HOUR)
    assert service.revoke("acme", made.record.key_id) == first


def test_a_leaked_key_is_revoked_from_the_key_itself(service: KeyService) -> None:
    made = service.create("acme", "ci")
    assert service.revoke_leaked(made.text).key_id == made.record.key_id
    assert reason(service, made) == "revoked"
    with pytest.raises(UnknownKey):
        service.revoke_leaked(UNKNOWN)
    with pytest.raises(InvalidKeyRequest):
        service.revoke_leaked("hunter2")


def test_no_tenants_key_is_revoked_in_anothers_name(service: KeyService) -> None:
    made = service.create("acme", "ci")
    with pytest.raises(UnknownKey):
        service.revoke("globex", made.record.key_id)
    assert reason(service, made) == "active"


@pytest.mark.parametrize("key_id", ["", "abc", "0" * 64, "g" * 16])
def test_only_a_whole_id_names_a_key(service: KeyService, key_id: str) -> None:
    with pytest.raises(InvalidKeyRequest):
        service.revoke("acme", key_id)


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


def test_both_keys_are_good_for_the_overlap_then_the_new_one_alone(service: KeyService, clock: MovableClock) -> None:
    old = service.create("acme", "ci")
    clock.advance(DAY)
    new = service.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    assert (new.record.tenant_id, new.record.name) == ("acme", "ci")
    clock.advance(HOUR - 1)
    assert (reason(service, old), reason(service, new)) == ("active", "active")
    clock.advance(1)
    assert (reason(service, old), reason(service, new)) == ("expired", "active")
    [kept] = [key for key in service.of_tenant("acme") if key.key_id == old.record.key_id]
    assert kept.replaced_by == new.record.key_id


def test_an_overlap_never_lengthens_the_old_keys_life_and_the_new_one_lives_as_long(
    service: KeyService, clock: MovableClock
) -> None:
    old = service.create("acme", "ci", lifetime_ms=30 * DAY)
    clock.advance(30 * DAY - HOUR)
    new = service.rotate("acme", old.record.key_id, overlap_ms=DAY)
    assert new.record.expires_at_ms == clock.now_ms() + 30 * DAY
    clock.advance(HOUR)
    assert reason(service, old) == "expired"


def test_a_rotation_without_overlap_ends_the_old_key_at_once(service: KeyService) -> None:
    old = service.create("acme", "ci")
    new = service.rotate("acme", old.record.key_id, overlap_ms=0)
    assert (reason(service, old), reason(service, new)) == ("expired", "active")


def test_a_key_is_rotated_once_and_while_it_is_active(service: KeyService, clock: MovableClock) -> None:
    rotated, revoked = service.create("acme", "ci"), service.create("acme", "ci")
    expired = service.create("acme", "ci", lifetime_ms=1)
    clock.advance(1)
    service.rotate("acme", rotated.record.key_id, overlap_ms=HOUR)
    service.revoke("acme", revoked.record.key_id)
    before = len(service.of_tenant("acme"))
    for key in (rotated, revoked, expired):
        with pytest.raises(KeyNotActive):
            service.rotate("acme", key.record.key_id, overlap_ms=HOUR)
    assert len(service.of_tenant("acme")) == before


def test_a_negative_overlap_is_refused(service: KeyService) -> None:
    old = service.create("acme", "ci")
    with pytest.raises(InvalidKeyRequest):
        service.rotate("acme", old.record.key_id, overlap_ms=-1)


def test_a_key_revoked_while_it_is_rotated_leaves_no_key_that_lets_anybody_in(
    counted: KeyService, dynamo: FakeDynamo, clock: MovableClock
) -> None:
    old = counted.create("acme", "ci")
    other = KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)
    dynamo.add_hook(faults.Meanwhile("put_item", "after", lambda: other.revoke_leaked(old.text)))
    with pytest.raises(KeyNotActive):
        counted.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    assert {key.state(clock.now_ms()) for key in counted.of_tenant("acme")} == {"revoked"}


def test_a_rotation_that_breaks_off_leaves_the_old_key_as_it_was(counted: KeyService, dynamo: FakeDynamo) -> None:
    old = counted.create("acme", "ci")
    hook = dynamo.add_hook(faults.throttle("update_item"))
    with pytest.raises(ServiceUnavailable):
        counted.rotate("acme", old.record.key_id, overlap_ms=HOUR)
    dynamo.remove_hook(hook)
    assert counted.verify(old.text) == (True, "active", old.record)
