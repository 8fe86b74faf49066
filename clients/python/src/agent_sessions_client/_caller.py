"""What all calls share: one request, its repeats, and its answer as JSON."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from agent_sessions_client._retries import Outcome, Patience, perform
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.errors import NoAnswer
from agent_sessions_client.models import Session
from agent_sessions_client.timestamps import Clock, ServerTime

T = TypeVar("T")
Id = str | uuid.UUID

SESSIONS = "/api/messaging/sessions"


@dataclass(frozen=True)
class Slice(Generic[T]):
    """A part of a list, and the call that gets the next part."""

    items: tuple[T, ...]
    rest: "Callable[[], Operation[Slice[T]]] | None"


class Caller:
    """Makes calls, with what they share: patience, clock, the server's time."""

    def __init__(self, patience: Patience, clock: Clock, server_time: ServerTime, draw: Callable[[], float]) -> None:
        self._patience = patience
        self._clock = clock
        self.server_time = server_time
        self._draw = draw

    def _perform(self, request: Request) -> Operation[Outcome]:
        return perform(request, self._patience, self._clock, self.server_time, self._draw)

    def json(self, request: Request) -> Operation[dict[str, Any]]:
        """Return the object that a good answer holds."""
        answer = (yield from self._perform(request)).answer
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            what = f"{request.method} {request.path}: the answer {answer.status} is no JSON object; is the URL right?"
            raise NoAnswer(what, sent=True)
        if isinstance(body.get("timeRemaining"), int):
            self.server_time.observe(Session.from_json(body).server_time, answer.began, answer.ended)
        return body

    def session(self, request: Request) -> Operation[Session]:
        """Return the session that a good answer holds."""
        return Session.from_json((yield from self.json(request)))


def address_of(session_id: Id) -> str:
    """Return the path of a session."""
    return f"{SESSIONS}/{quote(str(session_id), safe='')}"


def page_request(path: str, query: Mapping[str, str], cursor: str | None) -> Request:
    """Return the request for the page behind `cursor`."""
    return Request("GET", path, Repeat.ALWAYS, query=query if cursor is None else {**query, "cursor": cursor})


def given(**values: object) -> dict[str, Any]:
    """Return the values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def query_of(**values: object) -> dict[str, str]:
    """Return the values that are there, as a query has them."""
    return {name: str(value) for name, value in given(**values).items()}


def new_key() -> str:
    """Return an idempotency key that nobody else has."""
    return str(uuid.uuid4())
