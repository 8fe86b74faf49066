"""When a request is repeated, and after what pause.

| outcome | a request that may be repeated | any other request |
|---|---|---|
| it could not be sent | repeated | repeated |
| 429 from the gateway | repeated | repeated |
| 503 `SERVICE_UNAVAILABLE`, by which the service asks for a repeat | repeated | repeated |
| sent, but no answer came; 502, 504, 503 from the gateway | repeated | raised: it may have been done |
| 500 | repeated twice at most | raised |
| any other error | raised | raised |

`Retry-After` is a lower bound of the pause. Where a pause would pass the deadline, the error is raised at once.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus

from agent_sessions_client._steps import Answer, Loss, Operation, Pause, Repeat, Request, Send
from agent_sessions_client.errors import (
    ApiError,
    ClientError,
    InternalServerError,
    NoAnswer,
    ServiceUnavailable,
    TooManyRequests,
    error_of,
)
from agent_sessions_client.timestamps import Clock, ServerTime

_REPEATS_OF_500 = 2
_UNCLEAR = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


@dataclass(frozen=True)
class Patience:
    """How long a call may take. `deadline_seconds` bounds all attempts and pauses of a call together."""

    deadline_seconds: float = 30
    attempt_seconds: float = 10
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 5


@dataclass(frozen=True)
class Outcome:
    """A good answer, and whether an earlier attempt may have been carried out unseen."""

    answer: Answer
    lost_before: bool


def perform(
    request: Request,
    patience: Patience,
    clock: Clock,
    server_time: ServerTime,
    draw: Callable[[], float] = random.random,
) -> Operation[Outcome]:
    """Send the request until a good answer comes, as the table above has it. `draw` gives numbers from 0 to 1."""
    ends = clock.monotonic() + patience.deadline_seconds + request.longest_wait_seconds
    attempts, failures, lost = 0, 0, False
    while True:
        left = max(ends - clock.monotonic(), 0.001)
        result = yield Send(request, min(patience.attempt_seconds + request.longest_wait_seconds, left))
        attempts += 1
        error: ClientError
        if isinstance(result, Answer):
            if result.status < HTTPStatus.BAD_REQUEST:
                return Outcome(result, lost)
            error = error_of(result.status, result.headers, result.body)
            if error.timestamp is not None:
                server_time.observe(error.timestamp, result.began, result.ended)
            failures += isinstance(error, InternalServerError)
            lost = lost or _is_unclear(error)
        else:
            assert isinstance(result, Loss)  # noqa: S101 - the driver knows no third outcome
            error = NoAnswer(f"{request.method} {request.path}: {result.why}", sent=result.sent)
            lost = lost or result.sent
        pause = _pause(error, attempts, patience, clock, draw)
        if not _may_repeat(error, request.repeat, failures) or clock.monotonic() + pause >= ends:
            raise _after_a_loss(error, request, lost=lost)
        yield Pause(pause)


class GoneAfterLossError(Exception):
    """A repeated request found nothing, because an earlier attempt of it may have succeeded unseen."""


def _after_a_loss(error: ClientError, request: Request, *, lost: bool) -> Exception:
    if lost and request.method == "DELETE" and isinstance(error, ApiError) and error.status == HTTPStatus.NOT_FOUND:
        return GoneAfterLossError()
    error.idempotency_key = request.headers.get("idempotency-key")
    return error


def _is_unclear(error: ApiError) -> bool:
    """Whether the request may have been carried out all the same."""
    return error.status in _UNCLEAR or error.status == HTTPStatus.INTERNAL_SERVER_ERROR


def _may_repeat(error: ClientError, repeat: Repeat, failures: int) -> bool:
    if isinstance(error, NoAnswer):
        return repeat is Repeat.ALWAYS or not error.sent
    if isinstance(error, TooManyRequests) or (isinstance(error, ServiceUnavailable) and error.code is not None):
        return True
    if repeat is not Repeat.ALWAYS or not isinstance(error, ApiError):
        return False
    return error.status in _UNCLEAR or (isinstance(error, InternalServerError) and failures <= _REPEATS_OF_500)


def _pause(error: ClientError, attempts: int, patience: Patience, clock: Clock, draw: Callable[[], float]) -> float:
    """Return the seconds before the next attempt: a random part of a bound that doubles, at least `Retry-After`."""
    bound = min(patience.longest_pause_seconds, patience.first_pause_seconds * 2.0 ** min(attempts - 1, 30))
    asked = _asked(error.retry_after, clock) if isinstance(error, ApiError) else 0
    return asked + bound * draw()


def _asked(retry_after: str | None, clock: Clock) -> float:
    """Return the seconds that `Retry-After` asks for: a number of them, or a date."""
    if retry_after is None:
        return 0
    if retry_after.strip().isdigit():
        return int(retry_after)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rare, and slow to import

    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, aware.timestamp() - clock.wall())
