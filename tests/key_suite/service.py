"""What the management of keys does on a store: make, check, list, revoke, rotate. Collected once for each engine.

The engine is a fixture `key_table`: an empty table of keys.
"""

import pytest
from agent_sessions.aws_clients.failures import FailedCondition
from agent_sessions.keys.dynamo_store import DynamoKeyStore
from agent_sessions.keys.service import ApiKey, InvalidKeyRequest, KeyNotActive, KeyService, NewKey, UnknownKey

from tests.engines.fixtures import Table
from tests.unit.world import MovableClock

HOUR = 3_600_000
DAY = 24 * HOUR
UNKNOWN = "as_" + "a" * 32


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def service(key_table: Table, clock: MovableClock) -> KeyService:
    return KeyService(DynamoKeyStore(key_table.client, key_table.name), clock)


def reason(service: KeyService, key: NewKey | str) -> str:
    verdict = service.verify(key if isinstance(key, str) else key.text)
    assert verdict.allowed == (verdict.reason == "active")
    return verdict.reason


# --- make and check ---------------------------------------------------------------------------------------------------


def test_a_new_key_lets_its_tenant_in(service: KeyService) -> None:
    made = service.create("acme", "ci")
    verdict = service.verify(made.text)
    assert verdict == (True, "active", made.record)
    assert made.record.tenant_id == "acme"
    assert made.record.last_four == made.text[-4:]


@pytest.mark.parametrize("scope", ["full", "client", "agent"])
def test_a_key_keeps_its_scope_when_it_is_read_listed_and_rotated(service: KeyService, scope: str) -> None:
    made = service.create("acme", "ci", scope=scope)
    found = service.verify(made.text).key
    assert found is not None
    assert found.scope == made.record.scope == scope
    assert service.rotate("acme", found.key_id, 0).record.scope == scope


@pytest.mark.parametrize("scope", ["", "admin", "Full", "full "])
def test_an_unknown_scope_makes_no_key(service: KeyService, scope: str) -> None:
    with pytest.raises(InvalidKeyRequest, match="full, client, agent"):
        service.create("acme", "ci", scope=scope)


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


def test_a_key_that_is_there_is_never_written_over(key_table: Table, clock: MovableClock) -> None:
    service = KeyService(DynamoKeyStore(key_table.client, key_table.name), clock, secret=lambda: bytes(20))
    service.create("acme", "ci")
    with pytest.raises(FailedCondition):
        service.create("globex", "ci")


# --- list -------------------------------------------------------------------------------------------------------------


def test_a_tenants_keys_are_listed_oldest_first_and_nobody_elses(service: KeyService, clock: MovableClock) -> None:
    made: list[ApiKey] = []
    for name in ("first", "second", "third"):
        made.append(service.create("acme", name).record)
        service.create("globex", name)
        clock.advance(1)
    assert service.of_tenant("acme") == made
    assert service.of_tenant("initech") == []


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


def test_no_key_is_replaced_at_the_millisecond_it_expires(
    service: KeyService, key_table: Table, clock: MovableClock
) -> None:
    """The service refuses it by what it read; the store refuses it by the time of the write."""
    old = service.create("acme", "ci", lifetime_ms=DAY).record
    store = DynamoKeyStore(key_table.client, key_table.name)
    end_ms = clock.now_ms() + DAY
    assert not store.retire(old.key_hash, end_ms, end_ms + HOUR, "0" * 16)
    assert store.retire(old.key_hash, end_ms - 1, end_ms, "0" * 16)


def test_a_negative_overlap_is_refused(service: KeyService) -> None:
    old = service.create("acme", "ci")
    with pytest.raises(InvalidKeyRequest):
        service.rotate("acme", old.record.key_id, overlap_ms=-1)
