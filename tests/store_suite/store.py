"""What a session store does: create, get, renew, patch, delete. Collected once for each engine."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from agent_sessions import items
from agent_sessions.ids import new_session_id
from agent_sessions.leases import RenewalPath, patched
from agent_sessions.model import Session, TimeoutConfig
from agent_sessions.sessions import Write
from agent_sessions.store import DynamoSessionStore

from tests.store_suite.examples import (
    MINUTE,
    NOW,
    RETENTION,
    TENANT,
    TIMEOUT,
    Table,
    a_session,
    changed,
    item,
    item_of,
    put,
    set_attribute,
    store_on,
    without,
)

RENEWAL: Final = {"lastActivity", "renewedAt", "expiresAt", "renewalCount", "lease"}


@pytest.fixture
def table(engine: Table) -> Table:
    return engine


@pytest.fixture
def store(table: Table) -> DynamoSessionStore:
    return store_on(table)


# --- create and get ---------------------------------------------------------------------------------------------------


def test_a_session_comes_back_as_it_was_created(store: DynamoSessionStore) -> None:
    session = a_session()
    assert store.create(session) is None
    assert store.get(session.session_id) == session


@pytest.mark.parametrize("minutes", [5, 7.5, 5.123456789012345, 1440, 1e-05 + 5, 719.9999999999999])
def test_minutes_come_back_as_they_were_sent(store: DynamoSessionStore, minutes: float) -> None:
    session = a_session(timeout=replace(TIMEOUT, timeout_minutes=minutes, warning_threshold_minutes=minutes))
    store.create(session)
    found = store.get(session.session_id)
    assert found is not None
    assert (found.timeout.timeout_minutes, type(found.timeout.timeout_minutes)) == (minutes, type(minutes))


@pytest.mark.parametrize(
    "text", ["{}", '{"":""}', '{"a":[1.0,-0.0,1e308,"\\u0000"]}', '{"long":"' + "ü" * 5000 + '"}'], ids=len
)
def test_metadata_comes_back_letter_by_letter(store: DynamoSessionStore, text: str) -> None:
    session = a_session(metadata_json=text)
    store.create(session)
    found = store.get(session.session_id)
    assert found is not None
    assert found.metadata_json == text


def test_what_was_never_created_is_not_found(store: DynamoSessionStore) -> None:
    assert store.get(new_session_id()) is None


def test_an_id_that_is_taken_gives_back_the_session_that_holds_it(table: Table, store: DynamoSessionStore) -> None:
    first = a_session()
    store.create(first)
    second = a_session(session_id=first.session_id, tenant_id="other", request_hash=b"another request", attempt=b"2")
    assert store.create(second) == first
    assert store.get(first.session_id) == first


def test_a_retry_of_a_create_that_was_done_meets_its_own_session(store: DynamoSessionStore) -> None:
    session = a_session()
    store.create(session)
    assert store.create(session) == session


def test_an_expired_session_keeps_its_id_until_the_retention_is_over(store: DynamoSessionStore) -> None:
    old = a_session()
    store.create(old)
    last_moment = old.expires_at_ms + RETENTION - 1
    assert store.create(a_session(session_id=old.session_id, created_at_ms=last_moment)) == old
    new = a_session(session_id=old.session_id, created_at_ms=last_moment + 1, attempt=b"new")
    assert store.create(new) is None
    assert store.get(old.session_id) == new


def test_nothing_is_left_of_a_retired_session_whose_id_is_used_again(table: Table, store: DynamoSessionStore) -> None:
    old = a_session()
    store.create(old)
    set_attribute(table, old.session_id, "leftover", {"S": "of the old one"})
    without(table, old.session_id, items.LISTED_AT, items.DUE_SHARD)
    new = a_session(session_id=old.session_id, created_at_ms=old.expires_at_ms + RETENTION)
    store.create(new)
    assert item(table, new.session_id) == item_of(new)


def test_an_announced_session_is_told_apart(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session(announced=True))
    assert store.get(session.session_id) == session


# --- renew ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """One way to renew: a session in the state that it is for, and what it makes of that at NOW."""

    path: RenewalPath
    state: dict[str, Any]
    result: dict[str, Any]
    attributes: set[str]
    manual: bool = False

    @property
    def name(self) -> str:
        return f"{self.path.value}{'-manual' if self.manual else ''}"


_RENEWED: Final = {
    "last_activity_ms": NOW,
    "renewed_at_ms": NOW,
    "expires_at_ms": NOW + 30 * MINUTE,
    "renewal_count": 1,
    "lease": 2,
}
_WARNED: Final = {"due_at_ms": a_session().expires_at_ms}
_NEAR_THE_CAP: Final = {"ends_at_ms": NOW + 30 * MINUTE}
_TO_CAP: Final = _RENEWED | {"due_at_ms": NOW + 25 * MINUTE}
_MANUAL_ONLY: Final = {"timeout": replace(TIMEOUT, auto_renew=False)}

PATHS: Final = [
    Path(RenewalPath.USUAL, {}, _RENEWED, RENEWAL),
    Path(RenewalPath.USUAL, _MANUAL_ONLY, _RENEWED, RENEWAL, manual=True),
    Path(RenewalPath.AFTER_WARNING, _WARNED, _RENEWED | {"due_at_ms": NOW + 25 * MINUTE}, RENEWAL | {"dueAt"}),
    Path(
        RenewalPath.AFTER_WARNING,
        _WARNED | _MANUAL_ONLY,
        _RENEWED | {"due_at_ms": NOW + 25 * MINUTE},
        RENEWAL | {"dueAt"},
        manual=True,
    ),
    Path(RenewalPath.TO_CAP, _NEAR_THE_CAP, _TO_CAP, RENEWAL | {"dueAt"}),
    Path(RenewalPath.TO_CAP, _NEAR_THE_CAP | _WARNED, _TO_CAP, RENEWAL | {"dueAt"}),
    Path(RenewalPath.TO_CAP, _NEAR_THE_CAP | _MANUAL_ONLY, _TO_CAP, RENEWAL | {"dueAt"}, manual=True),
    Path(RenewalPath.ACTIVITY_ONLY, _MANUAL_ONLY, {"last_activity_ms": NOW}, {"lastActivity"}),
    Path(
        RenewalPath.ACTIVITY_ONLY,
        {"ends_at_ms": a_session().expires_at_ms},
        {"last_activity_ms": NOW},
        {"lastActivity"},
    ),
]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def renewed(store: DynamoSessionStore, path: Path, session: Session, now_ms: int = NOW, tenant: str = TENANT) -> Write:
    return store.renew(path.path, session.session_id, tenant, now_ms, manual=path.manual)


@every_path
def test_a_renewal_changes_what_its_path_says_and_nothing_else(
    table: Table, store: DynamoSessionStore, path: Path
) -> None:
    session = put(table, a_session(**path.state))
    before = item(table, session.session_id)
    wanted = replace(session, **path.result)
    assert renewed(store, path, session) == Write(applied=True, session=wanted)
    after = item(table, session.session_id)
    assert after == item_of(wanted)
    assert changed(before, after) == path.attributes


@dataclass(frozen=True)
class Obstacle:
    """One thing that a path minds: how the session differs from the one it is for, and whose hands it is in."""

    name: str
    state: dict[str, Any]
    tenant: str = TENANT
    minded_by: set[RenewalPath] = field(default_factory=lambda: set(RenewalPath))
    minded_if_manual: bool = True


def _fits(milliseconds_short: int) -> dict[str, Any]:
    """A cap at which a whole timeout from NOW on is too long by this much."""
    return {"ends_at_ms": NOW + 30 * MINUTE - milliseconds_short}


_EXPIRY: Final = a_session().expires_at_ms
_BEFORE_THE_CAP: Final = {RenewalPath.USUAL, RenewalPath.AFTER_WARNING}

OBSTACLES: Final = [
    Obstacle("another tenant's", {}, tenant="other"),
    Obstacle("announced", {"announced": True}),
    Obstacle("expired at this millisecond", {"expires_at_ms": NOW}),
    Obstacle("expired before", {"expires_at_ms": NOW - 1}),
    Obstacle("used later than now", {"last_activity_ms": NOW + 1}),
    Obstacle("renewed later than now", {"last_activity_ms": NOW + 1, "renewed_at_ms": NOW + 1}),
    Obstacle("a timeout just reaches the cap", _fits(0), minded_by=_BEFORE_THE_CAP),
    Obstacle("a timeout does not fit under the cap", _fits(1), minded_by=_BEFORE_THE_CAP),
    Obstacle("a timeout fits under the cap", _fits(-1), minded_by={RenewalPath.TO_CAP}),
    Obstacle(
        "at the cap already",
        {"expires_at_ms": NOW + 10 * MINUTE, "ends_at_ms": NOW + 10 * MINUTE},
        minded_by=_BEFORE_THE_CAP | {RenewalPath.TO_CAP},
    ),
    Obstacle("warned", {"due_at_ms": _EXPIRY}, minded_by={RenewalPath.USUAL}),
    Obstacle("not warned yet", {"due_at_ms": _EXPIRY - 1}, minded_by={RenewalPath.AFTER_WARNING}),
    Obstacle(
        "not to be renewed by activity",
        {"timeout": replace(TIMEOUT, auto_renew=False)},
        minded_by=set(RenewalPath) - {RenewalPath.ACTIVITY_ONLY},
        minded_if_manual=False,
    ),
    Obstacle(
        "renewed by activity, with time to gain",
        {"timeout": TIMEOUT, "ends_at_ms": _EXPIRY + 1},
        minded_by={RenewalPath.ACTIVITY_ONLY},
    ),
]


def _in_the_way(path: Path, obstacle: Obstacle) -> Session:
    """The session that the path is for, but for the obstacle: where expiry moves, what was measured by it moves too."""
    session = a_session(**path.state | obstacle.state)
    moved = session.expires_at_ms - _EXPIRY
    if "expires_at_ms" in obstacle.state and "ends_at_ms" not in obstacle.state:
        at_the_cap = path.state.get("ends_at_ms") == _EXPIRY
        session = replace(
            session,
            due_at_ms=session.due_at_ms + moved,
            ends_at_ms=session.ends_at_ms + moved if at_the_cap else session.ends_at_ms,
        )
    return session


def _met() -> list[Any]:
    return [
        pytest.param(path, obstacle, id=f"{path.name} / {obstacle.name}")
        for path in PATHS
        for obstacle in OBSTACLES
        if path.path in obstacle.minded_by and (obstacle.minded_if_manual or not path.manual)
    ]


@pytest.mark.parametrize("path, obstacle", _met())
def test_a_renewal_is_refused_for_each_reason_alone_and_then_changes_nothing(
    table: Table, store: DynamoSessionStore, path: Path, obstacle: Obstacle
) -> None:
    session = put(table, _in_the_way(path, obstacle))
    before = item(table, session.session_id)
    assert renewed(store, path, session, tenant=obstacle.tenant) == Write(applied=False, session=session)
    assert item(table, session.session_id) == before


@every_path
def test_a_renewal_of_what_is_gone_leaves_nothing_behind(table: Table, store: DynamoSessionStore, path: Path) -> None:
    session = a_session(**path.state)
    assert renewed(store, path, session) == Write(applied=False, session=None)
    assert item(table, session.session_id) is None


@pytest.mark.parametrize(
    "path, state",
    [
        pytest.param(PATHS[0], {"expires_at_ms": NOW + 1, "due_at_ms": NOW}, id="a millisecond before it expires"),
        pytest.param(PATHS[0], {"last_activity_ms": NOW, "renewed_at_ms": NOW}, id="used at this millisecond"),
        pytest.param(PATHS[0], _fits(-1), id="a millisecond more than a timeout under the cap"),
        pytest.param(PATHS[0], {"due_at_ms": _EXPIRY - 1}, id="a millisecond before it counts as warned"),
        pytest.param(PATHS[2], {"due_at_ms": _EXPIRY + 1}, id="warned, and due later still"),
        pytest.param(PATHS[4], _fits(0), id="a timeout reaches the cap"),
        pytest.param(PATHS[4], {"ends_at_ms": _EXPIRY + 1}, id="a millisecond to gain"),
    ],
)
def test_a_renewal_goes_through_up_to_the_last_millisecond(
    table: Table, store: DynamoSessionStore, path: Path, state: dict[str, Any]
) -> None:
    session = put(table, a_session(**state))
    write = renewed(store, path, session)
    assert write.applied
    assert write.session is not None
    assert write.session.expires_at_ms == min(NOW + 30 * MINUTE, session.ends_at_ms)


def test_every_renewal_counts_and_starts_a_lease(store: DynamoSessionStore) -> None:
    session = a_session()
    store.create(session)
    for count in range(1, 6):
        write = renewed(store, PATHS[0], session, now_ms=NOW + count)
        assert write.session is not None
        assert (write.session.renewal_count, write.session.lease) == (count, count + 1)
        assert write.session.expires_at_ms == NOW + count + 30 * MINUTE


def test_two_renewals_at_one_moment_both_count(store: DynamoSessionStore) -> None:
    session = a_session()
    store.create(session)
    writes = [renewed(store, PATHS[0], session) for _ in range(2)]
    assert [write.session.renewal_count for write in writes if write.session] == [1, 2]


# --- patch ------------------------------------------------------------------------------------------------------------

NEW_TIMEOUT: Final = TimeoutConfig(
    timeout_minutes=45.5, auto_renew=False, max_duration_minutes=800.25, warning_threshold_minutes=2
)


def test_a_patch_replaces_the_settings_and_all_that_follows_from_them(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    before = item(table, session.session_id)
    wanted = patched(session, NEW_TIMEOUT)
    assert store.patch(session, wanted, NOW) == Write(applied=True, session=wanted)
    after = item(table, session.session_id)
    assert after == item_of(wanted)
    assert changed(before, after) == {
        "timeoutMinutes",
        "autoRenew",
        "maxDurationMinutes",
        "warningThresholdMinutes",
        "timeoutMs",
        "warningMs",
        "warnAfterMs",
        "endsAt",
        "expiresAt",
        "renewableUntil",
        "purgeAt",
        "lease",
        "dueAt",
    }


def test_a_patch_that_moves_no_expiry_moves_no_lease(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session(due_at_ms=_EXPIRY))
    wanted = patched(session, replace(TIMEOUT, auto_renew=False, warning_threshold_minutes=7))
    write = store.patch(session, wanted, NOW)
    assert write == Write(applied=True, session=wanted)
    assert wanted.lease == session.lease
    assert wanted.warned


def test_a_renewal_after_a_patch_goes_by_the_new_settings(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    store.patch(session, patched(session, replace(NEW_TIMEOUT, auto_renew=True)), NOW)
    write = renewed(store, PATHS[0], session, now_ms=NOW + 1)
    assert write.session is not None
    assert write.session.expires_at_ms == NOW + 1 + round(45.5 * MINUTE)


@pytest.mark.parametrize(
    "name, value",
    [
        ("lease", {"N": "2"}),
        ("renewedAt", {"N": str(NOW)}),
        ("dueAt", {"N": str(_EXPIRY)}),
        ("timeoutMinutes", {"N": "31"}),
        ("autoRenew", {"BOOL": False}),
        ("maxDurationMinutes", {"N": "719.5"}),
        ("warningThresholdMinutes", {"N": "6"}),
    ],
)
def test_a_patch_is_refused_when_what_it_rests_on_has_changed_since_it_was_read(
    table: Table, store: DynamoSessionStore, name: str, value: Any
) -> None:
    session = put(table, a_session())
    set_attribute(table, session.session_id, name, value)
    before = item(table, session.session_id)
    write = store.patch(session, patched(session, NEW_TIMEOUT), NOW)
    assert write == Write(applied=False, session=items.session_from_item(before))
    assert item(table, session.session_id) == before


def test_activity_that_renewed_nothing_is_no_obstacle_to_a_patch(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    set_attribute(table, session.session_id, "lastActivity", {"N": str(NOW)})
    wanted = patched(session, NEW_TIMEOUT)
    assert store.patch(session, wanted, NOW) == Write(applied=True, session=replace(wanted, last_activity_ms=NOW))


@pytest.mark.parametrize(
    "state",
    [{"announced": True}, {"expires_at_ms": NOW, "due_at_ms": NOW - 1}, {"expires_at_ms": NOW - 1, "due_at_ms": 0}],
    ids=["announced", "expired at this millisecond", "expired before"],
)
def test_no_patch_brings_a_session_back(table: Table, store: DynamoSessionStore, state: dict[str, Any]) -> None:
    session = put(table, a_session(**state))
    before = item(table, session.session_id)
    assert store.patch(session, patched(session, NEW_TIMEOUT), NOW) == Write(applied=False, session=session)
    assert item(table, session.session_id) == before


def test_a_session_can_be_patched_up_to_its_last_millisecond(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session(expires_at_ms=NOW + 1))
    assert store.patch(session, patched(session, NEW_TIMEOUT), NOW).applied


def test_no_patch_reaches_another_tenants_session(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    foreign = replace(session, tenant_id="other")
    write = store.patch(foreign, patched(foreign, NEW_TIMEOUT), NOW)
    assert write == Write(applied=False, session=session)
    assert item(table, session.session_id) == item_of(session)


def test_a_patch_of_what_is_gone_leaves_nothing_behind(table: Table, store: DynamoSessionStore) -> None:
    session = a_session()
    assert store.patch(session, patched(session, NEW_TIMEOUT), NOW) == Write(applied=False, session=None)
    assert item(table, session.session_id) is None


# --- delete -----------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_handed_back_and_gone(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    assert store.delete(session.session_id, TENANT) == session
    assert item(table, session.session_id) is None
    assert store.delete(session.session_id, TENANT) is None


@pytest.mark.parametrize(
    "state", [{"expires_at_ms": NOW - 1}, {"announced": True}], ids=["expired", "expired and announced"]
)
def test_an_expired_session_can_be_deleted(table: Table, store: DynamoSessionStore, state: dict[str, Any]) -> None:
    session = put(table, a_session(**state))
    assert store.delete(session.session_id, TENANT) == session
    assert item(table, session.session_id) is None


def test_nobody_deletes_another_tenants_session(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    assert store.delete(session.session_id, "other") is None
    assert item(table, session.session_id) == item_of(session)


def test_deleting_what_never_was_answers_none(store: DynamoSessionStore) -> None:
    assert store.delete(new_session_id(), TENANT) is None


def test_a_deleted_sessions_id_is_free_again(store: DynamoSessionStore) -> None:
    session = a_session()
    store.create(session)
    store.delete(session.session_id, TENANT)
    again = replace(session, attempt=b"again")
    assert store.create(again) is None
    assert store.get(session.session_id) == again
