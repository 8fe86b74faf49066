"""What subscribers are sent: CloudEvents 1.0 in structured JSON mode, with ids that tell repeats apart from news."""

import json
from datetime import datetime
from typing import Any, Final

import pytest
from agent_sessions.events.cloud_events import Event, EventKind, session_event
from agent_sessions.sessions.model import TimeoutConfig
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from tests.store_suite.examples import a_session
from tests.unit.world import MINUTE, START_MS

SOURCE: Final = "/agent-sessions/eu-central-1/sessions"
KINDS: Final[tuple[EventKind, ...]] = ("expiring", "expired")
# docs/contract.md, Events.
DATA: Final = {
    "sessionId", "tenantId", "agentId", "userId", "createdAt", "lease", "expiresAt", "endsAt", "reason", "renewable",
    "renewalCount", "timeRemaining", "timeoutConfig",
}  # fmt: skip
SESSION: Final = a_session(
    session_id="3f0b1c52-9d4e-4a67-8c1b-72e5a0d94f36",
    agent_id="B8504bc3-45f8-4a41-a00a-83df46d8555d",
    user_id="6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60",
    metadata_json='{"secret":"a person\'s name"}',
    timeout=TimeoutConfig(30, auto_renew=True, max_duration_minutes=720.5, warning_threshold_minutes=5),
    created_at_ms=START_MS,
    last_activity_ms=START_MS + 60 * MINUTE,
    renewed_at_ms=START_MS + 60 * MINUTE,
    expires_at_ms=START_MS + 90 * MINUTE,
    ends_at_ms=START_MS + 720 * MINUTE + 30_000,
    renewal_count=4,
    lease=5,
    due_at_ms=START_MS + 85 * MINUTE,
)
NOW: Final = START_MS + 84 * MINUTE + 1


def check_cloud_event(body: str) -> dict[str, Any]:
    """Read a body as the CloudEvents package does, which holds it to the specification, and return it."""
    read = JSONFormat().read(CloudEvent, body)
    event: dict[str, Any] = json.loads(body)
    assert (read.get_id(), read.get_type(), read.get_specversion()) == (event["id"], event["type"], "1.0")
    assert read.get_time() == datetime.fromisoformat(event["time"])
    assert read.get_data() == event["data"]
    assert event["data"].keys() == DATA
    return event


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_cloud_event_with_all_that_the_contract_names(kind: EventKind) -> None:
    event = check_cloud_event(session_event(kind, SESSION, NOW, SOURCE).body)
    assert event == {
        "specversion": "1.0",
        "id": f"{SESSION.session_id}:{START_MS}:5:{kind}",
        "source": SOURCE,
        "type": f"agent-sessions.session.{kind}",
        "subject": SESSION.session_id,
        "time": "2026-06-27T09:24:00.001Z",
        "datacontenttype": "application/json",
        "data": {
            "sessionId": SESSION.session_id,
            "tenantId": "acme",
            "agentId": SESSION.agent_id,
            "userId": SESSION.user_id,
            "createdAt": "2026-06-27T08:00:00.000Z",
            "lease": 5,
            "expiresAt": "2026-06-27T09:30:00.000Z",
            "endsAt": "2026-06-27T20:00:30.000Z",
            "reason": "idle_timeout",
            "renewable": True,
            "renewalCount": 4,
            "timeRemaining": 6 * MINUTE - 1,
            "timeoutConfig": {
                "timeoutMinutes": 30,
                "autoRenew": True,
                "maxDurationMinutes": 720.5,
                "warningThresholdMinutes": 5,
            },
        },
    }


def test_different_facts_have_different_ids() -> None:
    facts = [
        SESSION,
        SESSION._replace(lease=6),
        SESSION._replace(created_at_ms=SESSION.created_at_ms + 1),
        SESSION._replace(session_id="3f0b1c52-9d4e-4a67-8c1b-72e5a0d94f37"),
    ]
    ids = {session_event(kind, session, NOW, SOURCE).event_id for session in facts for kind in KINDS}
    assert len(ids) == len(facts) * len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_those_a_subscriber_may_filter_on(kind: EventKind) -> None:
    assert session_event(kind, SESSION, NOW, SOURCE).attributes == {
        "type": f"agent-sessions.session.{kind}",
        "tenantId": "acme",
        "agentId": SESSION.agent_id,
        "userId": SESSION.user_id,
        "reason": "idle_timeout",
    }


def test_a_session_near_its_cap_cannot_be_renewed_and_the_event_says_so() -> None:
    capped = SESSION._replace(expires_at_ms=SESSION.ends_at_ms)
    event = session_event("expiring", capped, NOW, SOURCE)
    data = check_cloud_event(event.body)["data"]
    assert (data["reason"], data["renewable"], event.attributes["reason"]) == ("max_duration", False, "max_duration")


def largest() -> Event:
    """As long as the contract lets a value be."""
    minutes = 719.9999999999999
    session = SESSION._replace(
        tenant_id="t" * 64,
        timeout=TimeoutConfig(
            minutes, auto_renew=False, max_duration_minutes=minutes, warning_threshold_minutes=minutes
        ),
        lease=10**9,
        renewal_count=10**9,
    )
    return session_event("expiring", session, NOW, "/" + "s" * 500)


def test_ten_of_the_largest_events_fit_into_one_batch_of_sns() -> None:
    event = largest()
    bytes_of_one = len(event.body.encode()) + sum(len(name + value) + 6 for name, value in event.attributes.items())
    assert 10 * bytes_of_one < 256 * 1024 / 10


@given(
    st.integers(0, 10**7),
    st.floats(5, 1_440),
    st.sampled_from([0, 1, 60_000]),
    st.integers(1, 10**6),
    st.integers(0, 4 * 10**12),
    st.sampled_from(KINDS),
)
def test_every_event_is_a_cloud_event(
    left_ms: int, timeout: float, under_cap_ms: int, lease: int, now_ms: int, kind: EventKind
) -> None:
    expires_ms = now_ms + left_ms
    session = SESSION._replace(
        timeout=TimeoutConfig(timeout, auto_renew=True, max_duration_minutes=timeout, warning_threshold_minutes=1),
        lease=lease,
        expires_at_ms=expires_ms,
        ends_at_ms=expires_ms + under_cap_ms,
    )
    data = check_cloud_event(session_event(kind, session, now_ms, SOURCE).body)["data"]
    assert data["renewable"] is (under_cap_ms > 0)
    assert data["timeRemaining"] == left_ms
    assert data["timeoutConfig"]["timeoutMinutes"] == timeout
