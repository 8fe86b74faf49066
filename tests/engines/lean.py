"""The lean client of DynamoDB with limits and pauses that a test chooses."""

from collections.abc import Callable, Mapping
from threading import Semaphore
from typing import Any

from agent_sessions.aws_clients.lean_dynamodb import LeanDynamoDb
from agent_sessions.aws_clients.lean_http import Limits
from agent_sessions.clock import SystemClock

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
PATIENT = Limits(connect=300, answer=300)


class NotedPauses(SystemClock):
    """The system's clock, but for pauses, which are noted and not taken; and time may be added to it."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.ahead_ms = 0
        self.seconds_a_look = 0.0
        self.looks = Semaphore(0)
        self._looked = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms

    def elapsed_seconds(self) -> float:
        """The more often it is asked, the later it is, by `seconds_a_look`."""
        self._looked += 1
        self.looks.release()
        return super().elapsed_seconds() + self._looked * self.seconds_a_look

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def lean_client(
    url: str | None = None,
    *,
    clock: SystemClock | None = None,
    environ: Mapping[str, str] = KEYS,
    limits: Limits = PATIENT,
    jitter: Callable[[], float] = lambda: 0.5,
    attempts: int = 2,
) -> Any:
    """One that calls `url`."""
    named = {} if url is None else {"AWS_ENDPOINT_URL_DYNAMODB": url}
    return LeanDynamoDb({**environ, **named}, clock or NotedPauses(), jitter, limits, attempts)
