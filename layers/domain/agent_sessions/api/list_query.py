"""The query string of a list. Apart from the other requests, as few starts are asked for a list."""

import re
from collections.abc import Mapping
from typing import Final

from agent_sessions.api.requests import is_uuid
from agent_sessions.errors import FieldProblem, InvalidRequest
from agent_sessions.lists.pages import ListQuery, SessionList, SessionPage

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
    limit = parameters.get("limit", str(DEFAULT_PAGE_SIZE))
    if not (_PAGE_SIZE.fullmatch(limit) and 1 <= int(limit) <= MAX_PAGE_SIZE):
        problems.append(FieldProblem("limit", f"must be a whole number from 1 to {MAX_PAGE_SIZE}", limit))
    if problems:
        raise InvalidRequest(problems)
    return ListQuery(
        tenant_id=tenant_id,
        user_id=parameters.get("userId"),
        agent_id=parameters.get("agentId"),
        limit=int(limit),
        cursor=parameters.get("cursor"),
    )
