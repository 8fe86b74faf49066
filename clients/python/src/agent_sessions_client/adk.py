"""Sessions of Google's ADK, kept by agent-sessions: with expiry, warnings and tenants. Needs the extra `adk`.

An ADK session is a session of the service, and an event of ADK is a message in it. Names of apps and users become
UUIDs; the originals stand in the session's metadata. The three names of a session together make its idempotency key,
by which it is found again. So the API key needs the scope `full`.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic_core import to_jsonable_python

from agent_sessions_client import models
from agent_sessions_client.client import SessionsClient
from agent_sessions_client.errors import (
    ClientError,
    IdempotencyKeyReused,
    PreconditionFailed,
    SessionExpired,
    SessionNotFound,
)

T = TypeVar("T")

NAMES: Final = uuid.UUID("7f1f6d7e-0f0c-5f0b-9a51-7d6a1f3f5f10")
"""The space in which names become UUIDs. It never changes: the ids of all users would."""
LONGEST_CONTENT: Final = 4_000
SNAPSHOT_EVERY: Final = 25
"""How many messages may lie behind a snapshot of the state before a reader writes a new one."""
LARGEST_SNAPSHOT: Final = 8_000
"""Bytes of a snapshot: the metadata has room for 10 KB."""
_LONGEST_KEY: Final = 255


class Snapshot(NamedTuple):
    """The state of a session as the messages up to number `sequence` have made it."""

    sequence: int
    state: Mapping[str, Any]


class ScopedState(Protocol):
    """Where state that outlives a session is kept: of a user in an app (`user:`), and of an app (`app:`).

    Keys are without their prefix.
    """

    async def read(self, app_name: str, user_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the app's state and the user's."""

    async def update(self, app_name: str, user_id: str, app: Mapping[str, Any], user: Mapping[str, Any]) -> None:
        """Merge both into what is there."""


