"""Sessions outlive settings and versions: written under one, they are served, listed and ended under another."""

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.unit.sweep_world import SweepWorld
from tests.unit.world import AGENT, MINUTE, START_MS, TABLE, USER

SESSIONS: Final = 12


class Service(SweepWorld):
    """The API and the sweeper on one table. `restart` is a deployment: new processes, with these settings."""

    def restart(self, **settings: str) -> None:
        super().restart(**({"DUE_SHARDS": "8"} | settings))

    def published_at(self, kind: str) -> dict[str, int]:
        """When each session's event of a kind came, in minutes since the start; no event comes twice."""
        bodies = [(json.loads(each.message), each.at_ms) for each in self.sns.published]
        ids = [body["id"] for body, _ in bodies]
        assert len(ids) == len(set(ids))
        suffix = f".{kind}"
        return {
            body["subject"]: (at_ms - START_MS) // MINUTE for body, at_ms in bodies if body["type"].endswith(suffix)
        }

    def some(self, count: int = SESSIONS) -> set[str]:
        """The ids of so many new sessions, a second apart."""
        ids = set()
        for _ in range(count):
            ids.add(self.new()["sessionId"])
            self.clock.advance(1_000)
        return ids

    def listed(self, **query: str) -> list[str]:
        """The ids on all pages of a list."""
        ids: list[str] = []
        page = self.page(limit="3", **query).json
        ids += [session["sessionId"] for session in page["sessions"]]
        while "nextCursor" in page:
            page = self.page(limit="3", cursor=page["nextCursor"], **query).json
            ids += [session["sessionId"] for session in page["sessions"]]
        return ids


# --- DUE_SHARDS and SWEEP_SHARDS --------------------------------------------------------------------------------------


def test_sessions_of_fewer_shards_are_warned_and_ended_in_time_under_more() -> None:
    service = Service(DUE_SHARDS="2")
    old = service.some()
    service.restart(DUE_SHARDS="8")
    new = service.some()
    service.sweep_minutes(32)
    warned, expired = service.published_at("expiring"), service.published_at("expired")
    assert warned.keys() == expired.keys() == old | new
    assert max(warned.values()) <= 25
    assert max(expired.values()) <= 31


def test_sessions_of_more_shards_are_warned_and_ended_in_time_while_those_are_drained() -> None:
    service = Service(DUE_SHARDS="8")
    old = service.some()
    service.restart(DUE_SHARDS="2", SWEEP_SHARDS="8")
    new = service.some()
    assert {service.item(session_id)["dueShard"]["N"] for session_id in new} == {"0", "1"}
    service.sweep_minutes(32)
    warned, expired = service.published_at("expiring"), service.published_at("expired")
    assert warned.keys() == expired.keys() == old | new
    assert max(warned.values()) <= 25


def test_shards_that_were_dropped_without_draining_are_caught_up_once_they_are_swept_again() -> None:
    service = Service(DUE_SHARDS="8")
    sessions = service.some()
    forgotten = {each for each in sessions if int(service.item(each)["dueShard"]["N"]) >= 2}
    service.restart(DUE_SHARDS="2")
    service.sweep_minutes(32)
    assert service.published_at("expired").keys() == sessions - forgotten
    assert {service.get(session_id).status for session_id in sessions} == {410}, "callers notice nothing"
    service.restart(DUE_SHARDS="2", SWEEP_SHARDS="8")
    service.sweep_minutes(1)
    assert service.published_at("expired").keys() == sessions
    assert service.published_at("expiring").keys() == sessions - forgotten, "what is over is not warned of"


# --- TENANT_SHARDS and LIST_SHARDS ------------------------------------------------------------------------------------


def test_under_more_tenant_shards_every_session_is_listed_once_and_newest_first() -> None:
    service = Service(TENANT_SHARDS="2")
    old = service.some()
    service.restart(TENANT_SHARDS="6")
    new = service.some()
    listed = service.listed()
    assert len(listed) == 2 * SESSIONS
    assert (set(listed[:SESSIONS]), set(listed[SESSIONS:])) == (new, old)


