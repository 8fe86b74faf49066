"""The request for a list. It stands apart from the other requests, as few starts serve one."""

import re
from collections.abc import Mapping
from typing import Final

from agent_sessions.api.requests import idempotency_key_problems, is_uuid
from agent_sessions.errors import FieldProblem, InvalidRequest
from agent_sessions.lists.pages import ListQuery, SessionList, SessionPage
from agent_sessions.sessions.service import SessionService

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 100
_PAGE_SIZE: Final = re.compile("[0-9]{1,9}")


class ListApi:
    """Answers `GET /` of the sessions."""

    def __init__(self, sessions: SessionList) -> None:
        """Read pages from `sessions`."""
        self._sessions = sessions

    def page(self, tenant_id: str, parameters: Mapping[str, str]) -> SessionPage:
        """Return the page that a query string asks for. Raises as `list_query` and `SessionList.page` do."""
        return self._sessions.page(list_query(tenant_id, parameters))

    def page_of_key(
        self, sessions: SessionService, tenant_id: str, idempotency_key: str, parameters: Mapping[str, str]
    ) -> SessionPage:
        """Return a page with the live session that was made with a key, or without any.

        Raises:
            InvalidRequest: the key is malformed, or the query string is, or it has a filter or a cursor.
            ServiceUnavailable: the store does not answer.

        """
        query = list_query(tenant_id, parameters)
        others = {"userId": query.user_id, "agentId": query.agent_id, "cursor": query.cursor}
        problems = idempotency_key_problems(idempotency_key) + [
            FieldProblem(name, "must be left out where the header Idempotency-Key is sent", value)
            for name, value in others.items()
            if value is not None
        ]
        if problems:
            raise InvalidRequest(problems)
        found = sessions.find_by_key(tenant_id, idempotency_key)
        return SessionPage([found.session] if found else [], found.now_ms if found else 0, None)


def page_size(parameters: Mapping[str, str], problems: list[FieldProblem]) -> int:
    """Read the parameter `limit`; where it is wrong, add that to `problems`."""
    limit = parameters.get("limit", str(DEFAULT_PAGE_SIZE))
    if _PAGE_SIZE.fullmatch(limit) and 1 <= int(limit) <= MAX_PAGE_SIZE:
        return int(limit)
    problems.append(FieldProblem("limit", f"must be a whole number from 1 to {MAX_PAGE_SIZE}", limit))
    return DEFAULT_PAGE_SIZE


def list_query(tenant_id: str, parameters: Mapping[str, str]) -> ListQuery:
    """Check the query string of a list; unknown parameters are ignored.

    Raises:
        InvalidRequest: with every parameter at fault.

    """
    problems = [
        FieldProblem(name, "must be a UUID", parameters[name])
        for name in ("userId", "agentId")
        if name in parameters and not is_uuid(parameters[name])
    ]
    limit = page_size(parameters, problems)
    if problems:
        raise InvalidRequest(problems)
    return ListQuery(
        tenant_id=tenant_id,
        user_id=parameters.get("userId"),
        agent_id=parameters.get("agentId"),
        limit=limit,
        cursor=parameters.get("cursor") or None,
    )
