"""What a session store does: create, get, renew, patch, delete. Collected once for each engine."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.attempts import Write
from agent_sessions.sessions.dynamo_store import DynamoSessionStore
from agent_sessions.sessions.leases import Renewal, RenewalPath, patch_of
from agent_sessions.sessions.model import Session, TimeoutConfig
from agent_sessions.sessions.service import Deletion

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
    patched,
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


@pytest.mark.parametrize("minutes", [5, 7.5, 5.123456789012345, 1440, 719.9999999999999])
def test_minutes_come_back_as_they_were_sent(store: DynamoSessionStore, minutes: float) -> None:
    session = a_session(timeout=TIMEOUT._replace(timeout_minutes=minutes, warning_threshold_minutes=minutes))
    store.create(session)
    found = store.get(session.session_id)
    assert found is not None
    assert (found.timeout.timeout_minutes, type(found.timeout.timeout_minutes)) == (minutes, type(minutes))


def test_an_id_that_is_taken_gives_back_the_session_that_holds_it(table: Table, store: DynamoSessionStore) -> None:
    first = a_session()
    store.create(first)
    second = a_session(session_id=first.session_id, tenant_id="other", request_hash=b"another request", attempt=b"2")
    assert store.create(second) == first
    assert store.get(first.session_id) == first


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
    session = put(table, a_session(closed=True, announced=True))
    assert store.get(session.session_id) == session


# --- renew ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """One way to renew: a session in the state that it is for, and what it makes of that at NOW.

    Before an overtaken renewal, an attempt was refused that came with a time before NOW, the last activity recorded.
    """

    path: RenewalPath
    state: dict[str, Any]
    result: dict[str, Any]
    attributes: set[str]
    manual: bool = False
    overtaken: bool = False

    @property
    def name(self) -> str:
        return f"{self.path.value}{' manual' * self.manual}{' overtaken' * self.overtaken}"

    @property
    def clock_ms(self) -> int:
        """The time it comes with: the clock is read anew after an attempt that was refused."""
        return NOW + 15 if self.overtaken else NOW

    @property
    def attempt(self) -> Renewal:
        return Renewal(self.path, self.manual, REFUSED_MS if self.overtaken else None)


REFUSED_MS: Final = NOW - 40
"""The time of the attempt that met later activity."""
_EXPIRY: Final = a_session().expires_at_ms
_RENEWED: Final = {
    "last_activity_ms": NOW,
    "renewed_at_ms": NOW,
    "expires_at_ms": NOW + 30 * MINUTE,
    "renewal_count": 1,
    "lease": 2,
}
_WITH_APPOINTMENT: Final = _RENEWED | {"due_at_ms": NOW + 25 * MINUTE}
_WARNED: Final = {"due_at_ms": _EXPIRY}
_NEAR_THE_CAP: Final = {"ends_at_ms": NOW + 30 * MINUTE}
_LITTLE_LEFT: Final = {"expires_at_ms": NOW + 2 * MINUTE, "due_at_ms": NOW + 2 * MINUTE, "ends_at_ms": NOW + 3 * MINUTE}
_DUE_AT_ONCE: Final = _RENEWED | {"expires_at_ms": NOW + 3 * MINUTE, "due_at_ms": NOW}
_MANUAL_ONLY: Final = {"timeout": TIMEOUT._replace(auto_renew=False)}

_PATHS: Final = [
    Path(RenewalPath.USUAL, {}, _RENEWED, RENEWAL),
    Path(RenewalPath.AFTER_WARNING, _WARNED, _WITH_APPOINTMENT, RENEWAL | {"dueAt"}),
    Path(RenewalPath.TO_CAP, _NEAR_THE_CAP, _WITH_APPOINTMENT, RENEWAL | {"dueAt"}),
    Path(RenewalPath.TO_CAP, _NEAR_THE_CAP | _WARNED, _WITH_APPOINTMENT, RENEWAL | {"dueAt"}),
    Path(RenewalPath.INTO_WARNING, _LITTLE_LEFT, _DUE_AT_ONCE, RENEWAL | {"dueAt"}),
]
_BY_HAND: Final = [replace(path, state=path.state | _MANUAL_ONLY, manual=True) for path in _PATHS]
_OVERTAKEN: Final = [
    replace(
        path,
        state=path.state | {"last_activity_ms": NOW},
        attributes=path.attributes - {"lastActivity"},
        overtaken=True,
    )
    for path in _PATHS + _BY_HAND
]
PATHS: Final = [
    *_PATHS,
    *_BY_HAND,
    *_OVERTAKEN,
    Path(RenewalPath.ACTIVITY_ONLY, _MANUAL_ONLY, {"last_activity_ms": NOW}, {"lastActivity"}),
    Path(RenewalPath.ACTIVITY_ONLY, {"ends_at_ms": _EXPIRY}, {"last_activity_ms": NOW}, {"lastActivity"}),
]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)


def renewed(store: DynamoSessionStore, path: Path, session: Session, tenant: str = TENANT) -> Write:
    return store.renew(session.session_id, tenant, path.attempt, path.clock_ms)


@every_path
def test_a_renewal_changes_what_its_path_says_and_nothing_else(
    table: Table, store: DynamoSessionStore, path: Path
) -> None:
    session = put(table, a_session(**path.state))
    before = item(table, session.session_id)
    wanted = session._replace(**path.result)
    assert renewed(store, path, session) == Write(applied=True, session=wanted)
    after = item(table, session.session_id)
    assert after == item_of(wanted)
    assert changed(before, after) == path.attributes


State = Callable[[Path], dict[str, Any]]
"""How a session differs from the one that a path is for."""


@dataclass(frozen=True)
class Obstacle:
    """One thing that a path minds, and nothing else that it minds."""

    name: str
    state: State
    minded_by: Callable[[Path], bool] = lambda _: True
    tenant: str = TENANT


def _expired(milliseconds_ago: int) -> State:
    """Over by the clock of the call; what is measured by the expiry moves with it."""

    def state(path: Path) -> dict[str, Any]:
        session = a_session(**path.state)
        expires = path.clock_ms - milliseconds_ago
        moved = {"expires_at_ms": expires, "due_at_ms": session.due_at_ms + expires - session.expires_at_ms}
        at_the_cap = session.ends_at_ms == session.expires_at_ms
        return moved | ({"ends_at_ms": expires} if at_the_cap else {})

    return state


def _cap(milliseconds_short: int) -> State:
    """A cap at which a whole timeout from NOW on is too long by this much."""
    return lambda _: {"ends_at_ms": NOW + 30 * MINUTE - milliseconds_short}


def _used_at(path: Path, moment: int) -> dict[str, Any]:
    """Used last at this moment; near the cap where the path is for that."""
    cap = {"ends_at_ms": moment + 30 * MINUTE} if path.path is RenewalPath.TO_CAP else {}
    return {"last_activity_ms": moment} | cap


def _is(*paths: RenewalPath) -> Callable[[Path], bool]:
    return lambda path: path.path in paths


_USUAL, _AFTER, _TO_CAP, _INTO_WARNING, _NOTHING = RenewalPath
OBSTACLES: Final = [
    Obstacle("another tenant's", lambda _: {}, tenant="other"),
    Obstacle("closed", lambda _: {"closed": True}),
    Obstacle("expired at this millisecond", _expired(0)),
    Obstacle("expired before", _expired(1)),
    Obstacle("used later than now", lambda _: {"last_activity_ms": NOW + 1}, lambda path: not path.overtaken),
    Obstacle(
        "renewed later than now",
        lambda _: {"last_activity_ms": NOW + 1, "renewed_at_ms": NOW + 1},
        lambda path: not path.overtaken,
    ),
    Obstacle("not overtaken", lambda path: _used_at(path, REFUSED_MS - 1), lambda path: path.overtaken),
    Obstacle("a timeout just reaches the cap", _cap(0), _is(_USUAL, _AFTER)),
    Obstacle("a timeout does not fit under the cap", _cap(1), _is(_USUAL, _AFTER)),
    Obstacle("a timeout fits under the cap", _cap(-1), _is(_TO_CAP, _INTO_WARNING)),
    Obstacle(
        "at the cap already",
        lambda _: {"expires_at_ms": NOW + 10 * MINUTE, "ends_at_ms": NOW + 10 * MINUTE},
        _is(_USUAL, _AFTER, _TO_CAP, _INTO_WARNING),
    ),
    Obstacle("warned", lambda _: {"due_at_ms": _EXPIRY}, _is(_USUAL)),
    Obstacle("not warned yet", lambda _: {"due_at_ms": _EXPIRY - 1}, _is(_AFTER)),
    Obstacle(
        "not to be renewed by activity",
        lambda _: {"timeout": TIMEOUT._replace(auto_renew=False)},
        lambda path: not path.manual and path.path is not _NOTHING,
    ),
    Obstacle(
        "renewed by activity, with time to gain",
        lambda _: {"timeout": TIMEOUT, "ends_at_ms": _EXPIRY + 1},
        _is(_NOTHING),
    ),
]


def _met() -> list[Any]:
    return [
        pytest.param(path, obstacle, id=f"{path.name} / {obstacle.name}")
        for path in PATHS
        for obstacle in OBSTACLES
        if obstacle.minded_by(path)
    ]


@pytest.mark.parametrize("path, obstacle", _met())
def test_a_renewal_is_refused_for_each_reason_alone_and_then_changes_nothing(
    table: Table, store: DynamoSessionStore, path: Path, obstacle: Obstacle
) -> None:
    session = put(table, a_session(**path.state | obstacle.state(path)))
    before = item(table, session.session_id)
    assert renewed(store, path, session, obstacle.tenant) == Write(applied=False, session=session)
    assert item(table, session.session_id) == before


@every_path
def test_a_renewal_of_what_is_gone_leaves_nothing_behind(table: Table, store: DynamoSessionStore, path: Path) -> None:
    session = a_session(**path.state)
    assert renewed(store, path, session) == Write(applied=False, session=None)
    assert item(table, session.session_id) is None


LAST_MOMENTS: Final[list[tuple[str, Callable[[Path], bool], State]]] = [
    ("a millisecond before it expires", lambda path: path.path is not _NOTHING, _expired(-1)),
    ("used at this millisecond", lambda path: not path.overtaken, lambda _: {"last_activity_ms": NOW}),
    ("overtaken by nothing", lambda path: path.overtaken, lambda path: _used_at(path, REFUSED_MS)),
    ("a millisecond more than a timeout under the cap", _is(_USUAL, _AFTER), _cap(-1)),
    ("a millisecond before it counts as warned", _is(_USUAL), lambda _: {"due_at_ms": _EXPIRY - 1}),
    ("warned, and due later still", _is(_AFTER), lambda _: {"due_at_ms": _EXPIRY + 1}),
    ("a timeout reaches the cap", _is(_TO_CAP), _cap(0)),
    ("a millisecond to gain", _is(_TO_CAP), lambda _: {"ends_at_ms": _EXPIRY + 1}),
]


@pytest.mark.parametrize(
    "path, state",
    [
        pytest.param(path, state, id=f"{path.name} / {name}")
        for path in PATHS
        for name, holds_for, state in LAST_MOMENTS
        if holds_for(path)
    ],
)
def test_a_renewal_goes_through_up_to_the_last_millisecond(
    table: Table, store: DynamoSessionStore, path: Path, state: State
) -> None:
    session = put(table, a_session(**path.state | state(path)))
    write = renewed(store, path, session)
    assert write.applied
    assert write.session is not None
    moment = session.last_activity_ms if path.overtaken else NOW
    assert write.session.last_activity_ms == moment
    if path.path is not _NOTHING:
        assert write.session.expires_at_ms == min(moment + 30 * MINUTE, session.ends_at_ms)


# --- patch ------------------------------------------------------------------------------------------------------------

NEW_TIMEOUT: Final = TimeoutConfig(
    timeout_minutes=45.5, auto_renew=False, max_duration_minutes=800.25, warning_threshold_minutes=2
)


def test_a_patch_replaces_the_settings_and_all_that_follows_from_them(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    before = item(table, session.session_id)
    wanted = patched(session, NEW_TIMEOUT)
    assert store.patch(session, patch_of(session, NEW_TIMEOUT, NOW), NOW) == Write(applied=True, session=wanted)
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
        "lease",
        "dueAt",
    }


def _case(session: Session, wanted: Session) -> tuple[bool, ...]:
    """What a patch may be refused for when it has changed: the side of the cap, whether expiry moves, the warning."""
    moves = (wanted.expires_at_ms, wanted.capped) != (session.expires_at_ms, session.capped)
    return session.capped, wanted.capped, moves, session.warned and not moves


def _settings() -> list[TimeoutConfig]:
    """Longer, shorter and the same, each with a cap that is out of reach, near, nearer still, or met exactly."""
    return [
        TimeoutConfig(timeout, auto_renew, most, warning)
        for timeout in (30, 21, 45.5)
        for most in (720, 25, 24, 30, 45.5)
        for auto_renew, warning in (((True, 5), (False, 7)) if timeout == TIMEOUT.timeout_minutes else ((False, 7),))
    ]


def _meanwhile(session: Session, what: str) -> Session:
    """What another call may have made of a session between the reading and the patch."""
    expires = min(NOW + session.timeout.timeout_ms, session.ends_at_ms)
    if what == "renewed" and expires > session.expires_at_ms:
        return session._replace(
            last_activity_ms=NOW,
            renewed_at_ms=NOW,
            expires_at_ms=expires,
            renewal_count=1,
            lease=2,
            due_at_ms=expires - session.timeout.warning_ms,
        )
    return session._replace(due_at_ms=session.expires_at_ms) if what == "warned" else session


@pytest.mark.parametrize("was_warned", [False, True], ids=["not warned", "warned"])
@pytest.mark.parametrize("meanwhile", ["nothing", "renewed", "warned"])
@pytest.mark.parametrize("most", [720, 45, 25], ids=["far from the cap", "near the cap", "at the cap"])
def test_a_patch_makes_of_a_session_what_the_arithmetic_says_or_nothing_if_the_case_has_changed(
    table: Table,
    store: DynamoSessionStore,
    most: int,
    meanwhile: str,
    was_warned: bool,  # noqa: FBT001
) -> None:
    timeout = TIMEOUT._replace(max_duration_minutes=most)
    for settings in _settings():
        if settings == timeout:
            continue
        read = patched(a_session(timeout=timeout), timeout)
        read = read._replace(due_at_ms=read.expires_at_ms if was_warned else read.warning_at_ms, lease=1)
        now = put(table, _meanwhile(read, meanwhile))
        wanted = patched(now, settings)
        patch = patch_of(read, settings, NOW)
        if patch.warning_due and wanted.due_at_ms != now.due_at_ms:  # by what was read: early, which does no harm
            wanted = wanted._replace(due_at_ms=NOW)
        write = store.patch(read, patch, NOW)
        if wanted.expires_at_ms > NOW and _case(read, patched(read, settings)) == _case(now, wanted):
            assert write == Write(applied=True, session=wanted), settings
            assert item(table, now.session_id) == item_of(wanted), settings
        else:
            assert write == Write(applied=False, session=now), settings
            assert item(table, now.session_id) == item_of(now), settings


@pytest.mark.parametrize(
    "name, value",
    [
        ("timeoutMinutes", {"N": "31"}),
        ("autoRenew", {"BOOL": False}),
        ("maxDurationMinutes", {"N": "719.5"}),
        ("warningThresholdMinutes", {"N": "6"}),
    ],
)
def test_a_patch_is_refused_when_a_setting_has_changed_since_it_was_read(
    table: Table, store: DynamoSessionStore, name: str, value: Any
) -> None:
    session = put(table, a_session())
    set_attribute(table, session.session_id, name, value)
    before = item(table, session.session_id)
    write = store.patch(session, patch_of(session, NEW_TIMEOUT, NOW), NOW)
    assert write == Write(applied=False, session=items.session_from_item(before))
    assert item(table, session.session_id) == before


@pytest.mark.parametrize(
    "state",
    [
        {"closed": True, "announced": True},
        {"expires_at_ms": NOW, "due_at_ms": NOW - 1},
        {"expires_at_ms": NOW - 1, "due_at_ms": 0},
    ],
    ids=["announced", "expired at this millisecond", "expired before"],
)
def test_no_patch_brings_a_session_back(table: Table, store: DynamoSessionStore, state: dict[str, Any]) -> None:
    session = put(table, a_session(**state))
    before = item(table, session.session_id)
    write = store.patch(session, patch_of(session, NEW_TIMEOUT, NOW), NOW)
    assert write == Write(applied=False, session=session)
    assert item(table, session.session_id) == before


@pytest.mark.parametrize("is_applied", [True, False], ids=["a millisecond left", "nothing left"])
def test_no_patch_puts_the_expiry_of_a_session_behind_it(
    table: Table,
    store: DynamoSessionStore,
    is_applied: bool,  # noqa: FBT001
) -> None:
    session = put(table, a_session())
    now = session.renewed_at_ms + 7 * MINUTE - is_applied
    patch = patch_of(session, TIMEOUT._replace(timeout_minutes=7), NOW)
    assert store.patch(session, patch, now).applied == is_applied


def test_no_patch_reaches_another_tenants_session(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    write = store.patch(session._replace(tenant_id="other"), patch_of(session, NEW_TIMEOUT, NOW), NOW)
    assert write == Write(applied=False, session=session)
    assert item(table, session.session_id) == item_of(session)


def test_a_patch_of_what_is_gone_leaves_nothing_behind(table: Table, store: DynamoSessionStore) -> None:
    session = a_session()
    assert store.patch(session, patch_of(session, NEW_TIMEOUT, NOW), NOW) == Write(applied=False, session=None)
    assert item(table, session.session_id) is None


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_new_metadata_replaces_the_old_and_nothing_else(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session(metadata_json='{"a":1}'))
    write = store.put_metadata(session, '{"b":"ü"}', NOW)
    assert write == Write(applied=True, session=session._replace(metadata_json='{"b":"ü"}'))
    assert changed(item_of(session), item(table, session.session_id)) == {"metadata"}


@pytest.mark.parametrize(
    "state",
    [
        {"metadata_json": '{"a": 1}'},
        {"tenant_id": "other"},
        {"closed": True},
        {"expires_at_ms": NOW, "due_at_ms": NOW - 1},
    ],
    ids=["changed since it was read", "another tenant's", "closed", "expired at this millisecond"],
)
def test_new_metadata_is_refused_for_each_reason_alone(
    table: Table, store: DynamoSessionStore, state: dict[str, Any]
) -> None:
    read = a_session(metadata_json='{"a":1}')
    session = put(table, read._replace(**state))
    before = item(table, session.session_id)
    assert store.put_metadata(read, "{}", NOW) == Write(applied=False, session=session)
    assert item(table, session.session_id) == before


# --- delete -----------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_handed_back_and_gone(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    assert store.delete(session.session_id, TENANT) == Deletion(True, session, session.attempt)
    assert item(table, session.session_id) is None
    assert store.delete(session.session_id, TENANT) is None


def test_nobody_deletes_another_tenants_session(table: Table, store: DynamoSessionStore) -> None:
    session = put(table, a_session())
    assert store.delete(session.session_id, "other") is None
    assert item(table, session.session_id) == item_of(session)