def test_fewer_tenant_shards_list_every_session_while_the_old_ones_are_drained() -> None:
    service = Service(TENANT_SHARDS="6")
    old = service.some()
    service.restart(TENANT_SHARDS="2", LIST_SHARDS="6")
    new = service.some()
    assert {service.item(session_id)["tenantShard"]["S"] for session_id in new} == {"acme#0", "acme#1"}
    listed = service.listed()
    assert len(listed) == 2 * SESSIONS
    assert set(listed) == old | new


@pytest.mark.parametrize("shards", ["2", "6"])
def test_a_cursor_from_before_is_refused_unless_the_list_is_a_users(shards: str) -> None:
    service = Service(TENANT_SHARDS="4")
    service.some()
    cursors = {
        name: service.page(limit="3", **query).json["nextCursor"]
        for name, query in {"tenant": {}, "user": {"userId": USER}}.items()
    }
    service.restart(TENANT_SHARDS=shards)
    assert service.page(limit="3", cursor=cursors["tenant"]).status == 400
    assert service.page(limit="3", cursor=cursors["user"], userId=USER).status == 200


# --- SESSION_RETENTION_MINUTES ----------------------------------------------------------------------------------------


def test_a_shorter_retention_counts_for_sessions_from_before_at_once() -> None:
    service = Service(SESSION_RETENTION_MINUTES="1440")
    session_id = service.new()["sessionId"]
    service.clock.advance(minutes=30 + 61)
    assert service.get(session_id).status == 410
    service.restart(SESSION_RETENTION_MINUTES="60")
    assert service.get(session_id).status == 404


def test_a_session_from_before_the_bounds_were_raised_is_never_patched_beyond_the_life_of_its_record() -> None:
    service = Service()
    session_id = service.new(maxDurationMinutes=720)["sessionId"]
    kept = int(service.item(session_id)["purgeAt"]["N"])
    service.restart(SESSION_MAX_TIMEOUT_MINUTES="10000", SESSION_RETENTION_MINUTES="2880")
    longest = 2880 + 1440 + 1440 - 2880
    refused = service.patch(session_id, {"maxDurationMinutes": longest + 1})
    assert refused.status == 400
    assert refused.json["error"]["details"]["fields"] == [
        {
            "field": "maxDurationMinutes",
            "message": f"must be at most {longest} for a session as old as this one",
            "value": longest + 1,
        }
    ]
    assert service.patch(session_id, {"maxDurationMinutes": longest}).status == 200
    assert int(service.item(session_id)["purgeAt"]["N"]) == kept
    assert service.patch(session_id, {"maxDurationMinutes": 30}).status == 200


# --- defaults and bounds ----------------------------------------------------------------------------------------------

OTHERS: Final = {
    "SESSION_DEFAULT_TIMEOUT_MINUTES": "10",
    "SESSION_MIN_TIMEOUT_MINUTES": "10",
    "SESSION_MAX_TIMEOUT_MINUTES": "20",
    "SESSION_MAX_DURATION_MINUTES": "40",
    "SESSION_WARNING_THRESHOLD_MINUTES": "2",
}


def test_new_bounds_hold_for_what_a_patch_sends_and_not_for_what_it_keeps() -> None:
    service = Service()
    session_id = service.new()["sessionId"]
    service.restart(**OTHERS)
    patched = service.patch(session_id, {"warningThresholdMinutes": 3})
    assert patched.status == 200
    assert patched.json["timeoutConfig"]["timeoutMinutes"] == 30
    assert service.patch(session_id, {"timeoutMinutes": 21}).fields == ["timeoutMinutes"]
    assert service.patch(session_id, {"timeoutMinutes": 20}).status == 200


# --- versions ---------------------------------------------------------------------------------------------------------

