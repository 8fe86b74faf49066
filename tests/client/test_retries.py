"""What is repeated, when, and for how long.

The service is a script; the clock stands still unless the client sleeps.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import httpx
import pytest
from agent_sessions_client import Patience, Session, SessionsClient, errors

from tests.client.service import AGENT, USER, ManualClock, async_client_of, client_of

SESSION: Final[dict[str, Any]] = {
    "sessionId": "4f1c2e0a-9d53-4b1e-8f0e-0b7a6f1d2c3b",
    "agentId": AGENT,
    "userId": USER,
    "createdAt": "2026-11-26T09:00:00.000Z",
    "lastActivity": "2026-11-26T09:00:00.000Z",
    "expiresAt": "2026-11-26T09:30:00.000Z",
    "endsAt": "2026-11-26T21:00:00.000Z",
    "renewAfter": "2026-11-26T09:11:00.000Z",
    "metadata": {},
    "timeoutConfig": {
        "timeoutMinutes": 30,
        "autoRenew": True,
        "maxDurationMinutes": 720,
        "warningThresholdMinutes": 5,
    },
    "lease": 1,
    "renewalCount": 0,
    "metadataVersion": "44136fa355b3678a",
    "lastSequence": 0,
    "lastMessageAt": None,
    "awaitingReply": False,
    "timeRemaining": 1_800_000,
    "isNearExpiration": False,
}
ID: Final = SESSION["sessionId"]


def refusal(status: int, code: str | None = None, **headers: str) -> httpx.Response:
    """An error as the service answers it or, without a code, as the gateway does."""
    body = {"message": "no"} if code is None else {"success": False, "error": {"code": code, "message": "no"}}
    return httpx.Response(status, headers=headers, json=body)


BUSY: Final = lambda: refusal(503, "SERVICE_UNAVAILABLE", **{"retry-after": "2"})  # noqa: E731 - one of several
THROTTLED: Final = lambda: refusal(429)  # noqa: E731
NOT_SENT: Final = httpx.ConnectError("refused")
LOST: Final = httpx.ReadTimeout("no answer")
BROKEN: Final = httpx.RemoteProtocolError("broken off")
Turn = Callable[[], httpx.Response] | Exception


class Script:
    """A service that answers as it is written, then with a session."""

    def __init__(self, *turns: Turn) -> None:
        self._turns: Iterator[Turn] = iter(turns)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        turn = next(self._turns, None)
        if isinstance(turn, Exception):
            raise turn
        return httpx.Response(200, json=SESSION) if turn is None else turn()

    @property
    def keys(self) -> set[str | None]:
        return {request.headers.get("idempotency-key") for request in self.requests}


def client(script: Script, clock: ManualClock | None = None, **options: Any) -> SessionsClient:
    return client_of(script, clock=clock or ManualClock(), draw=lambda: 0.5, **options)


def create(service: SessionsClient) -> Session:
    return service.create_session(AGENT, USER)


def beat(service: SessionsClient) -> Session:
    return service.heartbeat(ID)


EITHER: Final = [BUSY, THROTTLED, NOT_SENT]
UNCLEAR: Final[list[Turn]] = [LOST, BROKEN, *(lambda status=status: refusal(status) for status in (500, 502, 503, 504))]


@pytest.mark.parametrize("turn", [*EITHER, *UNCLEAR])
def test_a_keyed_write_is_repeated_under_the_same_key_whatever_became_of_it(turn: Turn) -> None:
    script = Script(turn, turn)
    assert create(client(script)).session_id == ID
    assert len(script.requests) == 3
    assert len(script.keys) == 1
    assert None not in script.keys


@pytest.mark.parametrize("turn", EITHER)
def test_a_heartbeat_that_was_not_carried_out_is_repeated(turn: Turn) -> None:
    script = Script(turn)
    assert beat(client(script)).session_id == ID
    assert len(script.requests) == 2


@pytest.mark.parametrize("turn", UNCLEAR)
def test_a_heartbeat_that_may_have_been_carried_out_is_not_repeated(turn: Turn) -> None:
    script = Script(turn)
    with pytest.raises(errors.ClientError):
        beat(client(script))
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "turn, error",
    [
        (lambda: refusal(400, "VALIDATION_ERROR"), errors.ValidationError),
        (lambda: refusal(401), errors.Unauthorized),
        (lambda: refusal(403), errors.Forbidden),
        (lambda: refusal(404, "SESSION_NOT_FOUND"), errors.SessionNotFound),
        (lambda: refusal(410, "SESSION_EXPIRED"), errors.SessionExpired),
        (lambda: refusal(422, "IDEMPOTENCY_KEY_REUSED"), errors.IdempotencyKeyReused),
        (lambda: refusal(429, "MESSAGE_LIMIT_REACHED"), errors.MessageLimitReached),
        (lambda: refusal(418, "SOMETHING_NEW"), errors.ApiError),
    ],
)
def test_what_no_repeat_can_help_is_raised_at_once(turn: Turn, error: type[Exception]) -> None:
    script = Script(turn)
    with pytest.raises(error):
        create(client(script))
    assert len(script.requests) == 1


def test_a_fault_of_the_service_is_tried_three_times() -> None:
    script = Script(*[lambda: refusal(500, "INTERNAL_SERVER_ERROR")] * 9)
    with pytest.raises(errors.InternalServerError):
        create(client(script))
    assert len(script.requests) == 3


def test_pauses_grow_from_a_fifth_of_a_second_to_five_seconds_and_half_of_that_is_drawn_here() -> None:
    clock = ManualClock()
    create(client(Script(*[THROTTLED] * 7), clock))
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]


@pytest.mark.parametrize(
    "header", ["7", format_datetime(datetime.fromtimestamp(ManualClock().wall() + 7, UTC), usegmt=True)]
)
def test_a_pause_is_at_least_what_the_service_asks_for(header: str) -> None:
    clock = ManualClock()
    create(client(Script(lambda: refusal(503, "SERVICE_UNAVAILABLE", **{"retry-after": header})), clock))
    assert clock.slept == [pytest.approx(7.1)]


def test_a_pause_that_would_pass_the_deadline_is_not_made() -> None:
    clock, script = ManualClock(), Script(lambda: refusal(503, "SERVICE_UNAVAILABLE", **{"retry-after": "60"}))
    with pytest.raises(errors.ServiceUnavailable):
        create(client(script, clock, patience=Patience(deadline_seconds=30)))
    assert clock.slept == []


def test_all_attempts_together_stay_within_the_deadline_and_the_error_has_the_key() -> None:
    clock, script = ManualClock(), Script(*[LOST] * 999)
    with pytest.raises(errors.NoAnswer) as caught:
        create(client(script, clock, patience=Patience(deadline_seconds=30)))
    assert sum(clock.slept) < 30
    assert {caught.value.idempotency_key} == script.keys


def test_the_last_attempt_waits_no_longer_than_the_deadline() -> None:
    clock = ManualClock()

    def slow(request: httpx.Request) -> httpx.Response:
        waited = request.extensions["timeout"]["read"]
        clock.seconds += waited
        raise httpx.ReadTimeout("no answer")

    began = clock.monotonic()
    with pytest.raises(errors.NoAnswer):
        create(client_of(slow, clock=clock, patience=Patience(deadline_seconds=25, attempt_seconds=10)))
    assert clock.monotonic() - began <= 25.001


def test_a_delete_whose_answer_was_lost_counts_as_done_when_the_session_is_gone() -> None:
    script = Script(LOST, lambda: refusal(404, "SESSION_NOT_FOUND"))
    assert client(script).delete_session(ID).session_id == ID
    with pytest.raises(errors.SessionNotFound):
        client(Script(NOT_SENT, lambda: refusal(404, "SESSION_NOT_FOUND"))).delete_session(ID)


def test_the_async_client_follows_the_same_rules() -> None:
    async def scenario() -> None:
        clock, script = ManualClock(), Script(BUSY, LOST, NOT_SENT)
        async with async_client_of(script, clock=clock, draw=lambda: 0.5) as sessions:
            assert (await sessions.create_session(AGENT, USER)).session_id == ID
            assert len(script.keys) == 1
            assert clock.slept == [2.1, 0.2, 0.4]
            with pytest.raises(errors.NoAnswer):
                await async_client_of(Script(LOST), clock=clock).heartbeat(ID)

    asyncio.run(scenario())


def test_an_answer_that_is_not_of_the_service_names_the_likely_cause() -> None:
    with pytest.raises(errors.NoAnswer, match="is the URL right"):
        create(client(Script(lambda: httpx.Response(200, text="<html>"))))


def test_an_address_that_cannot_be_right_is_no_loss_to_repeat() -> None:
    with SessionsClient("sessions.example.com") as sessions, pytest.raises(httpx.UnsupportedProtocol):
        create(sessions)
