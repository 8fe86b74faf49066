"""The calls about sessions, as steps."""

from http import HTTPStatus
from typing import Any

from agent_sessions_client._caller import (
    SESSIONS,
    Caller,
    Id,
    Slice,
    address_of,
    given,
    new_key,
    page_request,
    query_of,
)
from agent_sessions_client._retries import GoneAfterLossError
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.errors import ApiError
from agent_sessions_client.models import Deletion, Health, Json, Session, SessionPage


class SessionCalls(Caller):
    """Sessions and health."""

    def create_session(
        self,
        agent_id: Id,
        user_id: Id,
        *,
        metadata: Json | None = None,
        timeout_minutes: float | None = None,
        auto_renew: bool | None = None,
        max_duration_minutes: float | None = None,
        warning_threshold_minutes: float | None = None,
        idempotency_key: str | None = None,
    ) -> Operation[Session]:
        """Create a session. A setting that is left out takes the service's default.

        The call is repeated under one idempotency key, so that a lost answer leaves no second session. Pass a key of
        your own to get the same session in another process, or in another run.

        Raises:
            ValidationError: a value breaks a rule.
            IdempotencyKeyReused: the key was used with another request.
            SessionExpired: the key's session has expired.
            AgentNotFound: this agent may not have sessions.

        """
        settings = _timeouts(timeout_minutes, auto_renew, max_duration_minutes, warning_threshold_minutes)
        body = given(agentId=str(agent_id), userId=str(user_id), metadata=metadata, timeoutConfig=settings or None)
        headers = {"idempotency-key": idempotency_key or new_key()}
        return self.session(Request("POST", SESSIONS, Repeat.ALWAYS, headers=headers, body=body))

    def get_session(self, session_id: Id) -> Operation[Session]:
        """Read a session. This is no activity.

        Raises:
            SessionExpired, SessionNotFound: it has ended.

        """
        return self.session(Request("GET", address_of(session_id), Repeat.ALWAYS))

    def session_of_key(self, idempotency_key: str) -> Operation[Session | None]:
        """Return the live session that was created with this key, or None."""
        request = Request("GET", SESSIONS, Repeat.ALWAYS, headers={"idempotency-key": idempotency_key})
        page = SessionPage.from_json((yield from self.json(request)))
        return page.sessions[0] if page.sessions else None

    def list_sessions(
        self, *, user_id: Id | None = None, agent_id: Id | None = None, page_size: int | None = None
    ) -> Operation[Slice[Session]]:
        """Iterate over the live sessions of the tenant, newest first. Pages are fetched as they are needed."""
        query = query_of(userId=user_id, agentId=agent_id, limit=page_size)

        def page(cursor: str | None) -> Operation[Slice[Session]]:
            found = SessionPage.from_json((yield from self.json(page_request(SESSIONS, query, cursor))))
            following = found.next_cursor
            return Slice(found.sessions, None if following is None else lambda: page(following))

        return page(None)

    def heartbeat(self, session_id: Id) -> Operation[Session]:
        """Record the user's activity. It renews the session where `auto_renew` is on.

        Raises:
            SessionExpired, SessionNotFound: it has ended.
            NoAnswer: the answer was lost. The heartbeat may have been recorded, so it is not repeated.

        """
        return self.session(Request("POST", f"{address_of(session_id)}/heartbeat", Repeat.WHEN_REFUSED))

    def renew(self, session_id: Id) -> Operation[Session]:
        """Renew the session, even where `auto_renew` is off.

        Raises:
            RenewalFailed: it already lasts until its cap.
            SessionExpired, SessionNotFound: it has ended.
            NoAnswer: the answer was lost. The session may have been renewed, so the call is not repeated.

        """
        return self.session(Request("POST", f"{address_of(session_id)}/renew", Repeat.WHEN_REFUSED))

    def update_metadata(self, session_id: Id, patch: Json, *, if_version: str | None = None) -> Operation[Session]:
        """Merge `patch` into the metadata, as RFC 7396 has it: None removes a key.

        With `if_version`, a session's `metadata_version`, the patch is applied to that version alone.

        Raises:
            PreconditionFailed: the metadata has another version.
            NoAnswer: the answer was lost. The patch may have been applied, so it is not repeated.

        """
        headers = {} if if_version is None else {"if-match": f'"{if_version}"'}
        body = {"metadata": patch}
        return self.session(Request("PATCH", address_of(session_id), Repeat.WHEN_REFUSED, headers=headers, body=body))

    def update_timeouts(
        self,
        session_id: Id,
        *,
        timeout_minutes: float | None = None,
        auto_renew: bool | None = None,
        max_duration_minutes: float | None = None,
        warning_threshold_minutes: float | None = None,
    ) -> Operation[Session]:
        """Change the timeout settings that are given; the others keep their values.

        Raises:
            ValidationError: a value breaks a rule, or conflicts with a kept one.
            NoAnswer: the answer was lost. The change may have been made, so it is not repeated.

        """
        body = _timeouts(timeout_minutes, auto_renew, max_duration_minutes, warning_threshold_minutes)
        return self.session(Request("PATCH", f"{address_of(session_id)}/timeout", Repeat.WHEN_REFUSED, body=body))

    def delete_session(self, session_id: Id) -> Operation[Deletion]:
        """End the session now, and remove its content. Where a repeat finds it gone, it counts as deleted.

        Raises:
            SessionNotFound: it was not there at the first attempt.

        """
        try:
            answer = yield from self.json(Request("DELETE", address_of(session_id), Repeat.ALWAYS))
        except GoneAfterLossError:
            return Deletion(str(session_id), messages_deleted=0, pending=True)
        done = answer["data"]
        return Deletion(done["sessionId"], done["messagesDeleted"], done["pending"])

    def health(self) -> Operation[Health]:
        """Return the state of the service. An unhealthy service is an answer, no error."""
        request = Request("GET", f"{SESSIONS}/health", Repeat.WHEN_REFUSED)
        try:
            return Health.from_json((yield from self.json(request)))
        except ApiError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE or "status" not in error.body:
                raise
            return Health.from_json(error.body)


def _timeouts(
    timeout_minutes: float | None,
    auto_renew: bool | None,  # noqa: FBT001 - one of four settings
    max_duration_minutes: float | None,
    warning_threshold_minutes: float | None,
) -> dict[str, Any]:
    return given(
        timeoutMinutes=timeout_minutes,
        autoRenew=auto_renew,
        maxDurationMinutes=max_duration_minutes,
        warningThresholdMinutes=warning_threshold_minutes,
    )