SESSION_ID: Final = "5f1c2e0a-9d53-4b1e-8f0e-0b7a6f1d2c3b"
ITEM_OF_0_1_0: Final[dict[str, Any]] = {
    "sessionId": {"S": SESSION_ID},
    "tenantId": {"S": "acme"},
    "agentId": {"S": AGENT},
    "userId": {"S": USER},
    "metadata": {"S": '{"topic":"upgrades","since":1.5}'},
    "requestHash": {"B": bytes(32)},
    "attempt": {"B": bytes(4)},
    "createdAt": {"N": str(START_MS)},
    "lastActivity": {"N": str(START_MS)},
    "renewedAt": {"N": str(START_MS)},
    "expiresAt": {"N": str(START_MS + 30 * MINUTE)},
    "renewalCount": {"N": "0"},
    "lease": {"N": "1"},
    "timeoutMinutes": {"N": "30"},
    "autoRenew": {"BOOL": True},
    "maxDurationMinutes": {"N": "720"},
    "warningThresholdMinutes": {"N": "5"},
    "timeoutMs": {"N": str(30 * MINUTE)},
    "warningMs": {"N": str(5 * MINUTE)},
    "warnAfterMs": {"N": str(25 * MINUTE)},
    "endsAt": {"N": str(START_MS + 720 * MINUTE)},
    "renewableUntil": {"N": str(START_MS + 690 * MINUTE)},
    "purgeAt": {"N": str(START_MS // 1_000 + 2160 * 60)},
    "listedAt": {"N": str(START_MS)},
    "tenantUser": {"S": f"acme#{USER}"},
    "tenantShard": {"S": "acme#3"},
    "dueShard": {"N": "6"},
    "dueAt": {"N": str(START_MS + 25 * MINUTE)},
}
"""A session as version 0.1.0 writes it. Never change it: such items are in tables."""


def with_item(item: Mapping[str, Any]) -> Service:
    service = Service()
    service.dynamo.put_item(TableName=TABLE, Item=copy.deepcopy(dict(item)))
    return service


def test_a_session_of_version_0_1_0_lives_and_ends_under_this_one() -> None:
    service = with_item(ITEM_OF_0_1_0)
    service.clock.advance(minutes=10)
    session = service.get(SESSION_ID).json
    assert (session["metadata"], session["timeRemaining"]) == ({"topic": "upgrades", "since": 1.5}, 20 * MINUTE)
    assert service.heartbeat(SESSION_ID).json["renewalCount"] == 1
    assert service.renew(SESSION_ID).json["renewalCount"] == 2
    assert service.patch(SESSION_ID, {"timeoutMinutes": 20, "warningThresholdMinutes": 4}).status == 200
    assert service.listed() == service.listed(userId=USER) == [SESSION_ID]
    service.sweep_minutes(22)
    assert service.published_at("expiring").keys() == service.published_at("expired").keys() == {SESSION_ID}
    assert service.get(SESSION_ID).status == 410
    assert service.delete(SESSION_ID).status == 200


def test_this_version_writes_nothing_that_0_1_0_did_not() -> None:
    service = Service()
    written = service.item(service.new()["sessionId"])
    assert {name: next(iter(value)) for name, value in written.items()} == {
        name: next(iter(value)) for name, value in ITEM_OF_0_1_0.items()
    }, "an older version, after a rollback or in a process not yet replaced, must be able to read it: say how it can"


def test_what_a_newer_version_adds_to_a_session_survives_this_one() -> None:
    service = with_item(ITEM_OF_0_1_0 | {"mood": {"S": "curious"}})
    service.clock.advance(minutes=10)
    assert service.heartbeat(SESSION_ID).status == 200
    assert service.patch(SESSION_ID, {"timeoutMinutes": 40}).status == 200
    service.sweep_minutes(45)
    assert service.published_at("expired").keys() == {SESSION_ID}
    assert service.item(SESSION_ID)["mood"] == {"S": "curious"}


def test_what_a_newer_version_adds_to_the_sweeps_record_disturbs_nobody() -> None:
    service = with_item({"sessionId": {"S": "sweep"}, "pausedUntil": {"N": "1"}})
    service.sweep_minutes(1)
    assert service.health().json["status"] == "healthy"
    assert service.item("sweep")["pausedUntil"] == {"N": "1"}