class AgentSessionsService(BaseSessionService):
    """A session service of ADK on top of agent-sessions.

    The state is folded from the first state and the deltas of the events; a snapshot of it in the session's metadata
    spares readers of a few recent events the older ones. It differs from ADK's own services in this:
    a session expires, and then it is not there any more; `list_sessions` returns sessions without their states; `user:`
    and `app:` state needs a `scoped_state`; an event must fit into a message of 32 KB.
    """

    def __init__(
        self,
        client: SessionsClient,
        *,
        scoped_state: ScopedState | None = None,
        timeout_minutes: float | None = None,
        max_duration_minutes: float | None = None,
    ) -> None:
        """Keep sessions with `client`. The timeouts are those of `create_session`, for every session."""
        self._client = client
        self._scoped_state = scoped_state
        self._timeout_minutes = timeout_minutes
        self._max_duration_minutes = max_duration_minutes

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session. Its first state, without `user:` and `app:`, must fit into a message: 32 KB.

        Raises:
            AlreadyExistsError: there is a session of these names.
            ValueError: there is `user:` or `app:` state, and no `scoped_state`.

        """
        session_id = (session_id or "").strip() or str(uuid.uuid4())
        own, user, app = _split(_safe(state or {}))
        self._check_scoped(app, user)
        try:
            found, first = await asyncio.to_thread(self._create, app_name, user_id, session_id, own)
        except IdempotencyKeyReused as error:
            message = f"Session with id {session_id} already exists."
            raise AlreadyExistsError(message) from error
        await self._update_scoped(app_name, user_id, app, user)
        return await self._session(found, own, [first], [])

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return the session with its events, None where there is none or it has expired."""
        found = await self._found(app_name, user_id, session_id)
        if found is None:
            return None
        snapshot = _snapshot(found)
        recent = config.num_recent_events if config else None
        try:
            messages = await asyncio.to_thread(self._messages, found.session_id, snapshot, recent)
        except (SessionExpired, SessionNotFound):
            return None
        state, events = _folded(snapshot, messages)
        last = messages[-1].sequence if messages else 0
        if last - snapshot.sequence >= SNAPSHOT_EVERY:
            await asyncio.to_thread(self._keep, found, Snapshot(last, state))
        session = await self._session(found, state, messages, events)
        if config and config.num_recent_events is not None:
            session.events = session.events[-config.num_recent_events :] if config.num_recent_events else []
        if config and config.after_timestamp is not None:
            session.events = [event for event in session.events if event.timestamp >= config.after_timestamp]
        return session

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the live sessions without events and states, the one that was used last at the end.

        A new session appears within seconds.
        """
        agent, user = _uuid("app", app_name), None if user_id is None else _uuid("user", user_id)
        found = await asyncio.to_thread(lambda: list(self._client.list_sessions(agent_id=agent, user_id=user)))
        sessions = [
            Session(
                id=each.metadata["adk"]["session"],
                app_name=app_name,
                user_id=each.metadata["adk"]["user"],
                last_update_time=(each.last_message_at or each.created_at).timestamp(),
            )
            for each in found
            if "adk" in each.metadata
        ]
        return ListSessionsResponse(sessions=sorted(sessions, key=lambda each: (each.last_update_time, each.id)))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete the session with its events. One that is not there counts as deleted."""
        found = await self._found(app_name, user_id, session_id)
        if found is not None:
            with contextlib.suppress(SessionNotFound):  # somebody else was faster
                await asyncio.to_thread(self._client.delete_session, found.session_id)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the user's state, without prefixes.

        Raises:
            NotImplementedError: there is no `scoped_state`.

        """
        if self._scoped_state is None:
            message = "user state needs a scoped_state"
            raise NotImplementedError(message)
        _, user = await self._scoped_state.read(app_name, user_id)
        return dict(user)

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event, once: its id is the key of the message. Partial events are not stored.

        Raises:
            StaleSessionError: an event was stored since this session was read. Read it again.
            SessionNotFoundError: the session is not there any more.
            ValueError: there is `user:` or `app:` state, and no `scoped_state`.

        """
        if event.partial:
            return event
        own_id, sequence = await self._marker(session)
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        _, user, app = _split(_safe(event.actions.state_delta if event.actions else {}))
        self._check_scoped(app, user)
        try:
            sent = await asyncio.to_thread(self._append, own_id, sequence, event)
        except PreconditionFailed as error:
            message = f"Session {session.id} has changed since it was read; read it again."
            raise StaleSessionError(message) from error
        except (SessionExpired, SessionNotFound) as error:
            message = f"Session {session.id} not found."
            raise SessionNotFoundError(message) from error
        if sent.message.sequence <= sequence:
            return event  # it was stored before
        await self._update_scoped(session.app_name, session.user_id, app, user)
        session._storage_update_marker = _marker(own_id, sent.message.sequence)  # noqa: SLF001 - it is for services
        session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    def _messages(self, own_id: str, snapshot: Snapshot, recent: int | None) -> list[models.Message]:
        """Return the messages, oldest first: all, or those behind the snapshot and of `recent` events, at least one."""
        if recent is None:
            return list(self._client.list_messages(own_id))
        found: list[models.Message] = []
        events = 0
        for message in self._client.list_messages(own_id, newest_first=True):
            if message.sequence <= snapshot.sequence and events >= max(recent, 1):
                break
            found.append(message)
            events += message.metadata.get("adk") == "event"
        return found[::-1]

    def _keep(self, found: models.Session, snapshot: Snapshot) -> None:
        """Write a snapshot over the one that was read, unless somebody else has. It saves reading, and may fail.

        It is a list, so that the merge patch takes it whole: in an object it would drop what is None.
        """
        held = [snapshot.sequence, dict(snapshot.state)]
        if len(json.dumps(held, ensure_ascii=False).encode("utf-8", "surrogatepass")) > LARGEST_SNAPSHOT:
            return
        with contextlib.suppress(ClientError):
            self._client.update_metadata(
                found.session_id, {"adk": {"snapshot": held}}, if_version=found.metadata_version
            )

    def _append(self, own_id: str, sequence: int, event: Event) -> models.Sent:
        body = event.model_dump(mode="json", exclude_none=True)
        is_users = event.author == "user"
        return self._client.send_message(
            own_id,
            _words(event),
            role="user" if is_users else "agent",
            parts=[body],
            metadata={"adk": "event"},
            idempotency_key=event.id if _is_key(event.id) else str(_uuid("event", event.id)),
            if_last_sequence=sequence,
        )

    def _create(
        self, app_name: str, user_id: str, session_id: str, state: Mapping[str, Any]
    ) -> tuple[models.Session, models.Message]:
        """Create the session, and store its first state as its first message.

        Whoever stores that message has created the session. The second one who tries to is refused, as his attempt
        differs. A creator who died in between left a session that the next one finishes.
        """

        def create() -> models.Session:
            return self._client.create_session(
                _uuid("app", app_name),
                _uuid("user", user_id),
                metadata={"adk": {"app": app_name, "user": user_id, "session": session_id}},
                timeout_minutes=self._timeout_minutes,
                max_duration_minutes=self._max_duration_minutes,
                idempotency_key=_key(app_name, user_id, session_id),
            )

        try:
            found = create()
        except SessionExpired as error:
            # It is in the way of a new one under its names, and nobody can read it any more.
            self._client.delete_session(error.details["sessionId"])
            found = create()
        first = self._client.send_message(
            found.session_id,
            "",
            role="system",
            parts=[{"state": dict(state), "attempt": str(uuid.uuid4())}],
            metadata={"adk": "state"},
            idempotency_key="adk-state",
        )
        return found, first.message

    async def _found(self, app_name: str, user_id: str, session_id: str) -> models.Session | None:
        key = _key(app_name, user_id, session_id.strip())
        return await asyncio.to_thread(self._client.session_of_key, key)

    async def _marker(self, session: Session) -> tuple[str, int]:
        """Return the service's id of a session, and the number of the last event that the caller has seen."""
        own_id, _, sequence = (session._storage_update_marker or "").partition(" ")  # noqa: SLF001 - it is for services
        if own_id:
            return own_id, int(sequence)
        found = await self._found(session.app_name, session.user_id, session.id)
        if found is None:
            message = f"Session {session.id} not found."
            raise SessionNotFoundError(message)
        return found.session_id, found.last_sequence

    async def _session(
        self, found: models.Session, own: Mapping[str, Any], messages: list[models.Message], events: list[Event]
    ) -> Session:
        names = found.metadata["adk"]
        state = dict(own)
        if self._scoped_state is not None:
            app, user = await self._scoped_state.read(names["app"], names["user"])
            state |= {State.APP_PREFIX + name: value for name, value in app.items()}
            state |= {State.USER_PREFIX + name: value for name, value in user.items()}
        session = Session(
            id=names["session"],
            app_name=names["app"],
            user_id=names["user"],
            state=state,
            events=events,
            last_update_time=events[-1].timestamp if events else found.created_at.timestamp(),
        )
        last = max([found.last_sequence, *(message.sequence for message in messages)])
        session._storage_update_marker = _marker(found.session_id, last)  # noqa: SLF001 - it is for services
        return session

    def _check_scoped(self, app: Mapping[str, Any], user: Mapping[str, Any]) -> None:
        if self._scoped_state is None and (app or user):
            names = [State.APP_PREFIX + name for name in app] + [State.USER_PREFIX + name for name in user]
            message = f"state that outlives a session needs a scoped_state: {', '.join(sorted(names))}"
            raise ValueError(message)

    async def _update_scoped(
        self, app_name: str, user_id: str, app: Mapping[str, Any], user: Mapping[str, Any]
    ) -> None:
        self._check_scoped(app, user)
        if self._scoped_state is not None and (app or user):
            await self._scoped_state.update(app_name, user_id, app, user)


def _snapshot(found: models.Session) -> Snapshot:
    """Return the snapshot in the metadata; without one, the state before the first message."""
    sequence, state = found.metadata["adk"].get("snapshot", (0, {}))
    return Snapshot(sequence, state)


def _folded(snapshot: Snapshot, messages: list[models.Message]) -> tuple[dict[str, Any], list[Event]]:
    """Return the session's own state after the messages, and their events."""
    state = dict(snapshot.state)
    events: list[Event] = []
    for message in messages:
        delta: Mapping[str, Any] = {}
        if message.metadata.get("adk") == "state":
            delta = message.parts[0]["state"]
        elif message.metadata.get("adk") == "event":
            events.append(Event.model_validate(message.parts[0]))
            delta = _split(events[-1].actions.state_delta if events[-1].actions else {})[0]
        if message.sequence > snapshot.sequence:
            state |= delta
    return state, events


def _split(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the state of the session, of the user and of the app. What begins with `temp:` is left out."""
    own, user, app = {}, {}, {}
    for name, value in state.items():
        if name.startswith(State.USER_PREFIX):
            user[name.removeprefix(State.USER_PREFIX)] = value
        elif name.startswith(State.APP_PREFIX):
            app[name.removeprefix(State.APP_PREFIX)] = value
        elif not name.startswith(State.TEMP_PREFIX):
            own[name] = value
    return own, user, app


def _safe(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state as JSON has it."""
    safe: dict[str, Any] = to_jsonable_python(dict(state), serialize_unknown=True)
    return safe


def _words(event: Event) -> str:
    """Return what was said, clipped: the whole event is in the message's parts."""
    parts = (event.content.parts or []) if event.content else []
    text = "".join(part.text for part in parts if part.text and not part.thought).replace("\0", "")
    return text.encode("utf-16-le", "replace")[: 2 * LONGEST_CONTENT].decode("utf-16-le", "ignore")


def _uuid(kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMES, f"{kind}\n{name}")


def _key(app_name: str, user_id: str, session_id: str) -> str:
    return f"adk-{_uuid('session', chr(10).join([app_name, user_id, session_id]))}"


def _is_key(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_KEY and text.isascii() and text.isprintable() and " " not in text


def _marker(own_id: str, sequence: int) -> str:
    return f"{own_id} {sequence}"
